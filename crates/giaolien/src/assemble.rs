//! From a checked configuration to a running gateway with an open ledger.

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::available_parallelism;

use anyhow::{Context, Result};
use audit::{Keys, Log, Options, Recovered, Sealing, Trouble};
use control::{Activation, Config, Loader, Plane, Revisions, SealingKey, TokenIssuer};
use dataplane::{Gateway, Identity, IssuerError, IssuerSettings, Issuers, Limits, Live, Settings};
use events::Events;
use model::{CertificateDigest, Clock, Entry, Opened, RevisionId, SystemClock, Timestamp};
use publish::{Published, Publishing, Signed, WitnessSettings, Witnesses, WitnessesSettings};
use rustls::pki_types::CertificateDer;
use tlog::{Origin, Signer};
use tokio::sync::Notify;
use wire::generated::admin::{GetStatusResponse, get_status_response};

use crate::proofs::Proofs;
use crate::reading::Readings;
use crate::{reload, security, terms};

/// A running gateway and what it stands on.
pub(crate) struct Running {
    pub(crate) gateway: Gateway,
    pub(crate) ledger: Arc<Log>,
    pub(crate) live: Arc<Live>,
    pub(crate) revisions: Arc<Revisions>,
    /// Who may use the admin API.
    pub(crate) operators: Arc<OperatorList>,
    /// Told each time a revision comes into force.
    pub(crate) in_force: Arc<Notify>,
    /// Security events on their way, where somebody is told.
    pub(crate) events: Option<Events>,
    /// The ledger as operators read it.
    pub(crate) readings: Arc<Readings>,
    /// Its checkpoints for others, and proofs under them.
    proofs: Proofs,
    /// Who cosigns its checkpoints, if anybody does.
    pub(crate) witnesses: Option<Arc<Witnesses>>,
}

/// The certificates of operators, as the revision in force lists them.
#[derive(Debug)]
pub(crate) struct OperatorList(RwLock<Vec<CertificateDigest>>);

impl OperatorList {
    fn new(admin: Option<&control::Admin>) -> Self {
        Self(RwLock::new(listed(admin)))
    }

    pub(crate) fn contains(&self, certificate: CertificateDigest) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(&certificate)
    }

    fn replace(&self, operators: Vec<CertificateDigest>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = operators;
    }
}

/// Nobody, where there is no admin API: one that is still served lets nobody in then.
fn listed(admin: Option<&control::Admin>) -> Vec<CertificateDigest> {
    admin.map(|admin| admin.operators.clone()).unwrap_or_default()
}

impl Running {
    /// The ledger as monitors follow it.
    pub(crate) fn published(&self, entries: bool) -> Published {
        let proofs = self.proofs.clone();
        let checkpoint = Box::new(move || proofs.newest().map(|note| note.to_string()));
        Published::new(Publishing { tiles: self.ledger.tiles(), entries, checkpoint })
    }

    /// How the gateway stands apart from its revisions, for the admin API.
    pub(crate) fn status(&self, started: Timestamp) -> GetStatusResponse {
        let ledger = self.ledger.status();
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let keeping = ledger.keeping;
        GetStatusResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_time_us: started.as_micros(),
            calls_in_flight: count(self.gateway.calls_in_flight()),
            connections: count(self.gateway.connections()),
            ledger: Some(get_status_response::Ledger {
                origin: ledger.origin.to_string(),
                size: ledger.size,
                root_hash: ledger.root_hash.to_vec(),
                trouble: match ledger.trouble {
                    None => String::new(),
                    Some(Trouble::NoSpace) => "no space left".to_owned(),
                    Some(Trouble::Failed(cause)) => format!("failed: {cause}"),
                },
                sealed: keeping.sealed,
                archived: keeping.archived,
                unsealed: keeping.waiting,
                keeping_failed: keeping.failed,
                keeping_trouble: keeping.trouble.as_deref().unwrap_or_default().to_owned(),
            }),
            ..GetStatusResponse::default()
        }
    }
}

/// The number of a revision that is loaded as the process starts: seconds since 1970. Nothing is
/// kept from one process to the next, so across restarts numbers grow as long as the clock does.
pub(crate) fn revision_now() -> RevisionId {
    RevisionId(SystemClock.now().as_micros() / 1_000_000)
}

