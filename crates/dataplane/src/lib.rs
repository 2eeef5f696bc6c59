//! Listeners, TLS, the call path, upstreams, forwarding.
