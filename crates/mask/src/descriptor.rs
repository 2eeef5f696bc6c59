//! Descriptor sets read from their bytes. The common types drop what they do not know, and with
//! it the options by which a contract says the class of its fields; so the bytes are read here.

use std::collections::BTreeMap;

use crate::class::Class;
use crate::contract::{
    Cardinality, ContractError, FIELDS_MAX, Field, Kind, MESSAGES_MAX, Message, MessageIx, Method,
    NAME_BYTES_MAX, NESTING_MAX, Scalar,
};
use crate::wire::{Value, each_field};

/// The extensions of `google.protobuf.FieldOptions` in `giaolien/annotations/v1`.
const CLASS: u32 = 50901;
const SUBJECT: u32 = 50902;
const DATA_DICTIONARY_ID: u32 = 50903;
const AUTHORITATIVE_SOURCE: u32 = 50904;
/// Where the extensions of ours are declared.
const ANNOTATIONS: &str = "giaolien.annotations.v1";

type Result<T> = std::result::Result<T, ContractError>;

/// The messages by name and the methods by path.
pub(crate) fn read(set: &[u8]) -> Result<(Vec<Message>, Vec<Method>)> {
    let mut raw = Raw::default();
    each(set, |number, value| match number {
        1 => raw.file(value.bytes()),
        _ => Ok(()),
    })?;
    raw.resolve()
}

/// Declarations whose names are not yet looked up.
#[derive(Default)]
struct Raw {
    messages: BTreeMap<String, RawMessage>,
    methods: BTreeMap<String, Method>,
    fields: usize,
}

#[derive(Default)]
struct RawMessage {
    fields: Vec<RawField>,
    is_map_entry: bool,
}

#[derive(Default)]
struct RawField {
    name: String,
    number: u64,
    label: u64,
    kind: u64,
    type_name: String,
    class: Option<u64>,
    is_subject: bool,
    data_dictionary_id: Option<String>,
    authoritative_source: Option<String>,
    oneof: Option<u64>,
    is_proto3_optional: bool,
    features: Features,
}

/// What editions say of a field, inherited from its message and file.
#[derive(Clone, Copy, Default)]
struct Features {
    is_required: bool,
    is_delimited: bool,
}

impl Features {
    fn read(&mut self, bytes: &[u8]) -> Result<()> {
        each(bytes, |number, value| {
            match number {
                1 => self.is_required = value.number() == 3,
                5 => self.is_delimited = value.number() == 2,
                _ => {}
            }
            Ok(())
        })
    }

    /// With what an options message says in its field `at`.
    fn within(mut self, options: &[u8], at: u32) -> Result<Self> {
        each(options, |number, value| match number == at {
            true => self.read(value.bytes()),
            false => Ok(()),
        })?;
        Ok(self)
    }
}

impl Raw {
    fn file(&mut self, bytes: &[u8]) -> Result<()> {
        let mut package = String::new();
        let mut features = Features::default();
        each(bytes, |number, value| {
            match number {
                2 => package = name(value)?,
                8 => features = features.within(value.bytes(), 50)?,
                _ => {}
            }
            Ok(())
        })?;
        each(bytes, |number, value| match number {
            4 => self.message(&package, value.bytes(), features, 0),
            6 => self.service(&package, value.bytes()),
            7 => extension(&package, value.bytes()),
            _ => Ok(()),
        })
    }

