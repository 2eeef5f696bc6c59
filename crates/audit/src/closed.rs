//! Reading a closed segment: its header, index and hashes, and its blocks one by one. The format
//! is in `sealed.rs`.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use thiserror::Error;
use tlog::tree::{Frontier, Hash};
use zstd::bulk::Decompressor;

use crate::fields::Fields;
use crate::keys::{BlockNonce, DataKey, Keys, Shut};
use crate::locate;
use crate::sealed::{
    BLOCK_BYTES_MAX, BLOCKS_OFFSET, CHECKSUM_BYTES, Form, INDEX_ENTRY_BYTES, IndexEntry,
    SEALED_HEADER_BYTES, STORED_BYTES_MAX, SealedHeader,
};
use crate::segment::{HEADER_BYTES, HeaderBlock, SegmentHeader};
use crate::subtrees;

/// Why a closed segment could not be read.
#[derive(Debug, Error)]
pub(crate) enum ClosedError {
    #[error("cannot read `{}`", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("`{}` is damaged at byte {offset}: {what}", path.display())]
    Damaged { path: PathBuf, offset: u64, what: String },
    #[error("`{}` cannot be opened: {shut}", path.display())]
    Shut { path: PathBuf, shut: Shut },
}

/// A closed segment without its blocks: what is in it has been checked against itself.
pub(crate) struct Closed {
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    pub(crate) file_bytes: u64,
    pub(crate) header: SealedHeader,
    pub(crate) segment: SegmentHeader,
    pub(crate) segment_crc: u32,
    /// Header and header block, as they are.
    pub(crate) heads: Vec<u8>,
    pub(crate) index: Vec<IndexEntry>,
    pub(crate) subtrees: Vec<Hash>,
    pub(crate) note: Vec<u8>,
    /// After the last entry.
    pub(crate) frontier: Frontier,
}

impl fmt::Debug for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closed").field("path", &self.path).field("header", &self.header).finish()
    }
}

impl Closed {
    /// Opens a closed segment of any form, and checks all of it but the blocks.
    pub(crate) fn open(path: &Path, number: u64) -> Result<Self, ClosedError> {
        let unreadable = |source| ClosedError::Io { path: path.to_owned(), source };
        let damaged = |offset: usize, what: &str| damaged(path, offset as u64, what);
        let file = File::open(path).map_err(unreadable)?;
        let file_bytes = file.metadata().map_err(unreadable)?.len();
        let mut heads = vec![0; BLOCKS_OFFSET];
        if file_bytes < BLOCKS_OFFSET as u64 {
            return Err(damaged(file_bytes as usize, "file is too short"));
        }
        file.read_exact_at(&mut heads, 0).map_err(unreadable)?;
        let header = SealedHeader::read(&heads)
            .map_err(|(offset, what)| header_damage(path, &heads, offset, what))?;
        if header.number != number {
            return Err(damaged(16, "segment number does not match the file's name"));
        }
        let (segment, segment_crc) = read_segment(path, &heads, &header)?;
        let tail = Tail::of(&header);
        let tail_at = file_bytes
            .checked_sub(tail.bytes as u64)
            .filter(|at| *at >= BLOCKS_OFFSET as u64)
            .ok_or_else(|| damaged(file_bytes as usize, "file is too short for its parts"))?;
        let mut bytes = vec![0; tail.bytes];
        file.read_exact_at(&mut bytes, tail_at).map_err(unreadable)?;
        let (index, subtrees, note) = tail.read(path, &header, &bytes, tail_at)?;
        let frontier = subtrees::extend(&segment.frontier, header.end(), &subtrees)
            .filter(|frontier| frontier.root() == header.root_hash)
            .ok_or_else(|| damaged(48, "subtrees do not give the root hash in the header"))?;
        let path = path.to_owned();
        Ok(Self {
            path,
            file,
            file_bytes,
            header,
            segment,
            segment_crc,
            heads,
            index,
            subtrees,
            note,
            frontier,
        })
    }

