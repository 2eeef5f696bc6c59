//! The engine against the `cedar-policy` crate for as many decisions as one likes.
//!
//! `cargo run --release -p cedar --example differential -- --decisions 10000000 --seed 1
//! --threads 2`: makes worlds of the seeds from `--seed` on, stops after so many decisions, and
//! tells what mix of answers was reached. At the first mismatch it prints the world, cut down to
//! what is needed, and ends with status 1.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example")]

#[path = "../tests/differential/mod.rs"]
mod generator;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use cedar::Workspace;
use generator::mix::Mix;

/// Worlds of which the policies are validated as well: one in so many, since it takes long.
const VALIDATED_ONE_IN: u64 = 50;
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

struct Options {
    decisions: u64,
    seed: u64,
    threads: u64,
}

/// What the threads share.
struct Run {
    options: Options,
    next_seed: AtomicU64,
    failed: AtomicBool,
    mix: Mutex<Mix>,
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(told) => {
            eprintln!("{told}");
            return ExitCode::from(2);
        }
    };
    let start = Instant::now();
    let run = Run {
        next_seed: AtomicU64::new(options.seed),
        failed: AtomicBool::new(false),
        mix: Mutex::default(),
        options,
    };
    thread::scope(|scope| {
        let workers: Vec<_> =
            (0..run.options.threads).map(|_| scope.spawn(|| work(&run))).collect();
        let mut told = start;
        while workers.iter().any(|worker| !worker.is_finished()) {
            thread::sleep(Duration::from_millis(50));
            if told.elapsed() >= PROGRESS_EVERY {
                told = Instant::now();
                let decisions = mix(&run).decisions;
                eprintln!("{decisions} decisions after {:.0} s", start.elapsed().as_secs_f64());
            }
        }
    });
    let next = run.next_seed.load(Ordering::Relaxed);
    println!("seeds {} to {}", run.options.seed, next.saturating_sub(1));
    println!("{}\nin {:.1} s", mix(&run), start.elapsed().as_secs_f64());
    if run.failed.load(Ordering::Relaxed) {
        return ExitCode::FAILURE;
    }
    println!("no mismatch");
    ExitCode::SUCCESS
}

fn work(run: &Run) {
    // One workspace for all worlds: what it held before must not matter.
    let mut workspace = Workspace::default();
    while !run.failed.load(Ordering::Relaxed) && mix(run).decisions < run.options.decisions {
        let seed = run.next_seed.fetch_add(1, Ordering::Relaxed);
        let mut reached = Mix::default();
        let validate = seed.is_multiple_of(VALIDATED_ONE_IN);
        let result = generator::run_seed(seed, None, validate, &mut workspace, &mut reached);
        run.mix.lock().unwrap_or_else(PoisonError::into_inner).merge(&reached);
        if let Err(told) = result {
            run.failed.store(true, Ordering::Relaxed);
            println!("{told}");
        }
    }
}

fn mix(run: &Run) -> Mix {
    run.mix.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn options() -> Result<Options, String> {
    let mut options = Options { decisions: 100_000, seed: 1, threads: 1 };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let place = match word.as_str() {
            "--decisions" => &mut options.decisions,
            "--seed" => &mut options.seed,
            "--threads" => &mut options.threads,
            _ => return Err(format!("unknown option `{word}`")),
        };
        let number = words.next().unwrap_or_default();
        *place =
            number.parse().map_err(|_| format!("`{word}` needs a number, found `{number}`"))?;
    }
    Ok(options)
}