    fn message(
        &mut self,
        scope: &str,
        bytes: &[u8],
        mut features: Features,
        depth: usize,
    ) -> Result<()> {
        bounded(depth, NESTING_MAX, "messages declared in each other")?;
        let mut name = String::new();
        let mut message = RawMessage::default();
        each(bytes, |number, value| {
            match number {
                1 => name = joined(scope, value)?,
                7 => {
                    features = features.within(value.bytes(), 12)?;
                    message.is_map_entry |= flag(value.bytes(), 7)?;
                }
                _ => {}
            }
            Ok(())
        })?;
        each(bytes, |number, value| match number {
            2 => {
                self.fields += 1;
                bounded(self.fields, FIELDS_MAX, "fields")?;
                message.fields.push(RawField::read(value.bytes(), features)?);
                Ok(())
            }
            3 => self.message(&name, value.bytes(), features, depth + 1),
            6 => extension(&name, value.bytes()),
            _ => Ok(()),
        })?;
        if name.is_empty() || name.ends_with('.') {
            return Err(declaration(scope, "declares a message without a name".into()));
        }
        bounded(self.messages.len(), MESSAGES_MAX, "messages")?;
        match self.messages.insert(name.clone(), message) {
            Some(_) => Err(ContractError::Twice(name)),
            None => Ok(()),
        }
    }

    fn service(&mut self, package: &str, bytes: &[u8]) -> Result<()> {
        let mut service = String::new();
        each(bytes, |number, value| {
            if number == 1 {
                service = joined(package, value)?;
            }
            Ok(())
        })?;
        each(bytes, |number, value| {
            if number != 2 {
                return Ok(());
            }
            let method = method(&service, value.bytes())?;
            bounded(self.methods.len(), FIELDS_MAX, "methods")?;
            match self.methods.insert(method.path.clone(), method) {
                Some(method) => Err(ContractError::Twice(method.path)),
                None => Ok(()),
            }
        })
    }

    fn resolve(self) -> Result<(Vec<Message>, Vec<Method>)> {
        let names: BTreeMap<&str, (usize, bool)> = self
            .messages
            .iter()
            .enumerate()
            .map(|(at, (name, message))| (name.as_str(), (at, message.is_map_entry)))
            .collect();
        let mut messages = Vec::with_capacity(names.len());
        for (name, raw) in &self.messages {
            messages.push(message(name, raw, &names)?);
        }
        for method in self.methods.values() {
            for name in [&method.input, &method.output] {
                if !names.contains_key(name.as_str()) {
                    let (name, by) = (name.clone(), method.path.clone());
                    return Err(ContractError::Missing { name, by });
                }
            }
        }
        Ok((messages, self.methods.into_values().collect()))
    }
}

impl RawField {
    fn read(bytes: &[u8], features: Features) -> Result<Self> {
        let mut field = Self { features, ..Self::default() };
        each(bytes, |number, value| {
            match number {
                1 => field.name = name(value)?,
                3 => field.number = value.number(),
                4 => field.label = value.number(),
                5 => field.kind = value.number(),
                6 => field.type_name = name(value)?,
                8 => field.options(value.bytes())?,
                9 => field.oneof = Some(value.number()),
                17 => field.is_proto3_optional = value.number() != 0,
                _ => {}
            }
            Ok(())
        })?;
        Ok(field)
    }

    fn options(&mut self, bytes: &[u8]) -> Result<()> {
        self.features = self.features.within(bytes, 21)?;
        each(bytes, |number, value| {
            match number {
                CLASS => self.class = Some(value.number()),
                SUBJECT => self.is_subject = value.number() != 0,
                DATA_DICTIONARY_ID => self.data_dictionary_id = Some(text(value)?),
                AUTHORITATIVE_SOURCE => self.authoritative_source = Some(text(value)?),
                _ => {}
            }
            Ok(())
        })
    }

    fn kind(&self, by: &str, names: &BTreeMap<&str, (usize, bool)>) -> Result<Kind> {
        let scalar = match self.kind {
            1 => Scalar::Double,
            2 => Scalar::Float,
            3 => Scalar::Int64,
            4 => Scalar::Uint64,
            5 => Scalar::Int32,
            6 => Scalar::Fixed64,
            7 => Scalar::Fixed32,
            8 => Scalar::Bool,
            9 => Scalar::String,
            12 => Scalar::Bytes,
            13 => Scalar::Uint32,
            15 => Scalar::Sfixed32,
            16 => Scalar::Sfixed64,
            17 => Scalar::Sint32,
            18 => Scalar::Sint64,
            14 => return Ok(Kind::Enum(self.type_name.trim_start_matches('.').to_owned())),
            10 | 11 => return self.message(by, names),
            other => return Err(declaration(by, format!("has the unknown type {other}"))),
        };
        Ok(Kind::Scalar(scalar))
    }

