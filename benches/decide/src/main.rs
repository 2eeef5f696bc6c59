//! What a decision costs, beside a bare look-up of the same strings and beside other engines.

mod changes;
mod guards;
mod inputs;
mod ours;
mod peers;
mod reference;
mod rego;
mod report;
mod timing;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;
use fastrand::Rng;
use policy::{Snapshot, Workspace};
use serde_json::Value;

use decide::country::{self, Country};
use decide::{SEED, compile, machine};
use inputs::{Circumstances, Inputs};
use report::{Goal, Report, Row};
use timing::{Pass, race};

/// The gateway's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Most systems, methods and purposes are those of a country of this size; other engines are
/// asked up to here.
const PEERS_MAX: usize = 100_000;
/// From this many agreements on, building and changing are measured.
const LARGE: usize = 1_000_000;
const CHANGES: usize = 200;

/// Measures what a decision costs, beside a bare look-up of the same strings in a hash map and
/// beside the crates `cedar-policy` and `regorus`, all in one run.
///
/// For each number of agreements a country is made: 34 provinces, 3,321 communes, 22 ministries
/// with 440 units, 12,000 systems, 60 services with 400 methods; of ten agreements nine are of one
/// of the 30 packages that their service is offered in. Calls are drawn at random among
/// those that agreements allow and stand as strings in one buffer. What is compared takes turns,
/// and a figure is the median of the rounds. Other engines get their inputs parsed beforehand,
/// we take strings. Every answer of another engine is held against ours; a difference ends the
/// run with an error. A goal that is missed does not.
///
/// Keep the machine quiet: the load is printed with the results.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Options {
    /// Numbers of agreements.
    #[arg(
        long,
        value_delimiter = ',',
        default_values_t = [10, 1_000, 10_000, 100_000, 1_000_000]
    )]
    sizes: Vec<usize>,
    /// Fewer calls and rounds: to see that it runs, not to quote.
    #[arg(long)]
    quick: bool,
    /// Only these parts.
    #[arg(long, value_delimiter = ',', value_enum)]
    only: Vec<Part>,
    /// Writes the results to a file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Only builds a snapshot of so many agreements and tells what it took, as JSON.
    #[arg(long, hide = true, value_name = "N")]
    build: Option<usize>,
    /// Of a hundred agreements so many are of no package.
    #[arg(long, hide = true, default_value_t = country::BESPOKE_IN_100)]
    bespoke: u8,
}

/// A part of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Decisions, and the bare look-up.
    Decisions,
    /// A hundred policies beside the agreements.
    Guards,
    /// `cedar-policy`, and our engine for Cedar.
    Cedar,
    /// `regorus`.
    Rego,
    /// Building a snapshot, and its memory.
    Build,
    /// Changing one agreement.
    Change,
}

impl Options {
    pub fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    pub fn rounds(&self) -> usize {
        if self.quick { 3 } else { 7 }
    }

    /// Calls in a round of ours.
    fn calls(&self) -> usize {
        if self.quick { 50_000 } else { 1_000_000 }
    }

    /// Calls that other engines are asked about.
    pub fn cases(&self) -> usize {
        if self.quick { 1_000 } else { 20_000 }
    }
}

fn main() -> Result<()> {
    let options = Options::parse();
    if let Some(agreements) = options.build {
        println!("{}", changes::build(agreements, options.bespoke)?);
        return Ok(());
    }
    let machine = machine::describe();
    println!("{machine:#}");
    let mut report = Report::default();
    report.head();
    for size in &options.sizes {
        ensure!(*size > 0, "a country without agreements allows nothing");
        measure(&options, &mut report, *size)?;
    }
    if let Some(path) = &options.json {
        let text = format!("{:#}\n", report.json(&machine));
        std::fs::write(path, text).with_context(|| format!("write `{}`", path.display()))?;
    }
    match report.missed() {
        0 => println!("every goal met"),
        missed => println!("{missed} goals missed"),
    }
    Ok(())
}

