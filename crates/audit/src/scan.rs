//! The reading part of recovery: which segments are in use, where their frames end, and whether
//! they are what the checkpoint vouches for.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::closed::Closed;
use crate::folder::{self, Listing};
use crate::frame::{Chain, Frame, FrameFault, SECTOR_BYTES};
use crate::queue::Prepared;
use crate::recover::OpenError;
use crate::segment::{HEADER_BYTES, HeaderBlock, SegmentHeader, is_segment_length};
use crate::source::{Place, Source};
use crate::zeros;
use tlog::note::Checkpoint;
use tlog::sign::Origin;
use tlog::tree::Frontier;

/// A segment in use.
pub(crate) struct Used {
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    pub(crate) header: SegmentHeader,
    pub(crate) crc: u32,
    /// Whether only its header is to be had here: it is sealed, archived or gone.
    pub(crate) closed: bool,
}

/// A segment that no frame was written to; its header may be torn.
pub(crate) struct Blank {
    pub(crate) prepared: Prepared,
    pub(crate) torn: bool,
}

/// The end of what is durable in the last segment.
pub(crate) struct End {
    /// Where the next frame goes.
    pub(crate) offset: u64,
    /// Where the last frame, or the header block, starts.
    pub(crate) last: u64,
    /// Bytes of a torn write after it.
    pub(crate) torn_bytes: u64,
}

/// Segments are numbered without gaps, from 0.
pub(crate) fn check_dense(folder: &Path, listing: &Listing) -> Result<(), OpenError> {
    match listing.numbers().iter().zip(0..).find(|(found, number)| *found != number) {
        Some((_, missing)) => Err(OpenError::MissingSegment(folder::segment_path(folder, missing))),
        None => Ok(()),
    }
}

/// Opens the segments at the end of the ledger: those in use, back to the one that holds what
/// was vouched for last, and those after them that are blank.
pub(crate) fn open_segments(
    folder: &Path,
    listing: &Listing,
    origin: &Origin,
    vouched_size: u64,
) -> Result<(VecDeque<Used>, VecDeque<Blank>), OpenError> {
    let (mut used, mut blank) = (VecDeque::new(), VecDeque::new());
    for &number in listing.numbers().iter().rev() {
        let found = match listing.segments.binary_search(&number) {
            Ok(_) => open_segment(folder, number, origin)?,
            Err(_) => open_closed(folder, number, origin)?,
        };
        match found {
            Found::Blank(found) if used.is_empty() => blank.push_front(found),
            Found::Blank(found) => {
                let what = "header is blank, segments in use follow";
                return Err(damaged(&found.prepared.path, 0, what));
            }
            Found::Used(found) => {
                let begins = found.header.frontier.size();
                used.push_front(found);
                // One that begins right there is not enough: the checkpoint may be signed with
                // the key of the one before.
                if begins < vouched_size {
                    break;
                }
            }
        }
    }
    Ok((used, blank))
}

enum Found {
    Used(Used),
    Blank(Blank),
}

fn open_segment(folder: &Path, number: u64, origin: &Origin) -> Result<Found, OpenError> {
    let path = folder::segment_path(folder, number);
    let unusable = |e| OpenError::io("open", &path, e);
    let file = File::options().read(true).write(true).open(&path).map_err(unusable)?;
    let bytes = file.metadata().map_err(unusable)?.len();
    if !is_segment_length(bytes) {
        return Err(damaged(&path, bytes as usize, "length is not that of a segment"));
    }
    let mut start = vec![0; HEADER_BYTES + SECTOR_BYTES];
    file.read_exact_at(&mut start, 0).map_err(unusable)?;
    let no_frame = zeros::is_zero(start.get(HEADER_BYTES..).unwrap_or_default());
    let torn = match HeaderBlock::read(&start) {
        HeaderBlock::Whole { header, crc } => {
            if header.number != number {
                return Err(damaged(&path, 16, "segment number does not match the file's name"));
            }
            if header.segment_bytes != bytes {
                return Err(damaged(&path, 24, "length does not match the file's"));
            }
            check_origin(&header, origin)?;
            return Ok(Found::Used(Used { path, file, header: *header, crc, closed: false }));
        }
        HeaderBlock::Foreign { offset, what } => return Err(damaged(&path, offset, what)),
        // A header is synced before any frame is written, so with a frame it was whole once.
        _ if !no_frame => return Err(damaged(&path, 0, "header is damaged, entries follow it")),
        HeaderBlock::Zero => false,
        HeaderBlock::Broken { .. } => true,
    };
    Ok(Found::Blank(Blank { prepared: Prepared { number, path, file, bytes }, torn }))
}

fn check_origin(header: &SegmentHeader, origin: &Origin) -> Result<(), OpenError> {
    match header.key.origin() == origin {
        true => Ok(()),
        false => {
            let (found, expected) = (header.key.origin().clone(), origin.clone());
            Err(OpenError::OtherLedger { found, expected })
        }
    }
}

/// Of a closed segment recovery needs the header only: a checkpoint was over it when it was sealed.
fn open_closed(folder: &Path, number: u64, origin: &Origin) -> Result<Found, OpenError> {
    let missing = || OpenError::MissingSegment(folder::segment_path(folder, number));
    let closed = match Source::folder(folder.to_owned()).place(number)? {
        Some(Place::Sealed { closed, .. } | Place::Away(closed) | Place::Gone(closed)) => closed,
        Some(Place::Raw(_)) | None => return Err(missing()),
    };
    let Closed { path, file, segment: header, segment_crc: crc, .. } = *closed;
    check_origin(&header, origin)?;
    Ok(Found::Used(Used { path, file, header, crc, closed: true }))
}

fn damaged(file: &Path, offset: usize, what: impl Into<String>) -> OpenError {
    OpenError::Damaged { file: file.to_owned(), offset: offset as u64, what: what.into() }
}

/// Reads from the segment that the checkpoint ends in to the last, and compares with it.
pub(crate) fn scan(
    used: &VecDeque<Used>,
    vouched: Option<&Checkpoint>,
) -> Result<(Chain, Option<End>), OpenError> {
    let size = vouched.map_or(u64::MAX, |checkpoint| checkpoint.size);
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
        if segment.closed {
            return Err(match vouched {
                Some(_) => OpenError::OldCheckpoint { size, path: segment.path.clone() },
                None => OpenError::CheckpointMissing,
            });
        }
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
            let what = format!("`{}` does not go on from here", next.path.display());
            return Err(damaged(&segment.path, found.offset as usize, what));
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
        return Err(damaged(&segment.path, offset, what));
    }
    let rest = bytes.get(offset..).unwrap_or_default();
    let torn_bytes = zeros::nonzero_bytes(rest);
    if torn_bytes > 0 && !is_last {
        return Err(damaged(&segment.path, offset, "no whole frame, and later segments follow"));
    }
    if torn_bytes > 0
        && let Some(later) = later_frame(&bytes, offset, &fault, chain.place())
    {
        // A frame is written only after the one before was synced: this was whole once.
        let what = format!("frame is damaged, a whole one follows at byte {later}");
        return Err(damaged(&segment.path, offset, what));
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

/// The header block of a segment; one of a file too short to have one is foreign.
pub(crate) fn header_block(path: &Path) -> io::Result<HeaderBlock> {
    let mut block = Vec::with_capacity(HEADER_BYTES);
    File::open(path)?.take(HEADER_BYTES as u64).read_to_end(&mut block)?;
    Ok(HeaderBlock::read(&block))
}
