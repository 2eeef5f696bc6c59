//! The format of a closed segment, version 1, and its header.
//!
//! A segment that the writer has left is closed: its file `segment-0000000000.log` is replaced by
//! one of these, of the same number. All three forms have the same layout.
//!
//! | name | form | holds |
//! |---|---|---|
//! | `segment-0000000000.sealed` | 1 | the entries, compressed and encrypted |
//! | `segment-0000000000.archived` | 2 | no entries: the sealed file lies in the archive's folder |
//! | `segment-0000000000.gone` | 3 | no entries: they were removed after their term |
//!
//! Numbers are little-endian, hashes and digests SHA-256, checksums CRC-32C (Castagnoli).
//!
//! | part | bytes |
//! |---|---|
//! | header | 512 |
//! | header block of the segment, as it was, see `segment.rs` | 4,096 |
//! | blocks, without gaps; none in forms 2 and 3 | |
//! | index: 28 for each block; none in forms 2 and 3 | |
//! | subtrees: 32 for each hash | |
//! | note | as in the header |
//! | checksum of index, subtrees and note | 4 |
//!
//! # Header
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | `GLSEALED` |
//! | 8 | 2 | format version, 1 |
//! | 10 | 1 | form |
//! | 11 | 1 | codec of the blocks: 1, Zstandard |
//! | 12 | 1 | cipher of the blocks: 0, none; 1, AES-256-GCM |
//! | 13 | 1 | bytes of the key id; 0 without cipher |
//! | 14 | 2 | bytes of the note |
//! | 16 | 8 | segment number |
//! | 24 | 8 | index of the first entry |
//! | 32 | 8 | number of entries |
//! | 40 | 8 | tree size after the last entry |
//! | 48 | 32 | root hash at that size |
//! | 80 | 8 | time of the first frame, microseconds since 1970; of creation if there is none |
//! | 88 | 8 | latest time of a frame, likewise |
//! | 96 | 8 | until when the entries are to be kept, likewise; all bits set: for ever |
//! | 104 | 8 | bytes of the segment up to the end of its last frame |
//! | 112 | 32 | digest of these bytes |
//! | 144 | 4 | number of blocks in the sealed file |
//! | 148 | 4 | checksum in the header of the last frame; in the header block if there is none |
//! | 152 | 8 | form 3: index of the entry that records the removal; else 0 |
//! | 160 | 64 | id of the key-encryption key, then zeros |
//! | 224 | 12 | nonce of the wrapped data key |
//! | 236 | 48 | data key of the segment under that key, AES-256-GCM with tag |
//! | 284 | 224 | zero |
//! | 508 | 4 | checksum of all before |
//!
//! The data key is random, made for one file. It is wrapped with `giaolien sealed segment v1`, a
//! zero byte, key id and segment number (8 bytes) as associated data.
//!
//! # Blocks, index, subtrees, note
//!
//! A block is a run of whole frames, of at most 256 KiB unless one frame is longer, compressed,
//! then encrypted with its tag at the end: nonce is the segment number (8 bytes) and the block's
//! number from 0 (4 bytes), associated data is the digest of header and header block.
//!
//! The index has for each block: its offset in the file (8), index of its first entry (8), its
//! bytes (4), bytes of its frames (4), checksum of its bytes as stored (4).
//!
//! The subtrees cover the entries from left to right, as in `subtrees.rs`; with the frontier in
//! the header block they give the root hash. The note is a checkpoint of the ledger for tree size
//! and root hash in the header, as a C2SP signed note: it makes a sealed file evidence by itself.
//!
//! A reader refuses a version, form, codec or cipher it does not know.

use model::Timestamp;
use tlog::note::NOTE_BYTES_MAX;
use tlog::tree::Hash;

use crate::fields::Fields;
use crate::keys::{KEY_ID_BYTES_MAX, WRAP_NONCE_BYTES, WRAPPED_BYTES, Wrapped, is_key_id};
use crate::segment::{FIRST_INDEX_MAX, HEADER_BYTES, SEGMENT_BYTES_MAX};

