//! `giaolien check`: everything that is wrong with a configuration folder, at once.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, ValueEnum};
use control::{Counts, LoadError, Problem};
use dataplane::IssuerError;
use model::RevisionId;
use serde_json::json;

use super::say;
use crate::assemble;

/// Checks a whole configuration folder and prints every problem with its place.
///
/// Exits with 0 if the configuration is good, 1 if it has problems, 2 if it, or the one in force, could
/// not be read.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  giaolien check /etc/giaolien --format json\n  \
    giaolien check ./next --against /etc/giaolien")]
pub(crate) struct Check {
    /// The configuration folder.
    dir: PathBuf,
    /// The configuration folder in force: what a new contract changes for whom is noted.
    #[arg(long, value_name = "OTHER_DIR")]
    against: Option<PathBuf>,
    /// How to print the problems.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Check {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match control::load(&self.dir, RevisionId::default()) {
            Ok(mut config) => {
                // The keys of issuers are read by the data plane.
                if let Err(error) = assemble::issuers(&config.gateway.tokens) {
                    self.print_problems(&[of_tokens(&error)]);
                    return Ok(ExitCode::from(1));
                }
                if let Some(against) = &self.against {
                    let before = control::load(against, RevisionId::default())
                        .with_context(|| format!("load `{}`", against.display()));
                    match before {
                        Ok(before) => config
                            .notes
                            .extend(control::contract_changes(&before.snapshot, &config.snapshot)),
                        Err(error) => {
                            eprintln!("error: {error:#}");
                            return Ok(ExitCode::from(2));
                        }
                    }
                }
                self.print_good(&config);
                Ok(ExitCode::SUCCESS)
            }
            Err(LoadError::Problems(problems)) => {
                self.print_problems(&problems);
                Ok(ExitCode::from(1))
            }
            Err(error) => {
                eprintln!("error: {:#}", anyhow::Error::from(error));
                Ok(ExitCode::from(2))
            }
        }
    }

    fn print_good(&self, config: &control::Config) {
        let Counts {
            classes,
            members,
            systems,
            nodes,
            purposes,
            zones,
            agreements,
            policies,
            routes,
        } = config.counts;
        let counts = [
            ("class", classes),
            ("member", members),
            ("system", systems),
            ("node", nodes),
            ("purpose", purposes),
            ("zone", zones),
            ("agreement", agreements),
            ("policy", policies),
            ("route", routes),
        ];
        match self.format {
            Format::Text => {
                let counts: Vec<String> =
                    counts.iter().map(|(kind, count)| counted(*count, kind)).collect();
                say(format_args!("good: {}", counts.join(", ")));
                config.notes.iter().for_each(|note| say(format_args!("note: {note}")));
            }
            Format::Json => {
                let counts: serde_json::Map<String, serde_json::Value> =
                    counts.into_iter().map(|(kind, count)| (plural(kind), count.into())).collect();
                say(json!({ "problems": [], "counts": counts, "notes": config.notes }));
            }
        }
    }

    fn print_problems(&self, problems: &[Problem]) {
        match self.format {
            Format::Text => {
                problems.iter().for_each(say);
                eprintln!("{}", counted(problems.len(), "problem"));
            }
            Format::Json => {
                let problems: Vec<_> = problems.iter().map(Problem::to_json).collect();
                say(json!({ "problems": problems }));
            }
        }
    }
}

/// What is wrong with issuers of tokens.
fn of_tokens(error: &IssuerError) -> Problem {
    Problem {
        file: "gateway.yaml".to_owned(),
        line: 1,
        column: 1,
        found: format!("`tokens` that cannot be used ({error})"),
        expected: "issuers with keys that sign tokens".to_owned(),
        hint: None,
    }
}

/// So many of a kind, as in `1 system` and `2 systems`.
pub(super) fn counted(count: usize, kind: &str) -> String {
    if count == 1 { format!("1 {kind}") } else { format!("{count} {}", plural(kind)) }
}

fn plural(kind: &str) -> String {
    match kind.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None if kind.ends_with('s') => format!("{kind}es"),
        None => format!("{kind}s"),
    }
}
