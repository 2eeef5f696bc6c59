//! Opening a ledger after whatever happened: finds the durable end, clears a torn tail, refuses
//! when acknowledged entries are missing or changed.
//!
//! Nothing in the folder is changed before every check has passed.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::checkpoint;
use crate::disk::{Disk, Step};
use crate::folder::{self, Listing};
use crate::frame::{Chain, Frame, FrameFault, SECTOR_BYTES};
use crate::log::Options;
use crate::note::{Checkpoint, Note, NoteError};
use crate::prepare;
use crate::queue::{Head, Prepared};
use crate::segment::{
    HEADER_BYTES, HeaderBlock, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, SegmentHeader,
    is_segment_length,
};
use crate::sign::Origin;
use crate::tree::Frontier;
use crate::writer::{Current, begin_segment};

/// Why a ledger could not be opened for writing.
#[derive(Debug, Error)]
pub enum OpenError {
    /// A file or folder could not be used.
    #[error("{action} `{}`: {source}", path.display())]
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
    /// There are entries and no checkpoint.
    #[error("file `checkpoint` is missing, put it back from a copy")]
    CheckpointMissing,
    /// The checkpoint is not valid.
    #[error("file `checkpoint` is not valid: {0}; put it back from a copy")]
    Checkpoint(#[from] NoteError),
}

impl OpenError {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
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
    /// Size that the checkpoint file covers.
    pub(crate) covered: u64,
    pub(crate) discarded_bytes: u64,
}

/// A segment in use.
struct Used {
    path: PathBuf,
    file: File,
    header: SegmentHeader,
    crc: u32,
}

/// A segment that no frame was written to; its header may be torn.
struct Blank {
    prepared: Prepared,
    torn: bool,
}

/// The end of what is durable in the last segment.
struct End {
    /// Where the next frame goes.
    offset: u64,
    /// Where the last frame, or the header block, starts.
    last: u64,
    /// Bytes of a torn write after it.
    torn_bytes: u64,
}

/// Finds and restores the durable end of the ledger in the options' folder.
pub(crate) fn recover(options: &Options, disk: &dyn Disk) -> Result<Recovery, OpenError> {
    let folder = &options.directory;
    let listing = folder::list(folder).map_err(|e| OpenError::io("list", folder, e))?;
    check_dense(folder, &listing)?;
    let (used, blank) = open_segments(folder, &listing, &options.origin)?;
    let checkpoint = read_checkpoint(folder)?;
    let vouched = match &checkpoint {
        Some(note) => Some(check_checkpoint(note, options, &used)?),
        None => None,
    };
    let (chain, end) = scan(&used, vouched.as_ref())?;

    // All checks have passed: from here on the folder is changed. If we stop in between, the
    // next start finds the same durable end and does the rest.
    for path in &listing.temporary {
        fs::remove_file(path).map_err(|e| OpenError::io("remove", path, e))?;
    }
    let mut prepared = VecDeque::new();
    for blank in blank {
        clear_torn_header(disk, &blank)?;
        prepared.push_back(blank.prepared);
    }
    let next_segment = listing.segments.last().map_or(0, |last| last + 1);
    let discarded_bytes = end.as_ref().map_or(0, |end| end.torn_bytes);
    let mut recovery = match (used.into_iter().last(), end) {
        (Some(last), Some(end)) => {
            settle_end(disk, &last, &end)?;
            let bytes = last.header.segment_bytes;
            let current = Current { file: last.file, bytes, offset: end.offset };
            let same_key = last.header.key == options.signer.verifying_key();
            let mut recovery = Recovery {
                current,
                path: last.path,
                chain,
                prepared,
                next_segment,
                covered: 0,
                discarded_bytes,
            };
            if !same_key {
                recovery.begin_segment(options, disk)?;
            }
            recovery
        }
        _ => Recovery::fresh(options, disk, prepared, next_segment)?,
    };
    recovery.covered = match vouched {
        Some(checkpoint) => checkpoint.size,
        None => recovery.first_checkpoint(options, disk)?,
    };
    Ok(recovery)
}

impl Recovery {
    /// A ledger without entries.
    fn fresh(
        options: &Options,
        disk: &dyn Disk,
        mut prepared: VecDeque<Prepared>,
        mut next_segment: u64,
    ) -> Result<Self, OpenError> {
        let first = next_prepared(options, disk, &mut prepared, &mut next_segment)?;
        let mut chain = Chain { segment: 0, prev_crc: 0, frontier: Frontier::new() };
        let path = first.path.clone();
        let (current, _) = begin_segment(disk, first, &mut chain, &options.signer, &*options.clock)
            .map_err(|e| OpenError::io("write", &path, e))?;
        let (covered, discarded_bytes) = (0, 0);
        Ok(Self { current, path, chain, prepared, next_segment, covered, discarded_bytes })
    }

