//! Measures how long a large folder takes to load whole, and again after one file changed.
//!
//! ```text
//! cargo run --release -p control --example bench_reload -- 100000 64
//! ```
//!
//! The arguments are how many agreements there are, and in how many files.

#![allow(clippy::print_stdout, reason = "figures are what this prints")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use control::Loader;
use model::RevisionId;
use testkit::{Authority, Profile, ed25519_key_pem};

const SYSTEMS: usize = 10_000;
const GATEWAY: &str = "\
listen: 127.0.0.1:0
tls: {certificate: gateway.crt, key: gateway.key, client_authorities: [ca.crt]}
upstream: {certificate: gateway.crt, key: gateway.key, authorities: [ca.crt]}
ledger: {directory: ledger, origin: bench, key: ledger.key}
";

fn main() -> Result<()> {
    let mut numbers = std::env::args().skip(1).map(|argument| argument.parse::<usize>());
    let agreements = numbers.next().transpose().context("number of agreements")?;
    let files = numbers.next().transpose().context("number of files")?;
    let (agreements, files) = (agreements.unwrap_or(100_000), files.unwrap_or(64));
    ensure!((1..=agreements).contains(&files), "every file has at least one agreement");
    let folder = tempfile::tempdir()?;
    let bytes = write_folder(folder.path(), agreements, files)?;
    println!("{agreements} agreements in {files} files, {} MiB", bytes >> 20);

    let begun = Instant::now();
    let (mut loader, config) = Loader::load(folder.path(), RevisionId(1))?;
    println!("whole load: {:?}, {} KiB resident", begun.elapsed(), resident_kib()?);
    let mut current = config.snapshot;
    drop(config.source);

    let each = agreements / files;
    let first = folder.path().join("agreements/0.yaml");
    for round in 0..5_u64 {
        let mut text = String::from("agreements:\n");
        (0..each).for_each(|number| agreement(&mut text, number, number == 0 && round % 2 == 0));
        fs::write(&first, text)?;
        let begun = Instant::now();
        let reloaded = loader.reload(&current, RevisionId(round + 2))?;
        let (elapsed, amended) = (begun.elapsed(), reloaded.amended);
        println!("one file changed: {elapsed:?}, {amended:?} agreements amended");
        current = reloaded.config.snapshot;
    }
    println!("{} KiB resident", resident_kib()?);
    Ok(())
}

/// Writes a configuration, and tells how many bytes of agreements there are.
fn write_folder(folder: &Path, agreements: usize, files: usize) -> Result<usize> {
    let authority = Authority::new("Bench CA")?;
    let gateway = authority.issue("gateway", Profile::Server)?;
    let mut registry = "members: [{id: G01, name: Bộ Công an}]\nnodes:\n  - id: population\n    \
        name: Dân cư\n    provider: G01\n    endpoints: ['127.0.0.1:50051']\n    services:\n      \
        - {name: vn.population.v1.PopulationService, methods: [VerifyPerson]}\npurposes:\n  \
        - {code: public-service, name: Dịch vụ công}\nsystems:\n"
        .to_owned();
    for number in 0..SYSTEMS {
        let item = "name: Hệ thống, member: G01, certificates: []";
        writeln!(registry, "  - {{id: system-{number}, {item}}}")?;
    }
    fs::create_dir(folder.join("registry"))?;
    fs::create_dir(folder.join("agreements"))?;
    let small = [
        ("gateway.yaml", GATEWAY),
        ("ca.crt", &authority.certificate_pem()),
        ("gateway.crt", &gateway.certificate_pem),
        ("gateway.key", &gateway.key_pem),
        ("ledger.key", &ed25519_key_pem()?),
        ("registry/all.yaml", &registry),
    ];
    for (name, text) in small {
        fs::write(folder.join(name), text)?;
    }
    let mut bytes = 0;
    for file in 0..files {
        let mut text = String::from("agreements:\n");
        let numbers = file * agreements / files..(file + 1) * agreements / files;
        numbers.for_each(|number| agreement(&mut text, number, false));
        bytes += text.len();
        fs::write(folder.join(format!("agreements/{file}.yaml")), text)?;
    }
    Ok(bytes)
}

fn agreement(text: &mut String, number: usize, suspended: bool) {
    let state = if suspended { "suspended" } else { "active" };
    let system = number % SYSTEMS;
    text.push_str(&format!(
        "  - id: 2026-agreement-{number}\n    consumer: {{system: system-{system}}}\n    \
         node: population\n    service: vn.population.v1.PopulationService\n    methods: all\n    \
         purposes: [public-service]\n    legal_basis: Nghị định 278/2025/NĐ-CP, Điều 5\n    \
         mode: by_default\n    state: {state}\n    valid_from: 2026-01-01\n    \
         valid_until: 2030-12-31\n    quota: [{{calls: 100, per: 1s}}]\n"
    ));
}

/// Memory of this process, as Linux tells it.
fn resident_kib() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let words = line.and_then(|line| line.split_whitespace().next());
    words.context("no VmRSS")?.parse().context("VmRSS")
}
