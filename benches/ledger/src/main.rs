//! What durable evidence costs: our ledger beside a sync for each entry and beside SQLite.

mod callers;
mod naive;
mod ours;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Parser;
use hdrhistogram::Histogram;

/// The gateway's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// As long as the entries that other schemes were measured with.
pub const ENTRY_BYTES: usize = 244;

/// Measures how fast entries become durable, what that costs in CPU, and how long callers wait, in
/// one run on one disk: our ledger with waiting callers and with entries that arrive at a rate, a
/// file synced for every entry, and SQLite in WAL mode with `synchronous=FULL`, in batches.
///
/// CPU is that of the whole process by entry, callers included. Schemes take turns; each figure is
/// the median of the rounds. Keep the machine quiet.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// A folder on the disk to be measured.
    #[arg(long, default_value = ".")]
    folder: PathBuf,
    /// Seconds for each scheme in each round.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Rounds.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only schemes whose name holds this.
    #[arg(long, default_value = "")]
    only: String,
    /// Entries that the SQLite databases hold beforehand, as one in use does.
    #[arg(long, default_value_t = 1_000_000)]
    held: u64,
    /// Segments of our ledger, in MiB.
    #[arg(long, default_value_t = 64)]
    segment_mib: u64,
}

/// What a scheme did in one round.
pub struct Run {
    pub entries: u64,
    pub seconds: f64,
    /// Of the process, kernel included.
    pub cpu_seconds: f64,
    /// Microseconds from append to durable; of a whole batch where there are batches.
    pub waits: Histogram<u64>,
}

impl Run {
    /// Measures `work`, which tells how many entries it made durable and notes the waits.
    pub fn of(work: impl FnOnce(&mut Histogram<u64>) -> Result<u64>) -> Result<Self> {
        let mut waits = Histogram::new(3)?;
        let (begun, cpu) = (Instant::now(), cpu_seconds()?);
        let entries = work(&mut waits)?;
        let (seconds, cpu_seconds) = (begun.elapsed().as_secs_f64(), cpu_seconds()? - cpu);
        Ok(Self { entries, seconds, cpu_seconds, waits })
    }

    fn per_second(&self) -> f64 {
        self.entries as f64 / self.seconds
    }
}

/// Seconds of CPU that this process took so far.
fn cpu_seconds() -> Result<f64> {
    // Nanoseconds on a core of the main thread alone stand in `schedstat`; these are all threads'.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, rest) = stat.rsplit_once(')').context("/proc/self/stat has no name")?;
    let ticks = |at: usize| -> Result<f64> {
        Ok(rest.split_whitespace().nth(at).context("/proc/self/stat is short")?.parse()?)
    };
    Ok((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}

type Scheme = Box<dyn Fn(&Path, Duration) -> Result<Run>>;

fn main() -> Result<()> {
    let options = Options::parse();
    let segment_bytes = options.segment_mib << 20;
    let waiting = |callers| -> Scheme {
        Box::new(move |folder, time| ours::waiting(folder, time, callers, segment_bytes))
    };
    let arriving = |rate| -> Scheme {
        Box::new(move |folder, time| ours::arriving(folder, time, rate, segment_bytes))
    };
    let held = options.held;
    let alone = |held, batch| -> Scheme {
        Box::new(move |folder, time| naive::sqlite(folder, time, held, batch))
    };
    let with_callers = |callers| -> Scheme {
        Box::new(move |folder, time| naive::sqlite_waiting(folder, time, held, callers))
    };
    let schemes: Vec<(&str, Scheme)> = vec![
        ("ours, 1 waiting caller", waiting(1)),
        ("ours, 64 waiting callers", waiting(64)),
        ("ours, 1,024 waiting callers", waiting(1024)),
        ("ours, 4,096 waiting callers", waiting(4096)),
        ("ours, 1,000/s arriving", arriving(1_000)),
        ("ours, 50,000/s arriving", arriving(50_000)),
        ("ours, 100,000/s arriving", arriving(100_000)),
        ("ours, 200,000/s arriving", arriving(200_000)),
        ("file, a sync for every entry", Box::new(naive::sync_per_entry)),
        ("SQLite, batches of 1,000, nobody waits", alone(0, 1_000)),
        ("SQLite, batches of 5,000, nobody waits", alone(0, 5_000)),
        ("SQLite with entries, batches of 1,000, nobody waits", alone(held, 1_000)),
        ("SQLite with entries, batches of 5,000, nobody waits", alone(held, 5_000)),
        ("SQLite with entries, 1,024 waiting callers", with_callers(1_024)),
        ("SQLite with entries, 4,096 waiting callers", with_callers(4_096)),
    ];
    let schemes: Vec<_> =
        schemes.into_iter().filter(|(name, _)| name.contains(&options.only)).collect();
    let mut runs: Vec<Vec<Run>> = schemes.iter().map(|_| Vec::new()).collect();
    for _ in 0..options.rounds {
        for ((_, scheme), runs) in schemes.iter().zip(&mut runs) {
            let folder = tempfile::tempdir_in(&options.folder)?;
            runs.push(scheme(folder.path(), Duration::from_secs(options.seconds))?);
        }
    }
    println!(
        "{} bytes an entry, {} rounds of {} s, {}",
        ENTRY_BYTES,
        options.rounds,
        options.seconds,
        std::fs::canonicalize(&options.folder)?.display()
    );
    let load = std::fs::read_to_string("/proc/loadavg")?;
    println!("load before the end: {}", load.trim());
    println!("| scheme | entries/s | CPU µs an entry | wait p50 ms | p99 ms |");
    println!("|---|---|---|---|---|");
    for ((name, _), mut runs) in schemes.into_iter().zip(runs) {
        runs.sort_by(|a, b| a.per_second().total_cmp(&b.per_second()));
        let Some(run) = runs.get(runs.len() / 2) else { continue };
        let ms = |quantile| run.waits.value_at_quantile(quantile) as f64 / 1e3;
        println!(
            "| {name} | {:.0} | {:.2} | {:.2} | {:.2} |",
            run.per_second(),
            run.cpu_seconds / run.entries as f64 * 1e6,
            ms(0.5),
            ms(0.99),
        );
    }
    Ok(())
}
