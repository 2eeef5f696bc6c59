//! Opening a ledger after whatever happened: finds the durable end, clears a torn tail, refuses
//! when acknowledged entries are missing or changed.
//!
//! Nothing in the folder is changed before every check has passed.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::checkpoint;
use crate::closed::ClosedError;
use crate::disk::{Disk, Step};
use crate::folder;
use crate::frame::Chain;
use crate::history::{self, History, Tail};
use crate::log::Options;
use crate::prepare;
use crate::queue::Prepared;
use crate::scan::{Blank, End, Used, check_dense, open_segments, scan};
use crate::segment::{HEADER_BYTES, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN};
use crate::writer::{Current, begin_segment};
use tlog::Head;
use tlog::note::{Checkpoint, Note, NoteError};
use tlog::sign::{Origin, Signer};
use tlog::tree::Frontier;

/// Why a ledger could not be opened for writing.
#[derive(Debug, Error)]
pub enum OpenError {
    /// A file or folder could not be used.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Another process writes this ledger.
    #[error("ledger `{}` is being written by another process", .0.display())]
    Locked(PathBuf),
    /// The length of segments is not allowed.
    #[error(
        "segments of {0} bytes are not possible, \
         choose a multiple of 4096 from {SEGMENT_BYTES_MIN} to {SEGMENT_BYTES_MAX}"
    )]
    SegmentBytes(u64),
    /// The signing key has another name than the ledger.
    #[error("signing key is named `{signer}`, the ledger `{origin}`")]
    SignerOrigin {
        /// Name of the key.
        signer: Origin,
        /// Name of the ledger.
        origin: Origin,
    },
    /// The folder holds another ledger.
    #[error("folder holds the ledger `{found}`, not `{expected}`")]
    OtherLedger {
        /// Name in the segments.
        found: Origin,
        /// Name asked for.
        expected: Origin,
    },
    /// A segment between others is missing.
    #[error("segment `{}` is missing, put it back from a copy", .0.display())]
    MissingSegment(PathBuf),
    /// A file is not what was written.
    #[error(
        "`{}` is damaged at byte {offset}: {what}; \
         verify the folder, then put the file back from a copy",
        file.display()
    )]
    Damaged {
        /// Which file.
        file: PathBuf,
        /// Where, in bytes from its start.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// The checkpoint vouches for more entries than there are.
    #[error(
        "checkpoint vouches for {vouched} entries, the segments hold {found}: \
         acknowledged entries are missing, put the segments back from a copy"
    )]
    LostEntries {
        /// Size in the checkpoint.
        vouched: u64,
        /// Entries found.
        found: u64,
    },
    /// The entries are not those that the checkpoint vouches for.
    #[error(
        "the first {0} entries do not give the root hash that the checkpoint vouches for: \
         acknowledged entries were changed, put the segments back from a copy"
    )]
    RootMismatch(u64),
    /// The checkpoint is older than the one that a segment was sealed under.
    #[error(
        "file `checkpoint` vouches for {size} entries only, `{}` was sealed under a later one: \
         put the newest checkpoint back from a copy",
        path.display()
    )]
    OldCheckpoint {
        /// Size in the checkpoint.
        size: u64,
        /// The sealed segment.
        path: PathBuf,
    },
    /// Segments are to be sealed with a key that was not given.
    #[error("there is no key `{0}` to seal segments with, give it among the keys")]
    SealingKey(String),
    /// There are entries and no checkpoint.
    #[error("file `checkpoint` is missing, put it back from a copy")]
    CheckpointMissing,
    /// The checkpoint is not valid.
    #[error("file `checkpoint` is not valid, put it back from a copy")]
    Checkpoint(#[from] NoteError),
}

impl OpenError {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }
}

impl From<ClosedError> for OpenError {
    fn from(error: ClosedError) -> Self {
        match error {
            ClosedError::Io { path, source } => Self::io("read", &path, source),
            ClosedError::Damaged { path: file, offset, what } => {
                Self::Damaged { file, offset, what }
            }
            ClosedError::Shut { path: file, shut } => {
                Self::Damaged { file, offset: 0, what: shut.to_string() }
            }
        }
    }
}

/// What the threads of an opened ledger start from.
#[derive(Debug)]
pub(crate) struct Recovery {
    pub(crate) current: Current,
    pub(crate) path: PathBuf,
    pub(crate) chain: Chain,
    pub(crate) prepared: VecDeque<Prepared>,
    /// Number of the next segment to prepare.
    pub(crate) next_segment: u64,
    pub(crate) history: History,
    /// Size that the checkpoint file covers.
    pub(crate) covered: u64,
    pub(crate) discarded_bytes: u64,
}