pub(crate) const SEALED_HEADER_BYTES: usize = 512;
/// Where the blocks begin.
pub(crate) const BLOCKS_OFFSET: usize = SEALED_HEADER_BYTES + HEADER_BYTES;
pub(crate) const INDEX_ENTRY_BYTES: usize = 28;
pub(crate) const CHECKSUM_BYTES: usize = 4;
/// Frames of one block, in bytes, unless one frame is longer.
pub(crate) const BLOCK_BYTES: usize = 256 << 10;
/// Frames of any block, in bytes, at most: more than the longest frame that a writer makes.
pub(crate) const BLOCK_BYTES_MAX: usize = 2 << 20;
/// A block as stored, at most: what does not compress grows a little.
pub(crate) const STORED_BYTES_MAX: usize = BLOCK_BYTES_MAX + (64 << 10);
const MAGIC: [u8; 8] = *b"GLSEALED";
const VERSION: u16 = 1;
const CODEC_ZSTD: u8 = 1;
const CIPHER_NONE: u8 = 0;
const CIPHER_AES_256_GCM: u8 = 1;
const KEY_ID_OFFSET: usize = 160;
const CRC_OFFSET: usize = SEALED_HEADER_BYTES - CHECKSUM_BYTES;

/// What a closed segment's file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// The entries.
    Sealed,
    /// Nothing but hashes; the entries are in the archive.
    Archived,
    /// Nothing but hashes; the entry at this index says that the entries were removed.
    Gone { recorded: u64 },
}

/// The header of a closed segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SealedHeader {
    pub(crate) form: Form,
    pub(crate) number: u64,
    pub(crate) first_index: u64,
    pub(crate) count: u64,
    pub(crate) root_hash: Hash,
    pub(crate) earliest: Timestamp,
    pub(crate) latest: Timestamp,
    pub(crate) keep_until: Timestamp,
    pub(crate) raw_bytes: u64,
    pub(crate) raw_digest: Hash,
    pub(crate) blocks: u32,
    pub(crate) last_crc: u32,
    /// The data key, if the blocks are encrypted.
    pub(crate) wrapped: Option<Wrapped>,
    pub(crate) note_bytes: u16,
}

