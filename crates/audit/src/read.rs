//! Entries in order, for searches and exports: checksums are checked, the tree is not.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::folder;
use crate::frame::{Frame, FrameFault};
use crate::scan::{header_block, later_frame, read_all};
use crate::segment::{HEADER_BYTES, HeaderBlock, SegmentHeader, is_segment_length};

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
}

/// Entries of a ledger folder in order, each with its index. One segment is held in memory.
///
/// A ledger that is being written may be read; the last entries may then not be durable yet.
#[derive(Debug)]
pub struct Entries {
    folder: PathBuf,
    from: u64,
    number: u64,
    path: PathBuf,
    bytes: Vec<u8>,
    offset: usize,
    next_index: u64,
    ready: VecDeque<(u64, Vec<u8>)>,
    done: bool,
}

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
    let unreadable = |source| ReadError::Unreadable { path: dir.to_owned(), source };
    let segments = folder::list(dir).map_err(unreadable)?.segments;
    let mut entries = Entries {
        folder: dir.to_owned(),
        from,
        number: 0,
        path: dir.to_owned(),
        bytes: Vec::new(),
        offset: 0,
        next_index: 0,
        ready: VecDeque::new(),
        done: true,
    };
    for number in segments.into_iter().rev() {
        let path = folder::segment_path(dir, number);
        if let Some(header) = header(&path)?
            && (header.frontier.size() <= from || number == 0)
        {
            entries.done = false;
            entries.next_index = header.frontier.size();
            entries.begin(number)?;
            break;
        }
    }
    Ok(entries)
}

/// The header of a segment, if there is one and it is in use.
pub(crate) fn header(path: &Path) -> Result<Option<SegmentHeader>, ReadError> {
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

impl Entries {
    fn begin(&mut self, number: u64) -> Result<(), ReadError> {
        let path = folder::segment_path(&self.folder, number);
        let read = || {
            let file = File::open(&path)?;
            let length = file.metadata()?.len();
            match is_segment_length(length) {
                true => read_all(&file, length),
                false => Err(io::Error::other("length is not that of a segment")),
            }
        };
        self.bytes =
            read().map_err(|source| ReadError::Unreadable { path: path.clone(), source })?;
        (self.number, self.path, self.offset) = (number, path, HEADER_BYTES);
        Ok(())
    }

    /// Makes the next frame's entries ready; false at the end of the ledger.
    fn advance(&mut self) -> Result<bool, ReadError> {
        let damaged = || ReadError::Damaged { file: self.path.clone(), offset: self.offset as u64 };
        match Frame::read(&self.bytes, self.offset) {
            Ok(frame) if frame.header.first_index == self.next_index => {
                let indexed = (self.next_index..).zip(frame.entries());
                let wanted = indexed.filter(|(index, _)| *index >= self.from);
                self.ready.extend(wanted.map(|(index, entry)| (index, entry.to_vec())));
                self.next_index += u64::from(frame.header.count);
                self.offset += frame.header.frame_bytes();
                Ok(true)
            }
            Ok(_) | Err(FrameFault::Content { .. }) => Err(damaged()),
            Err(fault) => {
                let next = folder::segment_path(&self.folder, self.number + 1);
                match header(&next)? {
                    Some(header) if header.frontier.size() == self.next_index => {
                        self.begin(self.number + 1)?;
                        Ok(true)
                    }
                    Some(_) => Err(damaged()),
                    None => {
                        let later = later_frame(
                            &self.bytes,
                            self.offset,
                            &fault,
                            (self.number, self.next_index),
                        );
                        // Half a frame at the end is a write under way, or one that was cut.
                        later.map_or(Ok(false), |_| Err(damaged()))
                    }
                }
            }
        }
    }
}

impl Iterator for Entries {
    type Item = Result<(u64, Vec<u8>), ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.ready.pop_front() {
                return Some(Ok(entry));
            }
            if self.done {
                return None;
            }
            match self.advance() {
                Ok(more) => self.done = !more,
                Err(error) => {
                    self.done = true;
                    return Some(Err(error));
                }
            }
        }
    }
}
