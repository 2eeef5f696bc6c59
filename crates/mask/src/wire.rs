//! Protobuf's wire format, read strictly: what decoders read differently is refused.

use std::fmt;

use thiserror::Error;

/// How deep messages and groups may nest, as in the common decoders.
pub const DEPTH_MAX: usize = 100;

/// Wire types.
pub(crate) const VARINT: u8 = 0;
pub(crate) const FIXED64: u8 = 1;
pub(crate) const LENGTH: u8 = 2;
pub(crate) const GROUP: u8 = 3;
pub(crate) const GROUP_END: u8 = 4;
pub(crate) const FIXED32: u8 = 5;

/// A message that is not well-formed protobuf, or that receivers could read in different ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("message is malformed at byte {at}: {fault}")]
pub struct MalformedError {
    /// The offset in the message, in bytes.
    pub at: usize,
    /// What is wrong there.
    pub fault: Fault,
}

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A field goes on after the end of its message.
    Truncated,
    /// A varint of more than ten bytes or more than 64 bits.
    Varint,
    /// A tag of more than 32 bits.
    Tag,
    /// The field number 0.
    Zero,
    /// Wire type 6 or 7.
    WireType,
    /// The end of a group that was not begun, or of another one.
    GroupEnd,
    /// A group that does not end.
    GroupOpen,
    /// More than [`DEPTH_MAX`] messages or groups in each other.
    Depth,
    /// Two members of a `oneof`, of which the mask gives only the first.
    Oneof,
    /// A message that comes in parts, in which the order of fields decides what is withheld.
    Split,
    /// A `google.protobuf.Any` with two types or two values.
    Any,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "the field goes on after the end of its message",
            Self::Varint => "a varint has more than 64 bits",
            Self::Tag => "a tag has more than 32 bits",
            Self::Zero => "a field has the number 0",
            Self::WireType => "a field has wire type 6 or 7",
            Self::GroupEnd => "a group ends that was not begun",
            Self::GroupOpen => "a group has no end",
            Self::Depth => "more than 100 messages or groups lie in each other",
            Self::Oneof => "two members of one `oneof`, one of them withheld",
            Self::Split => "a message with a `oneof` or an `Any` comes in two parts",
            Self::Any => "an `Any` has two types or two values",
        })
    }
}

/// The varint at `at`, and where it ends.
#[inline(always)]
pub(crate) fn varint(bytes: &[u8], at: usize) -> Result<(u64, usize), Fault> {
    let Some(&low) = bytes.get(at) else {
        return Err(Fault::Truncated);
    };
    if low < 0x80 {
        return Ok((u64::from(low), at + 1));
    }
    // Tags of fields from 16 on, and the lengths of most messages.
    match bytes.get(at + 1) {
        Some(&high) if high < 0x80 => Ok((u64::from(low & 0x7f) | u64::from(high) << 7, at + 2)),
        _ => long_varint(bytes, at),
    }
}

#[cold]
fn long_varint(bytes: &[u8], at: usize) -> Result<(u64, usize), Fault> {
    let mut value = 0;
    for (place, byte) in bytes.get(at..).unwrap_or_default().iter().take(10).enumerate() {
        // Of the tenth byte only one bit fits into 64.
        if place == 9 && *byte > 1 {
            return Err(Fault::Varint);
        }
        value |= u64::from(byte & 0x7f) << (7 * place);
        if *byte < 0x80 {
            return Ok((value, at + place + 1));
        }
    }
    match bytes.len().saturating_sub(at) < 10 {
        true => Err(Fault::Truncated),
        false => Err(Fault::Varint),
    }
}

/// The field number and wire type at `at`, and where the tag ends.
#[inline(always)]
pub(crate) fn tag(bytes: &[u8], at: usize) -> Result<(u32, u8, usize), Fault> {
    let (tag, after) = varint(bytes, at)?;
    // Some decoders cut a larger tag to 32 bits and so read another field.
    let tag = u32::try_from(tag).map_err(|_| Fault::Tag)?;
    match tag >> 3 {
        0 => Err(Fault::Zero),
        number => Ok((number, (tag & 7) as u8, after)),
    }
}

/// Begin and end of the bytes whose length stands at `at`; they end before `end`.
#[inline(always)]
pub(crate) fn body(bytes: &[u8], at: usize, end: usize) -> Result<(usize, usize), Fault> {
    let (length, begin) = varint(bytes, at)?;
    match end.checked_sub(begin) {
        Some(left) if length <= left as u64 => Ok((begin, begin + length as usize)),
        _ => Err(Fault::Truncated),
    }
}

/// Where the value at `at` ends: before or at `end` for bytes and groups; other values may go past
/// it, which the caller finds when it gets there. `depth` messages and groups are open around it.
#[inline(always)]
pub(crate) fn skip(
    bytes: &[u8],
    at: usize,
    end: usize,
    (number, wire): (u32, u8),
    depth: usize,
) -> Result<usize, Fault> {
    match wire {
        VARINT => Ok(varint(bytes, at)?.1),
        LENGTH => Ok(body(bytes, at, end)?.1),
        FIXED64 => Ok(at + 8),
        FIXED32 => Ok(at + 4),
        GROUP => skip_group(bytes, at, end, number, depth),
        GROUP_END => Err(Fault::GroupEnd),
        _ => Err(Fault::WireType),
    }
}

