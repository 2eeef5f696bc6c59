//! Single entries by their index, and frames one after the other: for indexes and what they find.
//!
//! A frame that is asked for is read whole and its checksum compared. To find it, the headers of
//! the frames before it in its segment are read once; where some of them are is remembered. Of a
//! sealed segment only the block is opened that the frame lies in.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use model::{Receipt, Timestamp};
use tlog::sign::{Origin, Signer};
use tlog::tree::{self, Hash};

use crate::closed::Closed;
use crate::folder;
use crate::frame::{FRAME_HEADER_BYTES, Frame, FrameFault, FrameHeader};
use crate::read::{Absence, ReadError};
use crate::receipt::Commit;
use crate::segment::HEADER_BYTES;
use crate::source::Source;
use crate::window::Window;

/// Bytes between frames whose place is remembered, at least.
const PLACES_APART_BYTES: usize = 128 << 10;
/// Segments that are kept open.
const WINDOWS_MAX: usize = 4;

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

/// Entries that were removed after their term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// How many.
    pub entries: u64,
    /// When the last of them was written: whatever is younger is still there.
    pub latest: Timestamp,
}

/// Reads a ledger by index, raw, sealed and archived segments alike; another process or thread may
/// be writing it. What lies beyond the durable end may be there and not be durable, so callers
/// bound what they ask for. Holds at most four segments open, with some blocks of each.
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
    source: Source,
    /// Segments in use, in order, as far as they were met.
    segments: Vec<Segment>,
    /// The one used last at the end.
    windows: Vec<Window>,
    /// Of each segment whose entries were removed, how many they were and the time of the last.
    gone: BTreeMap<u64, (u64, Timestamp)>,
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
    /// Root hash of the tree before its first entry.
    root_hash: Hash,
    /// Frames by index of their first entry, ascending.
    places: Vec<Place>,
}

/// Where a frame begins.
#[derive(Clone, Copy, Debug)]
struct Place {
    segment: u64,
    /// In the segment as it was written, which sealing does not change.
    offset: usize,
    first: u64,
}

impl Reader {
    /// Reads the ledger in `source`. Nothing is opened yet.
    pub fn new(source: impl Into<Source>) -> Self {
        Self {
            source: source.into(),
            segments: Vec::new(),
            windows: Vec::new(),
            gone: BTreeMap::new(),
            last: None,
        }
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

    /// Root hash of the tree over the first `size` entries, if a frame ends there.
    ///
    /// # Errors
    ///
    /// As [`frame`](Self::frame).
    pub fn root_hash(&mut self, size: u64) -> Result<Option<Hash>, ReadError> {
        self.refresh()?;
        let at = self.segments.binary_search_by_key(&size, |segment| segment.first);
        if let Some(segment) = at.ok().and_then(|at| self.segments.get(at)) {
            return Ok(Some(segment.root_hash));
        }
        let Some(last) = size.checked_sub(1) else { return Ok(None) };
        let held = self.frame(last)?.filter(|held| held.next() == size);
        Ok(held.map(|held| held.root_hash))
    }

    /// What was removed of this ledger; `None` if nothing was.
    ///
    /// # Errors
    ///
    /// Fails if the folder, or what stayed of a removed segment, cannot be read.
    pub fn lost(&mut self) -> Result<Option<Lost>, ReadError> {
        let folder = &self.source.folder;
        let unreadable = |source| ReadError::Unreadable { path: folder.clone(), source };
        for number in folder::list(folder).map_err(unreadable)?.gone {
            if let Entry::Vacant(place) = self.gone.entry(number) {
                let header = Closed::open(&folder::gone_path(folder, number), number)?.header;
                place.insert((header.count, header.latest));
            }
        }
        let latest = self.gone.values().map(|(_, latest)| *latest).max();
        let entries = self.gone.values().map(|(count, _)| count).sum();
        Ok(latest.map(|latest| Lost { entries, latest }))
    }

    /// The frame that holds the entry at `index`; `None` if the ledger ends before it.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be read or is damaged between the beginning of the segment, or of
    /// the block of a sealed one, and the entry; with [`ReadError::Absent`] if the entries of its
    /// segment are not to be had.
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
        let Some(nearest) = self.start(index)? else { return Ok(None) };
        // The blocks of a sealed segment are nearer places.
        if self.window(nearest.segment).is_ok_and(|window| window.blocks().is_some()) {
            self.know_blocks(nearest.segment);
        }
        let Some(mut place) = self.start(index)? else { return Ok(None) };
        loop {
            let header = match self.header(place) {
                // A segment that begins before the entry, and ends before it too.
                Err(ReadError::Absent { next_index, .. }) if next_index <= index => {
                    self.refresh()?;
                    let Some(next) = self.after(place.segment) else { return Ok(None) };
                    place = next;
                    continue;
                }
                header => header?,
            };
            match header {
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
        let folder = &self.source.folder;
        let unreadable = |source| ReadError::Unreadable { path: folder.clone(), source };
        let numbers = folder::list(folder).map_err(unreadable)?.numbers();
        let known = self.segments.last().map(|segment| segment.number);
        for number in numbers.into_iter().filter(|number| known.is_none_or(|k| *number > k)) {
            let Some(header) = self.source.segment_header(number)? else { break };
            let (first, root_hash) = (header.frontier.size(), header.frontier.root());
            let place = Place { segment: number, offset: HEADER_BYTES, first };
            let origin = header.key.origin().clone();
            self.segments.push(Segment { number, origin, first, root_hash, places: vec![place] });
        }
        Ok(())
    }

    /// Takes the blocks of a sealed segment for places.
    fn know_blocks(&mut self, number: u64) {
        let window = self.windows.iter().find(|window| window.segment() == number);
        let Some(blocks) = window.and_then(Window::blocks) else { return };
        let segment = self.segments.iter_mut().rev().find(|known| known.number == number);
        if let Some(segment) = segment.filter(|known| known.places.len() < blocks.len()) {
            let place = |(offset, first)| Place { segment: number, offset, first };
            segment.places = blocks.into_iter().map(place).collect();
        }
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

    /// At least `count` bytes from a place on, fewer where the segment ends.
    fn bytes(&mut self, place: Place, count: usize, anew: bool) -> Result<&[u8], ReadError> {
        self.window(place.segment)?.bytes(place.offset, count, anew)
    }

    /// The window on a segment.
    fn window(&mut self, segment: u64) -> Result<&mut Window, ReadError> {
        let at = self.windows.iter().position(|window| window.segment() == segment);
        let window = match at {
            Some(at) => self.windows.remove(at),
            None => Window::open(&self.source, segment)?,
        };
        if self.windows.len() >= WINDOWS_MAX {
            self.windows.remove(0);
        }
        self.windows.push(window);
        let folder = || self.source.folder.clone();
        let none = || ReadError::Missing { folder: folder(), index: 0 };
        self.windows.last_mut().ok_or_else(none)
    }

    fn damaged(&self, place: Place) -> ReadError {
        let window = self.windows.iter().find(|window| window.segment() == place.segment);
        match window {
            Some(window) => window.damaged(place.offset),
            None => {
                let file = folder::segment_path(&self.source.folder, place.segment);
                ReadError::Damaged { file, offset: place.offset as u64 }
            }
        }
    }
}

impl ReadError {
    /// Whether entries are not to be had because they were removed after their term.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Absent { absence: Absence::Gone { .. }, .. })
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
