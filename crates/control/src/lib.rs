//! The control plane: a configuration folder becomes typed settings and a compiled snapshot, or
//! a list of everything that is wrong with it.
//!
//! ```text
//! gateway.yaml                  addresses, TLS, ledger, issuers of tokens, limits
//! registry/**.yaml              classes, members, systems, nodes, purposes, zones
//! agreements/**.yaml            agreements
//! policies/**.cedar             Cedar policies over all agreements; optional
//! policies/schema.cedarschema   what policies speak of, where it is more than usual
//! policies/links.yaml           links of policy templates
//! protos/**.proto, **.binpb     the services' contracts, with the classes of fields; optional
//! routes.yaml                   what differs from the default; optional
//! ```
//!
//! Splitting or joining files under `registry` and `agreements` changes nothing: objects are
//! ordered by their ids. Files that would be passed over although they look like configuration
//! are problems.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that fails may panic"))]

pub mod admin;
mod agreements;
mod apply;
mod attributes;
mod changes;
mod contracts;
mod draft;
mod events;
mod fields;
mod folder;
mod gateway;
mod incoming;
mod inputs;
mod keeping;
mod loader;
mod material;
mod outcome;
mod policies;
mod problem;
mod pseudonyms;
mod public;
mod receive;
mod registry;
mod revisions;
mod routes;
mod scalar;
mod schema;
mod semantic;
mod settings;
mod staging;
mod status;
mod tokens;
pub mod watch;
mod yaml;

use std::collections::BTreeMap;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::RevisionId;
use policy::{Snapshot, Source};
use thiserror::Error;

pub use changes::contract_changes;
pub use events::{Events, SyslogReceiver};
pub use keeping::{Archive, Retention, Sealing, SealingKey, Whereabouts};
pub use loader::{Loader, Reloaded};
pub use material::{Identity, PrivateKey, RevocationList};
pub use outcome::{Applied, ApplyError, Outcome, Rejected};
pub use problem::Problem;
pub use public::{Publish, Witness, Witnessing};
pub use revisions::{Activation, Origin, Plane, Revisions, Standing};
pub use settings::{
    Admin, Claims, Downstream, Gateway, Ledger, Limits, Reload, TokenIssuer, Upstream,
};

use draft::Draft;
use folder::{AGREEMENTS, Folder, GATEWAY, LINKS, REGISTRY, ROUTES, SCHEMA};
use inputs::Roots;
use loader::{Held, Memory};
use problem::Report;
pub use staging::StagingError;

/// A configuration that was read, checked and compiled as a whole.
#[derive(Debug)]
pub struct Config {
    /// The gateway's own settings.
    pub gateway: Gateway,
    /// What the snapshot was compiled from, objects in the order of their ids. Without the
    /// agreements, of which there may be very many: the snapshot holds them.
    pub source: Source,
    /// How many there are of each kind.
    pub counts: Counts,
    /// What operators should know although nothing is wrong.
    pub notes: Vec<String>,
    /// The compiled registry, agreements, policies and routes.
    pub snapshot: Snapshot,
}

/// How many objects of each kind a configuration has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Classes of members.
    pub classes: usize,
    /// Agencies and units.
    pub members: usize,
    /// Their information systems.
    pub systems: usize,
    /// Providers' database services.
    pub nodes: usize,
    /// Registered purposes.
    pub purposes: usize,
    /// Network zones.
    pub zones: usize,
    /// Agreements.
    pub agreements: usize,
    /// Cedar policies.
    pub policies: usize,
    /// Rules for services and methods.
    pub routes: usize,
}

impl Config {
    fn new(gateway: Gateway, source: Source, snapshot: Snapshot) -> Self {
        let counts = Counts {
            classes: source.classes.len(),
            members: source.members.len(),
            systems: source.systems.len(),
            nodes: source.nodes.len(),
            purposes: source.purposes.len(),
            zones: source.zones.len(),
            agreements: snapshot.agreement_count(),
            policies: snapshot.policy_count(),
            routes: source.routes.len(),
        };
        let mut notes = snapshot.notes().to_vec();
        let services = || source.nodes.iter().flat_map(|node| &node.services);
        let is_offered = |name: &str| services().any(|service| *service.name == *name);
        let Ledger { archive, retention, .. } = &gateway.ledger;
        notes.extend(keeping::notes(archive.as_ref(), retention, is_offered));
        Self { gateway, source, counts, notes, snapshot }
    }
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
    /// The configuration is in order by itself, but the gateway cannot use it.
    #[error("the configuration cannot be used: {0}")]
    Unusable(String),
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
    whole(&Roots::new(dir), revision).map(|(config, _)| config)
}

/// Where the admin API of the gateway of the folder `dir` listens, if it has one. Nothing else is
/// read: what is wrong with the rest of the folder is no hindrance.
///
/// # Errors
///
/// Returns the problems of `gateway.yaml` that hide the address, or what could not be read.
pub fn admin_address(dir: &Path) -> Result<Option<SocketAddr>, LoadError> {
    let folder = Folder::open(Roots::new(dir))?;
    let mut report = Report::new(Roots::new(dir));
    let read = folder.decode(GATEWAY, &mut report, gateway::admin_address)?;
    match report.is_empty() {
        true => Ok(read.ok().flatten().flatten()),
        false => Err(LoadError::Problems(report.into_problems())),
    }
}