/// Where the group ends whose first field is at `at`.
#[cold]
fn skip_group(
    bytes: &[u8],
    mut at: usize,
    end: usize,
    number: u32,
    depth: usize,
) -> Result<usize, Fault> {
    let mut open = [0u32; DEPTH_MAX];
    // The place after that of the innermost open group.
    let mut deep = depth;
    let mut opened = Some(number);
    loop {
        if let Some(number) = opened.take() {
            *open.get_mut(deep).ok_or(Fault::Depth)? = number;
            deep += 1;
        }
        if at >= end {
            return Err(Fault::GroupOpen);
        }
        let (number, wire, after) = tag(bytes, at)?;
        at = after;
        match wire {
            GROUP => opened = Some(number),
            GROUP_END => {
                deep -= 1;
                if open.get(deep) != Some(&number) {
                    return Err(Fault::GroupEnd);
                }
                if deep == depth {
                    return if at <= end { Ok(at) } else { Err(Fault::Truncated) };
                }
            }
            _ => at = skip(bytes, at, end, (number, wire), deep)?,
        }
    }
}

/// How many bytes the varint of a value takes.
pub(crate) fn varint_bytes(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// A field of a message that is read field by field.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    /// A number.
    Varint(u64),
    /// A string, bytes or a message.
    Bytes(&'a [u8]),
    /// What descriptors do not use, or not where we read.
    Other,
}

impl<'a> Value<'a> {
    /// The bytes, or none.
    pub(crate) fn bytes(self) -> &'a [u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            _ => &[],
        }
    }

    /// The number, or 0.
    pub(crate) fn number(self) -> u64 {
        match self {
            Self::Varint(number) => number,
            _ => 0,
        }
    }
}

/// Calls `take` with each field of a message.
pub(crate) fn each_field<'a, E: From<Fault>>(
    bytes: &'a [u8],
    mut take: impl FnMut(u32, Value<'a>) -> Result<(), E>,
) -> Result<(), E> {
    let mut at = 0;
    while at < bytes.len() {
        let (number, wire, after) = tag(bytes, at)?;
        at = skip(bytes, after, bytes.len(), (number, wire), 0)?;
        if at > bytes.len() {
            return Err(Fault::Truncated.into());
        }
        let value = match wire {
            VARINT => Value::Varint(varint(bytes, after)?.0),
            LENGTH => {
                let (begin, end) = body(bytes, after, bytes.len())?;
                Value::Bytes(bytes.get(begin..end).unwrap_or_default())
            }
            _ => Value::Other,
        };
        take(number, value)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_end_within_ten_bytes_and_64_bits() {
        let long = [0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00];
        assert_eq!(varint(&long, 0), Ok((1, 10)));
        let all = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(varint(&all, 0), Ok((u64::MAX, 10)));
        let over = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert_eq!(varint(&over, 0), Err(Fault::Varint));
        assert_eq!(varint(&[0x80; 11], 0), Err(Fault::Varint));
        assert_eq!(varint(&[0x80; 3], 0), Err(Fault::Truncated));
        assert_eq!(varint(&[], 0), Err(Fault::Truncated));
    }

    #[test]
    fn tags_have_32_bits_and_a_number() {
        assert_eq!(tag(&[0x0a], 0), Ok((1, LENGTH, 1)));
        assert_eq!(tag(&[0x02], 0), Err(Fault::Zero));
        assert_eq!(tag(&[0xff, 0xff, 0xff, 0xff, 0x0f], 0), Ok(((1 << 29) - 1, 7, 5)));
        assert_eq!(tag(&[0xff, 0xff, 0xff, 0xff, 0x1f], 0), Err(Fault::Tag));
    }

    #[test]
    fn groups_are_skipped_to_their_own_end() {
        let check = |bytes: &[u8], depth| skip_group(bytes, 0, bytes.len(), 1, depth);
        assert_eq!(check(&[0x0c], 0), Ok(1));
        assert_eq!(check(&[0x13, 0x08, 0x01, 0x14, 0x0c, 0xff], 0), Ok(5));
        assert_eq!(check(&[0x14], 0), Err(Fault::GroupEnd));
        assert_eq!(check(&[0x08, 0x01], 0), Err(Fault::GroupOpen));
        assert_eq!(check(&[0x0b].repeat(200), 0), Err(Fault::Depth));
        assert_eq!(check(&[0x0c], DEPTH_MAX), Err(Fault::Depth));
        assert_eq!(check(&[0x0c], DEPTH_MAX - 1), Ok(1));
    }

    #[test]
    fn a_varint_takes_as_many_bytes_as_it_needs() {
        for (value, bytes) in [(0, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), (u64::MAX, 10)]
        {
            assert_eq!(varint_bytes(value), bytes, "{value}");
        }
    }
}