fn measure(options: &Options, report: &mut Report, size: usize) -> Result<()> {
    // First, while this process holds little.
    if size >= LARGE && options.wants(Part::Build) {
        built(report, size)?;
    }
    let mut rng = Rng::with_seed(SEED);
    let Country { source, calls } =
        country::make(country::ids(size), country::BESPOKE_IN_100, SEED);
    let snapshot = compile(source.clone())?;
    let inputs = Inputs::draw(&calls, options.calls(), &mut rng);
    if options.wants(Part::Decisions) {
        decisions(options, report, size, (&snapshot, &inputs, &calls), &mut rng)?;
    }
    if options.wants(Part::Guards) {
        guarded(options, report, size, &source, (&snapshot, &inputs))?;
    }
    if size <= PEERS_MAX {
        let drawn = Inputs::draw(&calls, options.cases(), &mut rng);
        let cases = drawn.with_refused(30, &snapshot, &mut rng);
        peers::measure(options, report, size, &source, &snapshot, &cases)?;
    }
    if size >= LARGE && options.wants(Part::Change) {
        drop(calls);
        changed(report, size, source, snapshot, &inputs)?;
    }
    Ok(())
}

/// Decisions of ours, and the floor.
fn decisions(
    options: &Options,
    report: &mut Report,
    at: usize,
    (snapshot, inputs, calls): (&Snapshot, &Inputs, &[country::Call]),
    rng: &mut Rng,
) -> Result<()> {
    let circumstances = Circumstances::new();
    let mixed = inputs.with_refused(30, snapshot, rng);
    let standard = ours::Standard::new(calls);
    let fast = ours::Fast::new(calls);
    let decide = |inputs: &Inputs, read_id| {
        ours::decide(snapshot, inputs, &circumstances, &mut Workspace::default(), read_id)
    };
    ensure!(decide(inputs, true) == inputs.len(), "a call under an agreement was refused");
    ensure!(standard.look_up(inputs) == inputs.len(), "the map misses calls");
    ensure!(fast.look_up(inputs) == inputs.len(), "the map misses calls");
    let refused = mixed.len() - decide(&mixed, false);
    ensure!(refused * 10 >= mixed.len() * 2, "only {refused} of {} are refused", mixed.len());
    let pass = |inputs, read_id| -> Pass<'_> {
        Box::new(move || {
            decide(inputs, read_id);
            inputs.len()
        })
    };
    let [ours, with_id, mixed, standard, fast] = race(
        options.rounds(),
        [
            pass(inputs, false),
            pass(inputs, true),
            pass(&mixed, false),
            Box::new(|| standard.look_up(inputs)),
            Box::new(|| fast.look_up(inputs)),
        ],
    );
    let goal = match at {
        ..=1_000 => Goal::AtMost(250.0),
        ..=100_000 => Goal::AtMost(400.0),
        _ => Goal::AtMost(800.0),
    };
    let row = Row { what: "", at, unit: "ns", ours: ours.median, peer: None, goal: Goal::None };
    report.add(Row { what: "decision, strings in", goal, ..row });
    report.add(Row { what: "same, best round", ours: ours.best, ..row });
    report.add(Row { what: "same, and the id's text read", ours: with_id.median, ..row });
    report.add(Row { what: "same, 30 of 100 refused", ours: mixed.median, ..row });
    let goal = Goal::TimesAtMost(4.0);
    let peer = Some(("look-up, std's hasher", standard.median));
    report.add(Row { what: "decision beside a bare look-up", peer, goal, ..row });
    let peer = Some(("look-up, foldhash", fast.median));
    report.add(Row { what: "decision beside a bare look-up", peer, goal, ..row });
    Ok(())
}

/// The same with a hundred policies over all agreements.
fn guarded(
    options: &Options,
    report: &mut Report,
    at: usize,
    source: &policy::Source,
    (snapshot, inputs): (&Snapshot, &Inputs),
) -> Result<()> {
    let policies = Some(guards::policies()?.into());
    let guarded = compile(policy::Source { policies, ..source.clone() })?;
    for note in guarded.notes() {
        report.note(note);
    }
    let allowed = inputs.allowed(&guarded);
    ensure!(allowed.len() * 2 > inputs.len(), "policies forbid {} calls", inputs.len());
    report.note(&format!("policies forbid {} of {}", inputs.len() - allowed.len(), inputs.len()));
    let circumstances = Circumstances::new();
    let pass = |snapshot, inputs| -> Pass<'_> {
        let mut workspace = Workspace::default();
        let circumstances = &circumstances;
        Box::new(move || {
            ours::decide(snapshot, inputs, circumstances, &mut workspace, false);
            Inputs::len(inputs)
        })
    };
    let [without, with, all] = race(
        options.rounds(),
        [pass(snapshot, &allowed), pass(&guarded, &allowed), pass(&guarded, inputs)],
    );
    let peer = Some(("without policies", without.median));
    let goal = Goal::More(1_000.0);
    let row = Row { what: "", at, unit: "ns", ours: with.median, peer, goal };
    report.add(Row { what: "with 100 policies, calls they allow", ..row });
    let row = Row { ours: all.median, peer: None, goal: Goal::None, ..row };
    report.add(Row { what: "with 100 policies, all calls", ..row });
    Ok(())
}

