//! Contracts from the text of a `.proto` file, for tests.
#![allow(dead_code, reason = "each test uses what it needs")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::path::PathBuf;

use mask::Contract;
use protox::file::{
    ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver,
};
use protox::prost_reflect::DescriptorPool;

/// One file of text, and ours.
struct Text(String);

impl FileResolver for Text {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match name {
            "test.proto" => File::from_source(name, &self.0),
            _ => Err(protox::Error::file_not_found(name)),
        }
    }
}

/// The encoded descriptor set of a file that may import the annotations, as `annotations.proto`.
pub(crate) fn descriptor_set(text: &str) -> Vec<u8> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    let mut resolver = ChainFileResolver::new();
    resolver.add(Text(text.to_owned()));
    resolver.add(IncludeFileResolver::new(root));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true);
    compiler.open_file("test.proto").unwrap_or_else(|error| panic!("{error:?}\n{text}"));
    compiler.encode_file_descriptor_set()
}

/// A file in package `t` with our annotations at hand as `class` and so on.
pub(crate) fn file(syntax: &str, declarations: &str) -> String {
    let mut text = format!(
        "{syntax}\npackage t;\nimport \"giaolien/annotations/v1/annotations.proto\";\n\
         import \"google/protobuf/any.proto\";\nimport \"google/protobuf/timestamp.proto\";\n"
    );
    text.push_str(
        &declarations
            .replace("(class)", "(giaolien.annotations.v1.class)")
            .replace("(subject)", "(giaolien.annotations.v1.subject)")
            .replace("(dictionary)", "(giaolien.annotations.v1.data_dictionary_id)")
            .replace("(source)", "(giaolien.annotations.v1.authoritative_source)")
            .replace("OPEN", "CLASS_OPEN")
            .replace("BASIC", "CLASS_BASIC")
            .replace("SENSITIVE", "CLASS_SENSITIVE")
            .replace("SECRET", "CLASS_SECRET"),
    );
    text
}

/// The contract and descriptors of such a file.
pub(crate) fn contract(syntax: &str, declarations: &str) -> (Contract, DescriptorPool) {
    let set = descriptor_set(&file(syntax, declarations));
    let contract = Contract::from_descriptor_set(&set).unwrap();
    (contract, DescriptorPool::decode(set.as_slice()).unwrap())
}

/// The sample services.
pub(crate) fn population() -> (Contract, DescriptorPool) {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    let mut compiler = protox::Compiler::new([root]).unwrap();
    compiler.include_imports(true).open_file("vn/population/v1/population.proto").unwrap();
    let set = compiler.encode_file_descriptor_set();
    let contract = Contract::from_descriptor_set(&set).unwrap();
    (contract, DescriptorPool::decode(set.as_slice()).unwrap())
}