/// Opens the ledger and starts the gateway with what `loader` read.
pub(crate) fn start(loader: Loader, config: Config) -> Result<Running> {
    let Config { gateway: mut settings, snapshot, notes, .. } = config;
    reload::tell(&notes);
    let issuers = issuers(&settings.tokens).context("issuers of tokens")?;
    let signer = signer(&settings.ledger)?;
    let options = options(&settings.ledger, Arc::clone(&signer))?;
    let (source, previous) = (options.source(), options.previous.clone());
    let at = settings.ledger.directory.display();
    let opened = Log::open(options).with_context(|| format!("open ledger `{at}`"));
    let (ledger, recovered): (Log, Recovered) = opened?;
    tracing::info!(
        entries = recovered.entries,
        discarded_bytes = recovered.discarded_bytes,
        "ledger opened"
    );
    let ledger = Arc::new(ledger);
    let opened = Entry::Opened(Opened {
        time: SystemClock.now(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        discarded_bytes: recovered.discarded_bytes,
    });
    let ticket =
        ledger.append(&wire::evidence::encode_entry(&opened)).context("write to ledger")?;
    ticket.wait().context("write to ledger")?;
    let events = settings.events.as_ref();
    let origin = &settings.ledger.origin;
    let tell = |events| security::start(events, origin, source.clone(), ledger.clone());
    let events = events.map(tell).transpose()?;
    let signed = Signed::new(ledger.tiles(), previous);
    let witnesses = settings.ledger.witnessing.as_ref();
    let witnesses = witnesses.map(|who| open_witnesses(who, &ledger, &signed)).transpose()?;
    let proofs = Proofs::new(signed, witnesses.clone());
    let control::Ledger { index, pseudonyms, .. } = &settings.ledger;
    let (of, keys) = (ledger.clone(), pseudonyms.clone());
    let readings =
        Readings::start(of, proofs.clone(), source.clone(), signer, keys, index.as_deref())?;
    let live = Arc::new(Live::with_issuers(snapshot, issuers));
    let gateway =
        Gateway::start(data_plane(&settings), live.clone(), ledger.clone(), Arc::new(SystemClock))?;
    // The snapshot has their entries; the lists may be large.
    settings.tls.revocation_lists = Vec::new();
    let operators = Arc::new(OperatorList::new(settings.admin.as_ref()));
    let in_force = Arc::new(Notify::new());
    let plane = plane(live.clone(), operators.clone(), in_force.clone());
    let revisions = Arc::new(Revisions::new(loader, Arc::new(settings), plane));
    let readings = Arc::new(readings);
    Ok(Running {
        gateway,
        ledger,
        live,
        revisions,
        operators,
        in_force,
        events,
        readings,
        proofs,
        witnesses,
    })
}

fn open_witnesses(
    settings: &control::Witnessing,
    ledger: &Log,
    signed: &Signed,
) -> Result<Arc<Witnesses>> {
    let witness = |witness: &control::Witness| WitnessSettings {
        prefix: witness.url.clone(),
        key: witness.key.clone(),
        authorities: witness.authorities.clone(),
    };
    let settings = WitnessesSettings {
        witnesses: settings.witnesses.iter().map(witness).collect(),
        quorum: settings.quorum,
        unwitnessed_max: settings.unwitnessed_max,
    };
    let opened = Witnesses::open(ledger, signed.clone(), settings, Arc::new(SystemClock));
    opened.map(Arc::new).context("witnesses of the ledger")
}

/// How a configuration that comes later gets in force.
fn plane(live: Arc<Live>, operators: Arc<OperatorList>, in_force: Arc<Notify>) -> Plane {
    let current = live.clone();
    let prepare = move |config: Config| {
        let issuers = issuers(&config.gateway.tokens).map_err(|error| error.to_string())?;
        let (live, operators, in_force) = (live.clone(), operators.clone(), in_force.clone());
        // Snapshot, issuers and operators of a revision come into force together.
        let activation: Activation = Box::new(move || {
            let Config { gateway, snapshot, counts, notes, .. } = config;
            let revision = snapshot.revision();
            live.replace_with(snapshot, issuers);
            operators.replace(listed(gateway.admin.as_ref()));
            in_force.notify_one();
            reload::in_force(revision, &counts, &notes);
        });
        Ok(activation)
    };
    Plane {
        current: Box::new(move || current.snapshot()),
        prepare: Box::new(prepare),
        clock: Arc::new(SystemClock),
    }
}

/// The issuers whose tokens are taken.
///
/// # Errors
///
/// Fails if the keys of an issuer cannot be used.
pub(crate) fn issuers(settings: &[TokenIssuer]) -> Result<Issuers, IssuerError> {
    let issuer = |settings: &TokenIssuer| IssuerSettings {
        issuer: settings.issuer.clone(),
        audience: settings.audience.clone(),
        keys: settings.keys.clone(),
        level_claim: settings.claims.level.clone(),
        unit_claim: settings.claims.unit.clone(),
        roles_claim: settings.claims.roles.clone(),
    };
    Issuers::new(settings.iter().map(issuer).collect())
}

fn signer(settings: &control::Ledger) -> Result<Arc<Signer>> {
    let origin: Origin = settings.origin.parse().context("origin of the ledger")?;
    read_signer(&settings.key, origin).map(Arc::new)
}

/// The key before, where it is still to vouch.
fn previous(settings: &control::Ledger, origin: &Origin) -> Result<Option<Arc<Signer>>> {
    let key = settings.previous_key.as_deref();
    key.map(|key| read_signer(key, origin.clone()).map(Arc::new)).transpose()
}

/// How the ledger is opened.
fn options(settings: &control::Ledger, signer: Arc<Signer>) -> Result<Options> {
    let origin = signer.origin().clone();
    let previous = previous(settings, &origin)?;
    let mut options = Options::new(settings.directory.clone(), origin, signer);
    options.previous = previous;
    if let Some(bytes) = settings.segment_size {
        options.segment_bytes = bytes;
    }
    if let Some(entries) = settings.pending_entries_max {
        options.pending_entries_max = entries;
    }
    if let Some(interval) = settings.checkpoint_interval {
        options.checkpoint_interval = interval;
    }
    if let Some(archive) = &settings.archive {
        let (folder, after) = (archive.directory.clone(), archive.after);
        options.archive = Some(audit::Archive { folder, after });
    }
    if let Some(sealing) = &settings.sealing {
        let mut sealed = Sealing::new(keys(&sealing.keys)?, sealing.seal_with.clone());
        sealed.level = sealing.level;
        options.sealing = Some(sealed);
        let term = terms::terms(&settings.retention, options.source());
        options.sealing = options.sealing.map(|sealed| Sealing { term, ..sealed });
    }
    Ok(options)
}

/// The keys that open sealed segments.
pub(crate) fn keys(settings: &[SealingKey]) -> Result<Keys> {
    let mut keys = Keys::default();
    for key in settings {
        let shown = key.file.display();
        keys.add(&key.id, &key.text).with_context(|| format!("key in `{shown}`"))?;
    }
    Ok(keys)
}

fn read_signer(path: &Path, origin: Origin) -> Result<Signer> {
    let shown = path.display();
    let pem = fs::read_to_string(path).with_context(|| format!("read ledger key `{shown}`"))?;
    Signer::from_pkcs8_pem(&pem, origin).with_context(|| format!("read ledger key `{shown}`"))
}

fn data_plane(settings: &control::Gateway) -> Settings {
    let limits = &settings.limits;
    let cores = available_parallelism().map_or(1, NonZeroUsize::get);
    let authorities = settings.tls.client_authorities.iter().cloned();
    Settings {
        listen: settings.listen,
        workers: settings.workers.map_or(cores, NonZeroUsize::get),
        server: identity(&settings.tls.identity),
        client_authorities: authorities.map(CertificateDer::from).collect(),
        upstream: identity(&settings.upstream.identity),
        pseudonyms: settings.ledger.pseudonyms.clone(),
        limits: Limits {
            connections_max: limits.connections_max,
            streams_per_connection_max: limits.streams_per_connection_max,
            calls_in_flight_max: limits.calls_in_flight_max,
            header_bytes_max: limits.header_size_max,
            handshake_time_max: limits.handshake_time_max,
            idle_time_max: limits.idle_time_max,
            deadline_max: limits.deadline_max,
            drain_time_max: limits.drain_time_max,
            connect_time_max: limits.connect_time_max,
            upstream_connections_max: limits.upstream_connections_max as usize,
        },
    }
}

fn identity(identity: &control::Identity) -> Identity {
    let chain = identity.certificates.iter().cloned().map(CertificateDer::from).collect();
    Identity { chain, key: identity.key.to_der() }
}
