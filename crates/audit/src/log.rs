//! The ledger's public face: open, append, status, close.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use model::{Clock, SystemClock};
use parking_lot::Mutex;
use thiserror::Error;

use crate::checkpoint::Checkpointer;
use crate::disk::{self, Disk, RealDisk};
use crate::folder;
use crate::frame::{FRAME_HEADER_BYTES, SECTOR_BYTES};
use crate::prepare::Preparer;
use crate::queue::{AppendError, BATCH_BYTES_MAX, Head, Identity, Room, Shared, Start, Trouble};
use crate::recover::{self, OpenError, Recovery};
use crate::segment::{HEADER_BYTES, SEGMENT_BYTES_MIN, is_segment_length};
use crate::ticket::Ticket;
use crate::writer::Writer;
use tlog::sign::{Origin, Signer};
use tlog::tree::Hash;

const SEGMENT_BYTES: u64 = 64 << 20;
const PENDING_ENTRIES_MAX: usize = 65_536;
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);

/// How to open a ledger.
#[derive(Clone)]
pub struct Options {
    /// The ledger's folder, made if absent.
    pub directory: PathBuf,
    /// The ledger's name, on every checkpoint and receipt.
    pub origin: Origin,
    /// Signs checkpoints and receipts, under the same name.
    pub signer: Arc<Signer>,
    /// Where times in frames and receipts come from.
    pub clock: Arc<dyn Clock>,
    /// Length of new segment files. Two are kept ready beside the one in use, so a new ledger
    /// takes three times this. A multiple of 4 KiB between [`SEGMENT_BYTES_MIN`] and
    /// [`crate::SEGMENT_BYTES_MAX`].
    pub segment_bytes: u64,
    /// Entries appended and not yet durable, at most; more are refused.
    pub pending_entries_max: usize,
    /// Longest time from an entry to a checkpoint that covers it.
    pub checkpoint_interval: Duration,
}

impl Options {
    /// Segments of 64 MiB, 65,536 entries pending at most, a checkpoint every second.
    pub fn new(directory: PathBuf, origin: Origin, signer: Arc<Signer>) -> Self {
        Self {
            directory,
            origin,
            signer,
            clock: Arc::new(SystemClock),
            segment_bytes: SEGMENT_BYTES,
            pending_entries_max: PENDING_ENTRIES_MAX,
            checkpoint_interval: CHECKPOINT_INTERVAL,
        }
    }
}

/// What was found when a ledger was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Entries in the ledger.
    pub entries: u64,
    /// Bytes of a torn, never acknowledged write that were cleared.
    pub discarded_bytes: u64,
    /// Root hash over the entries.
    pub root_hash: Hash,
}

/// How a ledger stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its name.
    pub origin: Origin,
    /// Durable entries.
    pub size: u64,
    /// Root hash over them.
    pub root_hash: Hash,
    /// Why it refuses entries, if it does.
    pub trouble: Option<Trouble>,
}

/// Why a ledger did not close in good order. What was told durable is durable all the same.
#[derive(Debug, Error)]
pub enum CloseError {
    /// The ledger had failed before.
    #[error("ledger failed: {0}")]
    Failed(Arc<str>),
    /// There was no space for the last checkpoint. The next start writes it.
    #[error("no space for the last checkpoint")]
    NoSpace,
    /// The last checkpoint could not be written.
    #[error("cannot write the last checkpoint")]
    Checkpoint(#[source] io::Error),
}

/// A ledger that is being written. Shared as `Arc<Log>`.
pub struct Log {
    shared: Arc<Shared>,
    origin: Origin,
    running: Mutex<Option<Running>>,
}

/// What ends with the ledger: the threads, then the lock on the folder.
struct Running {
    writer: JoinHandle<()>,
    preparer: JoinHandle<()>,
    checkpointer: JoinHandle<io::Result<()>>,
    _lock: File,
}

impl Log {
    /// Opens the ledger in a folder for writing, after clearing what a crash left torn.
    ///
    /// Refuses when entries that a checkpoint vouches for are missing or changed, and when
    /// another process writes the ledger.
    pub fn open(options: Options) -> Result<(Self, Recovered), OpenError> {
        Self::open_on(options, Arc::new(RealDisk))
    }

    pub(crate) fn open_on(
        options: Options,
        disk: Arc<dyn Disk>,
    ) -> Result<(Self, Recovered), OpenError> {
        check(&options)?;
        let folder = options.directory.clone();
        make_folder(&folder).map_err(|source| OpenError::io("make", &folder, source))?;
        let lock = take_lock(&folder)?;
        let recovery = recover::recover(&options, &*disk)?;
        let recovered = Recovered {
            entries: recovery.chain.frontier.size(),
            discarded_bytes: recovery.discarded_bytes,
            root_hash: recovery.chain.frontier.root(),
        };
        let (shared, running) = start(options.clone(), disk, recovery, lock)
            .map_err(|source| OpenError::io("start", &folder, source))?;
        let log = Self { shared, origin: options.origin, running: Mutex::new(Some(running)) };
        Ok((log, recovered))
    }

    /// Takes an entry, of at most 65,535 bytes, and gives it an index. Cheap; from any thread.
    ///
    /// The entry is not in the ledger until its ticket says so.
    pub fn append(&self, entry: &[u8]) -> Result<Ticket, AppendError> {
        self.shared.append(entry, Room::Usual)
    }

