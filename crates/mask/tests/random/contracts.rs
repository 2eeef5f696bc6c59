//! Random contracts, messages and selections.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use mask::{Class, Contract, Kind, Selection};
use protox::prost_reflect::bytes::Bytes;
use protox::prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind as Type, MapKey, MessageDescriptor, Value,
};

use crate::rng::Rng;

const SCALARS: [&str; 16] = [
    "double", "float", "int64", "uint64", "int32", "fixed64", "fixed32", "bool", "string", "bytes",
    "uint32", "sfixed32", "sfixed64", "sint32", "sint64", "E",
];
const NUMBERS: [u32; 8] = [63, 64, 65, 100, 150, 3_000, 18_999, 536_870_911];
const CLASSES: [&str; 6] = ["", "OPEN", "BASIC", "BASIC", "SENSITIVE", "SECRET"];

/// The declarations of a file of proto2, which has everything that there is.
pub(crate) fn declarations(rng: &mut Rng) -> String {
    let messages = 1 + rng.below(5);
    let mut text = String::from("enum E { E0 = 0; E1 = 1; E2 = 2; }\n");
    for message in 0..messages {
        _ = writeln!(text, "message M{message} {{");
        let mut number = 0;
        let fields = 1 + rng.below(8);
        for (field, large) in NUMBERS.into_iter().enumerate().take(fields) {
            number += 1 + rng.below(4) as u32;
            let number = if rng.one_in(12) { large } else { number };
            one_field(rng, &mut text, field, number, messages);
        }
        if rng.one_in(2) {
            text.push_str("oneof choice {\n");
            for field in 20..22 + rng.below(3) {
                let kind = any_kind(rng, messages);
                let options = options(rng, &kind, false);
                _ = writeln!(text, "{kind} f{field} = {}{options};", 20 + field);
            }
            text.push_str("}\n");
        }
        text.push_str("}\n");
    }
    text
}

fn any_kind(rng: &mut Rng, messages: usize) -> String {
    match rng.below(5) {
        0 | 1 => format!("M{}", rng.below(messages)),
        _ => (*rng.pick(&SCALARS)).to_owned(),
    }
}

fn one_field(rng: &mut Rng, text: &mut String, field: usize, number: u32, messages: usize) {
    if rng.one_in(8) {
        let key = rng.pick(&["string", "int32", "uint64", "bool"]);
        let kind = any_kind(rng, messages);
        let options = options(rng, "", false);
        _ = writeln!(text, "map<{key}, {kind}> f{field} = {number}{options};");
        return;
    }
    let label = *rng.pick(&["optional", "repeated"]);
    if rng.one_in(8) {
        let options = options(rng, "", false);
        _ = writeln!(text, "{label} group G{field} = {number}{options} {{");
        _ = writeln!(text, "optional string f1 = 1 [(class) = {}];", rng.pick(&CLASSES[1..]));
        _ = writeln!(text, "optional M{} f2 = 2 [(class) = BASIC]; }}", rng.below(messages));
        return;
    }
    let kind = any_kind(rng, messages);
    let is_packable = label == "repeated"
        && !kind.starts_with('M')
        && !matches!(kind.as_str(), "string" | "bytes");
    let is_packed = is_packable && rng.one_in(2);
    let options = options(rng, &kind, is_packed);
    _ = writeln!(text, "{label} {kind} f{field} = {number}{options};");
}

fn options(rng: &mut Rng, kind: &str, is_packed: bool) -> String {
    let mut options = Vec::new();
    let class = *rng.pick(&CLASSES);
    if !class.is_empty() {
        options.push(format!("(class) = {class}"));
    }
    if kind == "string" && rng.one_in(3) {
        options.push("(subject) = true".into());
    }
    if is_packed {
        options.push("packed = true".into());
    }
    if options.is_empty() { String::new() } else { format!(" [{}]", options.join(", ")) }
}

/// Some classes and some paths.
pub(crate) fn selection(rng: &mut Rng, contract: &Contract, message: &str) -> Selection {
    let classes: Vec<_> = [Class::Open, Class::Basic, Class::Sensitive]
        .into_iter()
        .filter(|_| rng.one_in(3))
        .collect();
    let mut paths = Vec::new();
    for _ in 0..rng.below(5) {
        paths.extend(path(rng, contract, message));
    }
    Selection::new(classes, paths)
}

fn path(rng: &mut Rng, contract: &Contract, message: &str) -> Option<String> {
    let mut path = String::new();
    let mut at = contract.message(message)?;
    loop {
        let fields: Vec<_> =
            at.fields.iter().filter(|field| field.class != Class::Secret).collect();
        if fields.is_empty() {
            return (!path.is_empty()).then_some(path);
        }
        let mut field = *rng.pick(&fields);
        let dot = if path.is_empty() { "" } else { "." };
        _ = write!(path, "{dot}{}", field.name);
        if let Kind::Map(_) = field.kind {
            field = contract.held(field)?.field(2)?;
        }
        match contract.held(field) {
            Some(held) if !rng.one_in(3) => at = held,
            _ => return Some(path),
        }
    }
}

