//! Entries in order, for searches and exports: checksums are checked, the tree is not.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use model::Timestamp;
use thiserror::Error;

use crate::closed::{Blocks, Closed, ClosedError};
use crate::folder;
use crate::frame::{Frame, FrameFault};
use crate::scan::{later_frame, read_all};
use crate::sealed::Form;
use crate::segment::{HEADER_BYTES, is_segment_length};
use crate::source::{Place, Source};

/// How often a segment that was sealed meanwhile is opened again.
const OPENS_MAX: usize = 4;

/// Why entries could not be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// A file could not be read.
    #[error("cannot read `{}`", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is damaged.
    #[error("`{}` is damaged near byte {offset}, verify the folder", file.display())]
    Damaged {
        /// Which.
        file: PathBuf,
        /// From where on it could not be read.
        offset: u64,
    },
    /// An entry that is durable is in none of the segments.
    #[error("entry {index} is in no segment of `{}`, verify the folder", folder.display())]
    Missing {
        /// The ledger's folder.
        folder: PathBuf,
        /// Index of the entry.
        index: u64,
    },
    /// The entries of a segment are not to be had. Reading can go on after them.
    #[error("entries from {first_index} up to {next_index} are not to be had: {absence}")]
    Absent {
        /// Index of the segment's first entry.
        first_index: u64,
        /// Index of the first entry after it.
        next_index: u64,
        /// Why.
        absence: Absence,
    },
}

/// Why the entries of a segment are not to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absence {
    /// They were removed after their term, as the entry with this index says.
    Gone {
        /// Index of that entry.
        recorded: u64,
    },
    /// The segment was archived, and is in none of the archives given.
    Away,
    /// The segment is encrypted, and the keys given do not open it: why.
    Shut(String),
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone { recorded } => {
                write!(f, "they were removed after their term, as entry {recorded} says")
            }
            Self::Away => f.write_str("their segment is in none of the archives given"),
            Self::Shut(why) => f.write_str(why),
        }
    }
}

impl From<ClosedError> for ReadError {
    fn from(error: ClosedError) -> Self {
        match error {
            ClosedError::Io { path, source } => Self::Unreadable { path, source },
            ClosedError::Damaged { path: file, offset, .. } => Self::Damaged { file, offset },
            // Told apart before, where the segment's bounds are known.
            ClosedError::Shut { path: file, .. } => Self::Damaged { file, offset: 0 },
        }
    }
}

/// An entry as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its index in the ledger.
    pub index: u64,
    /// When the batch it came in was written.
    pub time: Timestamp,
    /// Its bytes.
    pub entry: Vec<u8>,
}

/// Entries of a ledger in order, each with its index. One segment is held in memory.
///
/// A ledger that is being written may be read; the last entries may then not be durable yet.
#[derive(Debug)]
pub struct Entries(Records);

/// Reads the entries of a ledger folder from an index on.
///
/// ```no_run
/// # fn main() -> Result<(), audit::ReadError> {
/// for item in audit::entries(std::path::Path::new("ledger"), 1_000)? {
///     let (index, entry) = item?;
///     assert!(index >= 1_000 && entry.len() <= audit::ENTRY_BYTES_MAX);
/// }
/// # Ok(())
/// # }
/// ```
pub fn entries(dir: &Path, from: u64) -> Result<Entries, ReadError> {
    records(&Source::from(dir), from).map(Entries)
}

impl Iterator for Entries {
    type Item = Result<(u64, Vec<u8>), ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = self.0.next()?;
        Some(record.map(|record| (record.index, record.entry)))
    }
}

/// Entries of a ledger in order, from raw, sealed and archived segments alike. Holds one raw
/// segment or one block of a sealed one in memory.
///
/// After [`ReadError::Absent`] the next item is the first entry after the gap; after any other
/// error there are no more.
#[derive(Debug)]
pub struct Records {
    source: Source,
    from: u64,
    number: u64,
    /// The segment to begin with, until it is begun.
    first: Option<u64>,
    body: Body,
    next_index: u64,
    ready: VecDeque<Record>,
    done: bool,
}

