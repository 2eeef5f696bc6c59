//! Reading a whole ledger folder again: every frame, checksum, hash, header, zero and signature.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use thiserror::Error;

mod closed;
mod cosigned;
mod damage;
mod files;

pub use closed::{Removed, Unread, UnreadSegment};

use closed::Tally;
use damage::{bad_checkpoint, broken_header, check_blank};
use files::{is_live, missing, total_bytes, unreadable};

use crate::closed::ClosedError;
use crate::folder::{self, Listing};
use crate::follow::{Follow, KeyChange, record_keys};
use crate::frame::{Chain, FRAME_HEADER_BYTES, Frame, FrameFault, stored_bytes};
use crate::locate;
use crate::scan::read_all;
use crate::segment::{HEADER_BYTES, HeaderBlock, SegmentHeader, is_segment_length};
use crate::source::{Place, Source};
use crate::zeros;
use tlog::note::Checkpoint;
use tlog::sign::VerifyingKey;
use tlog::tree::{Frontier, Hash};

/// How often the end of a ledger that is being written is read again if it shows half a frame.
const LIVE_READS_MAX: usize = 100;
const LIVE_PAUSE: Duration = Duration::from_millis(10);

/// A ledger that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Its entries.
    pub entries: u64,
    /// Root hash over them.
    pub root_hash: Hash,
    /// How many of the entries the signed checkpoint covers; the rest came later.
    pub checkpoint_size: u64,
    /// Checkpoints that were signed over them in all.
    pub checkpoints: u64,
    /// Size of the last checkpoint that witnesses cosigned, 0 if none is kept. Whether they are the
    /// right witnesses is for those to say who know their keys: see [`crate::cosigned()`].
    pub cosigned_size: u64,
    /// The key that signed the checkpoint.
    pub key: VerifyingKey,
    /// Whether that is the key given, or one that it vouched for, and not only one that the
    /// ledger itself names.
    pub key_given: bool,
    /// Where the ledger went over to another key.
    pub key_changes: Vec<KeyChange>,
    /// Segments in use.
    pub segments: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Whether another process was writing the ledger.
    pub live: bool,
    /// Of the segments, those read from their sealed form.
    pub sealed_segments: u64,
    /// Segments whose entries were removed after their term, as the ledger itself records.
    pub removed: Vec<Removed>,
    /// Files in the folder that do not belong to a ledger.
    pub unknown_files: Vec<PathBuf>,
}

/// Why a ledger is not whole, or could not be read.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// A file could not be read.
    #[error("cannot read `{}`", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder holds no ledger.
    #[error("`{}` holds no ledger", .0.display())]
    NoLedger(PathBuf),
    /// A file is not what was written.
    #[error("`{}` is damaged at byte {offset}: {what}", file.display())]
    Damaged {
        /// Which.
        file: PathBuf,
        /// The first bad byte, from the start of the file.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// The last write was cut by a crash. Nobody was told that it had happened.
    #[error(
        "`{}` ends in a write that was cut by a crash, at byte {offset}: \
         start the gateway to recover it",
        file.display()
    )]
    Torn {
        /// Which file.
        file: PathBuf,
        /// Where the write starts.
        offset: u64,
    },
    /// A file is missing.
    #[error("`{}` is missing", .0.display())]
    Missing(PathBuf),
    /// The checkpoint vouches for more entries than there are.
    #[error("checkpoint vouches for {vouched} entries, the segments hold {found}")]
    LostEntries {
        /// Size in the checkpoint.
        vouched: u64,
        /// Entries found.
        found: u64,
    },
    /// The entries are not those that the checkpoint vouches for.
    #[error("the first {0} entries do not give the root hash in the checkpoint")]
    RootMismatch(u64),
    /// The checkpoint is not signed with the key given.
    #[error("checkpoint is not signed with the key `{given}`")]
    WrongKey {
        /// The key given.
        given: VerifyingKey,
    },
    /// The key given signed once, and another follows that it did not vouch for.
    #[error(
        "the key changed after {} entries from `{}` to `{}` without the old key's word",
        .0.size, .0.from, .0.to
    )]
    KeyChanged(Box<KeyChange>),
    /// Some segments could not be read; what there is of them fits the rest.
    #[error(transparent)]
    Unread(Box<Unread>),
    /// The caller's check of an entry failed.
    #[error("entry {index} in `{}` at byte {offset}: {what}", file.display())]
    Entry {
        /// Its index.
        index: u64,
        /// Its segment.
        file: PathBuf,
        /// Where it starts.
        offset: u64,
        /// What the caller found.
        what: String,
    },
}