/// Finds and restores the durable end of the ledger in the options' folder.
pub(crate) fn recover(options: &Options, disk: &dyn Disk) -> Result<Recovery, OpenError> {
    let folder = &options.directory;
    let listing = folder::list(folder).map_err(|e| OpenError::io("list", folder, e))?;
    check_dense(folder, &listing)?;
    let released = read_checkpoint(folder)?;
    let checkpoint = released.as_ref().map(|note| note.text().parse::<Checkpoint>()).transpose()?;
    let tail = history::read_tail(folder, checkpoint.as_ref())?;
    let (note, vouched) = newest(released.clone().zip(checkpoint.clone()), &tail).unzip();
    let size = vouched.as_ref().map_or(u64::MAX, |vouched| vouched.size);
    let (used, blank) = open_segments(folder, &listing, &options.origin, size)?;
    if let (Some(note), Some(vouched)) = (&note, &vouched) {
        check_checkpoint(note, vouched, options, &used)?;
    }
    if let Some((released, checkpoint)) = released.as_ref().zip(checkpoint.as_ref()) {
        check_checkpoint(released, checkpoint, options, &used)?;
    }
    let (chain, end) = scan(&used, vouched.as_ref())?;

    // All checks have passed: from here on the folder is changed. If we stop in between, the
    // next start finds the same durable end and does the rest.
    let history = History::open(folder, &tail)
        .map_err(|e| OpenError::io("open", &folder.join(folder::CHECKPOINTS), e))?;
    for path in &listing.temporary {
        fs::remove_file(path).map_err(|e| OpenError::io("remove", path, e))?;
    }
    let mut prepared = VecDeque::new();
    for blank in blank {
        clear_torn_header(disk, &blank)?;
        prepared.push_back(blank.prepared);
    }
    let next_segment = listing.numbers().last().map_or(0, |last| last + 1);
    let discarded_bytes = end.as_ref().map_or(0, |end| end.torn_bytes);
    let mut recovery = match (used.into_iter().last(), end) {
        (Some(last), Some(end)) => {
            settle_end(disk, &last, &end)?;
            let bytes = last.header.segment_bytes;
            let current = Current { file: last.file, bytes, offset: end.offset };
            let (path, covered) = (last.path, size);
            let mut recovery = Recovery {
                current,
                path,
                chain,
                prepared,
                next_segment,
                history,
                covered,
                discarded_bytes,
            };
            if last.header.key != options.signer.verifying_key() {
                recovery.begin_segment(options, disk)?;
            }
            recovery
        }
        _ => Recovery::fresh(options, disk, prepared, next_segment, history)?,
    };
    recovery.settle_checkpoint(options, disk, note.as_ref(), released.as_ref(), &tail)?;
    Ok(recovery)
}

/// The newest checkpoint that was signed: the released one, or one that a crash kept from being
/// released.
fn newest(released: Option<(Note, Checkpoint)>, tail: &Tail) -> Option<(Note, Checkpoint)> {
    // Without the released one, and with entries, something was taken away.
    let kept = tail.last.as_ref().filter(|(_, kept)| kept.size == 0 || released.is_some());
    kept.cloned().or(released)
}

impl Recovery {
    /// A ledger without entries.
    fn fresh(
        options: &Options,
        disk: &dyn Disk,
        mut prepared: VecDeque<Prepared>,
        mut next_segment: u64,
        history: History,
    ) -> Result<Self, OpenError> {
        let first = next_prepared(options, disk, &mut prepared, &mut next_segment)?;
        let mut chain = Chain { segment: 0, prev_crc: 0, frontier: Frontier::new() };
        let path = first.path.clone();
        let (current, _) = begin_segment(disk, first, &mut chain, &options.signer, &*options.clock)
            .map_err(|e| OpenError::io("write", &path, e))?;
        let (covered, discarded_bytes) = (0, 0);
        Ok(Self { current, path, chain, prepared, next_segment, history, covered, discarded_bytes })
    }

    /// Goes on in a new segment, so that the new key is on record before it signs.
    fn begin_segment(&mut self, options: &Options, disk: &dyn Disk) -> Result<(), OpenError> {
        let next = next_prepared(options, disk, &mut self.prepared, &mut self.next_segment)?;
        self.path = next.path.clone();
        let begun = begin_segment(disk, next, &mut self.chain, &options.signer, &*options.clock);
        (self.current, _) = begun.map_err(|e| OpenError::io("write", &self.path, e))?;
        Ok(())
    }

