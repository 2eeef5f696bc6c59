//! Open-loop and closed-loop gRPC load over mutual TLS, percentiles free of coordinated omission.
