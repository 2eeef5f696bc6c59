//! The country that is measured, and building it.

use std::time::Instant;

use anyhow::{Result, anyhow};
use policy::Snapshot;

pub mod country;
pub mod machine;

/// Where the random numbers begin.
pub const SEED: u64 = 7;

/// Compiles a source.
pub fn compile(source: policy::Source) -> Result<Snapshot> {
    Snapshot::compile(source).map_err(|problems| {
        let first = problems.first().map(ToString::to_string).unwrap_or_default();
        anyhow!("{} problems, the first: {first}", problems.len())
    })
}

/// The snapshot of a country of so many agreements, and the seconds that building it took.
pub fn build(agreements: usize, bespoke_in_100: u8) -> Result<(Snapshot, f64)> {
    let source = country::make(country::ids(agreements), bespoke_in_100, SEED).source;
    let begun = Instant::now();
    let snapshot = compile(source)?;
    Ok((snapshot, begun.elapsed().as_secs_f64()))
}