    /// Reads the blocks of this file, if it has them and the keys open them.
    pub(crate) fn blocks(&self, keys: &Keys) -> Result<Blocks, ClosedError> {
        let shut = |shut| ClosedError::Shut { path: self.path.clone(), shut };
        let key = match &self.header.wrapped {
            Some(wrapped) => Some(keys.open(wrapped, self.header.number).map_err(shut)?),
            None => None,
        };
        let decompressor = Decompressor::new()
            .map_err(|source| ClosedError::Io { path: self.path.clone(), source })?;
        let context = block_context(&self.heads);
        Ok(Blocks { key, context, decompressor })
    }

    /// The segment up to the end of its last frame, as it was.
    pub(crate) fn raw(&self, keys: &Keys) -> Result<Vec<u8>, ClosedError> {
        let mut blocks = self.blocks(keys)?;
        let capacity = usize::try_from(self.header.raw_bytes).unwrap_or_default();
        let mut raw = Vec::with_capacity(capacity);
        raw.extend_from_slice(self.heads.get(SEALED_HEADER_BYTES..).unwrap_or_default());
        for number in 0..self.index.len() {
            raw.extend_from_slice(&blocks.read(self, number)?);
        }
        match digest(&SHA256, &raw).as_ref() == self.header.raw_digest {
            true => Ok(raw),
            false => Err(damaged(&self.path, 112, "frames do not give the digest in the header")),
        }
    }

    /// Whether this is what stays of that sealed segment.
    pub(crate) fn is_stub_of(&self, sealed: &Self) -> bool {
        SealedHeader { form: Form::Sealed, ..self.header.clone() } == sealed.header
            && self.segment == sealed.segment
            && self.subtrees == sealed.subtrees
            && self.note == sealed.note
    }

    /// This segment without its entries, in another form.
    pub(crate) fn stub(&self, form: Form) -> Vec<u8> {
        let mut bytes = SealedHeader { form, ..self.header.clone() }.encode();
        bytes.extend_from_slice(self.heads.get(SEALED_HEADER_BYTES..).unwrap_or_default());
        bytes.extend_from_slice(&encode_tail(&[], &self.subtrees, &self.note));
        bytes
    }
}

pub(crate) fn damaged(path: &Path, offset: u64, what: impl Into<String>) -> ClosedError {
    ClosedError::Damaged { path: path.to_owned(), offset, what: what.into() }
}

/// What each block's encryption is bound to: the digest of header and header block.
pub(crate) fn block_context(heads: &[u8]) -> Hash {
    let mut context = Hash::default();
    context.iter_mut().zip(digest(&SHA256, heads).as_ref()).for_each(|(to, from)| *to = *from);
    context
}

/// Index, subtrees, note and their checksum.
pub(crate) fn encode_tail(index: &[IndexEntry], subtrees: &[Hash], note: &[u8]) -> Vec<u8> {
    let mut tail = Vec::new();
    index.iter().for_each(|entry| entry.encode(&mut tail));
    tail.extend(subtrees.iter().flatten());
    tail.extend_from_slice(note);
    let crc = crc32c::crc32c(&tail);
    tail.extend_from_slice(&crc.to_le_bytes());
    tail
}

/// Names the byte of a header that was changed, if it was one.
fn header_damage(path: &Path, heads: &[u8], offset: usize, what: &str) -> ClosedError {
    let header = heads.get(..SEALED_HEADER_BYTES).unwrap_or_default();
    let trial = |bytes: &[u8]| SealedHeader::read(bytes).is_ok();
    match locate::in_checked(header, trial) {
        Some(flip) => damaged(path, flip.at as u64, locate::changed(header, flip)),
        None => damaged(path, offset as u64, what),
    }
}

