//! The format of a segment file, version 1, and its header block.
//!
//! A ledger folder holds segments `segment-0000000000.log`, `segment-0000000001.log`, … of a fixed
//! length. Each is written with zeros ahead of time; frames then follow the header block without
//! gaps, and the rest stays zero. A segment whose header block is zero is not in use yet. Numbers
//! are little-endian, hashes SHA-256, checksums CRC-32C (Castagnoli).
//!
//! # Header block
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | `GLSEGMNT` |
//! | 8 | 2 | format version, 1 |
//! | 10 | 2 | bytes of the origin |
//! | 12 | 4 | checksum of the header of the last frame before this segment; of the last segment's header block if that has no frame; 0 in the first segment |
//! | 16 | 8 | segment number |
//! | 24 | 8 | bytes of the segment |
//! | 32 | 8 | index of the first entry |
//! | 40 | 8 | time of creation, microseconds since 1970 |
//! | 48 | 32 | Ed25519 public key that receipts and checkpoints are signed with |
//! | 80 | 1 | algorithm of that key as in C2SP signed notes, 1 |
//! | 81 | 1 | number of frontier hashes |
//! | 82 | 14 | zero |
//! | 96 | 256 | origin, then zeros |
//! | 352 | 2,048 | frontier before the first entry: roots of the perfect subtrees, largest first, then zeros |
//! | 2,400 | 1,692 | zero |
//! | 4,092 | 4 | checksum of all before |
//!
//! # Frame
//!
//! What one sync made durable. Padded to sectors, so that a later write never touches a sector
//! that holds acknowledged entries.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | `GLFR` |
//! | 4 | 4 | number of entries |
//! | 8 | 4 | bytes of the body |
//! | 12 | 4 | bytes of the frame: header, body and padding, a multiple of 512 |
//! | 16 | 8 | index of the first entry |
//! | 24 | 8 | time of the write, microseconds since 1970 |
//! | 32 | 8 | segment number |
//! | 40 | 4 | offset of the frame in the segment |
//! | 44 | 4 | checksum of the header of the frame before; of the header block for the first frame |
//! | 48 | 32 | root hash of the tree after the last entry |
//! | 80 | 4 | checksum of body and padding |
//! | 84 | 8 | zero |
//! | 92 | 4 | checksum of the 92 bytes before |
//! | 96 | | body: per entry its length in 4 bytes, then its bytes |
//! | | | zeros up to the frame's length |
//!
//! An entry has at most 65,535 bytes. A reader refuses a version it does not know.

use model::Timestamp;

use crate::fields::Fields;
use crate::zeros;
use tlog::sign::{Origin, VerifyingKey};
use tlog::tree::{FRONTIER_HASHES_MAX, Frontier};

/// Smallest segment: the header block, and a frame with one entry of any allowed length.
pub const SEGMENT_BYTES_MIN: u64 = 128 << 10;
/// Largest segment; a reader holds one in memory.
pub const SEGMENT_BYTES_MAX: u64 = 256 << 20;
pub(crate) const HEADER_BYTES: usize = 4096;
/// No ledger gets there; keeps sums of a forged header from overflowing.
pub(crate) const FIRST_INDEX_MAX: u64 = 1 << 62;
const VERSION: u16 = 1;
pub(crate) const MAGIC: [u8; 8] = *b"GLSEGMNT";
const ALGORITHM_ED25519: u8 = 1;
const ORIGIN_OFFSET: usize = 96;
const FRONTIER_OFFSET: usize = 352;
pub(crate) const CRC_OFFSET: usize = HEADER_BYTES - 4;

/// The header block of a segment in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) number: u64,
    pub(crate) segment_bytes: u64,
    pub(crate) created: Timestamp,
    pub(crate) key: VerifyingKey,
    pub(crate) prev_crc: u32,
    /// Before the first entry; its size is the first entry's index.
    pub(crate) frontier: Frontier,
}

/// What the first block of a segment turned out to be.
#[derive(Debug)]
pub(crate) enum HeaderBlock {
    /// All zero: prepared, not in use.
    Zero,
    /// In use. The checksum is the first link of the chain of frames.
    Whole { header: Box<SegmentHeader>, crc: u32 },
    /// The checksum does not match.
    Broken { computed: u32, stored: u32 },
    /// The checksum matches, the content is not of this format.
    Foreign { offset: usize, what: String },
}

/// Whether a length can be a segment's.
pub(crate) fn is_segment_length(bytes: u64) -> bool {
    (SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&bytes) && bytes.is_multiple_of(4096)
}

impl SegmentHeader {
    /// The block, and its checksum.
    pub(crate) fn encode(&self) -> (Vec<u8>, u32) {
        let origin = self.key.origin().as_str().as_bytes();
        let mut block = Vec::with_capacity(HEADER_BYTES);
        block.extend_from_slice(&MAGIC);
        block.extend_from_slice(&VERSION.to_le_bytes());
        block.extend_from_slice(&(origin.len() as u16).to_le_bytes());
        block.extend_from_slice(&self.prev_crc.to_le_bytes());
        block.extend_from_slice(&self.number.to_le_bytes());
        block.extend_from_slice(&self.segment_bytes.to_le_bytes());
        block.extend_from_slice(&self.frontier.size().to_le_bytes());
        block.extend_from_slice(&self.created.as_micros().to_le_bytes());
        block.extend_from_slice(self.key.public());
        block.push(ALGORITHM_ED25519);
        block.push(self.frontier.hashes().len() as u8);
        block.resize(ORIGIN_OFFSET, 0);
        block.extend_from_slice(origin);
        block.resize(FRONTIER_OFFSET, 0);
        block.extend(self.frontier.hashes().iter().flatten());
        block.resize(CRC_OFFSET, 0);
        let crc = crc32c::crc32c(&block);
        block.extend_from_slice(&crc.to_le_bytes());
        (block, crc)
    }

