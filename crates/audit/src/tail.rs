//! Entries as they become durable: for what follows a ledger at its own pace.
//!
//! What lies behind is read in order from the segments; at the live end only what is new is read.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::folder;
use crate::frame::{FRAME_HEADER_BYTES, Frame, FrameHeader};
use crate::read::{Absence, ReadError, Records, records};
use crate::scan::header_block;
use crate::segment::{HEADER_BYTES, HeaderBlock};
use crate::source::Source;

/// Most entries that are given at once.
const GIVEN_MAX: usize = 4_096;
/// How often the place of the next entry is looked for; segments are sealed and moved meanwhile.
const SEARCHES_MAX: usize = 8;

/// Follows a ledger that may be being written.
///
/// ```no_run
/// # fn main() -> Result<(), audit::ReadError> {
/// # let log: audit::Log = unimplemented!();
/// let mut tail = audit::Tail::new(audit::Source::folder("ledger".into()), 1_000);
/// loop {
///     for (index, entry) in tail.read(log.status().size)? {
///         println!("{index}: {} bytes", entry.len());
///     }
///     std::thread::sleep(std::time::Duration::from_millis(100));
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Tail {
    source: Source,
    next: u64,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// Somewhere; it has to be found.
    Unknown,
    /// Behind: an entry that was read and not given, and what follows it.
    Behind(Option<(u64, Vec<u8>)>, Box<Records>),
    Live(Live),
}

/// In the segment that is being written, or was until now.
#[derive(Debug)]
struct Live {
    number: u64,
    path: PathBuf,
    file: File,
    offset: u64,
}

impl Tail {
    /// Begins with the entry of this index.
    pub fn new(source: Source, from: u64) -> Self {
        Self { source, next: from, place: Place::Unknown }
    }

    /// Index of the entry that comes next.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The next entries of which the first `durable` of the ledger are: some thousands at most,
    /// none if there are no more. Entries that were removed after their term are passed over. After
    /// an error the same entries are tried again.
    ///
    /// # Errors
    ///
    /// Fails where durable entries cannot be read, or are not what was written.
    pub fn read(&mut self, durable: u64) -> Result<Vec<(u64, Vec<u8>)>, ReadError> {
        let mut given = Vec::new();
        let mut searches = 0;
        while self.next < durable && given.len() < GIVEN_MAX {
            if matches!(self.place, Place::Unknown) {
                searches += 1;
                if searches > SEARCHES_MAX {
                    return Err(ReadError::Missing {
                        folder: self.source.folder.clone(),
                        index: self.next,
                    });
                }
            }
            // Taken away, so that after an error the place is found anew.
            self.place = match std::mem::replace(&mut self.place, Place::Unknown) {
                Place::Unknown => Place::Behind(None, Box::new(records(&self.source, self.next)?)),
                Place::Behind(kept, rest) => self.catch_up(kept, rest, durable, &mut given)?,
                Place::Live(live) => self.follow(live, durable, &mut given)?,
            };
        }
        Ok(given)
    }

    fn catch_up(
        &mut self,
        kept: Option<(u64, Vec<u8>)>,
        mut rest: Box<Records>,
        durable: u64,
        given: &mut Vec<(u64, Vec<u8>)>,
    ) -> Result<Place, ReadError> {
        let mut kept = kept.map(Ok);
        while given.len() < GIVEN_MAX {
            let next = || Some(rest.next()?.map(|record| (record.index, record.entry)));
            let (index, entry) = match kept.take().or_else(next) {
                None => return self.live(),
                Some(Ok(entry)) => entry,
                // Their term is over: they will never come.
                Some(Err(ReadError::Absent {
                    next_index, absence: Absence::Gone { .. }, ..
                })) => {
                    self.next = next_index;
                    continue;
                }
                Some(Err(error)) => return Err(error),
            };
            if index != self.next {
                return Err(self.missing());
            }
            if index >= durable {
                return Ok(Place::Behind(Some((index, entry)), rest));
            }
            self.next = index + 1;
            given.push((index, entry));
        }
        Ok(Place::Behind(None, rest))
    }