/// The header block of the segment must be whole, and fit the header of the closed file.
fn read_segment(
    path: &Path,
    heads: &[u8],
    header: &SealedHeader,
) -> Result<(SegmentHeader, u32), ClosedError> {
    let block = heads.get(SEALED_HEADER_BYTES..).unwrap_or_default();
    let at = |offset: usize| (SEALED_HEADER_BYTES + offset) as u64;
    let (segment, crc) = match HeaderBlock::read(block) {
        HeaderBlock::Whole { header, crc } => (*header, crc),
        HeaderBlock::Foreign { offset, what } => return Err(damaged(path, at(offset), what)),
        HeaderBlock::Zero => return Err(damaged(path, at(0), "segment's header is blank")),
        HeaderBlock::Broken { computed, stored } => {
            let mut block = block.to_vec();
            let flip = locate::in_segment_header(&mut block, computed, stored);
            return Err(match flip {
                Some((flip, _)) => {
                    let what = locate::changed(&block, flip);
                    damaged(path, at(flip.at), format!("{what}, in the segment's header"))
                }
                None => damaged(path, at(0), "segment's header does not match its checksum"),
            });
        }
    };
    let wrong = [
        (segment.number != header.number, 16, "segment number does not match the header block"),
        (segment.frontier.size() != header.first_index, 24, "first index does not match"),
        (segment.segment_bytes < header.raw_bytes, 104, "more bytes than the segment had"),
    ];
    match wrong.into_iter().find(|(is_wrong, ..)| *is_wrong) {
        Some((_, offset, what)) => Err(damaged(path, offset, what)),
        None => Ok((segment, crc)),
    }
}

/// Sizes of what follows the blocks.
struct Tail {
    blocks: usize,
    hashes: usize,
    note: usize,
    bytes: usize,
}

impl Tail {
    fn of(header: &SealedHeader) -> Self {
        let blocks = match header.form {
            Form::Sealed => header.blocks as usize,
            Form::Archived | Form::Gone { .. } => 0,
        };
        // Bounded: the header has no more entries than fit into a segment.
        let hashes = subtrees::levels(header.first_index, header.end()).count();
        let note = usize::from(header.note_bytes);
        let bytes = blocks * INDEX_ENTRY_BYTES + hashes * 32 + note + CHECKSUM_BYTES;
        Self { blocks, hashes, note, bytes }
    }

    #[expect(clippy::type_complexity, reason = "the three parts of a tail, for one caller")]
    fn read(
        &self,
        path: &Path,
        header: &SealedHeader,
        bytes: &[u8],
        tail_at: u64,
    ) -> Result<(Vec<IndexEntry>, Vec<Hash>, Vec<u8>), ClosedError> {
        let body = bytes.split_last_chunk::<CHECKSUM_BYTES>();
        let crc_fits =
            |(body, crc): &(&[u8], &[u8; 4])| crc32c::crc32c(body).to_le_bytes() == **crc;
        let Some((body, _)) = body.filter(crc_fits) else {
            let trial = |bytes: &[u8]| {
                bytes.last_chunk().is_some_and(|crc| {
                    let body = bytes.get(..bytes.len() - CHECKSUM_BYTES).unwrap_or_default();
                    crc32c::crc32c(body).to_le_bytes() == *crc
                })
            };
            return Err(match locate::in_checked(bytes, trial) {
                Some(flip) => {
                    let what = locate::changed(bytes, flip);
                    damaged(path, tail_at + flip.at as u64, format!("{what}, after the blocks"))
                }
                None => {
                    damaged(path, tail_at, "what follows the blocks does not match its checksum")
                }
            });
        };
        let mut fields = Fields(body);
        let short = || damaged(path, tail_at, "file is too short for its parts");
        let index: Vec<_> =
            (0..self.blocks).map_while(|_| IndexEntry::decode(&mut fields)).collect();
        let subtrees = (0..self.hashes).map_while(|_| fields.array()).collect();
        let note = fields.bytes(self.note).ok_or_else(short)?.to_vec();
        if header.form == Form::Sealed {
            check_index(&index, header, tail_at).map_err(|block| {
                damaged(path, tail_at, format!("block {block} of the index is not possible"))
            })?;
        }
        Ok((index, subtrees, note))
    }
}

