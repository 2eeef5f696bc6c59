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
use crate::identity::Identity;
use crate::keep::{Archive, Keep, Keeper, Keeping, Sealing};
use crate::pace::{BUSY_FROM, Pace};
use crate::prepare::Preparer;
use crate::queue::{AppendError, BATCH_BYTES_MAX, Room, Shared, Start, Trouble};
use crate::recover::{self, OpenError, Recovery};
use crate::segment::{HEADER_BYTES, SEGMENT_BYTES_MIN, is_segment_length};
use crate::source::Source;
use crate::ticket::Ticket;
use crate::tiler::Tiler;
use crate::tiles::Tiles;
use crate::writer::Writer;
use tlog::Head;
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
    /// The key before, when `signer` is a new one: it signs the first checkpoint of the new key,
    /// so that who trusts the old key can trust the new one. Not needed later.
    pub previous: Option<Arc<Signer>>,
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
    /// How full segments are sealed; `None` leaves them as they are.
    pub sealing: Option<Sealing>,
    /// Where sealed segments go in time; `None` leaves them in the ledger's folder.
    pub archive: Option<Archive>,
}

impl Options {
    /// Segments of 64 MiB, 65,536 entries pending at most, a checkpoint every second; nothing is
    /// sealed or archived.
    pub fn new(directory: PathBuf, origin: Origin, signer: Arc<Signer>) -> Self {
        Self {
            directory,
            origin,
            signer,
            previous: None,
            clock: Arc::new(SystemClock),
            segment_bytes: SEGMENT_BYTES,
            pending_entries_max: PENDING_ENTRIES_MAX,
            checkpoint_interval: CHECKPOINT_INTERVAL,
            sealing: None,
            archive: None,
        }
    }
}

