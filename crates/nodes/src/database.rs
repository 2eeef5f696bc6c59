//! One SQLite file behind a node: a few reading connections and one that writes.
//!
//! Queries run on tokio's blocking threads, not on threads of our own: five idle nodes in one
//! process then hold no threads, and a node ends without a protocol for stopping workers. The
//! semaphores, not the size of the thread pool, bound how many queries run at once.

use std::path::Path;
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use tokio::sync::{Semaphore, watch};
use tonic::Status;
use tracing::error;

use crate::NodeKind;

/// More reading connections than this only wait for each other.
const READERS_MAX: usize = 8;
/// Enough for the statements of any one service.
const STATEMENTS_CACHED: usize = 32;
const MMAP_BYTES: i64 = 256 * 1024 * 1024;

/// Reading or writing a database failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error(transparent)]
    Sql(#[from] rusqlite::Error),
    #[error("stored record is not readable")]
    Record(#[from] prost::DecodeError),
}

/// A database file that cannot serve as asked.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// SQLite refused.
    #[error("open database `{path}`")]
    Sql {
        /// The file.
        path: String,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The file was made for another node.
    #[error("database `{path}` is of kind `{found}`, expected `{expected}`")]
    Kind {
        /// The file.
        path: String,
        /// What the file says about itself.
        found: String,
        /// What was asked for.
        expected: NodeKind,
    },
}

/// An open database. Clones share the connections.
#[derive(Clone)]
pub(crate) struct Database(Arc<Shared>);

struct Shared {
    /// INVARIANT: holds as many connections as `reading` has free permits, or more while one is
    /// on its way back.
    readers: Mutex<Vec<Connection>>,
    reading: Arc<Semaphore>,
    writer: Mutex<Connection>,
    /// One permit: writers queue here and not on blocking threads.
    writing: Arc<Semaphore>,
    /// Counts the transactions committed.
    commits: watch::Sender<u64>,
}

impl Database {
    pub(crate) fn open(kind: NodeKind, path: &Path) -> Result<Self, OpenError> {
        let sql = |source| OpenError::Sql { path: path.display().to_string(), source };
        let writer = open_writer(path).map_err(sql)?;
        let found = meta(&writer, "kind").map_err(sql)?;
        if found != kind.name() {
            let path = path.display().to_string();
            return Err(OpenError::Kind { path, found, expected: kind });
        }
        let cores = thread::available_parallelism().map_or(2, usize::from);
        let count = cores.clamp(2, READERS_MAX);
        let readers = (0..count).map(|_| open_reader(path)).collect::<Result<_, _>>();
        Ok(Self(Arc::new(Shared {
            readers: Mutex::new(readers.map_err(sql)?),
            reading: Arc::new(Semaphore::new(count)),
            writer: Mutex::new(writer),
            writing: Arc::new(Semaphore::new(1)),
            commits: watch::Sender::new(0),
        })))
    }

    /// Runs a query on a reading connection. It sees one state of the database if it is a single
    /// statement or opens a transaction.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Status> {
        let permit = Arc::clone(&self.0.reading).acquire_owned().await.map_err(closed)?;
        let shared = Arc::clone(&self.0);
        run(move || {
            let reader = shared.readers.lock().pop();
            let reader = reader.ok_or(rusqlite::Error::InvalidQuery)?;
            let answer = query(&reader);
            shared.readers.lock().push(reader);
            // Freed only now, so that whoever gets the permit finds the connection.
            drop(permit);
            answer
        })
        .await
    }

    /// Runs a transaction. It is committed if `change` returns `Ok`, and durable when this
    /// returns; a caller that goes away does not stop it.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Status> {
        let permit = Arc::clone(&self.0.writing).acquire_owned().await.map_err(closed)?;
        let shared = Arc::clone(&self.0);
        run(move || {
            let mut writer = shared.writer.lock();
            let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let outcome = change(&transaction)?;
            transaction.commit()?;
            // Here and not with the caller, who may have gone away by now.
            shared.commits.send_modify(|commits| *commits += 1);
            drop(permit);
            Ok(outcome)
        })
        .await
    }

    /// Changes after each commit; what was committed is then to be seen by reads.
    pub(crate) fn commits(&self) -> watch::Receiver<u64> {
        self.0.commits.subscribe()
    }
}

async fn run<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Status> {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => {
            error!(%error, "database query failed");
            Err(Status::internal("the database could not answer"))
        }
        Err(error) => {
            error!(%error, "database query stopped");
            Err(Status::internal("the database could not answer"))
        }
    }
}

fn closed(_: tokio::sync::AcquireError) -> Status {
    Status::unavailable("the node is shutting down")
}

/// A fact that the database keeps about itself.
pub(crate) fn meta(connection: &Connection, name: &str) -> rusqlite::Result<String> {
    connection.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0))
}

fn open_writer(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // A supplier whose change was acknowledged may forget it, so it must survive a power cut.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
    Ok(connection)
}

fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.pragma_update(None, "mmap_size", MMAP_BYTES)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
    Ok(connection)
}