/// Builds in processes of their own.
fn built(report: &mut Report, at: usize) -> Result<()> {
    let usual = in_process(at, country::BESPOKE_IN_100)?;
    let bespoke = in_process(at, 100)?;
    let row = Row { what: "", at, unit: "B", ours: 0.0, peer: None, goal: Goal::AtMost(300.0) };
    let goal = Goal::AtMost(5.0);
    report.add(Row { what: "building a snapshot", unit: "s", ours: usual[0], goal, ..row });
    report.add(Row { what: "heap an agreement, counted", ours: usual[3], ..row });
    let row = Row { goal: Goal::None, ..row };
    report.add(Row { what: "memory_bytes() an agreement", ours: usual[2], ..row });
    report.add(Row { what: "resident, with what malloc keeps", ours: usual[1], ..row });
    let what = "building, no two agreements alike";
    report.add(Row { what, unit: "s", ours: bespoke[0], ..row });
    report.add(Row { what: "heap, no two alike", ours: bespoke[3], ..row });
    Ok(())
}

/// Seconds; and resident, accounted and heap bytes an agreement.
fn in_process(agreements: usize, bespoke_in_100: u8) -> Result<[f64; 4]> {
    let [agreements, bespoke] = [agreements.to_string(), bespoke_in_100.to_string()];
    let this = std::env::current_exe()?;
    let found = run(Command::new(&this).args(["--build", &agreements, "--bespoke", &bespoke]))?;
    let found: Value = serde_json::from_str(&found)?;
    let figure = |name: &str| found[name].as_f64().with_context(|| format!("no `{name}`"));
    let counted = this.with_file_name("counted");
    let heap = run(Command::new(counted).args([&agreements, &bespoke]))?;
    Ok([figure("seconds")?, figure("resident")?, figure("accounted")?, heap.trim().parse()?])
}

/// What a command writes.
fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Changes one agreement at a time.
fn changed(
    report: &mut Report,
    at: usize,
    source: policy::Source,
    snapshot: Snapshot,
    inputs: &Inputs,
) -> Result<()> {
    let count = CHANGES + changes::FIRST;
    let step = (source.agreements.len() / count).max(1);
    let some = source.agreements.into_iter().step_by(step).take(count).collect::<Vec<_>>();
    let found = changes::change(snapshot, inputs, &some)?;
    let us = |rank: usize| {
        let ix = (found.changes_us.len() * rank / 100).min(found.changes_us.len() - 1);
        found.changes_us.get(ix).copied().unwrap_or(f64::NAN)
    };
    let row = Row { what: "", at, unit: "us", ours: 0.0, peer: None, goal: Goal::AtMost(1_000.0) };
    report.add(Row { what: "a change until it is live, p50", ours: us(50), ..row });
    report.add(Row { what: "a change until it is live, p99", ours: us(99), ..row });
    report.add(Row { what: "a change until it is live, longest", ours: us(100), ..row });
    let row = Row { goal: Goal::None, ..row };
    let what = "longest of the first changes after loading";
    report.add(Row { what, ours: found.first_us, ..row });
    let (longest, p999) = changes::tail(&found.during_ns);
    let (longest_before, p999_before) = changes::tail(&found.before_ns);
    let peer = Some(("without changes", longest_before / 1e3));
    report.add(Row { what: "longest decision meanwhile", ours: longest / 1e3, peer, ..row });
    let peer = Some(("without changes", p999_before / 1e3));
    report.add(Row { what: "decision meanwhile, p99.9", ours: p999 / 1e3, peer, ..row });
    Ok(())
}
