//! Reads what of `ledger` is about others: where it is published, and the witnesses that cosign it.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use tlog::{Prefix, WitnessKey};

use crate::fields::{Fields, at_most, located, scalar, some};
use crate::material::{authorities, read};
use crate::problem::{Position, Report, quoted};
use crate::scalar::{boolean, count, duration, prefix, socket};
use crate::yaml::{Node, Value};

/// Most witnesses.
const WITNESSES_MAX: usize = 16;
/// Largest file of a witness's key.
const KEY_FILE_BYTES_MAX: u64 = 1 << 10;
const UNWITNESSED: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(7 * 24);
const UNWITNESSED_DEFAULT: Duration = Duration::from_mins(15);

/// Where a ledger is published (C2SP tlog-tiles).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// Where monitors connect (HTTP).
    pub listen: SocketAddr,
    /// Whether entries are published, too.
    pub entries: bool,
}

/// Who cosigns a ledger's checkpoints (C2SP tlog-witness), and how many must.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witnessing {
    /// The witnesses, at least one, each with a key of its own.
    pub witnesses: Vec<Witness>,
    /// How many of them must have cosigned a checkpoint: from 1 to all.
    pub quorum: usize,
    /// How long entries may go without that before the gateway is no longer ready.
    pub unwitnessed_max: Duration,
}

/// A witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// Where it listens.
    pub url: Prefix,
    /// What it cosigns with.
    pub key: WitnessKey,
    /// Who vouches for its certificate, in DER: at least one where `url` is https, else none.
    pub authorities: Vec<Vec<u8>>,
}

pub(crate) fn publish(node: &Node<'_>, report: &mut Report) -> Option<Publish> {
    let fields = Fields::of(node, &["listen", "entries"], report)?;
    let listen = fields.required("listen", scalar(socket), report);
    let entries = fields.optional("entries", scalar(boolean), report);
    Some(Publish { listen: listen?, entries: entries.unwrap_or_default() })
}

/// Reads `witnesses`, `witness_quorum` and `unwitnessed_max` of a ledger. The outer `None` says
/// that something was reported.
pub(crate) fn witnessing(
    fields: &Fields<'_, '_>,
    report: &mut Report,
) -> Option<Option<Witnessing>> {
    if fields.get("witnesses").is_none() {
        let orphans = ["witness_quorum", "unwitnessed_max"];
        let Some((key, node)) = orphans.iter().find_map(|key| Some((key, fields.get(key)?))) else {
            return Some(None);
        };
        report.add(node.at, format!("`{key}` without `witnesses`"), "key `witnesses`", None);
        return None;
    }
    let witnesses = at_most(WITNESSES_MAX, some(located(witness)));
    let witnesses = fields.required("witnesses", witnesses, report);
    let bounds = 1..=witnesses.as_ref().map_or(WITNESSES_MAX, Vec::len);
    let quorum = match fields.get("witness_quorum") {
        Some(node) => Some(scalar(count(bounds.clone()))(node, report)?),
        None => None,
    };
    let unwitnessed_max = match fields.get("unwitnessed_max") {
        Some(node) => scalar(duration(UNWITNESSED))(node, report)?,
        None => UNWITNESSED_DEFAULT,
    };
    let mut known: Vec<Witness> = Vec::new();
    for (at, witness) in witnesses? {
        if known.iter().any(|other| other.key.public() == witness.key.public()) {
            let found = format!("the key of {} a second time", quoted(witness.key.name().as_str()));
            report.add(at, found, "each witness once", None);
            return None;
        }
        known.push(witness);
    }
    let quorum = quorum.unwrap_or(known.len());
    Some(Some(Witnessing { witnesses: known, quorum, unwitnessed_max }))
}

fn witness(node: &Node<'_>, report: &mut Report) -> Option<Witness> {
    let fields = Fields::of(node, &["url", "key", "authorities"], report)?;
    let url = fields.required("url", located(scalar(prefix)), report);
    let key = fields.required("key", witness_key, report);
    let authorities = match fields.get("authorities") {
        Some(node) => Some(authorities(node, report)?),
        None => None,
    };
    let ((at, url), key) = (url?, key?);
    url_fits(at, &url, authorities.is_some(), report)?;
    Some(Witness { url, key, authorities: authorities.unwrap_or_default() })
}

/// Certificates come with https, and only with it.
fn url_fits(at: Position, url: &Prefix, has_authorities: bool, report: &mut Report) -> Option<()> {
    match (url.is_tls(), has_authorities) {
        (true, false) => {
            let expected = "`authorities` that vouch for its certificate";
            report.add(at, "a URL with https, without authorities", expected, None);
            None
        }
        (false, true) => {
            report.add(at, "a URL without TLS, with authorities", "a URL with https", None);
            None
        }
        _ => Some(()),
    }
}

/// The key itself, or the file that holds it.
fn witness_key(node: &Node<'_>, report: &mut Report) -> Option<WitnessKey> {
    if let Value::Scalar(written) = &node.value
        && let Ok(key) = written.parse()
    {
        return Some(key);
    }
    let bytes = read(node, KEY_FILE_BYTES_MAX, report)?;
    match String::from_utf8_lossy(&bytes).trim().parse() {
        Ok(key) => Some(key),
        Err(error) => {
            let expected = "the public key of a witness, as `giaolien witness` prints it first";
            report.add(node.at, format!("a file without such a key ({error})"), expected, None);
            None
        }
    }
}
