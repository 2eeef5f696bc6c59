//! Power cuts under a ledger.
//!
//! A disk image lies in the memory of this program, behind a FUSE file system, a loop device and
//! ext4. Its disk keeps what is written in a cache and makes it durable when it is told to flush.
//! At a chosen operation the power goes: of the sectors not flushed a random part survives, each as
//! any of the writes since left it. A process that runs a real ledger with many callers on that disk
//! has told over a pipe which entries it called durable; the image that survives is mounted, the
//! ledger opened by its own recovery, and every one of those entries must be there.
//!
//! ```sh
//! cargo run -- --rounds 1000 [--seed N] [--broken early|unsynced]
//! ```
//!
//! `early` calls entries durable before they are, `unsynced` runs the ledger on a kernel that does
//! not sync (with `strace`): both must be found out. The next round goes on with what survived, as it
//! is, so that cuts also come while an earlier one is being cleared up. All mounts are made in a
//! namespace of its own and vanish with the process, whatever ends it.

mod check;
mod child;
mod disk;
mod fuse;
mod machine;
mod random;

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::check::Ledger;
use crate::child::{Broken, Keeping};
use crate::machine::{Machine, Phase};
use crate::random::Random;

/// Set once the process has its own mounts.
const INSIDE: &str = "POWERCUT_INSIDE";
/// After so many cuts of one image a new one is begun.
const CUTS_PER_IMAGE: u64 = 12;

struct Arguments {
    rounds: u64,
    seed: u64,
    broken: Broken,
}

fn main() -> Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some("child") {
        child::run(&mut arguments)?;
        return Ok(ExitCode::SUCCESS);
    }
    let arguments = parse()?;
    if std::env::var_os(INSIDE).is_none() {
        return Err(enter_namespace());
    }
    let lost = run(&arguments)?;
    let as_expected = (lost > 0) == (arguments.broken != Broken::No);
    Ok(if as_expected { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn parse() -> Result<Arguments> {
    let mut parsed =
        Arguments { rounds: 100, seed: u64::from(std::process::id()), broken: Broken::No };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().with_context(|| format!("`{name}` needs a value"))?;
        match name.as_str() {
            "--rounds" => parsed.rounds = value.parse().context("read `--rounds`")?,
            "--seed" => parsed.seed = value.parse().context("read `--seed`")?,
            "--broken" => parsed.broken = value.parse()?,
            _ => bail!("unknown argument `{name}`, use --rounds, --seed, --broken"),
        }
    }
    Ok(parsed)
}

/// Starts this program anew with mounts that nobody else sees and that end with it.
fn enter_namespace() -> anyhow::Error {
    let own = match std::env::current_exe() {
        Ok(own) => own,
        Err(error) => return error.into(),
    };
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--propagation", "private"]).arg(own);
    unshare.args(std::env::args_os().skip(1)).env(INSIDE, "1");
    anyhow::Error::new(unshare.exec()).context("run `unshare`, as root")
}

/// What the rounds came to.
#[derive(Default)]
struct Tally {
    acknowledged: u64,
    unacknowledged: u64,
    discarded: u64,
    sealed: u64,
    phases: [u64; 3],
    lost: u64,
}

/// Makes the rounds; how many found something wrong.
fn run(arguments: &Arguments) -> Result<u64> {
    let &Arguments { rounds, seed, broken } = arguments;
    println!("{rounds} cuts, seed {seed}");
    let mut random = Random::new(seed);
    let machine = Machine::new()?;
    let begun = Instant::now();
    let mut tally = Tally::default();
    let mut kept = Keeping::ALL.into_iter().cycle();
    let mut next_ledger = || Ledger::new(kept.next().unwrap_or(Keeping::Raw));
    let mut image = machine.blank_image();
    let mut ledger = next_ledger();
    for round in 0..rounds {
        if round % CUTS_PER_IMAGE == CUTS_PER_IMAGE - 1 {
            image = machine.blank_image();
            ledger = next_ledger();
        }
        let cut = machine.cut_power(image, broken, ledger.keeping, &mut random)?;
        ledger.acknowledged(&cut.acknowledged);
        let checked = machine.check(&cut.image, &ledger);
        let phase = match cut.phase {
            Phase::Mounting => 0,
            Phase::Opening => 1,
            Phase::Running => 2,
        };
        if let Some(count) = tally.phases.get_mut(phase) {
            *count += 1;
        }
        tally.acknowledged += cut.acknowledged.len() as u64;
        image = cut.image;
        match checked? {
            Ok(found) => {
                tally.unacknowledged += found.unacknowledged;
                tally.discarded += u64::from(found.discarded_bytes > 0);
                tally.sealed += u64::from(found.sealed_segments > 0);
            }
            Err(wrong) => {
                tally.lost += 1;
                println!("round {round}, {}, cut {:?}: {wrong}", ledger.keeping.name(), cut.phase);
                // What is lost stays lost: the next rounds are about something else.
                image = machine.blank_image();
                ledger = next_ledger();
            }
        }
        if (round + 1) % 50 == 0 || round + 1 == rounds {
            report(&tally, round + 1, begun);
        }
    }
    Ok(tally.lost)
}

fn report(tally: &Tally, rounds: u64, begun: Instant) {
    let [mounting, opening, running] = tally.phases;
    println!(
        "{rounds} cuts ({mounting} while mounting, {opening} while opening, {running} under load) \
         in {} s: {} entries acknowledged, {} more found, {} torn tails cleared, {} rounds with \
         sealed segments, {} rounds lost something",
        begun.elapsed().as_secs(),
        tally.acknowledged,
        tally.unacknowledged,
        tally.discarded,
        tally.sealed,
        tally.lost,
    );
}
