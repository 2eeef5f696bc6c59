//! What the data plane is told once, at its start.

use std::net::SocketAddr;
use std::time::Duration;

use model::Pseudonyms;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A certificate chain and its private key.
#[derive(Debug)]
pub struct Identity {
    /// The chain, the holder's certificate first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the first certificate.
    pub key: PrivateKeyDer<'static>,
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

/// Listeners, identities and bounds.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where consumers connect. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Threads that carry calls, each with its own listener and upstream connections.
    pub workers: usize,
    /// The gateway's identity towards consumers.
    pub server: Identity,
    /// Authorities that may vouch for consumers.
    pub client_authorities: Vec<CertificateDer<'static>>,
    /// The gateway's identity towards nodes.
    pub upstream: Identity,
    /// The keys under which persons stand in the ledger; the last is in use. Empty if the ledger
    /// is not to know whom calls are about.
    pub pseudonyms: Pseudonyms,
    /// Bounds.
    pub limits: Limits,
}

/// Everything is bounded; these are the bounds.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections from consumers, over all workers.
    pub connections_max: usize,
    /// Calls at once on one connection.
    pub streams_per_connection_max: u32,
    /// Calls at once, over all workers.
    pub calls_in_flight_max: usize,
    /// Size of a header block, in bytes as HPACK counts them.
    pub header_bytes_max: u32,
    /// From accepting a connection to its first HTTP/2 frame.
    pub handshake_time_max: Duration,
    /// How long a connection may stay without a call.
    pub idle_time_max: Duration,
    /// The longest a call may take; also the deadline of calls that state none.
    pub deadline_max: Duration,
    /// How long calls in flight may go on once the gateway drains.
    pub drain_time_max: Duration,
    /// How long connecting to an endpoint may take, TLS included.
    pub connect_time_max: Duration,
    /// Connections to one endpoint, for each worker.
    pub upstream_connections_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            streams_per_connection_max: 256,
            calls_in_flight_max: 10_000,
            header_bytes_max: 16 << 10,
            handshake_time_max: Duration::from_secs(10),
            idle_time_max: Duration::from_secs(600),
            deadline_max: Duration::from_secs(3600),
            drain_time_max: Duration::from_secs(30),
            connect_time_max: Duration::from_secs(5),
            upstream_connections_max: 32,
        }
    }
}