impl Options {
    /// Where a ledger opened with these options is read from.
    pub fn source(&self) -> Source {
        Source {
            folder: self.directory.clone(),
            archives: self.archive.iter().map(|archive| archive.folder.clone()).collect(),
            keys: self.sealing.as_ref().map(|sealing| sealing.keys.clone()).unwrap_or_default(),
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
    /// How sealing and archiving stand.
    pub keeping: Keeping,
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
    keep: Arc<Keep>,
    site: Site,
    tiles: Tiles,
    running: Mutex<Option<Running>>,
}

/// What removals work on.
pub(crate) struct Site {
    pub(crate) source: Source,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Held for the length of a removal.
    pub(crate) removing: Mutex<()>,
}

/// What ends with the ledger: the threads, then the lock on the folder.
struct Running {
    writer: JoinHandle<()>,
    preparer: JoinHandle<()>,
    checkpointer: JoinHandle<io::Result<()>>,
    keeper: Option<JoinHandle<()>>,
    tiler: JoinHandle<()>,
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
        let site = Site {
            source: options.source(),
            disk: Arc::clone(&disk),
            clock: Arc::clone(&options.clock),
            removing: Mutex::new(()),
        };
        let (origin, keep) = (options.origin.clone(), Arc::new(Keep::new(recovery.chain.segment)));
        let tiles = Tiles::empty(options.source(), true);
        let (shared, running) = start(options, disk, recovery, Arc::clone(&keep), lock, &tiles)
            .map_err(|source| OpenError::io("start", &folder, source))?;
        let running = Mutex::new(Some(running));
        Ok((Self { shared, origin, keep, site, tiles, running }, recovered))
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
        let keeping = self.keep.keeping();
        Status { origin: self.origin.clone(), size, root_hash, trouble, keeping }
    }

    pub(crate) fn site(&self) -> &Site {
        &self.site
    }

    /// The ledger as tiles, for proofs and for those who follow it. They come a moment after the
    /// checkpoints, and can be read after the ledger is closed.
    pub fn tiles(&self) -> Tiles {
        self.tiles.clone()
    }

    /// Waits until all that was appended is durable, writes the last checkpoint, and lets go of
    /// the folder. Later appends are refused.
    pub fn close(&self) -> Result<(), CloseError> {
        self.shared.begin_close();
        self.keep.end();
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
        let _ = self.keeper.map(JoinHandle::join);
        let panicked = |_| Err(io::Error::other("checkpoint thread panicked"));
        let outcome = self.checkpointer.join().unwrap_or_else(panicked);
        shared.backlog.end();
        // Tiles that were not made are made at the next start.
        let _ = self.tiler.join();
        outcome
    }
}

fn check(options: &Options) -> Result<(), OpenError> {
    if !is_segment_length(options.segment_bytes) {
        return Err(OpenError::SegmentBytes(options.segment_bytes));
    }
    if let Some(Sealing { keys, seal_with: Some(id), .. }) = &options.sealing
        && !keys.ids().any(|known| known == id)
    {
        return Err(OpenError::SealingKey(id.clone()));
    }
    let signers = [Some(&options.signer), options.previous.as_ref()];
    match signers.into_iter().flatten().find(|signer| *signer.origin() != options.origin) {
        Some(signer) => Err(OpenError::SignerOrigin {
            signer: signer.origin().clone(),
            origin: options.origin.clone(),
        }),
        None => Ok(()),
    }
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
    keep: Arc<Keep>,
    lock: File,
    tiles: &Tiles,
) -> io::Result<(Arc<Shared>, Running)> {
    let frontier = &recovery.chain.frontier;
    // Segments prepared under other options may be smaller.
    let lengths = recovery.prepared.iter().map(|prepared| prepared.bytes);
    let smallest = lengths.chain([options.segment_bytes]).min().unwrap_or(SEGMENT_BYTES_MIN);
    let room = smallest as usize - HEADER_BYTES - FRAME_HEADER_BYTES - SECTOR_BYTES;
    let head = Head { size: frontier.size(), root_hash: frontier.root() };
    let written = Identity::of(recovery.path, &recovery.current.file)?;
    let shared = Arc::new(Shared::new(Start {
        head,
        written: written.clone(),
        prepared: recovery.prepared,
        pending_entries_max: options.pending_entries_max,
        batch_bytes_max: BATCH_BYTES_MAX.min(room),
        pace: Pace::new(BUSY_FROM),
    }));
    let keeper = keeper(&options, &shared, &disk, &keep);
    let writer = Writer {
        shared: Arc::clone(&shared),
        disk: Arc::clone(&disk),
        clock: options.clock,
        signer: Arc::clone(&options.signer),
        current: recovery.current,
        written,
        chain: recovery.chain,
        keep,
    };
    let preparer = Preparer {
        shared: Arc::clone(&shared),
        disk: Arc::clone(&disk),
        folder: options.directory.clone(),
        segment_bytes: options.segment_bytes,
        next: recovery.next_segment,
    };
    let tiler = Tiler {
        shared: Arc::clone(&shared),
        tiles: tiles.clone(),
        folder: options.directory.clone(),
        head,
    };
    let checkpointer = Checkpointer {
        shared: Arc::clone(&shared),
        disk,
        folder: options.directory,
        signer: options.signer,
        history: recovery.history,
        interval: options.checkpoint_interval,
        covered: recovery.covered,
    };
    let running = Running {
        writer: spawn("ledger-writer", &shared, move || writer.run())?,
        preparer: spawn("ledger-preparer", &shared, move || preparer.run())?,
        checkpointer: spawn("ledger-checkpoint", &shared, move || checkpointer.run())?,
        keeper: keeper.start()?,
        tiler: spawn("ledger-tiles", &shared, move || tiler.run())?,
        _lock: lock,
    };
    Ok((shared, running))
}

/// What seals and archives segments.
fn keeper(
    options: &Options,
    shared: &Arc<Shared>,
    disk: &Arc<dyn Disk>,
    keep: &Arc<Keep>,
) -> Keeper {
    Keeper {
        keep: Arc::clone(keep),
        shared: Arc::clone(shared),
        disk: Arc::clone(disk),
        clock: Arc::clone(&options.clock),
        signer: Arc::clone(&options.signer),
        source: options.source(),
        folder: options.directory.clone(),
        sealing: options.sealing.clone(),
        archive: options.archive.clone(),
    }
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
