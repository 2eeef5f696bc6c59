//! The gateway's own settings: addresses, identity, ledger, limits.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use model::{CertificateDigest, Pseudonyms};

use crate::events::Events;
use crate::keeping::{Archive, Retention, Sealing};
use crate::material::{Identity, RevocationList};
use crate::public::{Publish, Witnessing};

/// What `gateway.yaml` says, with the files that it names read and checked. Paths are relative to
/// where the process runs, no longer to the configuration folder.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// Where consumers connect.
    pub listen: SocketAddr,
    /// How many threads carry calls; `None` for one per core.
    pub workers: Option<NonZeroUsize>,
    /// TLS towards consumers.
    pub tls: Downstream,
    /// TLS towards nodes.
    pub upstream: Upstream,
    /// The ledger.
    pub ledger: Ledger,
    /// The admin API, if there is one.
    pub admin: Option<Admin>,
    /// Where metrics and health are served, if they are.
    pub metrics: Option<SocketAddr>,
    /// Who is told of security events, if anybody is.
    pub events: Option<Events>,
    /// Who issues the tokens that callers show, beside their certificates. None: tokens are not
    /// looked at.
    pub tokens: Vec<TokenIssuer>,
    /// What local time is ahead of UTC, in minutes; policies ask for hours and weekdays in it.
    pub utc_offset_minutes: i32,
    /// When the configuration is loaded again.
    pub reload: Reload,
    /// Bounds.
    pub limits: Limits,
}

impl Gateway {
    /// The settings that `new` has otherwise and that do not take effect while the gateway runs.
    /// Issuers of tokens, operators, revocation lists, the authorities of nodes and `utc_offset`
    /// are not among them: they come with the revision.
    pub fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        let admin = |of: &Self| of.admin.as_ref().map(|admin| admin.listen);
        let (tls, new_tls) = (&self.tls.identity, &new.tls.identity);
        let (upstream, new_upstream) = (&self.upstream.identity, &new.upstream.identity);
        let differs = [
            ("listen", self.listen != new.listen),
            ("workers", self.workers != new.workers),
            ("tls.certificate", tls.certificates != new_tls.certificates),
            ("tls.key", tls.key != new_tls.key),
            ("tls.client_authorities", self.tls.client_authorities != new.tls.client_authorities),
            ("upstream.certificate", upstream.certificates != new_upstream.certificates),
            ("upstream.key", upstream.key != new_upstream.key),
            ("ledger", self.ledger != new.ledger),
            ("admin.listen", admin(self) != admin(new)),
            ("metrics", self.metrics != new.metrics),
            ("events", self.events != new.events),
            ("reload", self.reload != new.reload),
            ("limits", self.limits != new.limits),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }
}

/// When the configuration is loaded again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reload {
    /// When the process gets SIGHUP.
    #[default]
    Signal,
    /// Then, and whenever the folder has changed and is quiet again.
    OnChange,
}

/// An issuer of tokens (JWT, RFC 7519).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenIssuer {
    /// What tokens name as `iss`.
    pub issuer: String,
    /// What tokens name in `aud`.
    pub audience: String,
    /// The issuer's public keys: a JWK set (RFC 7517) in JSON.
    pub keys: Vec<u8>,
    /// The claims that are read.
    pub claims: Claims,
}

/// The names of the claims that say something about a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// How surely the person was recognised.
    pub level: String,
    /// The unit that the person works in.
    pub unit: String,
    /// What the person does there.
    pub roles: String,
}

impl Default for Claims {
    fn default() -> Self {
        Self { level: "acr".to_owned(), unit: "unit".to_owned(), roles: "roles".to_owned() }
    }
}

/// The admin API. It shows the gateway's own identity, and takes certificates of the same
/// authorities as consumers use, but only those that are listed here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where operators connect.
    pub listen: SocketAddr,
    /// Certificates of operators. At least one.
    pub operators: Vec<CertificateDigest>,
}

/// TLS towards consumers.
#[derive(Clone, Debug)]
pub struct Downstream {
    /// What the gateway proves itself with.
    pub identity: Identity,
    /// Authorities whose certificates may connect, in DER. At least one.
    pub client_authorities: Vec<Vec<u8>>,
    /// Certificates that no longer count. The snapshot holds their entries too.
    pub revocation_lists: Vec<RevocationList>,
}

/// TLS towards nodes. The authorities that vouch for a node stand with the node.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// What the gateway proves itself with.
    pub identity: Identity,
}

/// The ledger's settings. What is `None` is left to the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// Its folder; it may not exist yet.
    pub directory: PathBuf,
    /// Its name in checkpoints and signatures.
    pub origin: String,
    /// The file of the Ed25519 key that signs checkpoints (PKCS#8, PEM). Never inside the folder.
    pub key: PathBuf,
    /// The file of the key before, after a change of the key: it vouches for the new one.
    pub previous_key: Option<PathBuf>,
    /// Bytes of a segment before the next one begins.
    pub segment_size: Option<u64>,
    /// Most entries that wait to become durable.
    pub pending_entries_max: Option<usize>,
    /// Time between two checkpoints.
    pub checkpoint_interval: Option<Duration>,
    /// The folder of the index that searches need, if there is to be one. Apart from the ledger's.
    pub index: Option<PathBuf>,
    /// The keys under which persons stand in the ledger. They come from files that are never inside
    /// the ledger's folder.
    pub pseudonyms: Pseudonyms,
    /// Where it is published, if it is.
    pub publish: Option<Publish>,
    /// Who cosigns its checkpoints, if anybody does.
    pub witnessing: Option<Witnessing>,
    /// How full segments are sealed; `None` leaves them as they are.
    pub sealing: Option<Sealing>,
    /// Where sealed segments go in time; `None` leaves them in the ledger's folder.
    pub archive: Option<Archive>,
    /// How long entries are kept at least.
    pub retention: Retention,
}

/// Bounds on what the gateway takes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections of consumers, over all workers.
    pub connections_max: usize,
    /// Streams at once on one connection.
    pub streams_per_connection_max: u32,
    /// Calls at once, over all workers.
    pub calls_in_flight_max: usize,
    /// Bytes of one header block.
    pub header_size_max: u32,
    /// Time for a TLS handshake.
    pub handshake_time_max: Duration,
    /// Time that a connection may stand without a call.
    pub idle_time_max: Duration,
    /// Longest deadline, and the deadline of calls that state none.
    pub deadline_max: Duration,
    /// Time for calls to end when the gateway stops.
    pub drain_time_max: Duration,
    /// Time to connect to an endpoint.
    pub connect_time_max: Duration,
    /// Connections per worker and endpoint.
    pub upstream_connections_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            streams_per_connection_max: 256,
            calls_in_flight_max: 10_000,
            header_size_max: 16 << 10,
            handshake_time_max: Duration::from_secs(10),
            idle_time_max: Duration::from_mins(10),
            deadline_max: Duration::from_hours(1),
            drain_time_max: Duration::from_secs(30),
            connect_time_max: Duration::from_secs(5),
            upstream_connections_max: 32,
        }
    }
}