impl SealedHeader {
    /// Tree size after the last entry.
    pub(crate) fn end(&self) -> u64 {
        self.first_index.saturating_add(self.count)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let (form, recorded) = match self.form {
            Form::Sealed => (1, 0),
            Form::Archived => (2, 0),
            Form::Gone { recorded } => (3, recorded),
        };
        let wrapped = self.wrapped.as_ref();
        let key_id = wrapped.map_or("", |wrapped| &wrapped.key_id);
        let cipher = if wrapped.is_some() { CIPHER_AES_256_GCM } else { CIPHER_NONE };
        let mut bytes = Vec::with_capacity(SEALED_HEADER_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[form, CODEC_ZSTD, cipher, key_id.len() as u8]);
        bytes.extend_from_slice(&self.note_bytes.to_le_bytes());
        bytes.extend_from_slice(&self.number.to_le_bytes());
        bytes.extend_from_slice(&self.first_index.to_le_bytes());
        bytes.extend_from_slice(&self.count.to_le_bytes());
        bytes.extend_from_slice(&self.end().to_le_bytes());
        bytes.extend_from_slice(&self.root_hash);
        for time in [self.earliest, self.latest, self.keep_until] {
            bytes.extend_from_slice(&time.as_micros().to_le_bytes());
        }
        bytes.extend_from_slice(&self.raw_bytes.to_le_bytes());
        bytes.extend_from_slice(&self.raw_digest);
        bytes.extend_from_slice(&self.blocks.to_le_bytes());
        bytes.extend_from_slice(&self.last_crc.to_le_bytes());
        bytes.extend_from_slice(&recorded.to_le_bytes());
        bytes.extend_from_slice(key_id.as_bytes());
        bytes.resize(KEY_ID_OFFSET + KEY_ID_BYTES_MAX, 0);
        if let Some(wrapped) = wrapped {
            bytes.extend_from_slice(&wrapped.nonce);
            bytes.extend_from_slice(&wrapped.bytes);
        }
        bytes.resize(CRC_OFFSET, 0);
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header; `Err` tells the offset of what is not of this format, and what it is.
    pub(crate) fn read(file: &[u8]) -> Result<Self, (usize, &'static str)> {
        let bytes = file.get(..SEALED_HEADER_BYTES).ok_or((file.len(), "file is too short"))?;
        if !bytes.starts_with(&MAGIC) {
            return Err((0, "magic is not that of a closed segment"));
        }
        let (body, stored) = bytes.split_at_checked(CRC_OFFSET).unwrap_or_default();
        if stored != crc32c::crc32c(body).to_le_bytes() {
            return Err((0, "header does not match its checksum"));
        }
        let header = Self::decode(bytes)?;
        // Encoding again shows that all that has to be zero is.
        match header.encode() == bytes {
            true => Ok(header),
            false => Err((CRC_OFFSET, "header is not written as it has to be")),
        }
    }

    fn decode(bytes: &[u8]) -> Result<Self, (usize, &'static str)> {
        let short = (0, "header is too short");
        let mut fields = Fields(bytes.get(MAGIC.len()..).ok_or(short)?);
        if fields.u16() != Some(VERSION) {
            return Err((8, "format version is not known"));
        }
        let form = fields.u8().ok_or(short)?;
        if fields.u8() != Some(CODEC_ZSTD) {
            return Err((11, "codec is not known"));
        }
        let cipher = fields.u8().ok_or(short)?;
        let key_id_bytes = usize::from(fields.u8().ok_or(short)?);
        let note_bytes = fields.u16().ok_or(short)?;
        let mut number = || fields.u64().ok_or(short);
        let (segment, first_index, count, end) = (number()?, number()?, number()?, number()?);
        let root_hash = fields.array().ok_or(short)?;
        let mut time = || fields.u64().map(Timestamp::from_micros).ok_or(short);
        let (earliest, latest, keep_until) = (time()?, time()?, time()?);
        let raw_bytes = fields.u64().ok_or(short)?;
        let raw_digest = fields.array().ok_or(short)?;
        let (blocks, last_crc) = (fields.u32().ok_or(short)?, fields.u32().ok_or(short)?);
        let form = match (form, fields.u64().ok_or(short)?) {
            (1, 0) => Form::Sealed,
            (2, 0) => Form::Archived,
            (3, recorded) => Form::Gone { recorded },
            _ => return Err((10, "form is not known")),
        };
        let wrapped = read_wrapped(&mut fields, cipher, key_id_bytes)?;
        let bounds = [
            (first_index > FIRST_INDEX_MAX, 24, "first index is too large"),
            // Each entry takes at least the bytes of its length.
            (count > raw_bytes / 4, 32, "more entries than fit into the segment"),
            (end != first_index.saturating_add(count), 40, "tree size does not fit the entries"),
            (raw_bytes < HEADER_BYTES as u64, 104, "segment is shorter than its header block"),
            (raw_bytes > SEGMENT_BYTES_MAX, 104, "segment is longer than allowed"),
            (u64::from(blocks) > raw_bytes / 512, 144, "more blocks than fit into the segment"),
            (usize::from(note_bytes) > NOTE_BYTES_MAX, 14, "note is longer than allowed"),
        ];
        match bounds.into_iter().find(|(is_wrong, ..)| *is_wrong) {
            Some((_, offset, what)) => Err((offset, what)),
            None => Ok(Self {
                form,
                number: segment,
                first_index,
                count,
                root_hash,
                earliest,
                latest,
                keep_until,
                raw_bytes,
                raw_digest,
                blocks,
                last_crc,
                wrapped,
                note_bytes,
            }),
        }
    }
}

fn read_wrapped(
    fields: &mut Fields<'_>,
    cipher: u8,
    key_id_bytes: usize,
) -> Result<Option<Wrapped>, (usize, &'static str)> {
    let short = (KEY_ID_OFFSET, "header is too short");
    let id: [u8; KEY_ID_BYTES_MAX] = fields.array().ok_or(short)?;
    let nonce: [u8; WRAP_NONCE_BYTES] = fields.array().ok_or(short)?;
    let bytes: [u8; WRAPPED_BYTES] = fields.array().ok_or(short)?;
    match cipher {
        CIPHER_NONE => Ok(None),
        CIPHER_AES_256_GCM => {
            let id = id.get(..key_id_bytes).and_then(|id| std::str::from_utf8(id).ok());
            let id = id.filter(|id| is_key_id(id)).ok_or((KEY_ID_OFFSET, "key id is not one"))?;
            Ok(Some(Wrapped { key_id: id.to_owned(), nonce, bytes }))
        }
        _ => Err((12, "cipher is not known")),
    }
}

/// Where a block is, and what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    pub(crate) offset: u64,
    pub(crate) first_index: u64,
    pub(crate) stored_bytes: u32,
    pub(crate) raw_bytes: u32,
    pub(crate) crc: u32,
}