/// Called with each entry's index and bytes, in order.
type OnEntry<'a> = dyn FnMut(u64, &[u8]) -> Result<(), String> + 'a;
/// Called with the bytes done and the bytes in all.
type Progress<'a> = dyn FnMut(u64, u64) + 'a;

/// Reads everything in a ledger folder again and says what is wrong first, down to the byte.
///
/// Without a key the ledger is held against the keys that its own segments name, which shows
/// damage but not that the whole was exchanged. A ledger that is being written is verified up to
/// where it stands.
///
/// ```no_run
/// # fn main() -> Result<(), audit::VerifyError> {
/// let folder = std::path::Path::new("/var/lib/giaolien/ledger");
/// let verified = audit::verify_folder(folder, None, &mut |_, _| Ok(()), &mut |_, _| {})?;
/// assert!(verified.checkpoint_size <= verified.entries);
/// # Ok(())
/// # }
/// ```
pub fn verify_folder(
    dir: &Path,
    key: Option<&VerifyingKey>,
    on_entry: &mut OnEntry<'_>,
    progress: &mut Progress<'_>,
) -> Result<Verified, VerifyError> {
    verify(&Source::from(dir), key, on_entry, progress)
}

/// As [`verify_folder`], for a ledger with sealed segments, and old ones in an archive.
///
/// Of a segment whose entries were removed after their term, the hashes that stayed are verified,
/// and that the entry which records the removal is in the ledger. Of one that is away or cannot be
/// opened the hashes are verified too, but that is no success: [`VerifyError::Unread`] says what
/// was proved all the same.
pub fn verify(
    source: &Source,
    key: Option<&VerifyingKey>,
    on_entry: &mut OnEntry<'_>,
    progress: &mut Progress<'_>,
) -> Result<Verified, VerifyError> {
    let dir = source.folder.as_path();
    let listing = folder::list(dir).map_err(unreadable(dir))?;
    if listing.numbers().is_empty() {
        return Err(VerifyError::NoLedger(dir.to_owned()));
    }
    let (live, mut keys) = (is_live(dir), Vec::from_iter(key.cloned()));
    let changes = record_keys(source, &listing, &mut keys)?;
    // Read before the segments: what it vouches for is in them.
    let note_path = dir.join(folder::CHECKPOINT);
    let note = fs::read(&note_path).map_err(missing(&note_path))?;
    let vouched = locate::checkpoint(&note, &keys).map(|(checkpoint, _)| checkpoint);
    // Read after the newest checkpoint, which is in it.
    let history = Follow::open(dir, &keys, key, changes, live)?;
    let mut pass = Pass {
        source,
        keys: &keys,
        live,
        vouched,
        vouched_root: None,
        history,
        chain: Chain { segment: 0, prev_crc: 0, frontier: Frontier::new() },
        segments: 0,
        blank: None,
        end: None,
        bytes_done: 0,
        bytes_total: total_bytes(source, &listing)?,
        tally: Tally::default(),
        on_entry,
        progress,
    };
    pass.note_root();
    pass.segments(&listing)?;
    let found = pass.chain.frontier.size();
    let Some((checkpoint, signed_by)) = locate::checkpoint(&note, &keys) else {
        return Err(bad_checkpoint(note_path, &note, &keys));
    };
    if checkpoint.size > found {
        return Err(VerifyError::LostEntries { vouched: checkpoint.size, found });
    }
    if pass.vouched_root != Some(checkpoint.root_hash) {
        return Err(VerifyError::RootMismatch(checkpoint.size));
    }
    pass.history.finish(checkpoint.size, found)?;
    key.map_or(Ok(()), |given| pass.history.check_key(given, &signed_by))?;
    let cosigned_size = cosigned::verify(dir, &keys, live)?;
    let newest = if live { newest_size(&note_path, &keys)? } else { checkpoint.size };
    let tally = pass.tally.end(found, newest.max(checkpoint.size))?;
    tally.outcome(Verified {
        entries: found,
        root_hash: pass.chain.frontier.root(),
        checkpoint_size: checkpoint.size,
        cosigned_size,
        key: signed_by,
        key_given: key.is_some(),
        checkpoints: pass.history.count,
        key_changes: pass.history.changes,
        segments: pass.segments,
        bytes: pass.bytes_done,
        live,
        sealed_segments: 0,
        removed: Vec::new(),
        unknown_files: listing.unknown,
    })
}

