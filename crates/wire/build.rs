//! Compiles Giao Liên's own contracts. Needs no `protoc`.

const PROTO_ROOT: &str = "../../proto";
const PROTOS: [&str; 2] = ["giaolien/admin/v1/admin.proto", "giaolien/evidence/v1/evidence.proto"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for proto in PROTOS {
        println!("cargo::rerun-if-changed={PROTO_ROOT}/{proto}");
    }
    let descriptors = protox::compile(PROTOS, [PROTO_ROOT])?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