    fn missing(&self) -> ReadError {
        ReadError::Missing { folder: self.source.folder.clone(), index: self.next }
    }

    /// The segment in use that holds the next entry, or will.
    fn live(&self) -> Result<Place, ReadError> {
        let unreadable =
            |source| ReadError::Unreadable { path: self.source.folder.clone(), source };
        let segments = folder::list(&self.source.folder).map_err(unreadable)?.segments;
        for number in segments.into_iter().rev() {
            if let Some(live) = Live::open(&self.source.folder, number, |first| first <= self.next)?
            {
                return Ok(Place::Live(live));
            }
        }
        Ok(Place::Unknown)
    }

    fn follow(
        &mut self,
        mut live: Live,
        durable: u64,
        given: &mut Vec<(u64, Vec<u8>)>,
    ) -> Result<Place, ReadError> {
        while self.next < durable && given.len() < GIVEN_MAX {
            let Some(header) = live.header()? else {
                let begins_here = |first| first == self.next;
                return match Live::open(&self.source.folder, live.number + 1, begins_here)? {
                    Some(next) => Ok(Place::Live(next)),
                    // Durable, and not here: it went into a segment that is found anew.
                    None => Ok(Place::Unknown),
                };
            };
            let (first, after) = (header.first_index, header.first_index + u64::from(header.count));
            if after > self.next {
                let bytes = live.bytes(header.frame_bytes())?;
                let frame = Frame::read(&bytes, 0).map_err(|_| live.damaged())?;
                if first > self.next {
                    return Err(live.damaged());
                }
                let new = self.next..durable.min(after);
                let indexed = (first..).zip(frame.entries()).filter(|(ix, _)| new.contains(ix));
                given.extend(indexed.map(|(index, entry)| (index, entry.to_vec())));
                self.next = new.end;
            }
            if after > self.next {
                break;
            }
            live.offset += header.frame_bytes() as u64;
        }
        Ok(Place::Live(live))
    }
}

impl Live {
    /// Opens a segment that is in use, if the index of its first entry `fits`.
    fn open(
        folder: &Path,
        number: u64,
        fits: impl FnOnce(u64) -> bool,
    ) -> Result<Option<Self>, ReadError> {
        let path = folder::segment_path(folder, number);
        let opened = header_block(&path).and_then(|block| Ok((block, File::open(&path)?)));
        match opened {
            Ok((HeaderBlock::Whole { header, .. }, file)) => {
                let offset = HEADER_BYTES as u64;
                Ok(fits(header.frontier.size()).then_some(Self { number, path, file, offset }))
            }
            Ok((HeaderBlock::Foreign { offset, .. }, _)) => {
                Err(ReadError::Damaged { file: path, offset: offset as u64 })
            }
            // Not in use, or about to be.
            Ok((HeaderBlock::Zero | HeaderBlock::Broken { .. }, _)) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(ReadError::Unreadable { path, source }),
        }
    }

    /// The header of the frame that comes next; none at the end of what was written.
    fn header(&self) -> Result<Option<FrameHeader>, ReadError> {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        match self.file.read_exact_at(&mut bytes, self.offset) {
            // Zero at the end of what was written, torn where a write is under way.
            Ok(()) => Ok(FrameHeader::read(&bytes, 0).ok().map(|(header, _)| header)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(source) => Err(ReadError::Unreadable { path: self.path.clone(), source }),
        }
    }

    fn bytes(&self, length: usize) -> Result<Vec<u8>, ReadError> {
        let mut bytes = vec![0; length];
        let read = self.file.read_exact_at(&mut bytes, self.offset);
        read.map_err(|source| ReadError::Unreadable { path: self.path.clone(), source })?;
        Ok(bytes)
    }

    fn damaged(&self) -> ReadError {
        ReadError::Damaged { file: self.path.clone(), offset: self.offset }
    }
}
