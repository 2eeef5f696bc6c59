//! Frames: building one for a batch, reading one back with every length checked. The format is
//! in `segment.rs`.

use model::Timestamp;

use crate::fields::Fields;
use crate::zeros;
use tlog::tree::{self, Frontier, Hash};

/// Longest entry, in bytes: that of a C2SP entry bundle.
pub const ENTRY_BYTES_MAX: usize = 65_535;
/// Frames start at multiples of this: the smallest unit a disk writes.
pub(crate) const SECTOR_BYTES: usize = 512;
pub(crate) const FRAME_HEADER_BYTES: usize = 96;
const LENGTH_BYTES: usize = 4;
pub(crate) const CRC_OFFSET: usize = FRAME_HEADER_BYTES - 4;
const MAGIC: [u8; 4] = *b"GLFR";

/// Bytes that an entry takes in a frame.
pub(crate) fn stored_bytes(entry: &[u8]) -> usize {
    LENGTH_BYTES + entry.len()
}

/// The header of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) count: u32,
    pub(crate) body_bytes: u32,
    pub(crate) first_index: u64,
    pub(crate) time: Timestamp,
    pub(crate) segment: u64,
    pub(crate) offset: u32,
    pub(crate) prev_crc: u32,
    pub(crate) root_hash: Hash,
    pub(crate) body_crc: u32,
}

impl FrameHeader {
    /// Bytes of the whole frame.
    pub(crate) fn frame_bytes(&self) -> usize {
        (FRAME_HEADER_BYTES + self.body_bytes as usize).next_multiple_of(SECTOR_BYTES)
    }

    /// The header, and its checksum.
    fn encode(&self) -> (Vec<u8>, u32) {
        let mut bytes = Vec::with_capacity(FRAME_HEADER_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&self.count.to_le_bytes());
        bytes.extend_from_slice(&self.body_bytes.to_le_bytes());
        bytes.extend_from_slice(&(self.frame_bytes() as u32).to_le_bytes());
        bytes.extend_from_slice(&self.first_index.to_le_bytes());
        bytes.extend_from_slice(&self.time.as_micros().to_le_bytes());
        bytes.extend_from_slice(&self.segment.to_le_bytes());
        bytes.extend_from_slice(&self.offset.to_le_bytes());
        bytes.extend_from_slice(&self.prev_crc.to_le_bytes());
        bytes.extend_from_slice(&self.root_hash);
        bytes.extend_from_slice(&self.body_crc.to_le_bytes());
        bytes.resize(CRC_OFFSET, 0);
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        (bytes, crc)
    }

    /// Reads the header, and its checksum, that `bytes` of a segment begin with, `offset` bytes
    /// from the segment's start.
    pub(crate) fn read(bytes: &[u8], offset: usize) -> Result<(Self, u32), FrameFault> {
        let Some((bytes, stored)) = bytes
            .first_chunk::<FRAME_HEADER_BYTES>()
            .and_then(|bytes| Some((bytes, u32::from_le_bytes(*bytes.last_chunk()?))))
        else {
            return Err(FrameFault::Zero);
        };
        if zeros::is_zero(bytes) {
            return Err(FrameFault::Zero);
        }
        let computed = crc32c::crc32c(bytes.get(..CRC_OFFSET).unwrap_or_default());
        if stored != computed {
            return Err(FrameFault::Header { computed, stored });
        }
        let foreign = FrameFault::Content { offset, what: "frame header is not of this format" };
        Self::decode(bytes).map(|header| (header, stored)).ok_or(foreign)
    }

    /// Fields of a header whose checksum is right.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        fields.array().filter(|magic| *magic == MAGIC)?;
        let (count, body_bytes, _frame_bytes) = (fields.u32()?, fields.u32()?, fields.u32()?);
        let header = Self {
            count,
            body_bytes,
            first_index: fields.u64()?,
            time: Timestamp::from_micros(fields.u64()?),
            segment: fields.u64()?,
            offset: fields.u32()?,
            prev_crc: fields.u32()?,
            root_hash: fields.array()?,
            body_crc: fields.u32()?,
        };
        // Encoding again shows that the frame's length and the zero part are right.
        (header.encode().0 == bytes).then_some(header)
    }
}