    /// Sees to it that the newest checkpoint is signed with this key, kept and released.
    ///
    /// INVARIANT: there is a checkpoint before the first entry, so a missing one shows.
    fn settle_checkpoint(
        &mut self,
        options: &Options,
        disk: &dyn Disk,
        newest: Option<&Note>,
        released: Option<&Note>,
        tail: &Tail,
    ) -> Result<(), OpenError> {
        let folder = &options.directory;
        let signed_by = |signer: &Signer| {
            newest.is_some_and(|note| note.verify(&signer.verifying_key()).is_ok())
        };
        let settled = match newest.filter(|_| signed_by(&options.signer)) {
            Some(note) if tail.last.is_none() => {
                // A ledger from before all checkpoints were kept: the history begins here.
                tracing::warn!(size = self.covered, "`checkpoints.log` begins with this size");
                let root_hash = note.text().parse::<Checkpoint>()?.root_hash;
                let head = Head { size: self.covered, root_hash };
                self.history.append(disk, note, head)
            }
            Some(note) if released != Some(note) => checkpoint::release(disk, folder, note),
            Some(_) => Ok(()),
            None => {
                // The first of a ledger, or of a key: then the key before vouches for it.
                let previous = options.previous.as_deref().filter(|previous| signed_by(previous));
                let signers: Vec<&Signer> =
                    [Some(&*options.signer), previous].into_iter().flatten().collect();
                if newest.is_some() && previous.is_none() {
                    tracing::warn!("the ledger's key changed without the old key's signature");
                }
                let frontier = &self.chain.frontier;
                self.covered = frontier.size();
                let head = Head { size: frontier.size(), root_hash: frontier.root() };
                checkpoint::write(disk, folder, &mut self.history, &signers, head).map(|_| ())
            }
        };
        settled.map_err(|e| OpenError::io("write checkpoint in", folder, e))
    }
}

fn next_prepared(
    options: &Options,
    disk: &dyn Disk,
    prepared: &mut VecDeque<Prepared>,
    next: &mut u64,
) -> Result<Prepared, OpenError> {
    if let Some(first) = prepared.pop_front() {
        return Ok(first);
    }
    let folder = &options.directory;
    let made = prepare::create(disk, folder, *next, options.segment_bytes)
        .map_err(|e| OpenError::io("prepare segment in", folder, e))?;
    *next += 1;
    Ok(made)
}

fn read_checkpoint(folder: &Path) -> Result<Option<Note>, OpenError> {
    let path = folder.join(folder::CHECKPOINT);
    match checkpoint::read(&path) {
        Ok(text) => Ok(Some(text.parse()?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(OpenError::io("read", &path, error)),
    }
}

/// The checkpoint must be signed by this ledger's key, or by one that its segments record.
fn check_checkpoint(
    note: &Note,
    vouched: &Checkpoint,
    options: &Options,
    used: &VecDeque<Used>,
) -> Result<(), OpenError> {
    let mut recorded = used.iter().rev().map(|segment| &segment.header.key);
    if recorded.all(|key| note.verify(key).is_err()) {
        note.verify(&options.signer.verifying_key())?;
    }
    match vouched.origin == options.origin {
        true => Ok(()),
        false => {
            let (found, expected) = (vouched.origin.clone(), options.origin.clone());
            Err(OpenError::OtherLedger { found, expected })
        }
    }
}

fn clear_torn_header(disk: &dyn Disk, blank: &Blank) -> Result<(), OpenError> {
    if !blank.torn {
        return Ok(());
    }
    let Prepared { path, file, .. } = &blank.prepared;
    let cleared = disk
        .write_at(Step::Recover, file, &[0; HEADER_BYTES], 0)
        .and_then(|()| disk.sync(Step::Recover, file));
    cleared.map_err(|e| OpenError::io("clear torn header of", path, e))
}

/// Clears the torn tail, and makes sure that what counts as durable is.
///
/// If the sync of the last frame failed, the machine may hold the frame in memory, marked clean,
/// and not on disk: it is written again, byte by byte the same.
fn settle_end(disk: &dyn Disk, last: &Used, end: &End) -> Result<(), OpenError> {
    let End { offset, last: start, torn_bytes } = *end;
    let confirm = || {
        let mut whole = vec![0; usize::try_from(offset - start).map_err(io::Error::other)?];
        last.file.read_exact_at(&mut whole, start)?;
        disk.write_at(Step::Recover, &last.file, &whole, start)?;
        let torn = usize::try_from(torn_bytes).map_err(io::Error::other)?;
        disk.write_at(Step::Recover, &last.file, &vec![0; torn], offset)?;
        disk.sync(Step::Recover, &last.file)
    };
    if torn_bytes > 0 {
        tracing::warn!(segment = last.header.number, offset, torn_bytes, "torn write cleared");
    }
    confirm().map_err(|e| OpenError::io("clear torn tail of", &last.path, e))
}
