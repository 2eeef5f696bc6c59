//! Descriptor sets, file by file. Options that nobody here knows stay as they are: the files are
//! kept as bytes.

use prost::Message;

use super::Descriptors;
use crate::problem::quoted;

/// A descriptor set.
#[derive(Debug)]
pub(super) struct Set {
    /// The file that holds it.
    pub(super) name: String,
    pub(super) files: Descriptors,
}

/// `google.protobuf.FileDescriptorSet`, with each file as it is on the wire.
#[derive(Clone, PartialEq, Message)]
struct Encoded {
    #[prost(bytes = "vec", repeated, tag = "1")]
    files: Vec<Vec<u8>>,
}

/// The name in a `google.protobuf.FileDescriptorProto`.
#[derive(Clone, PartialEq, Message)]
struct Named {
    #[prost(string, tag = "1")]
    name: String,
}

impl Set {
    /// Reads what the file `name` holds; else says what was found.
    pub(super) fn read(name: &str, bytes: &[u8]) -> Result<Self, String> {
        let files = files(bytes)?;
        match files.is_empty() {
            true => Err("an empty descriptor set".to_owned()),
            false => Ok(Self { name: name.to_owned(), files }),
        }
    }
}

/// The files of an encoded set by their names; else what was found.
pub(super) fn files(set: &[u8]) -> Result<Descriptors, String> {
    let malformed = |error| format!("bytes that are no descriptor set ({error})");
    let mut files = Descriptors::new();
    for bytes in Encoded::decode(set).map_err(malformed)?.files {
        let Named { name } = Named::decode(bytes.as_slice()).map_err(malformed)?;
        if files.contains_key(&name) {
            return Err(format!("{} twice", quoted(&name)));
        }
        files.insert(name, bytes);
    }
    Ok(files)
}

/// The encoded set of files.
pub(super) fn encoded(files: &Descriptors) -> Vec<u8> {
    Encoded { files: files.values().cloned().collect() }.encode_to_vec()
}