    /// Goes on in a new segment, so that the new key is on record before it signs.
    fn begin_segment(&mut self, options: &Options, disk: &dyn Disk) -> Result<(), OpenError> {
        let next = next_prepared(options, disk, &mut self.prepared, &mut self.next_segment)?;
        self.path = next.path.clone();
        let begun = begin_segment(disk, next, &mut self.chain, &options.signer, &*options.clock);
        (self.current, _) = begun.map_err(|e| OpenError::io("write", &self.path, e))?;
        Ok(())
    }

    /// INVARIANT: there is a checkpoint before the first entry, so a missing one shows.
    fn first_checkpoint(&self, options: &Options, disk: &dyn Disk) -> Result<u64, OpenError> {
        let head = Head { size: 0, root_hash: Frontier::new().root() };
        checkpoint::write(disk, &options.directory, &options.signer, head)
            .map_err(|e| OpenError::io("write checkpoint in", &options.directory, e))?;
        Ok(0)
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

/// Segments are numbered without gaps, from 0.
fn check_dense(folder: &Path, listing: &Listing) -> Result<(), OpenError> {
    match listing.segments.iter().zip(0..).find(|(found, number)| *found != number) {
        Some((_, missing)) => Err(OpenError::MissingSegment(folder::segment_path(folder, missing))),
        None => Ok(()),
    }
}

/// Opens all segments and tells those in use from those that are blank.
fn open_segments(
    folder: &Path,
    listing: &Listing,
    origin: &Origin,
) -> Result<(Vec<Used>, Vec<Blank>), OpenError> {
    let (mut used, mut blank) = (Vec::new(), Vec::new());
    for &number in &listing.segments {
        let path = folder::segment_path(folder, number);
        let damaged = |offset: usize, what: &str| OpenError::Damaged {
            file: path.clone(),
            offset: offset as u64,
            what: what.to_owned(),
        };
        let unusable = |e| OpenError::io("open", &path, e);
        let file = File::options().read(true).write(true).open(&path).map_err(unusable)?;
        let bytes = file.metadata().map_err(unusable)?.len();
        if !is_segment_length(bytes) {
            return Err(damaged(bytes as usize, "length is not that of a segment"));
        }
        let mut start = vec![0; HEADER_BYTES + SECTOR_BYTES];
        file.read_exact_at(&mut start, 0).map_err(unusable)?;
        let no_frame = start.iter().skip(HEADER_BYTES).all(|byte| *byte == 0);
        let torn = match HeaderBlock::read(&start) {
            HeaderBlock::Whole { header, .. } if !blank.is_empty() => {
                return Err(damaged(0, &format!("segment {} follows a blank one", header.number)));
            }
            HeaderBlock::Whole { header, crc } => {
                if header.number != number {
                    return Err(damaged(16, "segment number does not match the file's name"));
                }
                if header.segment_bytes != bytes {
                    return Err(damaged(24, "length of the segment does not match the file's"));
                }
                if header.key.origin() != origin {
                    let (found, expected) = (header.key.origin().clone(), origin.clone());
                    return Err(OpenError::OtherLedger { found, expected });
                }
                used.push(Used { path, file, header: *header, crc });
                continue;
            }
            HeaderBlock::Foreign { offset, what } => return Err(damaged(offset, &what)),
            // A header is synced before any frame is written, so with a frame it was whole once.
            _ if !no_frame => return Err(damaged(0, "header is damaged, entries follow it")),
            HeaderBlock::Zero => false,
            HeaderBlock::Broken { .. } => true,
        };
        blank.push(Blank { prepared: Prepared { number, path, file, bytes }, torn });
    }
    Ok((used, blank))
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
    options: &Options,
    used: &[Used],
) -> Result<Checkpoint, OpenError> {
    let own = options.signer.verifying_key();
    let mut recorded = used.iter().rev().map(|segment| &segment.header.key);
    if recorded.all(|key| note.verify(key).is_err()) {
        note.verify(&own)?;
    }
    let checkpoint: Checkpoint = note.text().parse()?;
    match checkpoint.origin == options.origin {
        true => Ok(checkpoint),
        false => {
            let expected = options.origin.clone();
            Err(OpenError::OtherLedger { found: checkpoint.origin, expected })
        }
    }
}

/// Reads from the segment that the checkpoint ends in to the last, and compares with it.
fn scan(used: &[Used], vouched: Option<&Checkpoint>) -> Result<(Chain, Option<End>), OpenError> {
    let size = vouched.map_or(0, |checkpoint| checkpoint.size);
    let start = used.iter().rposition(|segment| segment.header.frontier.size() <= size);
    let mut chain = Chain { segment: 0, prev_crc: 0, frontier: Frontier::new() };
    let mut end = None;
    let mut root = None;
    let mut note_root = |frontier: &Frontier| {
        if frontier.size() == size {
            root = Some(frontier.root());
        }
    };
    note_root(&chain.frontier);
    let mut rest = used.iter().skip(start.unwrap_or(0)).peekable();
    while let Some(segment) = rest.next() {
        chain = Chain {
            segment: segment.header.number,
            prev_crc: segment.crc,
            frontier: segment.header.frontier.clone(),
        };
        note_root(&chain.frontier);
        let is_last = rest.peek().is_none();
        let found = scan_segment(segment, &mut chain, is_last, &mut note_root)?;
        if let Some(next) = rest.peek()
            && (next.header.frontier != chain.frontier || next.header.prev_crc != chain.prev_crc)
        {
            return Err(OpenError::Damaged {
                file: segment.path.clone(),
                offset: found.offset,
                what: format!("`{}` does not go on from here", next.path.display()),
            });
        }
        end = Some(found);
    }
    let found = chain.frontier.size();
    match vouched {
        None if found > 0 => Err(OpenError::CheckpointMissing),
        None => Ok((chain, end)),
        Some(_) if found < size => Err(OpenError::LostEntries { vouched: size, found }),
        Some(checkpoint) if root == Some(checkpoint.root_hash) => Ok((chain, end)),
        Some(_) => Err(OpenError::RootMismatch(size)),
    }
}

/// Follows the chain of frames to the end of a segment.
fn scan_segment(
    segment: &Used,
    chain: &mut Chain,
    is_last: bool,
    after_frame: &mut impl FnMut(&Frontier),
) -> Result<End, OpenError> {
    let bytes = read_all(&segment.file, segment.header.segment_bytes)
        .map_err(|e| OpenError::io("read", &segment.path, e))?;
    let damaged = |offset: usize, what: String| OpenError::Damaged {
        file: segment.path.clone(),
        offset: offset as u64,
        what,
    };
    let (mut offset, mut last) = (HEADER_BYTES, 0);
    let fault = loop {
        match chain.read(&bytes, offset) {
            Ok(frame) => {
                last = offset;
                offset += frame.header.frame_bytes();
                after_frame(&chain.frontier);
            }
            Err(fault) => break fault,
        }
    };
    if let FrameFault::Content { offset, what } = fault {
        return Err(damaged(offset, what.to_owned()));
    }
    let rest = bytes.get(offset..).unwrap_or_default();
    let torn_bytes = rest.iter().rposition(|byte| *byte != 0).map_or(0, |place| place + 1);
    if torn_bytes > 0 && !is_last {
        return Err(damaged(offset, "no whole frame, and later segments follow".into()));
    }
    if torn_bytes > 0
        && let Some(later) = later_frame(&bytes, offset, &fault, chain.place())
    {
        // A frame is written only after the one before was synced: this was whole once.
        return Err(damaged(offset, format!("frame is damaged, a whole one follows at {later}")));
    }
    Ok(End { offset: offset as u64, last: last as u64, torn_bytes: torn_bytes as u64 })
}

/// The offset of a whole frame after a broken one, if there is one: a frame of this segment, from
/// the next entry on or later.
pub(crate) fn later_frame(
    segment: &[u8],
    offset: usize,
    fault: &FrameFault,
    (number, next_index): (u64, u64),
) -> Option<usize> {
    let broken_bytes = match fault {
        // Entries are not to be taken for frames.
        FrameFault::Body { header, .. } => header.frame_bytes(),
        _ => SECTOR_BYTES,
    };
    (offset.saturating_add(broken_bytes)..segment.len()).step_by(SECTOR_BYTES).find(|&later| {
        Frame::read(segment, later).is_ok_and(|frame| {
            frame.header.segment == number
                && frame.header.offset as usize == later
                && frame.header.first_index >= next_index
        })
    })
}

/// Reads a segment whose length was checked.
pub(crate) fn read_all(file: &File, bytes: u64) -> io::Result<Vec<u8>> {
    let mut all = vec![0; usize::try_from(bytes).map_err(io::Error::other)?];
    file.read_exact_at(&mut all, 0)?;
    Ok(all)
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
