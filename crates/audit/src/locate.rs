//! Which byte was changed: from a checksum or signature that does not match to the one byte that
//! explains it.
//!
//! CRC-32C is linear: the checksums of two texts that differ in one byte differ by that change
//! pushed through the register once for each byte after it. Walking the register backwards from
//! the difference of the checksums gives, at each distance, the change that would explain it; it
//! is an explanation if it fits in a byte. In long texts there may be a few; a caller tries each.

use crate::frame::{CRC_OFFSET as FRAME_CRC_OFFSET, Chain, FRAME_HEADER_BYTES, FrameFault};
use crate::segment::{CRC_OFFSET as SEGMENT_CRC_OFFSET, HeaderBlock, SegmentHeader};
use tlog::note::{Checkpoint, Note};
use tlog::sign::VerifyingKey;

/// CRC-32C's polynomial, lowest power in the highest bit.
const POLYNOMIAL: u32 = 0x82f6_3b78;
/// Longest note searched for a changed byte; a checkpoint has some 200 bytes.
const NOTE_BYTES_MAX: usize = 1024;

/// A changed byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flip {
    /// Its place, in bytes from the start of what was searched.
    pub(crate) at: usize,
    /// Exclusive or of what it is and what it was.
    pub(crate) change: u8,
}

/// All single bytes whose change explains that `bytes` bytes have another checksum than stored.
pub(crate) fn explanations(computed: u32, stored: u32, bytes: usize) -> impl Iterator<Item = Flip> {
    let mut register = computed ^ stored;
    (0..bytes).rev().filter_map(move |at| {
        register = (0..8).fold(register, |register, _| back_one_bit(register));
        u8::try_from(register).ok().map(|change| Flip { at, change })
    })
}

/// The inverse of one step of the register.
fn back_one_bit(register: u32) -> u32 {
    // The highest bit is set exactly if the polynomial was added in this step.
    match register >> 31 {
        0 => register << 1,
        _ => ((register ^ POLYNOMIAL) << 1) | 1,
    }
}

/// The change in a stored checksum itself, if one byte of it explains the difference.
fn in_checksum(computed: u32, stored: u32, checksum_at: usize) -> Option<Flip> {
    let changes = (computed ^ stored).to_le_bytes();
    let mut changed = (checksum_at..).zip(changes).filter(|(_, change)| *change != 0);
    let (at, change) = changed.next()?;
    changed.next().is_none().then_some(Flip { at, change })
}

/// The byte of a segment without which the frame at `offset` continues the chain.
pub(crate) fn in_frame(
    segment: &mut [u8],
    offset: usize,
    fault: &FrameFault,
    chain: &Chain,
) -> Option<Flip> {
    let within = |start: usize| move |flip: Flip| Flip { at: start + flip.at, ..flip };
    let flips: Vec<Flip> = match fault {
        FrameFault::Header { computed, stored } => {
            explanations(*computed, *stored, FRAME_CRC_OFFSET)
                .chain(in_checksum(*computed, *stored, FRAME_CRC_OFFSET))
                .map(within(offset))
                .collect()
        }
        FrameFault::Body { header, computed } => {
            let bytes = header.frame_bytes() - FRAME_HEADER_BYTES;
            explanations(*computed, header.body_crc, bytes)
                .map(within(offset + FRAME_HEADER_BYTES))
                .collect()
        }
        FrameFault::Zero | FrameFault::Content { .. } => Vec::new(),
    };
    flips.into_iter().find(|flip| {
        toggle(segment, *flip);
        // The frame's root hash settles which explanation is the true one.
        let whole = chain.clone().read(segment, offset).is_ok();
        toggle(segment, *flip);
        whole
    })
}

/// The byte of a segment's header block without which it reads, and the header it then is.
pub(crate) fn in_segment_header(
    segment: &mut [u8],
    computed: u32,
    stored: u32,
) -> Option<(Flip, SegmentHeader)> {
    let flips: Vec<Flip> = explanations(computed, stored, SEGMENT_CRC_OFFSET)
        .chain(in_checksum(computed, stored, SEGMENT_CRC_OFFSET))
        .collect();
    flips.into_iter().find_map(|flip| {
        toggle(segment, flip);
        let block = HeaderBlock::read(segment);
        toggle(segment, flip);
        match block {
            HeaderBlock::Whole { header, .. } => Some((flip, *header)),
            _ => None,
        }
    })
}

pub(crate) fn toggle(bytes: &mut [u8], flip: Flip) {
    if let Some(byte) = bytes.get_mut(flip.at) {
        *byte ^= flip.change;
    }
}

