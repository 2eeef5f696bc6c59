//! `giaolien audit search` and `giaolien audit subject`: exchanges in a ledger, newest first.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use model::{Criteria, Timestamp};
use tonic::transport::Channel;
use wire::generated::admin::admin_service_client::AdminServiceClient;
use wire::generated::admin::{Exchange, Hole, Lost, Person, SearchRequest, SearchResponse};

use super::copy::Copy;
use super::criteria::Asked;
use super::place::Place;
use super::shown::Shown;
use crate::commands::admin::{Unanswered, runtime};
use crate::commands::say;
use crate::commands::whom::Whom;

/// Exchanges asked for at once.
const PAGE_EXCHANGES: usize = 500;
/// Longest number of a person that is read from standard input, in bytes.
const NUMBER_BYTES_MAX: u64 = 64;

/// Of a running gateway, or of a copy of a ledger.
#[derive(Debug, Args)]
pub(crate) struct Search {
    #[command(flatten)]
    asked: Asked,
    #[command(flatten)]
    output: Output,
    /// Why the ledger is read; the gateway records it, with who reads and what.
    #[arg(long, value_name = "TEXT", required_unless_present = "ledger")]
    reason: Option<String>,
    #[command(flatten)]
    whom: Whom,
    /// A copy of a ledger, in the place of a gateway. Reading it is not recorded.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["config", "admin", "reason"])]
    ledger: Option<PathBuf>,
    /// Where the index of the copy is kept for the next search; a temporary folder if not given.
    #[arg(long, value_name = "DIR", requires = "ledger")]
    index: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

/// Of a running gateway, which alone has the keys.
#[derive(Debug, Args)]
pub(crate) struct Subject {
    /// The person's number; `-` reads it from standard input, where no other process sees it.
    number: String,
    /// The country of the number.
    #[arg(long, value_name = "CODE", default_value = "VN")]
    country: String,
    /// The kind of number.
    #[arg(long, value_name = "WORD", default_value = "personal")]
    kind: String,
    #[command(flatten)]
    asked: Asked,
    #[command(flatten)]
    output: Output,
    /// Why the ledger is read; the gateway records it, with who reads and the pseudonyms.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    whom: Whom,
}

/// What to do with what is found.
#[derive(Debug, Args)]
pub(super) struct Output {
    /// Exchanges at most.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// How to print them; JSON is one object on each line.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Writes receipt and proof of each exchange to files there, for `giaolien receipt verify`. Of a
    /// copy, which nobody can sign receipts for, the proof alone.
    #[arg(long, value_name = "DIR")]
    receipts: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Text,
    Json,
}

/// A page of what was asked for.
pub(super) struct Asking<'a> {
    pub(super) criteria: &'a Criteria,
    pub(super) before: u64,
    pub(super) limit: usize,
}

impl Search {
    pub(super) fn run(self) -> Result<ExitCode> {
        let criteria = self.asked.criteria()?;
        if let Some(ledger) = &self.ledger {
            eprintln!("reading a copy is not recorded");
            let proofs = self.output.receipts.is_some();
            if proofs {
                eprintln!("a copy cannot sign receipts, only proofs are written");
            }
            let copy = Copy::open(&self.place.source(ledger)?, self.index.as_deref(), proofs)?;
            let mut printer = Printer::new(&self.output)?;
            while let Some((before, limit)) = printer.next() {
                printer.print(&copy.page(&Asking { criteria: &criteria, before, limit })?)?;
            }
            return Ok(printer.code());
        }
        let reason = self.reason.context("found no --reason, expected why the ledger is read")?;
        let gateway = Gateway { whom: self.whom, reason, person: None };
        gateway.search(&criteria, &self.output)
    }
}

impl Subject {
    pub(super) fn run(self) -> Result<ExitCode> {
        let criteria = self.asked.criteria()?;
        let number = match self.number.as_str() {
            "-" => number_from(std::io::stdin())?,
            number => number.to_owned(),
        };
        let person = Person { country: self.country, kind: self.kind, number };
        let gateway = Gateway { whom: self.whom, reason: self.reason, person: Some(person) };
        gateway.search(&criteria, &self.output)
    }
}

pub(super) fn number_from(input: impl Read) -> Result<String> {
    let mut text = String::new();
    let bounded = &mut input.take(NUMBER_BYTES_MAX);
    bounded.read_to_string(&mut text).context("read the number from standard input")?;
    Ok(text.trim().to_owned())
}

/// A gateway to ask.
struct Gateway {
    whom: Whom,
    reason: String,
    person: Option<Person>,
}

