//! The control plane: a configuration folder becomes typed settings and a compiled snapshot, or
//! a list of everything that is wrong with it.
//!
//! ```text
//! gateway.yaml          addresses, TLS, ledger, limits
//! registry/**.yaml      members, systems, nodes, purposes
//! agreements/**.yaml    agreements
//! routes.yaml           what differs from the default; optional
//! ```
//!
//! Splitting or joining files under `registry` and `agreements` changes nothing: objects are
//! ordered by their ids. Files that would be passed over although they look like configuration
//! are problems, Cedar policies above all, since this version does not enforce them.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that fails may panic"))]

pub mod admin;
mod agreements;
mod draft;
mod fields;
mod folder;
mod gateway;
mod incoming;
mod material;
mod problem;
mod registry;
mod scalar;
mod semantic;
mod settings;
mod yaml;

use std::io;
use std::path::{Path, PathBuf};

use model::RevisionId;
use policy::{Snapshot, Source};
use thiserror::Error;

pub use material::{Identity, PrivateKey, RevocationList};
pub use problem::Problem;
pub use settings::{Admin, Downstream, Gateway, Ledger, Limits, Upstream};

use draft::Draft;
use folder::{AGREEMENTS, Folder, GATEWAY, REGISTRY, ROUTES};
use problem::Report;

/// A configuration that was read, checked and compiled as a whole.
#[derive(Debug)]
pub struct Config {
    /// The gateway's own settings.
    pub gateway: Gateway,
    /// What the snapshot was compiled from, objects in the order of their ids.
    pub source: Source,
    /// The compiled registry, agreements and routes.
    pub snapshot: Snapshot,
}

/// Why there is no configuration.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The configuration was read, and there is something wrong with it. At least one problem,
    /// in order of file, line and column.
    #[error("{} in the configuration", counted(.0.len()))]
    Problems(Vec<Problem>),
    /// The folder, or a file in it, could not be read.
    #[error("cannot read `{}`", path.display())]
    Unreadable {
        /// What could not be read.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn counted(problems: usize) -> String {
    if problems == 1 { "1 problem".to_owned() } else { format!("{problems} problems") }
}

/// Reads the configuration folder `dir` as the revision `revision`.
///
/// ```no_run
/// match control::load("config".as_ref(), model::RevisionId(1)) {
///     Ok(config) => println!("{} agreements", config.snapshot.agreement_count()),
///     Err(control::LoadError::Problems(problems)) => {
///         problems.iter().for_each(|problem| println!("{problem}"));
///     }
///     Err(error) => println!("{error}"),
/// }
/// ```
///
/// # Errors
///
/// Returns every problem found, not only the first; or what could not be read.
pub fn load(dir: &Path, revision: RevisionId) -> Result<Config, LoadError> {
    let folder = Folder::open(dir)?;
    let mut report = Report::new(dir);
    folder.survey(&mut report)?;
    let settings = gateway_settings(&folder, &mut report)?;
    let mut draft = objects(&folder, &mut report)?;
    if settings.upstream {
        draft.default_authorities(settings.authorities.as_ref(), &mut report);
    }
    let mut source = draft.take_source(revision);
    if let Some(gateway) = &settings.gateway {
        let lists = gateway.tls.revocation_lists.iter();
        source.revoked = lists.flat_map(|list| list.revoked.iter().cloned()).collect();
    }
    let snapshot = semantic::compile(source.clone(), &draft, &folder, &mut report)?;
    // INVARIANT: settings or snapshot are absent only if a problem was reported.
    match (settings.gateway, snapshot) {
        (Some(gateway), Some(snapshot)) if report.is_empty() => {
            Ok(Config { gateway, source, snapshot })
        }
        _ => Err(LoadError::Problems(report.into_problems())),
    }
}

fn gateway_settings(folder: &Folder<'_>, report: &mut Report) -> Result<gateway::Read, LoadError> {
    match folder.decode(GATEWAY, report, gateway::gateway)? {
        Ok(Some(read)) => return Ok(read),
        Ok(None) => {
            report.add(problem::Position::START, "an empty file", "the gateway's settings", None);
        }
        Err(_) => {}
    }
    Ok(gateway::Read::default())
}

fn objects(folder: &Folder<'_>, report: &mut Report) -> Result<Draft, LoadError> {
    let mut draft = Draft::default();
    if folder.has(REGISTRY) {
        for file in folder.files(REGISTRY, report)? {
            let read = folder.decode(&file, report, |root, report| {
                registry::registry(root, &mut draft, report);
            })?;
            if read.is_err() {
                draft.registry_is_partial();
            }
        }
    }
    if folder.has(AGREEMENTS) {
        for file in folder.files(AGREEMENTS, report)? {
            // A file that could not be read is reported; nothing refers to what it held.
            let _ = folder.decode(&file, report, |root, report| {
                agreements::agreements(root, &mut draft, report);
            })?;
        }
    }
    if folder.has(ROUTES) {
        let _ = folder.decode(ROUTES, report, |root, report| {
            agreements::routes(root, &mut draft, report);
        })?;
    }
    Ok(draft)
}
