//! What the descriptors of a node say about its services, messages and fields.

use std::fmt::{self, Write as _};

use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::class::Class;
use crate::compile::spread;
use crate::descriptor;
use crate::wire::Fault;

/// The largest descriptor set that is read, in bytes.
pub(crate) const SET_BYTES_MAX: usize = 16 << 20;
/// The most messages in a contract, those of maps included.
pub(crate) const MESSAGES_MAX: usize = 16_384;
/// The most fields in a contract.
pub(crate) const FIELDS_MAX: usize = 262_144;
/// How deep declarations of messages may nest.
pub(crate) const NESTING_MAX: usize = 32;
/// The longest full name, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 512;

/// Why a descriptor set is no contract.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ContractError {
    /// Not a `FileDescriptorSet`.
    #[error("not a descriptor set: {0}")]
    Malformed(Fault),
    /// More of something than a contract may have.
    #[error("contract has more than {limit} {what}")]
    TooLarge {
        /// Of what.
        what: &'static str,
        /// How many are allowed.
        limit: usize,
    },
    /// A name that is needed and is not there.
    #[error("`{by}` refers to `{name}`, which is not in the set; compile it with all imports")]
    Missing {
        /// The name.
        name: String,
        /// The field or method that refers to it.
        by: String,
    },
    /// A name that is declared twice.
    #[error("`{0}` is declared twice")]
    Twice(String),
    /// Something else about one declaration.
    #[error("`{name}` {what}")]
    Declaration {
        /// The full name.
        name: String,
        /// What is wrong with it.
        what: String,
    },
}

impl From<Fault> for ContractError {
    fn from(fault: Fault) -> Self {
        Self::Malformed(fault)
    }
}

/// The services and messages of a node, checked and resolved.
#[derive(Clone, Debug)]
pub struct Contract {
    /// Sorted by name.
    pub(crate) messages: Vec<Message>,
    /// Sorted by path.
    pub(crate) methods: Vec<Method>,
    /// Whether a message has subjects, or holds messages that have, by its place.
    bearing: Vec<bool>,
    digest: [u8; 32],
}

/// A method of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method {
    /// As on the wire: `/package.Service/Method`.
    pub path: String,
    /// The full name of the request's type.
    pub input: String,
    /// The full name of the answer's type.
    pub output: String,
    /// Whether the caller sends a stream.
    pub streams_requests: bool,
    /// Whether the node sends a stream.
    pub streams_answers: bool,
}

/// A type of message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The full name.
    pub name: String,
    /// The fields by number. Extensions are not among them: they are unknown to a mask.
    pub fields: Vec<Field>,
    /// Whether it is the entry of a map, which nobody declares by hand.
    pub is_map_entry: bool,
}

/// A field of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The name.
    pub name: String,
    /// The number.
    pub number: u32,
    /// What it holds.
    pub kind: Kind,
    /// How often.
    pub cardinality: Cardinality,
    /// How much harm it can do.
    pub class: Class,
    /// Whether the contract says the class. If not, it is [`Class::Sensitive`]; in the entries of
    /// maps and in the messages of `google.protobuf` and `google.type` it is [`Class::Open`],
    /// which means that of the field they stand in.
    pub is_classed: bool,
    /// Whether it identifies the person whom the data is about.
    pub is_subject: bool,
    /// The entry of the data dictionary that defines it.
    pub data_dictionary_id: Option<String>,
    /// The database whose word counts.
    pub authoritative_source: Option<String>,
    /// The `oneof` it belongs to, by its place in the message.
    pub oneof: Option<u32>,
}

/// How often a field occurs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cardinality {
    /// At most once.
    Single,
    /// Exactly once: receivers refuse a message without it.
    Required,
    /// Any number of times.
    Repeated,
}

/// What a field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A scalar.
    Scalar(Scalar),
    /// An enum, by full name.
    Enum(String),
    /// A message, by its place in the contract.
    Message(MessageIx),
    /// A message between the tags of a group.
    Group(MessageIx),
    /// A map, with the message of its entries.
    Map(MessageIx),
}

/// The place of a message in its contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageIx(pub(crate) usize);

/// The scalar types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as protobuf names them")]
pub enum Scalar {
    Double,
    Float,
    Int64,
    Uint64,
    Int32,
    Fixed64,
    Fixed32,
    Bool,
    String,
    Bytes,
    Uint32,
    Sfixed32,
    Sfixed64,
    Sint32,
    Sint64,
}

impl Contract {
    /// Reads an encoded `google.protobuf.FileDescriptorSet` that holds all imports, such as
    /// `protoc --include_imports --descriptor_set_out` writes it, for proto2, proto3 and edition
    /// 2023. Options of others are passed over.
    pub fn from_descriptor_set(set: &[u8]) -> Result<Self, ContractError> {
        if set.len() > SET_BYTES_MAX {
            return Err(ContractError::TooLarge { what: "bytes", limit: SET_BYTES_MAX });
        }
        let (messages, methods) = descriptor::read(set)?;
        let bearing = bearing(&messages);
        let mut contract = Self { messages, methods, bearing, digest: [0; 32] };
        contract.digest = Sha256::digest(contract.text()).into();
        Ok(contract)
    }