impl IndexEntry {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.first_index.to_le_bytes());
        out.extend_from_slice(&self.stored_bytes.to_le_bytes());
        out.extend_from_slice(&self.raw_bytes.to_le_bytes());
        out.extend_from_slice(&self.crc.to_le_bytes());
    }

    pub(crate) fn decode(fields: &mut Fields<'_>) -> Option<Self> {
        Some(Self {
            offset: fields.u64()?,
            first_index: fields.u64()?,
            stored_bytes: fields.u32()?,
            raw_bytes: fields.u32()?,
            crc: fields.u32()?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

    use proptest::prelude::*;

    use super::*;

    fn header(form: Form, encrypted: bool) -> SealedHeader {
        let wrapped = Wrapped { key_id: "2026-a".into(), nonce: [3; 12], bytes: [4; 48] };
        SealedHeader {
            form,
            number: 7,
            first_index: 1000,
            count: 20,
            root_hash: [1; 32],
            earliest: Timestamp::from_secs(1),
            latest: Timestamp::from_secs(2),
            keep_until: Timestamp::MAX,
            raw_bytes: 10_000,
            raw_digest: [2; 32],
            blocks: 3,
            last_crc: 9,
            wrapped: encrypted.then_some(wrapped),
            note_bytes: 200,
        }
    }

    #[test]
    fn a_header_reads_as_it_was_written() {
        for form in [Form::Sealed, Form::Archived, Form::Gone { recorded: 2000 }] {
            for encrypted in [false, true] {
                let header = header(form, encrypted);
                assert_eq!(SealedHeader::read(&header.encode()), Ok(header));
            }
        }
    }

    proptest! {
        /// A forger gets the checksum right, and nothing else.
        #[test]
        fn forged_headers_never_panic(at in 0..CRC_OFFSET, byte: u8, cut in 0..512usize) {
            let mut bytes = header(Form::Sealed, true).encode();
            let whole = bytes.clone();
            *bytes.get_mut(at).unwrap() = byte;
            let crc = crc32c::crc32c(bytes.get(..CRC_OFFSET).unwrap());
            bytes.truncate(CRC_OFFSET);
            bytes.extend_from_slice(&crc.to_le_bytes());
            match SealedHeader::read(&bytes) {
                Ok(header) => prop_assert_eq!(header.encode(), bytes.clone()),
                Err(_) => prop_assert_ne!(&bytes, &whole),
            }
            prop_assert!(SealedHeader::read(bytes.get(..cut).unwrap()).is_err());
        }
    }
}