/// What the newest checkpoint covers by now: segments that were sealed while the ledger was read may
/// be under a checkpoint that was signed meanwhile.
fn newest_size(path: &Path, keys: &[VerifyingKey]) -> Result<u64, VerifyError> {
    let note = fs::read(path).map_err(missing(path))?;
    Ok(locate::checkpoint(&note, keys).map_or(0, |(checkpoint, _)| checkpoint.size))
}

/// The header of a segment in use; of one that is damaged more is said when it is its turn.
pub(crate) fn readable_header(
    source: &Source,
    number: u64,
) -> Result<Option<SegmentHeader>, VerifyError> {
    match source.segment_header(number) {
        Err(ClosedError::Damaged { .. }) => Ok(None),
        found => Ok(found?),
    }
}

/// One reading of all segments.
struct Pass<'a> {
    source: &'a Source,
    keys: &'a [VerifyingKey],
    live: bool,
    /// What the checkpoint says, if its signature holds.
    vouched: Option<Checkpoint>,
    /// Root hash at the checkpoint's size, once that is reached.
    vouched_root: Option<Hash>,
    /// All checkpoints.
    history: Follow,
    chain: Chain,
    segments: u64,
    /// The first segment that is not in use.
    blank: Option<PathBuf>,
    /// The last segment in use, and where its frames end.
    end: Option<(PathBuf, usize)>,
    bytes_done: u64,
    bytes_total: u64,
    tally: Tally,
    on_entry: &'a mut OnEntry<'a>,
    progress: &'a mut Progress<'a>,
}