    /// Fields of a block whose checksum is right; `Err` tells the offset of what is not.
    fn decode(block: &[u8]) -> Result<Self, (usize, &'static str)> {
        let short = (0, "header block");
        let mut fields = Fields(block);
        if fields.array() != Some(MAGIC) {
            return Err((0, "magic"));
        }
        if fields.u16() != Some(VERSION) {
            return Err((8, "format version"));
        }
        let origin_bytes = fields.u16().ok_or(short)?;
        let prev_crc = fields.u32().ok_or(short)?;
        let number = fields.u64().ok_or(short)?;
        let segment_bytes = fields.u64().ok_or(short)?;
        let first_index = fields.u64().ok_or(short)?;
        let created = Timestamp::from_micros(fields.u64().ok_or(short)?);
        let public = fields.array().ok_or(short)?;
        if fields.u8() != Some(ALGORITHM_ED25519) {
            return Err((80, "key algorithm"));
        }
        let hashes = usize::from(fields.u8().ok_or(short)?);
        let origin = block.get(ORIGIN_OFFSET..).and_then(|rest| rest.get(..origin_bytes.into()));
        let origin = origin.and_then(|bytes| std::str::from_utf8(bytes).ok());
        let origin: Origin =
            origin.and_then(|text| text.parse().ok()).ok_or((ORIGIN_OFFSET, "origin"))?;
        let mut fields = Fields(block.get(FRONTIER_OFFSET..).ok_or(short)?);
        let stored = (0..hashes.min(FRONTIER_HASHES_MAX)).map_while(|_| fields.array()).collect();
        let frontier = Frontier::from_parts(first_index, stored)
            .filter(|frontier| frontier.size() <= FIRST_INDEX_MAX)
            .ok_or((81, "frontier"))?;
        let key = VerifyingKey::new(origin, public);
        Ok(Self { number, segment_bytes, created, key, prev_crc, frontier })
    }
}

impl HeaderBlock {
    /// Reads the first block of a segment file.
    pub(crate) fn read(segment: &[u8]) -> Self {
        let Some((block, stored)) = segment
            .first_chunk::<HEADER_BYTES>()
            .and_then(|block| Some((block, block.last_chunk::<4>()?)))
        else {
            return Self::Foreign { offset: segment.len(), what: "file is too short".into() };
        };
        if zeros::is_zero(block) {
            return Self::Zero;
        }
        let stored = u32::from_le_bytes(*stored);
        let computed = crc32c::crc32c(block.get(..CRC_OFFSET).unwrap_or_default());
        if stored != computed {
            return Self::Broken { computed, stored };
        }
        let foreign = |offset, what: &str| Self::Foreign {
            offset,
            what: format!("{what} of the segment's header is not of this format"),
        };
        match SegmentHeader::decode(block) {
            // Encoding again shows that all that has to be zero is.
            Ok(header) if header.encode().0 == block => {
                Self::Whole { header: Box::new(header), crc: computed }
            }
            Ok(_) => foreign(82, "zero part"),
            Err((offset, what)) => foreign(offset, what),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

    use proptest::prelude::*;

    use super::*;
    use tlog::tree;

    fn header(entries: u64) -> SegmentHeader {
        let mut frontier = Frontier::new();
        (0..entries).for_each(|n| frontier.push(tree::leaf_hash(&n.to_le_bytes())));
        let key = VerifyingKey::new("ledger.example.vn".parse().unwrap(), [9; 32]);
        let created = Timestamp::from_secs(1);
        let segment_bytes = SEGMENT_BYTES_MIN;
        SegmentHeader { number: 3, segment_bytes, created, key, prev_crc: 7, frontier }
    }

    #[test]
    fn a_header_reads_as_it_was_written() {
        for entries in [0, 1, 2, 3, 100, 255] {
            let (block, crc) = header(entries).encode();
            match HeaderBlock::read(&block) {
                HeaderBlock::Whole { header: read, crc: stored } => {
                    assert_eq!((*read, stored), (header(entries), crc));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    proptest! {
        /// A forger gets the checksum right, and nothing else.
        #[test]
        fn forged_headers_never_panic(at in 0..CRC_OFFSET, byte: u8, len in 0..=HEADER_BYTES) {
            let (mut block, _) = header(100).encode();
            let whole = block.clone();
            *block.get_mut(at).unwrap() = byte;
            let crc = crc32c::crc32c(block.get(..CRC_OFFSET).unwrap());
            block.truncate(CRC_OFFSET);
            block.extend_from_slice(&crc.to_le_bytes());
            match HeaderBlock::read(&block) {
                HeaderBlock::Whole { header, .. } => prop_assert_eq!(&header.encode().0, &block),
                _ => prop_assert_ne!(&block, &whole),
            }
            HeaderBlock::read(block.get(..len).unwrap());
        }
    }
}
