//! Reads `gateway.yaml`.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::fields::{Fields, at_most, list, located, scalar, some};
use crate::keeping::{is_inside, keeping};
use crate::material::{authorities, identity, path, revocation_list, signing_key};
use crate::problem::{Position, Report};
use crate::pseudonyms::{self, pseudonyms};
use crate::public::{publish, witnessing};
use crate::registry::certificate;
use crate::scalar::{count, duration, origin, size, socket, utc_offset, word};
use crate::settings::{Admin, Downstream, Gateway, Ledger, Limits, Reload, Upstream};
use crate::yaml::Node;
use crate::{events, tokens};

const KEYS: [&str; 12] = [
    "listen",
    "workers",
    "tls",
    "upstream",
    "ledger",
    "admin",
    "metrics",
    "events",
    "tokens",
    "utc_offset",
    "reload",
    "limits",
];
const TLS_KEYS: [&str; 4] = ["certificate", "key", "client_authorities", "revocation_lists"];
const UPSTREAM_KEYS: [&str; 3] = ["certificate", "key", "authorities"];
const LEDGER_KEYS: [&str; 16] = [
    "directory",
    "origin",
    "key",
    "previous_key",
    "segment_size",
    "pending_entries_max",
    "checkpoint_interval",
    "index",
    "pseudonyms",
    "publish",
    "witnesses",
    "witness_quorum",
    "unwitnessed_max",
    "sealing",
    "archive",
    "retention",
];
const LIMIT_KEYS: [&str; 10] = [
    "connections_max",
    "streams_per_connection_max",
    "calls_in_flight_max",
    "header_size_max",
    "handshake_time_max",
    "idle_time_max",
    "deadline_max",
    "drain_time_max",
    "connect_time_max",
    "upstream_connections_max",
];

const RELOADS: [(&str, Reload); 2] = [("signal", Reload::Signal), ("on_change", Reload::OnChange)];
/// Vietnam's time, all year round.
const UTC_OFFSET_MINUTES: i32 = 7 * 60;
/// Most revocation lists.
const REVOCATION_LISTS_MAX: usize = 64;
/// Most operators.
const OPERATORS_MAX: usize = 1024;

const WORKERS: RangeInclusive<usize> = 1..=1024;
const CONNECTIONS: RangeInclusive<usize> = 1..=1_000_000;
const CALLS: RangeInclusive<usize> = 1..=1_000_000;
const STREAMS: RangeInclusive<u32> = 1..=65_535;
const UPSTREAM_CONNECTIONS: RangeInclusive<u32> = 1..=1024;
const HEADER_SIZE: RangeInclusive<u64> = 1 << 10..=1 << 20;
const SEGMENT_SIZE: RangeInclusive<u64> = 128 << 10..=256 << 20;
const PENDING_ENTRIES: RangeInclusive<usize> = 1..=16_777_216;
const CHECKPOINT_INTERVAL: RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_hours(1);
/// Bounds of what takes at most minutes: handshakes, connecting, draining.
const SHORT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(1);
/// Bounds of what may take days: idle connections and long streams.
pub(crate) const LONG: RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_hours(7 * 24);

/// What `gateway.yaml` gave.
#[derive(Default)]
pub(crate) struct Read {
    /// The settings, if all of them could be read.
    pub(crate) gateway: Option<Gateway>,
    /// Authorities for nodes that name none; `None` if there are none, or they could not be read.
    pub(crate) authorities: Option<Arc<[Vec<u8>]>>,
    /// Whether `upstream` could be read, so that it is known whether there are authorities.
    pub(crate) upstream: bool,
}

/// Where the admin API listens, by the root of a `gateway.yaml` whose other parts may be broken.
/// `None` where there is none, or it is reported.
pub(crate) fn admin_address(root: &Node<'_>, report: &mut Report) -> Option<SocketAddr> {
    scalar(socket)(root.get("admin")?.get("listen")?, report)
}

