//! Some bytes of a segment at hand: a stretch of a raw one, some blocks of a sealed one. Offsets are
//! those in the segment as it was written, so that they stay when it is sealed.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::closed::{Blocks, Closed, ClosedError};
use crate::folder;
use crate::read::{Absence, ReadError};
use crate::sealed::Form;
use crate::segment::{HEADER_BYTES, is_segment_length};
use crate::source::{Place, Source};

/// Bytes of a raw segment that are read at once.
const WINDOW_BYTES: usize = 256 << 10;
/// Blocks of a sealed segment that are kept open; most have 256 KiB.
const BLOCKS_MAX: usize = 4;
/// How often a segment that was sealed meanwhile is opened again.
const OPENS_MAX: usize = 4;

/// A segment, and some of its bytes.
#[derive(Debug)]
pub(crate) enum Window {
    Raw(Raw),
    Sealed(Box<Sealed>),
}

#[derive(Debug)]
pub(crate) struct Raw {
    segment: u64,
    path: PathBuf,
    file: File,
    offset: usize,
    bytes: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Sealed {
    closed: Box<Closed>,
    blocks: Blocks,
    /// Where each block begins in the segment as it was.
    starts: Vec<usize>,
    /// Blocks by number, the one used last at the end.
    open: VecDeque<(usize, Vec<u8>)>,
}

impl Window {
    /// Opens a segment that is in use, in whichever form it is.
    pub(crate) fn open(source: &Source, number: u64) -> Result<Self, ReadError> {
        for _ in 0..OPENS_MAX {
            let (closed, absence) = match source.place(number)? {
                None => break,
                Some(Place::Raw(path)) => match Raw::open(&path, number) {
                    Ok(raw) => return Ok(Self::Raw(raw)),
                    // Sealed meanwhile.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(source) => return Err(ReadError::Unreadable { path, source }),
                },
                Some(Place::Sealed { closed, .. }) => match closed.blocks(&source.keys) {
                    Ok(blocks) => return Ok(Self::Sealed(Box::new(Sealed::new(closed, blocks)))),
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
            };
            let (first_index, next_index) = (closed.header.first_index, closed.header.end());
            return Err(ReadError::Absent { first_index, next_index, absence });
        }
        let path = folder::segment_path(&source.folder, number);
        Err(ReadError::Unreadable { path, source: io::ErrorKind::NotFound.into() })
    }

    /// Number of the segment.
    pub(crate) fn segment(&self) -> u64 {
        match self {
            Self::Raw(raw) => raw.segment,
            Self::Sealed(sealed) => sealed.closed.header.number,
        }
    }

    /// Where each block of a sealed segment begins, and the index of its first entry.
    pub(crate) fn blocks(&self) -> Option<Vec<(usize, u64)>> {
        match self {
            Self::Raw(_) => None,
            Self::Sealed(sealed) => {
                let first = sealed.closed.index.iter().map(|entry| entry.first_index);
                Some(sealed.starts.iter().copied().zip(first).collect())
            }
        }
    }

    /// At least `count` bytes from an offset on, fewer where the segment or a block ends: frames
    /// lie in one block whole. `anew` reads what may have been written meanwhile.
    pub(crate) fn bytes(
        &mut self,
        offset: usize,
        count: usize,
        anew: bool,
    ) -> Result<&[u8], ReadError> {
        match self {
            Self::Raw(raw) => raw.bytes(offset, count, anew),
            Self::Sealed(sealed) => sealed.bytes(offset),
        }
    }

    /// That there is no good frame at an offset.
    pub(crate) fn damaged(&self, offset: usize) -> ReadError {
        match self {
            Self::Raw(raw) => ReadError::Damaged { file: raw.path.clone(), offset: offset as u64 },
            Self::Sealed(sealed) => {
                let block = sealed.block(offset).and_then(|block| sealed.closed.index.get(block));
                let offset = block.map_or(sealed.closed.file_bytes, |block| block.offset);
                ReadError::Damaged { file: sealed.closed.path.clone(), offset }
            }
        }
    }
}

impl Raw {
    fn open(path: &Path, segment: u64) -> io::Result<Self> {
        let file = File::open(path)?;
        let path = path.to_owned();
        match is_segment_length(file.metadata()?.len()) {
            true => Ok(Self { segment, path, file, offset: 0, bytes: Vec::new() }),
            false => Err(io::Error::other("length is not that of a segment")),
        }
    }

    fn bytes(&mut self, offset: usize, count: usize, anew: bool) -> Result<&[u8], ReadError> {
        let holds = offset >= self.offset && offset + count <= self.offset + self.bytes.len();
        if anew || !holds {
            self.fill(offset, count)
                .map_err(|source| ReadError::Unreadable { path: self.path.clone(), source })?;
        }
        Ok(self.bytes.get(offset.saturating_sub(self.offset)..).unwrap_or_default())
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

impl Sealed {
    fn new(closed: Box<Closed>, blocks: Blocks) -> Self {
        let mut next = HEADER_BYTES;
        let starts = closed.index.iter().map(|entry| {
            let start = next;
            next += entry.raw_bytes as usize;
            start
        });
        let starts = starts.collect();
        Self { closed, blocks, starts, open: VecDeque::new() }
    }

    /// The block that an offset lies in; `None` behind the last.
    fn block(&self, offset: usize) -> Option<usize> {
        let block = self.starts.partition_point(|start| *start <= offset).checked_sub(1)?;
        let bytes = self.closed.index.get(block)?.raw_bytes as usize;
        (offset < self.starts.get(block)? + bytes).then_some(block)
    }

    fn bytes(&mut self, offset: usize) -> Result<&[u8], ReadError> {
        let Some(block) = self.block(offset) else { return Ok(&[]) };
        let opened = self.open.iter().position(|(number, _)| *number == block);
        let bytes = match opened.and_then(|at| self.open.remove(at)) {
            Some((_, bytes)) => bytes,
            None => self.blocks.read(&self.closed, block)?,
        };
        if self.open.len() >= BLOCKS_MAX {
            self.open.pop_front();
        }
        self.open.push_back((block, bytes));
        let start = self.starts.get(block).copied().unwrap_or_default();
        let bytes = self.open.back().map(|(_, bytes)| bytes.as_slice()).unwrap_or_default();
        Ok(bytes.get(offset - start..).unwrap_or_default())
    }
}
