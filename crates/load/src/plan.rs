//! What to measure: target, shape of the load, length, and what to watch meanwhile.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;

use crate::error::LoadError;

/// Everything a measurement needs. Start from [`Plan::new`] and change what differs.
#[derive(Debug, Clone)]
pub struct Plan {
    /// `host:port` to connect to.
    pub address: String,
    /// Name expected in the server's certificate, sent as SNI and as `:authority`. By default the
    /// host of `address` (and the whole `address` as `:authority`).
    pub server_name: Option<String>,
    /// TLS 1.3 material; without it the load speaks plain HTTP/2 with prior knowledge.
    pub tls: Option<Tls>,
    /// Path of the method, `/pkg.Service/Method`; unary or server-streaming.
    pub method: String,
    /// The one request message, as protobuf bytes without the gRPC prefix.
    pub message: Bytes,
    /// Further metadata. Values of keys that end in `-bin` are given in base64.
    pub metadata: Vec<(String, String)>,
    /// Sent as `grpc-timeout`. A call still unanswered a second after it is given up here.
    pub timeout: Option<Duration>,
    /// Connections, shared out over the threads.
    pub connections: usize,
    /// Calls at a time on each connection. In open loop this bounds the calls in flight.
    pub streams: usize,
    /// Worker threads, each with its own runtime; no more than there are connections are used.
    pub threads: usize,
    /// When calls start.
    pub pace: Pace,
    /// Open loop: start calls to the microsecond, at the price of one whole core per thread.
    /// Without it they start about 0.1 ms late, which is part of their latency.
    pub spin: bool,
    /// Load before the window, the same in shape, not measured.
    pub warm_up: Duration,
    /// Length of the measured window.
    pub duration: Duration,
    /// Ends the window early, once this many measured calls were made.
    pub calls: Option<u64>,
    /// How long after the window calls that belong to it may still end.
    pub drain: Duration,
    /// Bound on TCP, TLS and HTTP/2 set-up of one connection.
    pub connect_timeout: Duration,
    /// Processes whose CPU time and memory to read; the load's own are always there.
    pub watch: Vec<Watched>,
    /// Keep headers and trailers of one answer in the report.
    pub keep_sample: bool,
}

/// When calls start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// Each stream makes its next call when the last one ended.
    Closed,
    /// Calls start on a fixed schedule, whether or not earlier ones have ended.
    Open {
        /// Rate over all connections.
        calls_per_second: f64,
    },
}

/// Who the server must be and who we are.
#[derive(Debug, Clone)]
pub struct Tls {
    /// Authorities that may sign the server's certificate.
    pub ca: Pem,
    /// Client certificate chain and key; without it the handshake is one-sided.
    pub identity: Option<Identity>,
}

/// A client certificate and its key.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Certificate chain, leaf first.
    pub certificate: Pem,
    /// Private key (PKCS#8, PKCS#1 or SEC1).
    pub key: Pem,
}

/// Where PEM text comes from.
#[derive(Clone)]
pub enum Pem {
    /// Read when the measurement starts.
    File(PathBuf),
    /// Already here.
    Bytes(Vec<u8>),
}

impl fmt::Debug for Pem {
    /// Shows how many bytes there are, never which: they may be a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pem::File(path) => f.debug_tuple("File").field(path).finish(),
            Pem::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
        }
    }
}

/// A process whose CPU time per call is of interest.
#[derive(Debug, Clone)]
pub struct Watched {
    /// What the report calls it, for instance `gateway`.
    pub label: String,
    /// Its process id.
    pub pid: u32,
}

impl Plan {
    /// A closed loop of 4 connections × 16 streams on one thread, 1 s of warm-up and 10 s measured.
    pub fn new(address: impl Into<String>, method: impl Into<String>, message: Bytes) -> Plan {
        Plan {
            address: address.into(),
            server_name: None,
            tls: None,
            method: method.into(),
            message,
            metadata: Vec::new(),
            timeout: None,
            connections: 4,
            streams: 16,
            threads: 1,
            pace: Pace::Closed,
            spin: false,
            warm_up: Duration::from_secs(1),
            duration: Duration::from_secs(10),
            calls: None,
            drain: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
            watch: Vec::new(),
            keep_sample: false,
        }
    }

    /// Checks the numbers; texts are parsed when the call is prepared.
    pub(crate) fn check(&self) -> Result<(), LoadError> {
        in_range("connections", self.connections, 10_000)?;
        in_range("streams", self.streams, 10_000)?;
        in_range("threads", self.threads, 256)?;
        if self.message.len() > MESSAGE_BYTES_MAX {
            return Err(LoadError::Plan(format!(
                "message has {} bytes, at most {MESSAGE_BYTES_MAX} are sent",
                self.message.len()
            )));
        }
        if self.duration.is_zero() || self.warm_up + self.duration > LENGTH_MAX {
            return Err(LoadError::Plan(
                "duration must be above zero and, with the warm-up, at most 24 h".to_owned(),
            ));
        }
        if self.calls == Some(0) {
            return Err(LoadError::Plan("number of calls must be at least 1".to_owned()));
        }
        match self.pace {
            Pace::Open { calls_per_second: rate } if !(RATE_MIN..=RATE_MAX).contains(&rate) => {
                Err(LoadError::Plan(format!(
                    "rate must be between {RATE_MIN} and {RATE_MAX} calls per second"
                )))
            }
            Pace::Open { .. } | Pace::Closed => Ok(()),
        }
    }

    /// Threads that have a connection to serve.
    pub(crate) fn threads_used(&self) -> usize {
        self.threads.min(self.connections)
    }
}

const MESSAGE_BYTES_MAX: usize = 64 << 20;
const LENGTH_MAX: Duration = Duration::from_secs(24 * 3600);
const RATE_MIN: f64 = 0.001;
const RATE_MAX: f64 = 10_000_000.0;

fn in_range(what: &str, value: usize, max: usize) -> Result<(), LoadError> {
    if (1..=max).contains(&value) {
        return Ok(());
    }
    Err(LoadError::Plan(format!("{what} must be between 1 and {max}, not {value}")))
}
