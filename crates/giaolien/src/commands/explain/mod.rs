//! `giaolien explain`: why a call would be, or was, decided so, and what would change it.

mod call;
mod finding;
mod page;
mod recorded;
mod story;
mod to_json;
mod words;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use audit::Source;
use clap::{Args, ValueEnum};
use control::{Config, LoadError};
use model::{ExchangeId, RevisionId};

use super::say;
use crate::assemble;
use call::Asked;
use finding::Finding;
use recorded::Recorded;
use words::Words;

const REFUSED: u8 = 2;

/// Explains a decision: for a call given by hand, or for one in the ledger.
///
/// Shows the route, the decision, the governing agreement as Cedar, agreements that nearly fit and
/// what each misses, the policies that decided, and what would change the decision. A recorded call
/// is decided again by the folder as it is now; what was recorded is shown beside it. Exits with 0
/// if the call is allowed (a recorded one: was), 2 if it is refused, 1 if something given is bad.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  giaolien explain --config /etc/giaolien --system commune \\\n    \
    --method /vn.population.v1.PopulationService/LookUpPerson --purpose residence\n  \
    giaolien explain --config /etc/giaolien --ledger /var/lib/giaolien/ledger \\\n    \
    --exchange 019a8f3e-5d2c-7c3e-9d55-0b1f7a6e2c11\n\n\
    Environment:\n  LANG  the language, if --lang is not given"
)]
pub(crate) struct Explain {
    /// The configuration folder.
    #[arg(long, value_name = "DIR")]
    config: PathBuf,
    /// The ledger that the call is recorded in.
    #[arg(long, value_name = "DIR", requires = "exchange")]
    ledger: Option<PathBuf>,
    /// The call's id, as its answer has it in `exchange-id`.
    #[arg(long, value_name = "ID", requires = "ledger", conflicts_with = "ByHand")]
    exchange: Option<ExchangeId>,
    #[command(flatten)]
    by_hand: ByHand,
    /// The language; that of the environment if not given.
    #[arg(long, value_enum)]
    lang: Option<Lang>,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// A call given by hand.
#[derive(Debug, Args)]
#[group(id = "ByHand", multiple = true)]
struct ByHand {
    /// The system that calls.
    #[arg(long, value_name = "ID", required_unless_present = "exchange")]
    system: Option<String>,
    /// The method path, `/package.Service/Method`.
    #[arg(long, value_name = "PATH", required_unless_present = "exchange")]
    method: Option<String>,
    /// The purpose it states.
    #[arg(long, value_name = "CODE")]
    purpose: Option<String>,
    /// The dossier it states.
    #[arg(long, value_name = "CODE")]
    dossier: Option<String>,
    /// The public-service code it states.
    #[arg(long, value_name = "CODE")]
    procedure: Option<String>,
    /// The agreement it names.
    #[arg(long, value_name = "ID")]
    agreement: Option<String>,
    /// The fields it asks for.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    fields: Vec<String>,
    /// Where it comes from; this machine if not given.
    #[arg(long, value_name = "IP")]
    source: Option<IpAddr>,
    /// When, in RFC 3339; now if not given.
    #[arg(long, value_name = "TIME")]
    at: Option<jiff::Timestamp>,
    /// Other metadata, `key=value`; may be given several times.
    #[arg(long, value_name = "KEY=VALUE", value_parser = call::pair)]
    header: Vec<(String, String)>,
    /// Level of assurance in the token behind the call.
    #[arg(long, value_name = "N")]
    token_level: Option<i64>,
    /// Issuer of the token.
    #[arg(long, value_name = "NAME")]
    token_issuer: Option<String>,
    /// Whom the token is about.
    #[arg(long, value_name = "NAME")]
    token_subject: Option<String>,
    /// The official's unit in the token.
    #[arg(long, value_name = "CODE")]
    token_unit: Option<String>,
    /// A role of the official in the token; may be given several times.
    #[arg(long, value_name = "NAME")]
    token_role: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Lang {
    /// Tiếng Việt.
    Vi,
    /// English.
    En,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Explain {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let words = Words::new(self.lang);
        let (recorded, asked) = match (&self.ledger, self.exchange) {
            (Some(ledger), Some(exchange)) => {
                let source = source_of(ledger.clone(), &self.config)?;
                let recorded = Recorded::find(&source, exchange)?;
                let asked = Asked::from_entry(&recorded.entry);
                (Some(recorded), asked)
            }
            _ => (None, Some(self.by_hand.asked()?)),
        };
        let Some(config) = load(&self.config)? else { return Ok(ExitCode::FAILURE) };
        let ledger = &config.gateway.ledger.directory;
        let changed =
            recorded.iter().map(|it| recorded::changed_since(&self.config, ledger, it.revision()));
        let changed = changed.collect::<Result<Vec<_>>>()?.pop().flatten();
        let is_registered = |asked: &Asked| config.snapshot.system(&asked.system).is_some();
        // Where nobody could recognise the caller, where there was only a connection, and where
        // the system is gone, the record is all there is.
        let (known, gone) = match &asked {
            Some(asked) if recorded.is_some() && !is_registered(asked) => (None, Some(asked)),
            known => (known.as_ref(), None),
        };
        let finding = known.map(|asked| finding(&config, asked, recorded.as_ref())).transpose()?;
        let gone = gone.map(|asked| asked.system.clone());
        let told = Told { finding, recorded, gone, changed };
        match self.format {
            Format::Text => say(story::tell(&words, &told).trim_end()),
            Format::Json => say(to_json::told(&words, &told)),
        }
        Ok(if told.is_allowed() { ExitCode::SUCCESS } else { ExitCode::from(REFUSED) })
    }
}

/// All that there is to tell.
struct Told<'a> {
    /// How the call is decided by the folder as it is.
    finding: Option<Finding<'a>>,
    /// What the ledger has of it.
    recorded: Option<Recorded>,
    /// The recorded system, if it is not registered any more.
    gone: Option<String>,
    /// The file that changed last, if any did since the recorded revision came into force.
    changed: Option<recorded::Changed>,
}

impl Told<'_> {
    fn is_allowed(&self) -> bool {
        match (&self.recorded, &self.finding) {
            (Some(recorded), _) => recorded.is_admitted(),
            (None, finding) => finding.as_ref().is_some_and(Finding::is_allowed),
        }
    }
}