    fn message(&self, by: &str, names: &BTreeMap<&str, (usize, bool)>) -> Result<Kind> {
        let name = self.type_name.trim_start_matches('.');
        let Some((at, is_map_entry)) = names.get(name) else {
            return Err(ContractError::Missing { name: name.to_owned(), by: by.to_owned() });
        };
        let ix = MessageIx(*at);
        Ok(match (is_map_entry, self.kind == 10 || self.features.is_delimited) {
            (true, _) => Kind::Map(ix),
            (false, true) => Kind::Group(ix),
            (false, false) => Kind::Message(ix),
        })
    }
}

fn message(name: &str, raw: &RawMessage, names: &BTreeMap<&str, (usize, bool)>) -> Result<Message> {
    let mut fields = Vec::with_capacity(raw.fields.len());
    for raw_field in &raw.fields {
        let by = format!("{name}.{}", raw_field.name);
        let mut field = field(&by, raw_field, names)?;
        // Nobody can annotate these; what they hold is of the class of the field they stand in.
        if raw.is_map_entry || is_common(name) {
            field.class = Class::Open;
        }
        // The encoding between tags that a file of an edition asks for does not reach into maps.
        if let (true, Kind::Group(ix)) = (raw.is_map_entry, &field.kind) {
            field.kind = Kind::Message(*ix);
        }
        fields.push(field);
    }
    fields.sort_by_key(|field| field.number);
    let twice = fields.windows(2).find(|pair| matches!(pair, [a, b] if a.number == b.number));
    if let Some([field, ..]) = twice {
        return Err(declaration(name, format!("has two fields of number {}", field.number)));
    }
    let is_entry = |number| fields.iter().any(|field| field.number == number);
    if raw.is_map_entry && !(is_entry(1) && is_entry(2) && fields.len() == 2) {
        return Err(declaration(name, "is a map's entry, yet has not just key and value".into()));
    }
    Ok(Message { name: name.to_owned(), fields, is_map_entry: raw.is_map_entry })
}

fn field(by: &str, raw: &RawField, names: &BTreeMap<&str, (usize, bool)>) -> Result<Field> {
    let number = match u32::try_from(raw.number) {
        Ok(number @ 1..0x2000_0000) => number,
        _ => return Err(declaration(by, format!("has the number {}", raw.number))),
    };
    if raw.name.is_empty() || raw.name.contains('.') {
        return Err(declaration(by, format!("has no plain name for field {number}")));
    }
    let class = match raw.class {
        None | Some(0 | 3) => Class::Sensitive,
        Some(1) => Class::Open,
        Some(2) => Class::Basic,
        Some(4) => Class::Secret,
        Some(other) => return Err(declaration(by, format!("has the unknown class {other}"))),
    };
    let kind = raw.kind(by, names)?;
    if raw.is_subject && !matches!(kind, Kind::Scalar(Scalar::String | Scalar::Bytes)) {
        return Err(declaration(by, "is a subject; only a `string` or `bytes` can be".into()));
    }
    let cardinality = match raw.label {
        3 => Cardinality::Repeated,
        2 => Cardinality::Required,
        _ if raw.features.is_required => Cardinality::Required,
        _ => Cardinality::Single,
    };
    let oneof = raw.oneof.filter(|_| !raw.is_proto3_optional);
    let oneof = match oneof.map(u32::try_from).transpose() {
        Ok(oneof) => oneof,
        Err(_) => return Err(declaration(by, "is in a `oneof` that is not there".into())),
    };
    Ok(Field {
        name: raw.name.clone(),
        number,
        kind,
        cardinality,
        class,
        is_classed: matches!(raw.class, Some(1..)),
        is_subject: raw.is_subject,
        data_dictionary_id: raw.data_dictionary_id.clone(),
        authoritative_source: raw.authoritative_source.clone(),
        oneof,
    })
}

