//! Single entries by their index, and frames one after the other: for indexes and what they find.
//!
//! A frame that is asked for is read whole and its checksum compared. To find it, the headers of
//! the frames before it in its segment are read once; where some of them are is remembered.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{Receipt, Timestamp};
use tlog::sign::{Origin, Signer};
use tlog::tree::{self, Hash};

use crate::folder;
use crate::frame::{FRAME_HEADER_BYTES, Frame, FrameFault, FrameHeader};
use crate::read::ReadError;
use crate::receipt::Commit;
use crate::scan::header_block;
use crate::segment::{HEADER_BYTES, HeaderBlock, SegmentHeader, is_segment_length};

/// Bytes of a segment that are read at once.
const WINDOW_BYTES: usize = 256 << 10;
/// Bytes between frames whose place is remembered, at least.
const PLACES_APART_BYTES: usize = 128 << 10;

/// What one sync made durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Index of its first entry.
    pub first: u64,
    /// When it was written.
    pub time: Timestamp,
    /// Root hash of the tree after its last entry.
    pub root_hash: Hash,
    /// Its entries, in order.
    pub entries: Vec<Vec<u8>>,
}

impl Held {
    /// Index of the entry after its last.
    pub fn next(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// The entry at an index of the ledger, if it lies in this frame.
    pub fn entry(&self, index: u64) -> Option<&[u8]> {
        let place = usize::try_from(index.checked_sub(self.first)?).ok()?;
        self.entries.get(place).map(Vec::as_slice)
    }
}

/// Reads a ledger folder by index; another process or thread may be writing it. What lies beyond
/// the durable end may be there and not be durable, so callers bound what they ask for.
///
/// ```no_run
/// # fn main() -> Result<(), audit::ReadError> {
/// let mut reader = audit::Reader::new(std::path::Path::new("ledger"));
/// if let Some(entry) = reader.entry(1_000)? {
///     assert!(entry.len() <= audit::ENTRY_BYTES_MAX);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Reader {
    folder: PathBuf,
    /// Segments in use, in order, as far as they were met.
    segments: Vec<Segment>,
    window: Option<Window>,
    /// The frame that was read last, and where the one after it begins.
    last: Option<(Held, Place)>,
}

/// A segment in use.
#[derive(Debug)]
struct Segment {
    number: u64,
    origin: Origin,
    /// Index of its first entry.
    first: u64,
    /// Frames by index of their first entry, ascending.
    places: Vec<Place>,
}

/// Where a frame begins.
#[derive(Clone, Copy, Debug)]
struct Place {
    segment: u64,
    offset: usize,
    first: u64,
}

/// Some bytes of a segment.
#[derive(Debug)]
struct Window {
    segment: u64,
    file: File,
    offset: usize,
    bytes: Vec<u8>,
}

