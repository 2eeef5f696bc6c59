//! The same message in other bytes: what decoders accept, though no encoder writes it.

use protox::prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use crate::rng::Rng;

/// A field of a message: number, wire type, and the bytes after the tag, without a length.
struct Part<'a> {
    number: u32,
    wire: u8,
    value: &'a [u8],
}

/// Another encoding of a message.
pub(crate) fn encoded_otherwise(rng: &mut Rng, message: &[u8], of: &MessageDescriptor) -> Vec<u8> {
    let mut parts = parts(message);
    // Any order will do, as long as the values of one field keep theirs; and of one `oneof`.
    if rng.one_in(2) && of.oneofs().len() == 0 {
        let order: Vec<u64> = (0..64).map(|_| rng.next()).collect();
        parts.sort_by_key(|part| order[part.number as usize % 64]);
    }
    let mut out = Vec::new();
    for part in parts {
        if rng.one_in(6) {
            stranger(rng, of, &mut out);
        }
        let field = of.get_field(part.number);
        known(rng, &part, field.as_ref(), &mut out);
    }
    out
}

fn known(rng: &mut Rng, part: &Part<'_>, field: Option<&FieldDescriptor>, out: &mut Vec<u8>) {
    let Some(field) = field else { panic!("encoders write what is declared") };
    if let Kind::Message(held) = field.kind() {
        let mut value = encoded_otherwise(rng, part.value, &held);
        let is_fragile = field.containing_oneof().is_some();
        // A message may come in two parts, of which the first may be any of its fields.
        if !field.is_list() && !field.is_map() && !is_fragile && rng.one_in(3) {
            let at = split(rng, &value);
            let rest = value.split_off(at);
            whole(rng, part, &value, out);
            value = rest;
        }
        whole(rng, part, &value, out);
        return;
    }
    // Of a value that may come once, the last counts.
    if is_packable(field) && !field.is_list() && rng.one_in(4) {
        let junk = vec![0; if part.wire == 0 { 1 } else { part.value.len() }];
        whole(rng, part, &junk, out);
    }
    // Numbers may come packed or not.
    if field.is_list() && is_packable(field) && part.wire != 2 && rng.one_in(2) {
        let packed = Part { number: part.number, wire: 2, value: part.value };
        return whole(rng, &packed, part.value, out);
    }
    whole(rng, part, part.value, out);
}

fn is_packable(field: &FieldDescriptor) -> bool {
    !matches!(field.kind(), Kind::Message(_) | Kind::String | Kind::Bytes)
}

fn whole(rng: &mut Rng, part: &Part<'_>, value: &[u8], out: &mut Vec<u8>) {
    varint(rng, u64::from(part.number << 3 | u32::from(part.wire)), out);
    if part.wire == 2 {
        varint(rng, value.len() as u64, out);
    }
    out.extend_from_slice(value);
    if part.wire == 3 {
        varint(rng, u64::from(part.number << 3 | 4), out);
    }
}

/// A number, sometimes longer than it need be.
fn varint(rng: &mut Rng, mut value: u64, out: &mut Vec<u8>) {
    let mut room = if rng.one_in(6) { 1 + rng.below(10) } else { 1 };
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        room = room.saturating_sub(1);
        if value == 0 && room == 0 {
            return out.push(byte);
        }
        out.push(byte | 0x80);
    }
}

/// A field that nobody declared.
fn stranger(rng: &mut Rng, of: &MessageDescriptor, out: &mut Vec<u8>) {
    let number = 1 + rng.below(200) as u32;
    if of.get_field(number).is_some() {
        return;
    }
    let part = |wire, value| Part { number, wire, value };
    let part = match rng.below(5) {
        0 => part(5, b"~~~~".as_slice()),
        1 => part(1, b"~~~~~~~~"),
        2 => part(2, b"<unknown>"),
        3 => part(3, b"\x0a\x02ab\x13\x14"),
        _ => part(0, b"\x85\x01"),
    };
    whole(rng, &part, part.value, out);
}

/// Between two fields of a message.
fn split(rng: &mut Rng, message: &[u8]) -> usize {
    let mut places = vec![0];
    let mut at = 0;
    while at < message.len() {
        at = part(message, at).1;
        places.push(at);
    }
    *rng.pick(&places)
}

fn parts(message: &[u8]) -> Vec<Part<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < message.len() {
        let (part, after) = part(message, at);
        found.push(part);
        at = after;
    }
    found
}

fn part(message: &[u8], at: usize) -> (Part<'_>, usize) {
    let (tag, begin) = read(message, at);
    let (number, wire) = ((tag >> 3) as u32, (tag & 7) as u8);
    let (begin, end, after) = match wire {
        0 => (begin, read(message, begin).1, read(message, begin).1),
        1 => (begin, begin + 8, begin + 8),
        5 => (begin, begin + 4, begin + 4),
        2 => {
            let (length, begin) = read(message, begin);
            (begin, begin + length as usize, begin + length as usize)
        }
        3 => group(message, begin),
        other => panic!("wire type {other}"),
    };
    (Part { number, wire, value: &message[begin..end] }, after)
}

fn group(message: &[u8], begin: usize) -> (usize, usize, usize) {
    let mut at = begin;
    loop {
        let (tag, after) = read(message, at);
        if tag & 7 == 4 {
            return (begin, at, after);
        }
        at = part(message, at).1;
    }
}

fn read(message: &[u8], at: usize) -> (u64, usize) {
    let mut value = 0;
    for (place, byte) in message[at..].iter().enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * place);
        if *byte < 0x80 {
            return (value, at + place + 1);
        }
    }
    panic!("a number without end");
}