/// What is left to read of the segment at hand.
#[derive(Debug)]
enum Body {
    Raw {
        path: PathBuf,
        bytes: Vec<u8>,
        offset: usize,
    },
    Sealed {
        closed: Box<Closed>,
        blocks: Blocks,
        next_block: usize,
        frames: Vec<u8>,
        offset: usize,
    },
    /// Nothing, or nothing that can be had.
    Nothing,
}

/// Reads the entries of a ledger from an index on.
///
/// ```no_run
/// # fn main() -> Result<(), audit::ReadError> {
/// let mut source = audit::Source::folder("ledger".into());
/// source.archives.push("/mnt/archive/ledger".into());
/// for record in audit::records(&source, 0)? {
///     match record {
///         Ok(record) => println!("{} {}", record.index, record.time),
///         Err(audit::ReadError::Absent { absence, .. }) => println!("a gap: {absence}"),
///         Err(error) => return Err(error),
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub fn records(source: &Source, from: u64) -> Result<Records, ReadError> {
    let folder = &source.folder;
    let unreadable = |source| ReadError::Unreadable { path: folder.clone(), source };
    let numbers = folder::list(folder).map_err(unreadable)?.numbers();
    let mut records = Records {
        source: source.clone(),
        from,
        number: 0,
        first: None,
        body: Body::Nothing,
        next_index: 0,
        ready: VecDeque::new(),
        done: true,
    };
    for number in numbers.into_iter().rev() {
        if let Some(header) = source.segment_header(number)?
            && (header.frontier.size() <= from || number == 0)
        {
            records.done = false;
            records.next_index = header.frontier.size();
            records.first = Some(number);
            break;
        }
    }
    Ok(records)
}

impl Records {
    /// Turns to a segment that is in use.
    fn begin(&mut self, number: u64) -> Result<(), ReadError> {
        self.number = number;
        self.body = Body::Nothing;
        for _ in 0..OPENS_MAX {
            let (closed, absence) = match self.source.place(number)? {
                Some(Place::Raw(path)) => match read_raw(&path) {
                    Ok(bytes) => {
                        self.body = Body::Raw { path, bytes, offset: HEADER_BYTES };
                        return Ok(());
                    }
                    // Sealed meanwhile.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(source) => return Err(ReadError::Unreadable { path, source }),
                },
                Some(Place::Sealed { closed, .. }) => match closed.blocks(&self.source.keys) {
                    Ok(blocks) => {
                        self.body = self.sealed(closed, blocks);
                        return Ok(());
                    }
                    Err(ClosedError::Shut { shut, .. }) => {
                        (closed, Absence::Shut(shut.to_string()))
                    }
                    Err(error) => return Err(error.into()),
                },
                Some(Place::Away(closed)) => (closed, Absence::Away),
                Some(Place::Gone(closed)) => match closed.header.form {
                    Form::Gone { recorded } => (closed, Absence::Gone { recorded }),
                    _ => return Err(ReadError::Damaged { file: closed.path, offset: 10 }),
                },
                None => break,
            };
            let (first_index, next_index) = (closed.header.first_index, closed.header.end());
            self.next_index = next_index;
            return Err(ReadError::Absent { first_index, next_index, absence });
        }
        let path = folder::segment_path(&self.source.folder, number);
        Err(ReadError::Unreadable { path, source: io::ErrorKind::NotFound.into() })
    }

    /// A sealed segment, from the block that holds the first entry wanted.
    fn sealed(&mut self, closed: Box<Closed>, blocks: Blocks) -> Body {
        let wanted = |entry: &&crate::sealed::IndexEntry| entry.first_index <= self.from;
        let next_block = closed.index.iter().take_while(wanted).count().saturating_sub(1);
        if let Some(entry) = closed.index.get(next_block) {
            self.next_index = entry.first_index;
        }
        Body::Sealed { closed, blocks, next_block, frames: Vec::new(), offset: 0 }
    }