/// A random message whose strings, bytes and long fixed numbers are marks that occur once.
pub(crate) fn message(
    rng: &mut Rng,
    descriptor: &MessageDescriptor,
    depth: usize,
    marks: &mut u64,
) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    for field in descriptor.fields() {
        let is_held = matches!(field.kind(), Type::Message(_)) || field.is_map();
        if rng.one_in(4) || (is_held && (depth == 0 || *marks > 300)) {
            continue;
        }
        let value = if field.is_map() {
            map(rng, &field, depth, marks)
        } else if field.is_list() {
            let count = rng.below(4);
            Value::List((0..count).map(|_| value(rng, &field.kind(), depth, marks)).collect())
        } else {
            value(rng, &field.kind(), depth, marks)
        };
        message.set_field(&field, value);
    }
    message
}

fn map(rng: &mut Rng, field: &FieldDescriptor, depth: usize, marks: &mut u64) -> Value {
    let Type::Message(entry) = field.kind() else { panic!("a map holds entries") };
    let mut pairs = std::collections::HashMap::new();
    for _ in 0..rng.below(4) {
        let key = match value(rng, &entry.map_entry_key_field().kind(), depth, marks) {
            Value::String(key) => MapKey::String(key),
            Value::I32(key) => MapKey::I32(key),
            Value::U64(key) => MapKey::U64(key),
            Value::Bool(key) => MapKey::Bool(key),
            other => panic!("{other:?} is no key"),
        };
        pairs.insert(key, value(rng, &entry.map_entry_value_field().kind(), depth, marks));
    }
    Value::Map(pairs)
}

fn value(rng: &mut Rng, kind: &Type, depth: usize, marks: &mut u64) -> Value {
    *marks += 1;
    let mark = *marks;
    let mut text = format!("<{mark:07}>");
    if rng.one_in(4) {
        text.push_str(&"x".repeat(rng.below(200)));
    }
    if rng.one_in(40) {
        text.push_str(&"y".repeat(rng.below(20_000)));
    }
    let wide = 0xa5c3_0000_0000_0000 | mark << 16 | 0x1d2e;
    match kind {
        // Of a finite value, with the mark in it.
        Type::Double => Value::F64(f64::from_bits(wide)),
        Type::Float => Value::F32(rng.below(1 << 20) as f32),
        Type::Int32 | Type::Sint32 | Type::Sfixed32 => Value::I32(rng.next() as i32),
        Type::Int64 | Type::Sint64 => Value::I64(rng.next() as i64 >> rng.below(64)),
        Type::Sfixed64 => Value::I64(wide as i64),
        Type::Uint32 | Type::Fixed32 => Value::U32(rng.next() as u32),
        Type::Uint64 => Value::U64(rng.next() >> rng.below(64)),
        Type::Fixed64 => Value::U64(wide),
        Type::Bool => Value::Bool(rng.one_in(2)),
        Type::String => Value::String(text),
        Type::Bytes => Value::Bytes(Bytes::from(text)),
        Type::Enum(_) => Value::EnumNumber(rng.below(3) as i32),
        Type::Message(held) => Value::Message(message(rng, held, depth.saturating_sub(1), marks)),
    }
}

/// All marks in a message, as they stand in its bytes.
pub(crate) fn marks(message: &DynamicMessage, found: &mut BTreeSet<Vec<u8>>) {
    for (field, value) in message.fields() {
        let kinds = match field.kind() {
            Type::Message(entry) if field.is_map() => entry.map_entry_value_field().kind(),
            kind => kind,
        };
        each_mark(&kinds, value, found);
    }
}

fn each_mark(kind: &Type, value: &Value, found: &mut BTreeSet<Vec<u8>>) {
    match value {
        Value::String(text) => _ = found.insert(text.as_bytes()[..9].to_vec()),
        Value::Bytes(bytes) => _ = found.insert(bytes[..9].to_vec()),
        Value::F64(wide) => _ = found.insert(wide.to_le_bytes().to_vec()),
        Value::U64(wide) if *kind == Type::Fixed64 => _ = found.insert(wide.to_le_bytes().to_vec()),
        Value::I64(wide) if *kind == Type::Sfixed64 => {
            _ = found.insert(wide.to_le_bytes().to_vec())
        }
        Value::List(values) => values.iter().for_each(|value| each_mark(kind, value, found)),
        Value::Message(message) => marks(message, found),
        Value::Map(pairs) => {
            for (key, value) in pairs {
                if let MapKey::String(key) = key {
                    found.insert(key.as_bytes()[..9].to_vec());
                }
                each_mark(kind, value, found);
            }
        }
        _ => {}
    }
}