/// Reads the root of `gateway.yaml`.
pub(crate) fn gateway(root: &Node<'_>, report: &mut Report) -> Read {
    let Some(fields) = Fields::of(root, &KEYS, report) else { return Read::default() };
    let listen = fields.required("listen", scalar(socket), report);
    let workers = fields.optional("workers", scalar(count(WORKERS)), report);
    let tls = fields.required("tls", downstream, report);
    let upstream = fields.required("upstream", upstream, report);
    let ledger = fields.required("ledger", ledger, report);
    let admin = fields.optional("admin", admin, report);
    let metrics = fields.optional("metrics", listener, report);
    let events = fields.optional("events", events::events, report);
    let tokens = fields.optional("tokens", tokens::issuers, report).unwrap_or_default();
    let utc_offset = fields.optional("utc_offset", scalar(utc_offset), report);
    let reload = fields.optional("reload", scalar(word(&RELOADS)), report).unwrap_or_default();
    let limits = fields.optional("limits", limits, report).unwrap_or_default();
    let known = upstream.is_some();
    let (upstream, authorities) = upstream.unzip();
    let gateway = || {
        Some(Gateway {
            listen: listen?,
            workers: workers.and_then(NonZeroUsize::new),
            tls: tls?,
            upstream: upstream?,
            ledger: ledger?,
            admin,
            metrics,
            events,
            tokens,
            utc_offset_minutes: utc_offset.unwrap_or(UTC_OFFSET_MINUTES),
            reload,
            limits,
        })
    };
    Read { gateway: gateway(), authorities: authorities.flatten(), upstream: known }
}

fn downstream(node: &Node<'_>, report: &mut Report) -> Option<Downstream> {
    let fields = Fields::of(node, &TLS_KEYS, report)?;
    let identity = identity(&fields, report);
    let client_authorities = fields.required("client_authorities", authorities, report);
    let lists = at_most(REVOCATION_LISTS_MAX, list(revocation_list));
    let lists = fields.optional("revocation_lists", lists, report);
    Some(Downstream {
        identity: identity?,
        client_authorities: client_authorities?,
        revocation_lists: lists.unwrap_or_default(),
    })
}

type Authorities = Option<Arc<[Vec<u8>]>>;

fn upstream(node: &Node<'_>, report: &mut Report) -> Option<(Upstream, Authorities)> {
    let fields = Fields::of(node, &UPSTREAM_KEYS, report)?;
    let identity = identity(&fields, report);
    let authorities = match fields.get("authorities") {
        Some(_) => Some(fields.required("authorities", authorities, report)?.into()),
        None => None,
    };
    Some((Upstream { identity: identity? }, authorities))
}

fn ledger(node: &Node<'_>, report: &mut Report) -> Option<Ledger> {
    let fields = Fields::of(node, &LEDGER_KEYS, report)?;
    let directory = fields.required("directory", located(path), report);
    let origin = fields.required("origin", scalar(origin), report);
    let key = fields.required("key", located(signing_key), report);
    let previous_key = match fields.get("previous_key") {
        Some(node) => located(signing_key)(node, report).map(Some),
        None => Some(None),
    };
    let segment_size = fields.optional("segment_size", scalar(size(SEGMENT_SIZE)), report);
    let pending = fields.optional("pending_entries_max", scalar(count(PENDING_ENTRIES)), report);
    let interval = scalar(duration(CHECKPOINT_INTERVAL));
    let interval = fields.optional("checkpoint_interval", interval, report);
    let index = fields.optional("index", located(path), report);
    let keys = match fields.get("pseudonyms") {
        Some(node) => pseudonyms(node, report),
        None => Some(pseudonyms::Read::default()),
    };
    let publish = fields.optional("publish", publish, report);
    let witnessing = witnessing(&fields, report);
    let keeping = keeping(&fields, report);
    let ((at, directory), key, previous_key) = (directory?, key?, previous_key?);
    let (pseudonyms, keeping) = (keys?, keeping?);
    directory_is_apart(at, &directory, report)?;
    let files = pseudonyms.files.iter().chain([&key]).chain(&previous_key);
    for (at, key) in files.chain(keeping.key_files()) {
        key_is_apart(*at, key, &directory, "the ledger's folder", report)?;
        if let Some(archive) = &keeping.archive {
            key_is_apart(*at, key, &archive.directory, "the archive's folder", report)?;
        }
    }
    if let Some((at, index)) = &index {
        index_is_apart(*at, index, &directory, report)?;
    }
    let index = index.map(|(_, index)| index);
    keeping.archive_is_apart(&directory, index.as_deref(), report)?;
    Some(Ledger {
        directory,
        origin: origin?,
        key: key.1,
        previous_key: previous_key.map(|(_, key)| key),
        segment_size,
        pending_entries_max: pending,
        checkpoint_interval: interval,
        index,
        pseudonyms: pseudonyms.keys,
        publish,
        witnessing: witnessing?,
        sealing: keeping.sealing,
        archive: keeping.archive,
        retention: keeping.retention,
    })
}