fn load(dir: &Path) -> Result<Option<Config>> {
    match control::load(dir, RevisionId::default()) {
        Ok(config) => Ok(Some(config)),
        Err(LoadError::Problems(problems)) => {
            problems.iter().for_each(|problem| eprintln!("{problem}"));
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// A ledger with the archive and the keys that the configuration names; alone if those cannot be
/// told, about which the configuration's problems say more.
fn source_of(folder: PathBuf, config: &Path) -> Result<Source> {
    let Ok(found) = control::whereabouts(config) else { return Ok(Source::folder(folder)) };
    let keys = assemble::keys(&found.keys)?;
    Ok(Source { folder, archives: found.archive.into_iter().collect(), keys })
}

/// Decides the call. The ledger does not say whether a caller named its agreement: one that
/// explains what was recorded counts as named.
fn finding<'a>(
    config: &'a Config,
    asked: &'a Asked,
    recorded: Option<&Recorded>,
) -> Result<Finding<'a>> {
    let systems = config.source.systems.iter().map(|system| system.id.as_str());
    if config.snapshot.system(&asked.system).is_none() {
        let near = policy::nearest(&asked.system, systems);
        let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        bail!("found system `{}`, expected a registered one{hint}", asked.system);
    }
    let unnamed = Finding::new(config, asked.clone(), recorded.map(|it| it.exchange));
    let unnamed = unnamed.context("caller that was registered")?;
    let Some(recorded) = recorded else { return Ok(unnamed) };
    if recorded.agrees(&unnamed) {
        return Ok(unnamed);
    }
    let Some(agreement) = recorded.agreement() else { return Ok(unnamed) };
    let named = Finding::new(config, asked.naming(agreement), Some(recorded.exchange));
    Ok(named.filter(|named| recorded.agrees(named)).unwrap_or(unnamed))
}