/// The byte of a text that ends in its checksum without which it is what `is_whole` accepts.
pub(crate) fn in_checked(text: &[u8], is_whole: impl Fn(&[u8]) -> bool) -> Option<Flip> {
    let (body, stored) = text.split_last_chunk::<4>()?;
    let (computed, stored) = (crc32c::crc32c(body), u32::from_le_bytes(*stored));
    let mut trial = text.to_vec();
    let flips: Vec<Flip> = explanations(computed, stored, body.len())
        .chain(in_checksum(computed, stored, body.len()))
        .collect();
    flips.into_iter().find(|flip| {
        toggle(&mut trial, *flip);
        let whole = is_whole(&trial);
        toggle(&mut trial, *flip);
        whole
    })
}

/// What is said of a changed byte.
pub(crate) fn changed(bytes: &[u8], flip: Flip) -> String {
    let is = bytes.get(flip.at).copied().unwrap_or_default();
    format!("byte is 0x{is:02x}, was 0x{:02x}", is ^ flip.change)
}

/// The byte of a checkpoint without which one of the keys' signatures holds; found by trying.
pub(crate) fn in_checkpoint(note: &[u8], keys: &[VerifyingKey]) -> Option<Flip> {
    if note.len() > NOTE_BYTES_MAX {
        return None;
    }
    let mut trial = note.to_vec();
    let flips = (0..note.len()).flat_map(|at| (1..=u8::MAX).map(move |change| Flip { at, change }));
    let mut flips = flips.filter(|flip| {
        toggle(&mut trial, *flip);
        let valid = checkpoint(&trial, keys).is_some();
        toggle(&mut trial, *flip);
        valid
    });
    flips.next()
}

/// The checkpoint in a note that one of the keys signed.
pub(crate) fn checkpoint(note: &[u8], keys: &[VerifyingKey]) -> Option<(Checkpoint, VerifyingKey)> {
    let note: Note = std::str::from_utf8(note).ok()?.parse().ok()?;
    let checkpoint: Checkpoint = note.text().parse().ok()?;
    // The name is compared first: verifying a signature takes a thousand times longer.
    let mut named = keys.iter().filter(|key| *key.origin() == checkpoint.origin);
    let key = named.find(|key| note.verify(key).is_ok())?;
    Some((checkpoint, key.clone()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_change_is_among_its_explanations(
            mut bytes in prop::collection::vec(any::<u8>(), 1..4096),
            at in any::<prop::sample::Index>(),
            change in 1..=u8::MAX,
        ) {
            let stored = crc32c::crc32c(&bytes);
            let flip = Flip { at: at.index(bytes.len()), change };
            toggle(&mut bytes, flip);
            let found: Vec<_> =
                explanations(crc32c::crc32c(&bytes), stored, bytes.len()).collect();
            prop_assert!(found.contains(&flip));
            for other in found {
                let mut mended = bytes.clone();
                toggle(&mut mended, other);
                prop_assert_eq!(crc32c::crc32c(&mended), stored);
            }
        }
    }

    #[test]
    fn a_megabyte_has_few_explanations() {
        let mut bytes = vec![7; 1 << 20];
        let stored = crc32c::crc32c(&bytes);
        let flip = Flip { at: 12_345, change: 0x40 };
        toggle(&mut bytes, flip);
        let found: Vec<_> = explanations(crc32c::crc32c(&bytes), stored, bytes.len()).collect();
        assert!(found.contains(&flip) && found.len() <= 3, "{found:?}");
    }

    #[test]
    fn every_changed_byte_of_a_checkpoint_is_refused_and_some_are_named() {
        let origin: tlog::Origin = "ledger.example.vn".parse().unwrap();
        let (signer, _) = tlog::Signer::generate(origin.clone()).unwrap();
        let keys = [signer.verifying_key()];
        let head = Checkpoint { origin, size: 12_345, root_hash: [7; 32] };
        let mut note = Note::sign(&head.to_string(), &signer).unwrap().to_string().into_bytes();
        for at in 0..note.len() {
            for change in [1, 4, 0x20, 0x80] {
                let flip = Flip { at, change };
                toggle(&mut note, flip);
                assert!(checkpoint(&note, &keys).is_none(), "{at}");
                // Trying all single bytes takes a while.
                if at % 7 == 0 && change == 4 {
                    assert_eq!(in_checkpoint(&note, &keys), Some(flip));
                }
                toggle(&mut note, flip);
            }
        }
    }

    #[test]
    fn a_change_in_the_checksum_is_found() {
        let stored = crc32c::crc32c(b"bytes");
        let flip = in_checksum(stored, stored ^ 0x0010_0000, 92);
        assert_eq!(flip, Some(Flip { at: 94, change: 0x10 }));
        assert_eq!(in_checksum(stored, stored ^ 0x0110_0000, 92), None);
    }
}
