//! `giaolien audit acts`: what operators did, newest first.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use model::{Entry, Operator};
use serde_json::{Value, json};
use wire::evidence::decode_entry;
use wire::generated::admin::{ActKind, LedgerEntry, Person, SearchActsRequest, SearchActsResponse};

use super::copy::Copy;
use super::criteria::times;
use super::place::Place;
use super::search::{Format, Holes, number_from, tell_extent};
use crate::commands::admin::{Unanswered, runtime};
use crate::commands::receipt::describe;
use crate::commands::say;
use crate::commands::whom::Whom;

/// Entries asked for at once.
const PAGE_ENTRIES: usize = 500;

/// Of a running gateway, or of a copy of a ledger.
#[derive(Debug, Args)]
pub(crate) struct Acts {
    /// Then or later: a date (in Vietnam), or a time in RFC 3339.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Before that: a time in RFC 3339, or a date, which still counts whole.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// By the operator of this name, or with the certificate of this SHA-256.
    #[arg(long, value_name = "NAME|SHA256")]
    operator: Option<String>,
    /// Of this kind.
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// Only readings of the history of the person with this number; `-` reads it from standard
    /// input.
    #[arg(long, value_name = "NUMBER", conflicts_with = "ledger")]
    person: Option<String>,
    /// Entries at most.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// How to print them; JSON is one object on each line.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
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

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Read,
    Apply,
    Remove,
}

impl Acts {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let asked = self.asked()?;
        let mut printer = Printer { format: self.format, left: self.limit, ..Printer::default() };
        if let Some(ledger) = &self.ledger {
            eprintln!("reading a copy is not recorded");
            let copy = Copy::open(&self.place.source(ledger)?, self.index.as_deref(), false)?;
            while let Some(request) = printer.next(&asked) {
                printer.print(&copy.acts(request)?)?;
            }
            return Ok(printer.holes.code());
        }
        let door = self.whom.door()?;
        let work = async {
            let mut client = match door.open().await? {
                Ok(client) => client,
                Err(unanswered) => return anyhow::Ok(Err(unanswered)),
            };
            while let Some(request) = printer.next(&asked) {
                match client.search_acts(request).await {
                    Ok(answer) => printer.print(answer.get_ref())?,
                    Err(status) => return Ok(Err(Unanswered::from(status))),
                }
            }
            Ok(Ok(printer.holes.code()))
        };
        match runtime()?.block_on(work)? {
            Ok(code) => Ok(code),
            Err(unanswered) => Ok(unanswered.tell(&door.admin)),
        }
    }

    fn asked(&self) -> Result<SearchActsRequest> {
        let (from, until) = times(self.from.as_deref(), self.until.as_deref())?;
        let number = match self.person.as_deref() {
            Some("-") => Some(number_from(std::io::stdin())?),
            number => number.map(str::to_owned),
        };
        let mut asked = SearchActsRequest {
            from_us: from.map(|time| time.as_micros()).unwrap_or_default(),
            until_us: until.map(|time| time.as_micros()).unwrap_or_default(),
            operator: self.operator.clone().unwrap_or_default(),
            person: number.map(|number| Person { number, ..Person::default() }),
            why: self.reason.clone().unwrap_or_default(),
            ..SearchActsRequest::default()
        };
        asked.set_kind(match self.kind {
            None => ActKind::Unspecified,
            Some(Kind::Read) => ActKind::Read,
            Some(Kind::Apply) => ActKind::Apply,
            Some(Kind::Remove) => ActKind::Remove,
        });
        Ok(asked)
    }
}

/// Prints pages, and says which comes next.
struct Printer {
    format: Format,
    left: usize,
    /// Where the next page begins; `None` after the last.
    before: Option<u64>,
    told: bool,
    holes: Holes,
}

impl Default for Printer {
    fn default() -> Self {
        let (format, holes) = (Format::Text, Holes::default());
        Self { format, left: 0, before: Some(0), told: false, holes }
    }
}

impl Printer {
    fn next(&self, asked: &SearchActsRequest) -> Option<SearchActsRequest> {
        let before = self.before.filter(|_| self.left > 0)?;
        let limit = u32::try_from(self.left.min(PAGE_ENTRIES)).unwrap_or(u32::MAX);
        Some(SearchActsRequest { before, limit, ..asked.clone() })
    }

    fn print(&mut self, answer: &SearchActsResponse) -> Result<()> {
        for LedgerEntry { index, entry } in &answer.entries {
            let entry = decode_entry(entry).with_context(|| format!("entry {index}"))?;
            match self.format {
                Format::Text => say(format_args!("{}; entry {index}", describe(&entry))),
                Format::Json => say(json(*index, &entry)),
            }
        }
        self.left = self.left.saturating_sub(answer.entries.len());
        // A page goes on before it began, or not at all.
        let goes_back = self.before.is_none_or(|last| last == 0 || answer.before < last);
        self.before = Some(answer.before).filter(|before| *before > 0 && goes_back);
        if !std::mem::replace(&mut self.told, true) {
            tell_extent(answer.indexed, answer.durable, answer.lost.as_ref());
        }
        self.holes.tell(&answer.holes);
        if self.left == 0 && self.before.is_some() {
            eprintln!("there may be more, see --limit");
        }
        Ok(())
    }
}

fn json(index: u64, entry: &Entry) -> Value {
    let by = |operator: &Operator| json!({ "name": operator.name, "certificate": operator.certificate.to_string() });
    match entry {
        Entry::LedgerRead(read) => json!({
            "entry": index,
            "time": read.time.to_string(),
            "act": "read",
            "operator": by(&read.operator),
            "reading": read.reading.as_str(),
            "criteria": read.criteria,
            "why": read.why,
            "results": read.results,
        }),
        Entry::AdminAction(done) => json!({
            "entry": index,
            "time": done.time.to_string(),
            "act": done.action.as_str(),
            "operator": by(&done.operator),
            "revision": done.revision.0,
        }),
        Entry::SegmentRemoved(removed) => json!({
            "entry": index,
            "time": removed.time.to_string(),
            "act": "remove",
            "operator": by(&removed.operator),
            "segment": removed.segment,
            "first": removed.first,
            "count": removed.count,
            "keep_until": removed.keep_until.to_string(),
            "why": removed.why,
        }),
        _ => json!({ "entry": index }),
    }
}