impl Gateway {
    fn search(self, criteria: &Criteria, output: &Output) -> Result<ExitCode> {
        let Self { whom, reason, person } = self;
        let door = whom.door()?;
        let mut printer = Printer::new(output)?;
        let work = async {
            let mut client = match door.open().await? {
                Ok(client) => client,
                Err(unanswered) => return anyhow::Ok(Err(unanswered)),
            };
            while let Some((before, limit)) = printer.next() {
                let request = SearchRequest {
                    criteria: Some(wire::search::encode_criteria(criteria)),
                    person: person.clone(),
                    why: reason.clone(),
                    limit: u32::try_from(limit).unwrap_or(u32::MAX),
                    before,
                    receipts: output.receipts.is_some(),
                };
                match page(&mut client, request).await {
                    Ok(answer) => printer.print(&answer)?,
                    Err(unanswered) => return Ok(Err(unanswered)),
                }
            }
            Ok(Ok(printer.code()))
        };
        match runtime()?.block_on(work)? {
            Ok(code) => Ok(code),
            Err(unanswered) => Ok(unanswered.tell(&door.admin)),
        }
    }
}

async fn page(
    client: &mut AdminServiceClient<Channel>,
    request: SearchRequest,
) -> Result<SearchResponse, Unanswered> {
    let answer = client.search(request).await;
    answer.map(tonic::Response::into_inner).map_err(Unanswered::from)
}

/// Prints pages, and says which comes next.
struct Printer<'a> {
    output: &'a Output,
    left: usize,
    /// Where the next page begins; `None` after the last.
    before: Option<u64>,
    told: bool,
    /// Exchanges without a proof.
    unproved: u64,
    holes: Holes,
}

/// Says what a search did not look at because it is not there.
pub(super) fn tell_extent(indexed: u64, durable: u64, lost: Option<&Lost>) {
    if indexed < durable {
        eprintln!("searched the first {indexed} of {durable} entries, try again for the rest");
    }
    if let Some(Lost { entries, latest_us }) = lost {
        let latest = Timestamp::from_micros(*latest_us);
        eprintln!(
            "{entries} entries written until {latest} were removed after their term; what was \
             among them is not found"
        );
    }
}

/// Entries that were not to be had, each told once.
#[derive(Debug, Default)]
pub(super) struct Holes(BTreeSet<u64>);

impl Holes {
    pub(super) fn tell(&mut self, holes: &[Hole]) {
        for Hole { first_index, next_index, why } in holes {
            if self.0.insert(*first_index) {
                eprintln!("not searched: entries from {first_index} up to {next_index}: {why}");
            }
        }
    }

    /// A search that missed some is no success.
    pub(super) fn code(&self) -> ExitCode {
        if self.0.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

impl<'a> Printer<'a> {
    fn new(output: &'a Output) -> Result<Self> {
        if let Some(dir) = &output.receipts {
            let shown = dir.display();
            fs::create_dir_all(dir).with_context(|| format!("make folder `{shown}`"))?;
        }
        let (left, before) = (output.limit, Some(0));
        Ok(Self { output, left, before, told: false, unproved: 0, holes: Holes::default() })
    }

    fn code(&self) -> ExitCode {
        self.holes.code()
    }

    fn next(&self) -> Option<(u64, usize)> {
        let before = self.before.filter(|_| self.left > 0)?;
        Some((before, self.left.min(PAGE_EXCHANGES)))
    }

    fn print(&mut self, answer: &SearchResponse) -> Result<()> {
        let SearchResponse { exchanges, before, indexed, durable, periods, lost, holes } = answer;
        for exchange in exchanges {
            let shown = Shown::of(exchange)?;
            match self.output.format {
                Format::Text => say(shown.text()),
                Format::Json => say(shown.json()),
            }
            if let Some(dir) = &self.output.receipts
                && !keep(dir, &shown.name(), exchange)?
            {
                self.unproved += 1;
            }
        }
        self.left = self.left.saturating_sub(exchanges.len());
        // A page goes on before it began, or not at all.
        if *before > 0 && self.before.is_some_and(|last| last > 0 && *before >= last) {
            bail!("found a page that goes on at entry {before}, expected one before");
        }
        self.before = Some(*before).filter(|before| *before > 0);
        if !std::mem::replace(&mut self.told, true) {
            if !periods.is_empty() {
                eprintln!("looked for under the keys of {}", periods.join(", "));
            }
            tell_extent(*indexed, *durable, lost.as_ref());
        }
        self.holes.tell(holes);
        if self.left == 0 && self.before.is_some() {
            eprintln!("there may be more, see --limit");
        }
        let unproved = self.unproved;
        if unproved > 0 && self.next().is_none() {
            eprintln!("{unproved} are not covered by a checkpoint yet, try again for their proofs");
        }
        Ok(())
    }
}

/// Keeps receipt and proof of an exchange, or its entry where there is neither; false if there is no
/// proof.
fn keep(dir: &Path, name: &str, exchange: &Exchange) -> Result<bool> {
    let Exchange { entry, receipt, proof, .. } = exchange;
    let bare = receipt.is_empty() && proof.is_empty();
    let parts = [("receipt", receipt, true), ("proof", proof, true), ("entry", entry, bare)];
    for (extension, bytes, wanted) in parts {
        if wanted && !bytes.is_empty() {
            let path = dir.join(format!("{name}.{extension}"));
            fs::write(&path, bytes).with_context(|| format!("write `{}`", path.display()))?;
        }
    }
    Ok(!proof.is_empty())
}
