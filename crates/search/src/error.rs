//! Why a search has no answer.

use std::io;
use std::path::PathBuf;

use audit::ReadError;
use thiserror::Error;

/// Why a search has no answer, or an index could not be filled.
#[derive(Debug, Error)]
pub enum SearchError {
    /// The ledger could not be read.
    #[error("read the ledger")]
    Ledger(#[from] ReadError),
    /// The ledger ends before entries that are durable.
    #[error("entry {0} is durable but not in the ledger's folder, verify it")]
    Missing(u64),
    /// The index could not be read or written.
    #[error("use the index")]
    Database(#[source] rusqlite::Error),
    /// The index is not what was written; it has to be made anew.
    #[error("the index is damaged: {0}")]
    Damaged(String),
    /// The index's folder could not be used.
    #[error("use the index's folder `{}`", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process fills the index.
    #[error("another process fills the index in `{}`", .0.display())]
    Locked(PathBuf),
}

impl From<rusqlite::Error> for SearchError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};

        match error.sqlite_error_code() {
            Some(DatabaseCorrupt | NotADatabase) => Self::Damaged(error.to_string()),
            _ => Self::Database(error),
        }
    }
}