/// Whether a message belongs to the common vocabulary, whose fields carry no annotations of ours.
fn is_common(message: &str) -> bool {
    message.starts_with("google.protobuf.") || message.starts_with("google.type.")
}

fn method(service: &str, bytes: &[u8]) -> Result<Method> {
    let mut method_name = String::new();
    let [mut input, mut output] = [const { String::new() }; 2];
    let [mut streams_requests, mut streams_answers] = [false; 2];
    each(bytes, |number, value| {
        match number {
            1 => method_name = name(value)?,
            2 => input = name(value)?,
            3 => output = name(value)?,
            5 => streams_requests = value.number() != 0,
            6 => streams_answers = value.number() != 0,
            _ => {}
        }
        Ok(())
    })?;
    let [input, output] = [input, output].map(|name| name.trim_start_matches('.').to_owned());
    let path = format!("/{service}/{method_name}");
    Ok(Method { path, input, output, streams_requests, streams_answers })
}

/// An extension of others must not carry a number of ours: its values would be read as classes.
fn extension(scope: &str, bytes: &[u8]) -> Result<()> {
    let mut name = String::new();
    let mut extendee = String::new();
    let mut number = 0;
    each(bytes, |at, value| {
        match at {
            1 => name = joined(scope, value)?,
            2 => extendee = text(value)?,
            3 => number = value.number(),
            _ => {}
        }
        Ok(())
    })?;
    let expected = match u32::try_from(number) {
        Ok(CLASS) => "class",
        Ok(SUBJECT) => "subject",
        Ok(DATA_DICTIONARY_ID) => "data_dictionary_id",
        Ok(AUTHORITATIVE_SOURCE) => "authoritative_source",
        _ => return Ok(()),
    };
    let is_ours = name == format!("{ANNOTATIONS}.{expected}");
    match extendee == ".google.protobuf.FieldOptions" && !is_ours {
        true => Err(declaration(
            &name,
            format!("extends FieldOptions by {number}, the number of `{ANNOTATIONS}.{expected}`"),
        )),
        false => Ok(()),
    }
}

fn flag(options: &[u8], at: u32) -> Result<bool> {
    let mut found = false;
    each(options, |number, value| {
        if number == at {
            found = value.number() != 0;
        }
        Ok(())
    })?;
    Ok(found)
}

/// Calls `take` with each field of a message.
fn each<'a>(bytes: &'a [u8], take: impl FnMut(u32, Value<'a>) -> Result<()>) -> Result<()> {
    each_field(bytes, take)
}

fn text(value: Value<'_>) -> Result<String> {
    let bytes = value.bytes();
    bounded(bytes.len(), NAME_BYTES_MAX, "bytes in a name")?;
    let found = || String::from_utf8_lossy(bytes).into_owned();
    std::str::from_utf8(bytes)
        .map(str::to_owned)
        .map_err(|_| declaration(&found(), "is not UTF-8".into()))
}

/// Letters, digits, `_` and dots: what is written into texts that digests are over.
fn name(value: Value<'_>) -> Result<String> {
    let name = text(value)?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
    match name.bytes().all(is_plain) {
        true => Ok(name),
        false => Err(declaration(&name, "is not a name".into())),
    }
}

fn joined(scope: &str, value: Value<'_>) -> Result<String> {
    let name = name(value)?;
    let full = if scope.is_empty() { name } else { format!("{scope}.{name}") };
    bounded(full.len(), NAME_BYTES_MAX, "bytes in a name")?;
    Ok(full)
}

fn bounded(found: usize, limit: usize, what: &'static str) -> Result<()> {
    match found > limit {
        true => Err(ContractError::TooLarge { what, limit }),
        false => Ok(()),
    }
}

fn declaration(name: &str, what: String) -> ContractError {
    ContractError::Declaration { name: name.to_owned(), what }
}
