//! Makes a country and says how long it took and how much memory.
//!
//! ```text
//! cargo run --release -p nodes --example country -- /tmp/country 1000000
//! ```

use std::path::PathBuf;
use std::time::Instant;
use std::{env, fs};

use anyhow::Context;
use nodes::{Country, CountryOptions, NodeKind};

fn main() -> anyhow::Result<()> {
    let mut arguments = env::args().skip(1);
    let dir = PathBuf::from(arguments.next().context("name a folder")?);
    let people = arguments.next().map_or(Ok(10_000), |text| text.parse())?;
    let start = Instant::now();
    let options = CountryOptions { people, seed: 20_260_701 };
    let country = Country::create(&dir, &options, &mut |step| {
        eprintln!("{:>6.1} s  {step:?}", start.elapsed().as_secs_f64());
    })?;
    eprintln!("{:>6.1} s  whole", start.elapsed().as_secs_f64());
    for kind in NodeKind::ALL {
        let bytes = fs::metadata(country.database(kind))?.len();
        eprintln!("{:>6} MB  {kind}", bytes / 1_000_000);
    }
    // Linux only: the most memory the process ever held.
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(peak) = status.lines().find(|line| line.starts_with("VmHWM")) {
        eprintln!("{peak}");
    }
    Ok(())
}