impl Pass<'_> {
    fn note_root(&mut self) {
        let frontier = &self.chain.frontier;
        if self.vouched.as_ref().is_some_and(|vouched| vouched.size == frontier.size()) {
            self.vouched_root = Some(frontier.root());
        }
        self.history.at(frontier);
    }

    fn segments(&mut self, listing: &Listing) -> Result<(), VerifyError> {
        let numbers = listing.numbers();
        for (&number, expected) in numbers.iter().zip(0..) {
            if number != expected {
                let path = folder::segment_path(&self.source.folder, expected);
                return Err(VerifyError::Missing(path));
            }
            // Asked before the segment is read: of a ledger that is being written, what is last
            // now may be full, and the next begun, a moment later.
            let next = numbers.binary_search(&(number + 1));
            let is_last = next.is_err() || readable_header(self.source, number + 1)?.is_none();
            self.segment(number, is_last)?;
            if self.live && is_last {
                break;
            }
        }
        Ok(())
    }

    fn segment(&mut self, number: u64, is_last: bool) -> Result<(), VerifyError> {
        let path = match self.source.place(number)? {
            Some(Place::Raw(path)) => path,
            Some(closed) => return self.closed(number, closed),
            None => {
                let path = folder::segment_path(&self.source.folder, number);
                return Err(VerifyError::Missing(path));
            }
        };
        let file = match File::open(&path) {
            Ok(file) => file,
            // Sealed meanwhile, which happens once to a segment.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.live => {
                return self.segment(number, is_last);
            }
            Err(source) => return Err(VerifyError::Unreadable { path, source }),
        };
        let length = file.metadata().map_err(unreadable(&path))?.len();
        if !is_segment_length(length) {
            let what = "length is not that of a segment".to_owned();
            return Err(VerifyError::Damaged { file: path, offset: length, what });
        }
        let mut bytes = read_all(&file, length).map_err(unreadable(&path))?;
        let done_before = self.bytes_done;
        match HeaderBlock::read(&bytes) {
            HeaderBlock::Whole { header, crc } => {
                self.header(&path, &header, number, length)?;
                self.chain.segment = number;
                self.chain.prev_crc = crc;
                self.segments += 1;
                let end = self.frames(&path, &file, &mut bytes, is_last)?;
                self.end = Some((path, end));
            }
            HeaderBlock::Zero => {
                check_blank(&path, &bytes, number)?;
                self.blank.get_or_insert(path);
            }
            HeaderBlock::Broken { computed, stored } => {
                return Err(broken_header(path, &mut bytes, computed, stored));
            }
            HeaderBlock::Foreign { offset, what } => {
                return Err(VerifyError::Damaged { file: path, offset: offset as u64, what });
            }
        }
        self.bytes_done = done_before + length;
        (self.progress)(self.bytes_done, self.bytes_total);
        Ok(())
    }

    /// A header must continue what the segments before gave.
    fn header(
        &mut self,
        path: &Path,
        header: &SegmentHeader,
        number: u64,
        length: u64,
    ) -> Result<(), VerifyError> {
        let damaged = |file: &Path, offset, what: String| {
            Err(VerifyError::Damaged { file: file.to_owned(), offset, what })
        };
        // Asked first: a segment of another place says nothing about what is missing here.
        if header.number != number {
            return damaged(path, 16, "segment number does not match the file's name".into());
        }
        if let Some(blank) = &self.blank {
            return damaged(blank, 0, "header is blank, segments in use follow".into());
        }
        let (begins, size) = (header.frontier.size(), self.chain.frontier.size());
        if let Some((last, end)) = &self.end
            && begins > size
        {
            let what = match begins - size {
                1 => format!("entry {size} is missing"),
                _ => format!("entries {size} to {} are missing", begins - 1),
            };
            return damaged(last, *end as u64, what);
        }
        let wrong = [
            (header.segment_bytes != length, 24, "length does not match the file's"),
            (begins != size, 32, "first index does not follow the segment before"),
            (header.frontier != self.chain.frontier, 352, "frontier is not that of the entries"),
            (header.prev_crc != self.chain.prev_crc, 12, "segment does not follow the one before"),
        ];
        match wrong.into_iter().find(|(is_wrong, ..)| *is_wrong) {
            Some((_, offset, what)) => damaged(path, offset, what.to_owned()),
            None => Ok(()),
        }
    }

    /// Reads frames up to the end, and the zeros after it. Returns where the frames end.
    fn frames(
        &mut self,
        path: &Path,
        file: &File,
        bytes: &mut Vec<u8>,
        is_last: bool,
    ) -> Result<usize, VerifyError> {
        let mut offset = HEADER_BYTES;
        let mut reads = 0;
        loop {
            let fault = match self.chain.read(bytes, offset) {
                Ok(frame) => {
                    self.entries(path, &frame, offset)?;
                    offset += frame.header.frame_bytes();
                    continue;
                }
                Err(fault) => fault,
            };
            let rest = bytes.get(offset..).unwrap_or_default();
            if fault == FrameFault::Zero && zeros::is_zero(rest) {
                return Ok(offset);
            }
            if self.live && is_last && reads < LIVE_READS_MAX {
                // Most likely a write under way; the checks above begin where it does.
                reads += 1;
                thread::sleep(LIVE_PAUSE);
                *bytes = read_all(file, bytes.len() as u64).map_err(unreadable(path))?;
                continue;
            }
            return Err(self.no_frame(path, bytes, offset, fault, is_last));
        }
    }

    fn entries(
        &mut self,
        path: &Path,
        frame: &Frame<'_>,
        offset: usize,
    ) -> Result<(), VerifyError> {
        self.note_root();
        let mut at = (offset + FRAME_HEADER_BYTES) as u64;
        for (index, entry) in (frame.header.first_index..).zip(frame.entries()) {
            self.tally.entry(index, entry)?;
            (self.on_entry)(index, entry).map_err(|what| VerifyError::Entry {
                index,
                file: path.to_owned(),
                offset: at,
                what,
            })?;
            at += stored_bytes(entry) as u64;
        }
        (self.progress)(self.bytes_done + at, self.bytes_total);
        Ok(())
    }
}
