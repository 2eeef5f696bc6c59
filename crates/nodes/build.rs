//! Compiles the contracts of the five services, without `protoc`.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

const CONTRACTS: [&str; 5] = [
    "vn/population/v1/population.proto",
    "vn/civilservants/v1/civilservants.proto",
    "vn/socialsecurity/v1/socialsecurity.proto",
    "vn/insurance/v1/insurance.proto",
    "vn/generaldata/v1/generaldata.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.join("vn").display());
    println!("cargo:rerun-if-changed={}", root.join("giaolien/annotations").display());

    let mut compiler = protox::Compiler::new([&root])?;
    compiler.include_imports(true).include_source_info(true).open_files(CONTRACTS)?;
    tonic_prost_build::configure()
        .emit_rerun_if_changed(false)
        .bytes(".vn.generaldata.v1")
        .compile_fds(compiler.file_descriptor_set())?;

    // The compiler's own encoder keeps the field options; encoding the set with prost drops them.
    let descriptors = PathBuf::from(env::var("OUT_DIR")?).join("descriptor_set.bin");
    fs::write(descriptors, compiler.encode_file_descriptor_set())?;
    Ok(())
}