/// Where the ledger of the gateway of the folder `dir` lies, and the keys that open it. Nothing
/// else is read: neither other parts nor other keys are a hindrance.
///
/// # Errors
///
/// Returns the problems of `gateway.yaml` that hide it, or what could not be read.
pub fn whereabouts(dir: &Path) -> Result<Whereabouts, LoadError> {
    let folder = Folder::open(Roots::new(dir))?;
    let mut report = Report::new(Roots::new(dir));
    let read = folder.decode(GATEWAY, &mut report, keeping::whereabouts)?;
    match read.ok().flatten().flatten() {
        Some(whereabouts) if report.is_empty() => Ok(whereabouts),
        _ => {
            if report.is_empty() {
                let expected = "`ledger` with a `directory`";
                report.add(problem::Position::START, "no ledger", expected, None);
            }
            Err(LoadError::Problems(report.into_problems()))
        }
    }
}

/// Reads everything, and what to remember of it.
fn whole(roots: &Roots, revision: RevisionId) -> Result<(Config, Memory), LoadError> {
    let folder = Folder::open(roots.clone())?;
    let mut report = Report::new(roots.clone());
    let names = survey(&folder, &mut report)?;
    let settings = gateway_settings(&folder, &mut report)?;
    let mut draft = Draft::default();
    objects(&folder, &mut draft, &mut report)?;
    let files = agreement_files(&folder, &mut draft, &mut report)?;
    let policies = policies::policies(&folder, &mut draft, &mut report)?;
    let contracts = contracts::contracts(&folder, &mut report)?;
    draft.contracts_are_partial = contracts.is_partial;
    if settings.upstream {
        draft.default_authorities(settings.authorities.as_ref(), &mut report);
    }
    let mut source = draft.take_source(revision);
    source.policies = policies.policies;
    source.contract = contracts.contract;
    if let Some(gateway) = &settings.gateway {
        let lists = gateway.tls.revocation_lists.iter();
        source.revoked = lists.flat_map(|list| list.revoked.iter().cloned()).collect();
        source.utc_offset_minutes = gateway.utc_offset_minutes;
    }
    if let Some(schema) = policies.schema {
        schema.check(&source, &draft, &mut report);
        source.actions = schema.actions(&mut report);
    }
    let agreements = mem::take(&mut source.agreements);
    let rest = source.clone();
    source.agreements = agreements;
    let snapshot = semantic::compile(source, &draft, &folder, &mut report)?;
    // INVARIANT: settings or snapshot are absent only if a problem was reported.
    match (settings.gateway, snapshot) {
        (Some(gateway), Some(snapshot)) if report.is_empty() => {
            let memory = Memory::new(rest.clone(), report.inputs().clone(), names, files);
            Ok((Config::new(gateway, rest, snapshot), memory))
        }
        _ => Err(LoadError::Problems(report.into_problems())),
    }
}

/// The files of the folder that configuration is read from, agreements aside. What would be passed
/// over although it looks like configuration is reported.
fn survey(folder: &Folder, report: &mut Report) -> Result<Vec<String>, LoadError> {
    folder.survey(report)?;
    let mut names = Vec::new();
    if folder.has(REGISTRY) {
        names.extend(folder.files(REGISTRY, report)?);
    }
    names.extend(folder.policies(report)?);
    names.extend(folder.contracts(report)?);
    let single = [ROUTES, SCHEMA, LINKS].into_iter().filter(|name| folder.has(name));
    names.extend(single.map(str::to_owned));
    Ok(names)
}

fn gateway_settings(folder: &Folder, report: &mut Report) -> Result<gateway::Read, LoadError> {
    match folder.decode(GATEWAY, report, gateway::gateway)? {
        Ok(Some(read)) => return Ok(read),
        Ok(None) => {
            report.add(problem::Position::START, "an empty file", "the gateway's settings", None);
        }
        Err(_) => {}
    }
    Ok(gateway::Read::default())
}

fn objects(folder: &Folder, draft: &mut Draft, report: &mut Report) -> Result<(), LoadError> {
    if folder.has(REGISTRY) {
        for file in folder.files(REGISTRY, report)? {
            let read = folder.decode(&file, report, |root, report| {
                registry::registry(root, draft, report);
            })?;
            if read.is_err() {
                draft.registry_is_partial();
            }
        }
    }
    if folder.has(ROUTES) {
        // A file that could not be read is reported; nothing refers to what it held.
        let _ = folder.decode(ROUTES, report, |root, report| {
            routes::routes(root, draft, report);
        })?;
    }
    Ok(())
}

fn agreement_files(
    folder: &Folder,
    draft: &mut Draft,
    report: &mut Report,
) -> Result<BTreeMap<String, Arc<Held>>, LoadError> {
    let mut files = BTreeMap::new();
    if folder.has(AGREEMENTS) {
        for file in folder.files(AGREEMENTS, report)? {
            if let Ok(bytes) = folder.read(&file, report)? {
                let digest = inputs::digest(&bytes);
                let held = Held::decode(&bytes, digest, draft, report);
                files.insert(file, Arc::new(held));
            }
        }
    }
    Ok(files)
}