impl Reader {
    /// Reads the ledger in `folder`. Nothing is opened yet.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), segments: Vec::new(), window: None, last: None }
    }

    /// The ledger's name, as its newest segment has it; `None` if the folder holds no entry.
    ///
    /// # Errors
    ///
    /// Fails if the folder cannot be read or a header is damaged.
    pub fn origin(&mut self) -> Result<Option<Origin>, ReadError> {
        self.refresh()?;
        Ok(self.segments.last().map(|segment| segment.origin.clone()))
    }

    /// The frame that holds the entry at `index`; `None` if the ledger ends before it.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be read or is damaged between the beginning of the segment and
    /// the entry.
    pub fn frame(&mut self, index: u64) -> Result<Option<&Held>, ReadError> {
        if self.last.as_ref().is_none_or(|(held, _)| held.entry(index).is_none()) {
            let Some(place) = self.place(index)? else { return Ok(None) };
            let frame = self.read(place)?;
            self.last = Some(frame);
        }
        Ok(self.last.as_ref().map(|(held, _)| held))
    }

    /// The entry at `index`; `None` if the ledger ends before it.
    ///
    /// # Errors
    ///
    /// As [`frame`](Self::frame).
    pub fn entry(&mut self, index: u64) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.frame(index)?.and_then(|held| held.entry(index)).map(<[u8]>::to_vec))
    }

    /// The receipt for a durable entry, made anew: what the caller got when it became durable, if
    /// the signer is the same.
    ///
    /// # Errors
    ///
    /// As [`frame`](Self::frame).
    pub fn receipt(
        &mut self,
        index: u64,
        signer: &Arc<Signer>,
    ) -> Result<Option<Receipt>, ReadError> {
        let Some(held) = self.frame(index)? else { return Ok(None) };
        let leaves: Vec<Hash> = held.entries.iter().map(|entry| tree::leaf_hash(entry)).collect();
        let Held { first, root_hash, time, .. } = *held;
        let commit = Commit::new(first, &leaves, root_hash, time, Arc::clone(signer));
        Ok(held.entry(index).map(|entry| commit.receipt(index, entry)))
    }

    /// Where the frame with the entry at `index` begins.
    fn place(&mut self, index: u64) -> Result<Option<Place>, ReadError> {
        let Some(mut place) = self.start(index)? else { return Ok(None) };
        loop {
            match self.header(place)? {
                Ok(header) if header.first_index == place.first => {
                    let after = place.first + u64::from(header.count);
                    if index < after {
                        return Ok(Some(place));
                    }
                    place = Place {
                        offset: place.offset + header.frame_bytes(),
                        first: after,
                        ..place
                    };
                    self.remember(place);
                }
                Ok(_) | Err(FrameFault::Content { .. }) => return Err(self.damaged(place)),
                Err(_) => {
                    // The end of the segment, or of the ledger.
                    self.refresh()?;
                    let Some(next) = self.after(place.segment) else { return Ok(None) };
                    if next.first != place.first {
                        return Err(self.damaged(place));
                    }
                    place = next;
                }
            }
        }
    }

    /// The nearest known place at or before the frame with the entry at `index`.
    fn start(&mut self, index: u64) -> Result<Option<Place>, ReadError> {
        if let Some((held, after)) = &self.last
            && held.next() == index
        {
            return Ok(Some(*after));
        }
        let holds = |segment: &Segment| segment.first <= index;
        if !self.segments.iter().rev().skip(1).any(holds) {
            self.refresh()?;
        }
        let segment = self.segments.partition_point(holds).checked_sub(1);
        let Some(segment) = segment.and_then(|at| self.segments.get(at)) else {
            return Ok(None);
        };
        let before = segment.places.partition_point(|place| place.first <= index);
        Ok(before.checked_sub(1).and_then(|at| segment.places.get(at)).copied())
    }

    /// Meets segments that were not in use before.
    fn refresh(&mut self) -> Result<(), ReadError> {
        let unreadable = |source| ReadError::Unreadable { path: self.folder.clone(), source };
        let numbers = folder::list(&self.folder).map_err(unreadable)?.segments;
        let known = self.segments.last().map(|segment| segment.number);
        for number in numbers.into_iter().filter(|number| known.is_none_or(|k| *number > k)) {
            let Some(header) = header(&folder::segment_path(&self.folder, number))? else {
                break;
            };
            let first = header.frontier.size();
            let place = Place { segment: number, offset: HEADER_BYTES, first };
            let origin = header.key.origin().clone();
            self.segments.push(Segment { number, origin, first, places: vec![place] });
        }
        Ok(())
    }

    /// The first frame of the segment after this one.
    fn after(&self, number: u64) -> Option<Place> {
        let segment = self.segments.iter().rev().find(|segment| segment.number == number + 1);
        segment.and_then(|segment| segment.places.first()).copied()
    }

    fn remember(&mut self, place: Place) {
        let segment = self.segments.iter_mut().rev().find(|known| known.number == place.segment);
        if let Some(segment) = segment
            && let Some(last) = segment.places.last()
            && place.offset >= last.offset + PLACES_APART_BYTES
        {
            segment.places.push(place);
        }
    }

    fn header(&mut self, place: Place) -> Result<Result<FrameHeader, FrameFault>, ReadError> {
        let read = |bytes: &[u8]| FrameHeader::read(bytes, place.offset).map(|(header, _)| header);
        let header = read(self.bytes(place, FRAME_HEADER_BYTES, false)?);
        match header {
            // Written since the window was read, perhaps.
            Err(_) => Ok(read(self.bytes(place, FRAME_HEADER_BYTES, true)?)),
            header => Ok(header),
        }
    }

    /// Reads the frame that begins there, of which the header is known to be good.
    fn read(&mut self, place: Place) -> Result<(Held, Place), ReadError> {
        let bytes = match self.header(place)? {
            Ok(header) => header.frame_bytes(),
            Err(_) => return Err(self.damaged(place)),
        };
        let mut held = held_of(self.bytes(place, bytes, false)?);
        if held.is_none() {
            held = held_of(self.bytes(place, bytes, true)?);
        }
        let held = held.ok_or_else(|| self.damaged(place))?;
        let after = Place { offset: place.offset + bytes, first: held.next(), ..place };
        Ok((held, after))
    }

    /// At least `count` bytes from a place on, fewer where the file ends.
    fn bytes(&mut self, place: Place, count: usize, anew: bool) -> Result<&[u8], ReadError> {
        let path = folder::segment_path(&self.folder, place.segment);
        let unreadable = |source| ReadError::Unreadable { path: path.clone(), source };
        let window = match self.window.take() {
            Some(window) if window.segment == place.segment => window,
            _ => Window::open(&path, place.segment).map_err(unreadable)?,
        };
        let window = self.window.insert(window);
        if anew || !window.holds(place.offset, count) {
            window.fill(place.offset, count).map_err(unreadable)?;
        }
        let skipped = place.offset.saturating_sub(window.offset);
        Ok(window.bytes.get(skipped..).unwrap_or_default())
    }

    fn damaged(&self, place: Place) -> ReadError {
        let file = folder::segment_path(&self.folder, place.segment);
        ReadError::Damaged { file, offset: place.offset as u64 }
    }
}