fn directory_is_apart(at: Position, directory: &Path, report: &mut Report) -> Option<()> {
    if directory.exists() && !directory.is_dir() {
        report.add(at, "a path that is not a folder", "the ledger's folder", None);
        return None;
    }
    Some(())
}

/// The index is not evidence: it does not lie among what is.
fn index_is_apart(at: Position, index: &Path, directory: &Path, report: &mut Report) -> Option<()> {
    let inside = is_inside(index, directory);
    if inside || (index.exists() && !index.is_dir()) {
        let found = if inside { "a path in the ledger's folder" } else { "a file" };
        report.add(at, found, "a folder beside the ledger's", None);
        return None;
    }
    Some(())
}

/// Key material never lies in a ledger or its archive, which auditors get copies of as a whole.
fn key_is_apart(
    key_at: Position,
    key: &Path,
    directory: &Path,
    whose: &str,
    report: &mut Report,
) -> Option<()> {
    // A folder that does not exist yet holds no key.
    let Ok(directory) = directory.canonicalize() else { return Some(()) };
    let target = key.canonicalize().ok();
    let link = key.parent().and_then(|parent| parent.canonicalize().ok());
    let inside =
        |path: &Option<PathBuf>| path.as_ref().is_some_and(|path| path.starts_with(&directory));
    if inside(&target) || inside(&link) {
        let hint = "keep it where only the gateway can read it".to_owned();
        report.add(key_at, format!("a key in {whose}"), "a key outside of it", Some(hint));
        return None;
    }
    Some(())
}

fn admin(node: &Node<'_>, report: &mut Report) -> Option<Admin> {
    let fields = Fields::of(node, &["listen", "operators"], report)?;
    let listen = fields.required("listen", scalar(socket), report);
    let operators = at_most(OPERATORS_MAX, some(certificate));
    let operators = fields.required("operators", operators, report);
    Some(Admin { listen: listen?, operators: operators? })
}

fn listener(node: &Node<'_>, report: &mut Report) -> Option<SocketAddr> {
    Fields::of(node, &["listen"], report)?.required("listen", scalar(socket), report)
}

fn limits(node: &Node<'_>, report: &mut Report) -> Option<Limits> {
    let fields = Fields::of(node, &LIMIT_KEYS, report)?;
    let default = Limits::default();
    let mut time = |key: &str, bounds: RangeInclusive<Duration>, default: Duration| {
        fields.optional(key, scalar(duration(bounds)), report).unwrap_or(default)
    };
    let handshake_time_max = time("handshake_time_max", SHORT, default.handshake_time_max);
    let idle_time_max = time("idle_time_max", LONG, default.idle_time_max);
    let deadline_max = time("deadline_max", LONG, default.deadline_max);
    let drain_time_max = time("drain_time_max", SHORT, default.drain_time_max);
    let connect_time_max = time("connect_time_max", SHORT, default.connect_time_max);
    let header_size = fields.optional("header_size_max", scalar(size(HEADER_SIZE)), report);
    let mut many = |key: &str, bounds: RangeInclusive<usize>, default: usize| {
        fields.optional(key, scalar(count(bounds)), report).unwrap_or(default)
    };
    let connections_max = many("connections_max", CONNECTIONS, default.connections_max);
    let calls_in_flight_max = many("calls_in_flight_max", CALLS, default.calls_in_flight_max);
    let streams = fields.optional("streams_per_connection_max", scalar(count(STREAMS)), report);
    let upstream = scalar(count(UPSTREAM_CONNECTIONS));
    let upstream = fields.optional("upstream_connections_max", upstream, report);
    Some(Limits {
        connections_max,
        streams_per_connection_max: streams.unwrap_or(default.streams_per_connection_max),
        calls_in_flight_max,
        header_size_max: header_size
            .and_then(|size| u32::try_from(size).ok())
            .unwrap_or(default.header_size_max),
        handshake_time_max,
        idle_time_max,
        deadline_max,
        drain_time_max,
        connect_time_max,
        upstream_connections_max: upstream.unwrap_or(default.upstream_connections_max),
    })
}