/// A frame in the making: its header's place, then entries as they are appended.
#[derive(Debug)]
pub(crate) struct FrameBuilder {
    bytes: Vec<u8>,
    count: u32,
}

impl FrameBuilder {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; FRAME_HEADER_BYTES], count: 0 }
    }

    pub(crate) fn push(&mut self, entry: &[u8]) {
        self.bytes.extend_from_slice(&(entry.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(entry);
        self.count += 1;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn body_bytes(&self) -> usize {
        self.bytes.len().saturating_sub(FRAME_HEADER_BYTES)
    }

    /// Bytes of the frame once it is padded.
    pub(crate) fn frame_bytes(&self) -> usize {
        self.bytes.len().next_multiple_of(SECTOR_BYTES)
    }

    /// Pads, fills in lengths and checksums; returns the frame and its header's checksum.
    pub(crate) fn finish(&mut self, mut header: FrameHeader) -> (&[u8], u32) {
        header.count = self.count;
        header.body_bytes = self.body_bytes() as u32;
        self.bytes.resize(self.frame_bytes(), 0);
        header.body_crc = crc32c::crc32c(self.bytes.get(FRAME_HEADER_BYTES..).unwrap_or_default());
        let (encoded, crc) = header.encode();
        for (place, byte) in self.bytes.iter_mut().zip(encoded) {
            *place = byte;
        }
        (&self.bytes, crc)
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.truncate(FRAME_HEADER_BYTES);
        self.count = 0;
    }
}

/// A frame read back: checksums right, lengths consistent.
#[derive(Clone, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) header: FrameHeader,
    pub(crate) crc: u32,
    body: &'a [u8],
}

/// Why there is no whole frame at an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FrameFault {
    /// The header's place is zero: nothing was written here.
    Zero,
    /// The header's checksum does not match.
    Header { computed: u32, stored: u32 },
    /// The checksum of body and padding does not match.
    Body { header: Box<FrameHeader>, computed: u32 },
    /// The checksums match, the content is not what it has to be: offset in the file, and why.
    Content { offset: usize, what: &'static str },
}

impl<'a> Frame<'a> {
    /// Reads the frame at `offset` of a segment.
    pub(crate) fn read(segment: &'a [u8], offset: usize) -> Result<Self, FrameFault> {
        let content = |offset, what| FrameFault::Content { offset, what };
        let rest = segment.get(offset..).unwrap_or_default();
        let (header, stored) = FrameHeader::read(rest, offset)?;
        let frame = rest
            .get(..header.frame_bytes())
            .ok_or(content(offset + 12, "frame reaches beyond its segment"))?;
        let (_, padded) = frame.split_at_checked(FRAME_HEADER_BYTES).unwrap_or_default();
        let computed = crc32c::crc32c(padded);
        if header.body_crc != computed {
            return Err(FrameFault::Body { header: Box::new(header), computed });
        }
        let body_at = offset + FRAME_HEADER_BYTES;
        let (body, padding) = padded
            .split_at_checked(header.body_bytes as usize)
            .ok_or(content(offset + 8, "body reaches beyond its frame"))?;
        if let Some(place) = zeros::first_nonzero(padding) {
            return Err(content(body_at + body.len() + place, "padding is not zero"));
        }
        let frame = Self { header, crc: stored, body };
        if frame.entries().count() != frame.header.count as usize
            || frame.entries().map(stored_bytes).sum::<usize>() != body.len()
        {
            return Err(content(offset + 4, "entries do not fill the body"));
        }
        Ok(frame)
    }

    /// The entries, in order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut fields = Fields(self.body);
        std::iter::from_fn(move || {
            let length = fields.u32()? as usize;
            (length <= ENTRY_BYTES_MAX).then_some(())?;
            fields.bytes(length)
        })
    }
}

