//! Where the kept bytes of a message go. A walk reads forward and writes behind where it reads.

use crate::wire::varint_bytes;

/// The longest content that is moved to make the length before it as short as can be. Beyond it
/// the length keeps its bytes, filled up as varints may be: so the work stays in proportion to the
/// message, however many messages lie in each other.
const MOVED_BYTES_MAX: usize = 64 << 10;

/// What a walk reads from and writes to. Positions of output count from its begin.
pub(crate) trait Sink {
    /// The message, unchanged from where the walk reads.
    fn message(&self) -> &[u8];

    /// Puts the bytes from `from` to `to` of the message at `at` of the output, which ends there.
    fn keep(&mut self, from: usize, to: usize, at: usize);

    /// The output up to `end`, which was kept.
    fn kept(&mut self, end: usize) -> &mut [u8];
}

/// The message itself.
pub(crate) struct InPlace<'a>(pub(crate) &'a mut [u8]);

impl Sink for InPlace<'_> {
    #[inline(always)]
    fn message(&self) -> &[u8] {
        self.0
    }

    #[inline(always)]
    fn keep(&mut self, from: usize, to: usize, at: usize) {
        // Nothing was dropped yet: the bytes are where they belong.
        if from != at {
            self.0.copy_within(from..to, at);
        }
    }

    fn kept(&mut self, end: usize) -> &mut [u8] {
        self.0.get_mut(..end).unwrap_or_default()
    }
}

/// Another buffer, which is empty at first.
pub(crate) struct Beside<'a> {
    pub(crate) message: &'a [u8],
    pub(crate) out: &'a mut Vec<u8>,
}

impl Sink for Beside<'_> {
    #[inline(always)]
    fn message(&self) -> &[u8] {
        self.message
    }

    #[inline(always)]
    fn keep(&mut self, from: usize, to: usize, at: usize) {
        // Behind `at` there may be what was before the content was moved.
        self.out.truncate(at);
        self.out.extend_from_slice(self.message.get(from..to).unwrap_or_default());
    }

    fn kept(&mut self, end: usize) -> &mut [u8] {
        self.out.get_mut(..end).unwrap_or_default()
    }
}

/// Nowhere.
pub(crate) struct Nothing<'a>(pub(crate) &'a [u8]);

impl Sink for Nothing<'_> {
    #[inline(always)]
    fn message(&self) -> &[u8] {
        self.0
    }

    fn keep(&mut self, _: usize, _: usize, _: usize) {}

    fn kept(&mut self, _: usize) -> &mut [u8] {
        &mut []
    }
}

/// Writes the new length of a content that shrank before it. The old length took the bytes from
/// `at` to `begin`, the content those from there to the end of `kept`. Returns by how many bytes
/// the output became shorter.
#[inline(always)]
pub(crate) fn shorten(kept: &mut [u8], at: usize, begin: usize, length: usize) -> usize {
    match kept.get_mut(at) {
        // Most messages in lists are so small that their lengths take one byte.
        Some(byte) if begin == at + 1 => {
            *byte = length as u8;
            0
        }
        _ => shorten_long(kept, at, begin, length),
    }
}

fn shorten_long(kept: &mut [u8], at: usize, begin: usize, length: usize) -> usize {
    let room = begin.saturating_sub(at);
    let needed = varint_bytes(length as u64);
    let stored = kept.len().saturating_sub(begin);
    let moved = if stored > MOVED_BYTES_MAX { 0 } else { room.saturating_sub(needed) };
    if moved > 0 {
        kept.copy_within(begin.., begin - moved);
    }
    let mut rest = length as u64;
    let places = kept.iter_mut().skip(at).take(room - moved);
    for (place, byte) in places.enumerate() {
        let is_last = place + 1 == room - moved;
        *byte = (rest & 0x7f) as u8 | if is_last { 0 } else { 0x80 };
        rest >>= 7;
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_takes_as_few_bytes_as_it_can() {
        let mut kept = vec![0xff, 0x80, 0x02, b'a', b'b'];
        assert_eq!(shorten(&mut kept, 1, 3, 2), 1);
        assert_eq!(kept.get(..4), Some([0xff, 2, b'a', b'b'].as_slice()));

        let mut kept = vec![0x80, 0x02];
        assert_eq!(shorten(&mut kept, 0, 2, 0), 1);
        assert_eq!(kept.first(), Some(&0));
    }

    #[test]
    fn a_length_before_much_is_filled_up() {
        let length = MOVED_BYTES_MAX + 1;
        let mut kept = vec![0; 5 + length];
        assert_eq!(shorten(&mut kept, 0, 5, length), 0);
        assert_eq!(crate::wire::varint(&kept, 0), Ok((length as u64, 5)));
    }
}