    /// Appends an entry that ends what an earlier one began. It is taken even while so many wait
    /// for the disk that [`append`](Self::append) refuses, up to twice the bounds: as long as
    /// each entry that begins something has one that ends it, no end is refused for want of room.
    ///
    /// Meant for entries that nobody waits for: with nothing else to write, it becomes durable a
    /// few milliseconds later, so that it may share a sync with what comes next.
    pub fn append_end(&self, entry: &[u8]) -> Result<Ticket, AppendError> {
        self.shared.append(entry, Room::Reserve)
    }

    /// How the ledger stands.
    pub fn status(&self) -> Status {
        let (Head { size, root_hash }, trouble) = self.shared.head();
        Status { origin: self.origin.clone(), size, root_hash, trouble }
    }

    /// Waits until all that was appended is durable, writes the last checkpoint, and lets go of
    /// the folder. Later appends are refused.
    pub fn close(&self) -> Result<(), CloseError> {
        self.shared.begin_close();
        let mut running = self.running.lock();
        let checkpoint = match running.take() {
            Some(running) => running.end(&self.shared),
            None => Ok(()),
        };
        if let (_, Some(Trouble::Failed(why))) = self.shared.head() {
            return Err(CloseError::Failed(why));
        }
        checkpoint.map_err(|error| match disk::is_no_space(&error) {
            true => CloseError::NoSpace,
            false => CloseError::Checkpoint(error),
        })
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // Quietly: a failure was logged when it happened, and its callers were told.
        let _ = self.close();
    }
}

impl Running {
    fn end(self, shared: &Shared) -> io::Result<()> {
        // A thread that panicked has poisoned the ledger already.
        let _ = self.writer.join();
        shared.end_writer();
        let _ = self.preparer.join();
        let panicked = |_| Err(io::Error::other("checkpoint thread panicked"));
        self.checkpointer.join().unwrap_or_else(panicked)
    }
}

fn check(options: &Options) -> Result<(), OpenError> {
    if !is_segment_length(options.segment_bytes) {
        return Err(OpenError::SegmentBytes(options.segment_bytes));
    }
    if options.signer.origin() != &options.origin {
        return Err(OpenError::SignerOrigin {
            signer: options.signer.origin().clone(),
            origin: options.origin.clone(),
        });
    }
    Ok(())
}

fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => disk::sync_folder(parent),
        _ => Ok(()),
    }
}

fn take_lock(folder: &Path) -> Result<File, OpenError> {
    let path = folder.join(folder::LOCK);
    let file = File::options().write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(|source| OpenError::io("open", &path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(OpenError::Locked(folder.to_owned())),
        Err(fs::TryLockError::Error(source)) => Err(OpenError::io("lock", &path, source)),
    }
}

/// Starts the threads on what recovery found.
fn start(
    options: Options,
    disk: Arc<dyn Disk>,
    recovery: Recovery,
    lock: File,
) -> io::Result<(Arc<Shared>, Running)> {
    let frontier = &recovery.chain.frontier;
    // Segments prepared under other options may be smaller.
    let lengths = recovery.prepared.iter().map(|prepared| prepared.bytes);
    let smallest = lengths.chain([options.segment_bytes]).min().unwrap_or(SEGMENT_BYTES_MIN);
    let room = smallest as usize - HEADER_BYTES - FRAME_HEADER_BYTES - SECTOR_BYTES;
    let written = Identity::of(recovery.path, &recovery.current.file)?;
    let shared = Arc::new(Shared::new(Start {
        head: Head { size: frontier.size(), root_hash: frontier.root() },
        written: written.clone(),
        prepared: recovery.prepared,
        pending_entries_max: options.pending_entries_max,
        batch_bytes_max: BATCH_BYTES_MAX.min(room),
    }));
    let writer = Writer {
        shared: Arc::clone(&shared),
        disk: Arc::clone(&disk),
        clock: options.clock,
        signer: Arc::clone(&options.signer),
        current: recovery.current,
        written,
        chain: recovery.chain,
    };
    let preparer = Preparer {
        shared: Arc::clone(&shared),
        disk: Arc::clone(&disk),
        folder: options.directory.clone(),
        segment_bytes: options.segment_bytes,
        next: recovery.next_segment,
    };
    let checkpointer = Checkpointer {
        shared: Arc::clone(&shared),
        disk,
        folder: options.directory,
        signer: options.signer,
        interval: options.checkpoint_interval,
        covered: recovery.covered,
    };
    let running = Running {
        writer: spawn("ledger-writer", &shared, move || writer.run())?,
        preparer: spawn("ledger-preparer", &shared, move || preparer.run())?,
        checkpointer: spawn("ledger-checkpoint", &shared, move || checkpointer.run())?,
        _lock: lock,
    };
    Ok((shared, running))
}

fn spawn<T: Send + 'static>(
    name: &'static str,
    shared: &Arc<Shared>,
    run: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let guard = PoisonOnPanic { name, shared: Arc::clone(shared) };
    thread::Builder::new().name(name.into()).spawn(move || {
        let _guard = guard;
        run()
    })
}

/// A ledger with a dead thread must refuse, not hang.
struct PoisonOnPanic {
    name: &'static str,
    shared: Arc<Shared>,
}

impl Drop for PoisonOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            self.shared.prepare_failed(&format!("thread `{}` panicked", self.name));
        }
    }
}