    /// Makes the next frame's entries ready; false at the end of the ledger.
    fn advance(&mut self) -> Result<bool, ReadError> {
        if let Some(first) = self.first.take() {
            return self.begin(first).map(|()| true);
        }
        // Blocks hold whole frames; a raw segment may end in half a one.
        let is_whole = matches!(self.body, Body::Sealed { .. });
        let (frames, offset, path) = match &mut self.body {
            Body::Nothing => return self.follow(),
            Body::Raw { bytes, offset, path } => (&*bytes, offset, &*path),
            Body::Sealed { closed, blocks, next_block, frames, offset } => {
                if *offset == frames.len() {
                    if *next_block == closed.index.len() {
                        return self.follow();
                    }
                    *frames = blocks.read(closed, *next_block)?;
                    (*next_block, *offset) = (*next_block + 1, 0);
                }
                (&*frames, offset, &closed.path)
            }
        };
        let damaged =
            |offset: usize| ReadError::Damaged { file: path.clone(), offset: offset as u64 };
        match Frame::read(frames, *offset) {
            Ok(frame) if frame.header.first_index == self.next_index => {
                let time = frame.header.time;
                let indexed = (self.next_index..).zip(frame.entries());
                let wanted = indexed.filter(|(index, _)| *index >= self.from);
                let record =
                    |(index, entry): (u64, &[u8])| Record { index, time, entry: entry.to_vec() };
                self.ready.extend(wanted.map(record));
                self.next_index += u64::from(frame.header.count);
                *offset += frame.header.frame_bytes();
                Ok(true)
            }
            Ok(_) | Err(FrameFault::Content { .. }) => Err(damaged(*offset)),
            Err(_) if is_whole => Err(damaged(*offset)),
            Err(fault) => {
                let (at, place) = (*offset, (self.number, self.next_index));
                if self.source.segment_header(self.number + 1)?.is_some() {
                    return self.follow();
                }
                match later_frame(frames, at, &fault, place) {
                    // Half a frame at the end is a write under way, or one that was cut.
                    None => self.end(),
                    Some(_) => Err(damaged(at)),
                }
            }
        }
    }

    /// Turns to the next segment; false if there is none in use.
    fn follow(&mut self) -> Result<bool, ReadError> {
        let number = self.number + 1;
        let Some(header) = self.source.segment_header(number)? else {
            return self.end();
        };
        if header.frontier.size() != self.next_index {
            let file = folder::segment_path(&self.source.folder, self.number);
            return Err(ReadError::Damaged { file, offset: self.offset() });
        }
        self.begin(number)?;
        Ok(true)
    }

    /// The end of the ledger, unless segments that are still there show that one is missing.
    fn end(&self) -> Result<bool, ReadError> {
        let folder = &self.source.folder;
        let unreadable = |path: &Path, source| ReadError::Unreadable { path: path.into(), source };
        let listing = folder::list(folder).map_err(|error| unreadable(folder, error))?;
        let numbers = listing.numbers();
        let next = numbers.iter().find(|number| **number > self.number);
        match next.is_some_and(|next| *next > self.number + 1) {
            false => Ok(false),
            true => {
                let path = folder::segment_path(folder, self.number + 1);
                Err(unreadable(&path, io::ErrorKind::NotFound.into()))
            }
        }
    }

    /// Where reading is in the file at hand.
    fn offset(&self) -> u64 {
        match &self.body {
            Body::Raw { offset, .. } => *offset as u64,
            Body::Sealed { closed, .. } => closed.file_bytes,
            Body::Nothing => 0,
        }
    }
}

fn read_raw(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    match is_segment_length(length) {
        true => read_all(&file, length),
        false => Err(io::Error::other("length is not that of a segment")),
    }
}

impl Iterator for Records {
    type Item = Result<Record, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(record) = self.ready.pop_front() {
                return Some(Ok(record));
            }
            if self.done {
                return None;
            }
            match self.advance() {
                Ok(more) => self.done = !more,
                Err(absent @ ReadError::Absent { .. }) => return Some(Err(absent)),
                Err(error) => {
                    self.done = true;
                    return Some(Err(error));
                }
            }
        }
    }
}