/// Blocks must lie without gaps, and hold what the header says; `Err` is the first that does not.
fn check_index(index: &[IndexEntry], header: &SealedHeader, end: u64) -> Result<(), usize> {
    let (mut offset, mut raw, mut first) = (BLOCKS_OFFSET as u64, 0, header.first_index);
    for (number, entry) in index.iter().enumerate() {
        let is_possible = entry.offset == offset
            && (number > 0 || entry.first_index == header.first_index)
            && entry.first_index >= first
            && entry.first_index <= header.end()
            && entry.raw_bytes as usize <= BLOCK_BYTES_MAX
            && entry.stored_bytes as usize <= STORED_BYTES_MAX;
        if !is_possible {
            return Err(number);
        }
        offset += u64::from(entry.stored_bytes);
        raw += u64::from(entry.raw_bytes);
        first = entry.first_index;
    }
    match offset == end && raw + HEADER_BYTES as u64 == header.raw_bytes {
        true => Ok(()),
        false => Err(index.len()),
    }
}

/// Opens the blocks of one file.
pub(crate) struct Blocks {
    key: Option<DataKey>,
    context: Hash,
    decompressor: Decompressor<'static>,
}

impl fmt::Debug for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Blocks")
    }
}

impl Blocks {
    /// The frames of a block.
    pub(crate) fn read(&mut self, closed: &Closed, number: usize) -> Result<Vec<u8>, ClosedError> {
        let Closed { path, file, header, .. } = closed;
        let Some(entry) = closed.index.get(number) else {
            return Err(damaged(path, closed.file_bytes, format!("there is no block {number}")));
        };
        let mut stored = vec![0; entry.stored_bytes as usize];
        file.read_exact_at(&mut stored, entry.offset)
            .map_err(|source| ClosedError::Io { path: path.clone(), source })?;
        let computed = crc32c::crc32c(&stored);
        if computed != entry.crc {
            return Err(self.name_damage(closed, number, entry, &mut stored, computed));
        }
        let nonce = BlockNonce { segment: header.number, block: number as u32 };
        self.open(nonce, entry, &mut stored)
            .map_err(|what| damaged(path, entry.offset, format!("block {number} {what}")))
    }

    fn open(
        &mut self,
        nonce: BlockNonce,
        entry: &IndexEntry,
        stored: &mut [u8],
    ) -> Result<Vec<u8>, &'static str> {
        let packed = match &self.key {
            Some(key) => key
                .open(nonce, &self.context, stored)
                .ok_or("is not what was encrypted for this place")?,
            None => stored,
        };
        let raw_bytes = entry.raw_bytes as usize;
        // Never more than this many bytes, whatever the block claims.
        let raw = self.decompressor.decompress(packed, raw_bytes);
        let raw = raw.map_err(|_| "does not decompress to the bytes in the index")?;
        match raw.len() == raw_bytes {
            true => Ok(raw),
            false => Err("has fewer bytes than the index says"),
        }
    }

    /// Finds the one byte that was changed, if it was one: the block opens without the change.
    fn name_damage(
        &mut self,
        closed: &Closed,
        number: usize,
        entry: &IndexEntry,
        stored: &mut [u8],
        computed: u32,
    ) -> ClosedError {
        let nonce = BlockNonce { segment: closed.header.number, block: number as u32 };
        for flip in locate::explanations(computed, entry.crc, stored.len()).collect::<Vec<_>>() {
            let what = locate::changed(stored, flip);
            let mut trial = stored.to_vec();
            locate::toggle(&mut trial, flip);
            if self.open(nonce, entry, &mut trial).is_ok() {
                let offset = entry.offset + flip.at as u64;
                return damaged(&closed.path, offset, format!("{what}, in block {number}"));
            }
        }
        let what = format!("block {number} does not match its checksum");
        damaged(&closed.path, entry.offset, what)
    }
}
