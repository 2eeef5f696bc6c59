//! Generates the types of the population service, and keeps its descriptors.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let mut compiler = protox::Compiler::new([&root])?;
    compiler.include_imports(true).open_file("vn/population/v1/population.proto")?;
    prost_build::Config::new().compile_fds(compiler.file_descriptor_set())?;
    // The compiler's own encoder keeps the options of fields.
    let descriptors = PathBuf::from(env::var("OUT_DIR")?).join("descriptor_set.bin");
    fs::write(descriptors, compiler.encode_file_descriptor_set())?;
    Ok(())
}