    /// The message of this full name.
    pub fn message(&self, name: &str) -> Option<&Message> {
        self.get(self.find(name)?)
    }

    /// All messages, by name.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// All methods, by path.
    pub fn methods(&self) -> &[Method] {
        &self.methods
    }

    /// The method of this path, `/package.Service/Method`.
    pub fn method(&self, path: &str) -> Option<&Method> {
        let at = self.methods.binary_search_by(|method| method.path.as_str().cmp(path)).ok()?;
        self.methods.get(at)
    }

    /// The message, group or entry that a field holds.
    pub fn held(&self, field: &Field) -> Option<&Message> {
        self.get(field.kind.message()?)
    }

    /// SHA-256 over everything that matters here of the contract, in one text; see
    /// [`Contract::text`]. Comments, the order of declarations and the compiler do not matter.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// What the digest is over: the line `giaolien contract v1`, then for each message by name a
    /// line `message NAME` (`entry NAME` for those of maps) and for each field by number
    /// `field NUMBER NAME CARDINALITY TYPE CLASS`, then `oneof=N`, `subject`, `dictionary="…"`,
    /// `source="…"` where the field has one.
    pub fn text(&self) -> String {
        let mut text = String::from("giaolien contract v1\n");
        for message in &self.messages {
            let word = if message.is_map_entry { "entry" } else { "message" };
            _ = writeln!(text, "{word} {}", message.name);
            for field in &message.fields {
                let kind = self.kind_text(&field.kind);
                let Field { number, name, cardinality, class, .. } = field;
                _ = write!(text, "field {number} {name} {cardinality} {kind} {class}");
                if let Some(oneof) = field.oneof {
                    _ = write!(text, " oneof={oneof}");
                }
                if field.is_subject {
                    text.push_str(" subject");
                }
                if let Some(id) = &field.data_dictionary_id {
                    _ = write!(text, " dictionary={id:?}");
                }
                if let Some(source) = &field.authoritative_source {
                    _ = write!(text, " source={source:?}");
                }
                text.push('\n');
            }
        }
        text
    }

    /// A field's type in words.
    pub(crate) fn kind_text(&self, kind: &Kind) -> String {
        let name = |ix| self.get(ix).map_or("?", |message| message.name.as_str());
        match kind {
            Kind::Scalar(scalar) => scalar.as_str().to_owned(),
            Kind::Enum(name) => format!("enum {name}"),
            Kind::Message(ix) => format!("message {}", name(*ix)),
            Kind::Group(ix) => format!("group {}", name(*ix)),
            Kind::Map(ix) => format!("map {}", name(*ix)),
        }
    }

    pub(crate) fn bears_subjects(&self, ix: MessageIx) -> bool {
        self.bearing.get(ix.0).copied().unwrap_or_default()
    }

    pub(crate) fn find(&self, name: &str) -> Option<MessageIx> {
        let found = self.messages.binary_search_by(|message| message.name.as_str().cmp(name));
        found.ok().map(MessageIx)
    }

    pub(crate) fn get(&self, ix: MessageIx) -> Option<&Message> {
        self.messages.get(ix.0)
    }
}

fn bearing(messages: &[Message]) -> Vec<bool> {
    let mut users = vec![Vec::new(); messages.len()];
    let mut subjects = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        for field in &message.fields {
            if field.is_subject {
                subjects.push(at);
            }
            let held = field.kind.message().and_then(|ix| users.get_mut(ix.0));
            held.into_iter().for_each(|users: &mut Vec<usize>| users.push(at));
        }
    }
    spread(&users, subjects)
}

impl Message {
    /// The field of this number.
    pub fn field(&self, number: u32) -> Option<&Field> {
        let at = self.fields.binary_search_by_key(&number, |field| field.number).ok()?;
        self.fields.get(at)
    }

    /// The field of this name.
    pub fn field_named(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    pub(crate) fn is_any(&self) -> bool {
        self.name == "google.protobuf.Any"
    }
}

impl Kind {
    pub(crate) fn message(&self) -> Option<MessageIx> {
        match self {
            Self::Message(ix) | Self::Group(ix) | Self::Map(ix) => Some(*ix),
            Self::Scalar(_) | Self::Enum(_) => None,
        }
    }
}

impl Scalar {
    /// As `.proto` files write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Double => "double",
            Self::Float => "float",
            Self::Int64 => "int64",
            Self::Uint64 => "uint64",
            Self::Int32 => "int32",
            Self::Fixed64 => "fixed64",
            Self::Fixed32 => "fixed32",
            Self::Bool => "bool",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Uint32 => "uint32",
            Self::Sfixed32 => "sfixed32",
            Self::Sfixed64 => "sfixed64",
            Self::Sint32 => "sint32",
            Self::Sint64 => "sint64",
        }
    }
}

impl fmt::Display for Cardinality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Single => "single",
            Self::Required => "required",
            Self::Repeated => "repeated",
        })
    }
}