fn held_of(bytes: &[u8]) -> Option<Held> {
    let frame = Frame::read(bytes, 0).ok()?;
    Some(Held {
        first: frame.header.first_index,
        time: frame.header.time,
        root_hash: frame.header.root_hash,
        entries: frame.entries().map(<[u8]>::to_vec).collect(),
    })
}

impl Window {
    fn open(path: &Path, segment: u64) -> io::Result<Self> {
        let file = File::open(path)?;
        match is_segment_length(file.metadata()?.len()) {
            true => Ok(Self { segment, file, offset: 0, bytes: Vec::new() }),
            false => Err(io::Error::other("length is not that of a segment")),
        }
    }

    fn holds(&self, offset: usize, count: usize) -> bool {
        offset >= self.offset && offset + count <= self.offset + self.bytes.len()
    }

    fn fill(&mut self, offset: usize, count: usize) -> io::Result<()> {
        self.bytes.resize(count.max(WINDOW_BYTES), 0);
        self.offset = offset;
        let mut filled = 0;
        while let Some(rest) = self.bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, (offset + filled) as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.bytes.truncate(filled);
        Ok(())
    }
}

/// The header of a segment, if there is one and it is in use.
fn header(path: &Path) -> Result<Option<SegmentHeader>, ReadError> {
    let block = match header_block(path) {
        Ok(block) => block,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(ReadError::Unreadable { path: path.to_owned(), source }),
    };
    match block {
        HeaderBlock::Whole { header, .. } => Ok(Some(*header)),
        // Torn, or about to be written.
        HeaderBlock::Zero | HeaderBlock::Broken { .. } => Ok(None),
        HeaderBlock::Foreign { offset, .. } => {
            Err(ReadError::Damaged { file: path.to_owned(), offset: offset as u64 })
        }
    }
}
