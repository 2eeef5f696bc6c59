//! What keeps a measurement from being made at all. What goes wrong during one is in the report.

use std::io;
use std::path::PathBuf;

/// Why there is no [`Report`](crate::Report).
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The plan asks for something that cannot be done.
    #[error("{0}")]
    Plan(String),
    /// A certificate or key file could not be read.
    #[error("read `{}`", path.display())]
    File {
        /// The file as the plan names it.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A certificate or key is not what it should be.
    #[error("{what}: {reason}")]
    Pem {
        /// Which of the three: authority, certificate or key.
        what: &'static str,
        /// What was wrong with it.
        reason: String,
    },
    /// The TLS library declined the certificate, the key or both together.
    #[error("set up TLS")]
    Tls(#[from] rustls::Error),
    /// Not one connection could be made.
    #[error("no connection to `{address}`: {reason}")]
    Connect {
        /// The address of the plan.
        address: String,
        /// What the first attempt that failed ran into.
        reason: String,
    },
    /// A process to watch could not be read.
    #[error("watch process {pid} (`{label}`)")]
    Process {
        /// The label of the plan.
        label: String,
        /// The process id of the plan.
        pid: u32,
        /// What the operating system said.
        source: io::Error,
    },
    /// A thread or its runtime could not be started.
    #[error("start worker")]
    Worker(#[from] io::Error),
    /// A worker ended in a way that is our own mistake; its counts are lost, so there is no report.
    #[error("a worker ended without its counts")]
    WorkerLost,
}