/// Where a ledger stands after a frame, and so what the next one has to be.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(crate) segment: u64,
    pub(crate) prev_crc: u32,
    pub(crate) frontier: Frontier,
}

impl Chain {
    /// Number of the segment, and index of the next entry.
    pub(crate) fn place(&self) -> (u64, u64) {
        (self.segment, self.frontier.size())
    }

    /// Reads the frame at `offset`, and takes it in if it continues the chain.
    pub(crate) fn read<'a>(
        &mut self,
        segment: &'a [u8],
        offset: usize,
    ) -> Result<Frame<'a>, FrameFault> {
        let frame = Frame::read(segment, offset)?;
        let header = &frame.header;
        let wrong = |at, what| Err(FrameFault::Content { offset: offset + at, what });
        if header.first_index != self.frontier.size() {
            return wrong(16, "index of the first entry does not follow the frame before");
        }
        if header.segment != self.segment {
            return wrong(32, "frame belongs to another segment");
        }
        if header.offset as usize != offset {
            return wrong(40, "frame belongs to another place");
        }
        if header.prev_crc != self.prev_crc {
            return wrong(44, "frame does not follow the one before");
        }
        let mut frontier = self.frontier.clone();
        frame.entries().for_each(|entry| frontier.push(tree::leaf_hash(entry)));
        if header.root_hash != frontier.root() {
            return wrong(48, "entries do not give the root hash in the frame");
        }
        self.frontier = frontier;
        self.prev_crc = frame.crc;
        Ok(frame)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

    use proptest::prelude::*;

    use super::*;

    fn frame(entries: &[Vec<u8>]) -> Vec<u8> {
        let mut builder = FrameBuilder::new();
        entries.iter().for_each(|entry| builder.push(entry));
        let header = FrameHeader {
            count: 0,
            body_bytes: 0,
            first_index: 5,
            time: Timestamp::from_secs(1),
            segment: 2,
            offset: 0,
            prev_crc: 7,
            root_hash: [1; 32],
            body_crc: 0,
        };
        builder.finish(header).0.to_vec()
    }

    /// Makes both checksums right, where the lengths allow.
    fn forge(bytes: &mut [u8]) {
        let body = crc32c::crc32c(bytes.get(FRAME_HEADER_BYTES..).unwrap());
        bytes.get_mut(80..84).unwrap().copy_from_slice(&body.to_le_bytes());
        let header = crc32c::crc32c(bytes.get(..CRC_OFFSET).unwrap());
        bytes.get_mut(CRC_OFFSET..96).unwrap().copy_from_slice(&header.to_le_bytes());
    }

    fn entries() -> impl Strategy<Value = Vec<Vec<u8>>> {
        prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..20)
    }

    proptest! {
        #[test]
        fn a_frame_reads_as_it_was_written(entries in entries()) {
            let bytes = frame(&entries);
            prop_assert!(bytes.len().is_multiple_of(SECTOR_BYTES));
            let read = Frame::read(&bytes, 0).unwrap();
            prop_assert_eq!(read.entries().map(<[u8]>::to_vec).collect::<Vec<_>>(), entries);
            prop_assert_eq!(read.header.frame_bytes(), bytes.len());
        }

        /// A forger gets the checksums right; lengths are checked all the same.
        #[test]
        fn forged_frames_never_panic(
            entries in entries(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = frame(&entries);
            for (at, byte) in changes {
                // Mostly in the header and the first lengths.
                *bytes.get_mut(at.index(128)).unwrap() = byte;
            }
            forge(&mut bytes);
            if let Ok(read) = Frame::read(&bytes, 0) {
                prop_assert_eq!(read.entries().count(), read.header.count as usize);
            }
            let cut = cut.index(bytes.len());
            prop_assert!(Frame::read(bytes.get(..cut).unwrap(), 0).is_err());
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>, offset in 0usize..5000) {
            prop_assert!(Frame::read(&bytes, offset).is_err());
        }
    }
}
