//! Reads `ledger.sealing`, `ledger.archive` and `ledger.retention`: what becomes of full segments.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::fields::{Fields, at_most, list, located, scalar};
use crate::material::{path, read};
use crate::problem::{Position, Report, quoted};
use crate::scalar::{Mismatch, count, duration, service_name};
use crate::yaml::{Node, Value};

/// Most keys for sealing.
const KEYS_MAX: usize = 256;
/// Most services with a term of their own.
const SERVICES_MAX: usize = 10_000;
/// Largest file of a key.
const KEY_FILE_BYTES_MAX: u64 = 1 << 10;
/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// Longest id of a key, in bytes: headers of sealed segments have no more room.
const KEY_ID_BYTES_MAX: usize = 64;
/// Levels of Zstandard.
const LEVELS: RangeInclusive<i32> = 1..=22;
/// The level where none is named: most of an entry is digests, which no level makes smaller.
const LEVEL: i32 = 3;
/// Ages and terms. The longest is some hundred years.
const AGES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24 * 36_600);
/// How long entries are kept where nothing else is said.
const DEFAULT_TERM: Duration = Duration::from_hours(24 * 365);
/// The term of what is never removed.
const FOREVER: &str = "forever";

/// How full segments are sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealing {
    /// Keys that open sealed segments, each under an id of its own.
    pub keys: Vec<SealingKey>,
    /// Id of the key to seal with; there exactly if there are keys. Without one, segments are
    /// compressed and not encrypted.
    pub seal_with: Option<String>,
    /// Level of Zstandard, 1 to 22.
    pub level: i32,
}

/// A key for sealed segments. Showing it shows its id.
#[derive(Clone, PartialEq, Eq)]
pub struct SealingKey {
    /// Its id, which sealed segments name.
    pub id: String,
    /// The file it was read from.
    pub file: PathBuf,
    /// 32 bytes in base64.
    pub text: Zeroizing<String>,
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealingKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Where sealed segments go in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// A folder of this ledger alone. It is not made: on a file system that is not mounted it
    /// would be another.
    pub directory: PathBuf,
    /// Age of a segment's last entry at which it is moved.
    pub after: Duration,
}

/// How long entries are kept at least. [`Duration::MAX`] is for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Entries of services that are not named, and those of no service.
    pub default: Duration,
    /// Calls of a service, by its full name.
    pub services: HashMap<String, Duration>,
}

/// The term where none is written. What is archived late is kept as long.
fn default_term(after: Option<Duration>) -> Duration {
    after.map_or(DEFAULT_TERM, |after| after.max(DEFAULT_TERM))
}

/// Where a ledger lies, and what opens its sealed segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whereabouts {
    /// The ledger's folder.
    pub directory: PathBuf,
    /// The archive's folder, if there is one.
    pub archive: Option<PathBuf>,
    /// Keys that open sealed segments.
    pub keys: Vec<SealingKey>,
}

/// The three parts as they were read, with the places that later checks need.
pub(crate) struct Read {
    pub(crate) sealing: Option<Sealing>,
    pub(crate) archive: Option<Archive>,
    pub(crate) retention: Retention,
    archive_at: Option<Position>,
    key_files: Vec<(Position, PathBuf)>,
}

/// Reads the parts of `ledger` that say what becomes of full segments.
pub(crate) fn keeping(fields: &Fields<'_, '_>, report: &mut Report) -> Option<Read> {
    let part = |key: &str| fields.get(key);
    let sealing = part("sealing").map(|node| sealing(node, report));
    let archive = part("archive").map(|node| located(archive)(node, report));
    let retention = match part("retention") {
        Some(node) => retention(node, archive.as_ref().and_then(Option::as_ref), report),
        None => {
            let after = archive.iter().flatten().map(|(_, archive)| archive.after).next();
            Some(Retention { default: default_term(after), services: HashMap::new() })
        }
    };
    for key in ["archive", "retention"] {
        if let (Some(node), None) = (part(key), part("sealing")) {
            let hint =
                "only sealed segments are archived, and terms are written as they are sealed";
            let found = format!("`{key}` without `sealing`");
            report.add(node.at, found, "`sealing` beside it", Some(hint.to_owned()));
            return None;
        }
    }
    let (sealing, archive) = (flip(sealing)?, flip(archive)?);
    let (sealing, key_files) = sealing.unzip();
    let (archive_at, archive) = archive.unzip();
    Some(Read {
        sealing,
        archive,
        retention: retention?,
        archive_at,
        key_files: key_files.unwrap_or_default(),
    })
}

/// `None` if there is something that could not be read.
fn flip<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        Some(None) => None,
        Some(read) => Some(read),
        None => Some(None),
    }
}

impl Read {
    /// Where each key is named.
    pub(crate) fn key_files(&self) -> &[(Position, PathBuf)] {
        &self.key_files
    }

    /// The archive is a folder beside the ledger's, neither in it nor around it.
    pub(crate) fn archive_is_apart(
        &self,
        directory: &Path,
        index: Option<&Path>,
        report: &mut Report,
    ) -> Option<()> {
        let (Some(at), Some(archive)) = (self.archive_at, &self.archive) else { return Some(()) };
        let of = &archive.directory;
        let found = match () {
            () if of.exists() && !of.is_dir() => "a path that is not a folder",
            () if is_inside(of, directory) => "a path in the ledger's folder",
            () if is_inside(directory, of) => "a folder around the ledger's",
            () if index.is_some_and(|index| is_inside(of, index) || is_inside(index, of)) => {
                "a folder in or around the index's"
            }
            () => return Some(()),
        };
        report.add(at, found, "a folder beside the ledger's, for this ledger alone", None);
        None
    }
}

/// Whether `path` lies in `folder` or is it, as written or behind links.
pub(crate) fn is_inside(path: &Path, folder: &Path) -> bool {
    path.starts_with(folder) || real(path).starts_with(real(folder))
}

/// A path without links as far as it is there, and the rest of it as written.
fn real(path: &Path) -> PathBuf {
    for ancestor in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (ancestor.canonicalize(), path.strip_prefix(ancestor)) {
            return real.join(rest);
        }
    }
    path.to_owned()
}

type SealingRead = (Sealing, Vec<(Position, PathBuf)>);

fn sealing(node: &Node<'_>, report: &mut Report) -> Option<SealingRead> {
    if matches!(node.value, Value::Nothing) {
        let hint = "write `sealing: {}` to compress segments without encrypting them".to_owned();
        report.add(node.at, "nothing", "a mapping", Some(hint));
        return None;
    }
    let fields = Fields::of(node, &["keys", "seal_with", "level"], report)?;
    let level = fields.optional("level", scalar(count(LEVELS)), report);
    let seal_with = fields.optional("seal_with", located(scalar(key_id)), report);
    let keys = match fields.get("keys") {
        Some(node) => keys(node, report),
        None => Some(Vec::new()),
    };
    let keys = keys?;
    match (&seal_with, keys.is_empty()) {
        (Some((at, id)), _) if keys.iter().all(|(_, key)| key.id != *id) => {
            let expected = "the id of a key under `keys`";
            report.add(*at, quoted(id), expected, None);
            return None;
        }
        (None, false) => {
            if fields.get("seal_with").is_none() {
                let expected = "`seal_with`, the id of the key to seal with";
                report.add(fields.at(), "`keys` without `seal_with`", expected, None);
            }
            return None;
        }
        _ => {}
    }
    let (files, keys) = keys.into_iter().map(|(at, key)| ((at, key.file.clone()), key)).unzip();
    let seal_with = seal_with.map(|(_, id)| id);
    Some((Sealing { keys, seal_with, level: level.unwrap_or(LEVEL) }, files))
}

fn keys(node: &Node<'_>, report: &mut Report) -> Option<Vec<(Position, SealingKey)>> {
    let keys = at_most(KEYS_MAX, list(located(key)))(node, report)?;
    let mut known = HashSet::new();
    for (at, key) in &keys {
        if !known.insert(key.id.as_str()) {
            let found = format!("key {} a second time", quoted(&key.id));
            report.add(*at, found, "each key under an id of its own", None);
            return None;
        }
    }
    Some(keys)
}

fn key(node: &Node<'_>, report: &mut Report) -> Option<SealingKey> {
    let fields = Fields::of(node, &["id", "file"], report)?;
    let id = fields.required("id", scalar(key_id), report);
    let text = fields.required("file", key_text, report);
    let (id, text) = (id?, text?);
    Some(SealingKey { id, file: fields.required("file", path, report)?, text })
}

/// The key in the file that a node names. Nothing of it is ever shown.
fn key_text(node: &Node<'_>, report: &mut Report) -> Option<Zeroizing<String>> {
    let bytes = Zeroizing::new(read(node, KEY_FILE_BYTES_MAX, report)?);
    let text = Zeroizing::new(String::from_utf8_lossy(&bytes).trim().to_owned());
    let key = Zeroizing::new(STANDARD.decode(text.as_bytes()).unwrap_or_default());
    if key.len() == KEY_BYTES {
        return Some(text);
    }
    let hint = "make one with `openssl rand -base64 32`".to_owned();
    let expected = "a random key of 32 bytes in base64 on one line";
    report.add(node.at, "a file without such a key", expected, Some(hint));
    None
}

fn key_id(text: &str) -> Result<String, Mismatch> {
    let is_usual = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-._".contains(&c);
    match (1..=KEY_ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_usual) {
        true => Ok(text.to_owned()),
        false => Err(Mismatch {
            expected: format!("1 to {KEY_ID_BYTES_MAX} of `a-z`, `0-9`, `-`, `.`, `_`"),
            hint: None,
        }),
    }
}

fn archive(node: &Node<'_>, report: &mut Report) -> Option<Archive> {
    let fields = Fields::of(node, &["directory", "after"], report)?;
    let directory = fields.required("directory", path, report);
    let after = fields.required("after", scalar(duration(AGES)), report);
    Some(Archive { directory: directory?, after: after? })
}

fn retention(
    node: &Node<'_>,
    archive: Option<&(Position, Archive)>,
    report: &mut Report,
) -> Option<Retention> {
    let fields = Fields::of(node, &["default", "services"], report)?;
    let default = fields.optional("default", located(scalar(term)), report);
    let services = at_most(SERVICES_MAX, list(service));
    let services = match fields.get("services") {
        Some(node) => services(node, report)?,
        None => Vec::new(),
    };
    let mut terms = HashMap::new();
    let after = archive.map(|(_, archive)| archive.after);
    let too_short = |term: Duration| after.is_some_and(|after| term < after);
    let short = "a term as long as `archive.after` at least";
    let hint = || Some("entries are removed from the archive only".to_owned());
    let mut is_good = fields.get("default").is_none() || default.is_some();
    for Service { at, name, term_at, term } in services {
        if too_short(term) {
            report.add(term_at, "a term shorter than `archive.after`", short, hint());
            is_good = false;
        }
        if terms.insert(name.clone(), term).is_some() {
            let found = format!("service {} a second time", quoted(&name));
            report.add(at, found, "each service once", None);
            is_good = false;
        }
    }
    if let Some((at, default)) = default
        && too_short(default)
    {
        report.add(at, "a default term shorter than `archive.after`", short, hint());
        is_good = false;
    }
    let default = default.map_or_else(|| default_term(after), |(_, default)| default);
    is_good.then_some(Retention { default, services: terms })
}

/// A service with its term.
struct Service {
    at: Position,
    name: String,
    term_at: Position,
    term: Duration,
}

fn service(node: &Node<'_>, report: &mut Report) -> Option<Service> {
    let fields = Fields::of(node, &["service", "term"], report)?;
    let service = fields.required("service", located(scalar(service_name)), report);
    let term = fields.required("term", located(scalar(term)), report);
    let ((at, name), (term_at, term)) = (service?, term?);
    Some(Service { at, name, term_at, term })
}

fn term(text: &str) -> Result<Duration, Mismatch> {
    match text {
        FOREVER => Ok(Duration::MAX),
        text => duration(AGES)(text).map_err(|mismatch| Mismatch {
            expected: format!("{}, or `{FOREVER}`", mismatch.expected),
            ..mismatch
        }),
    }
}

/// Where the ledger lies, by the root of a `gateway.yaml` whose other parts may be broken, and
/// whose other keys need not be readable.
pub(crate) fn whereabouts(root: &Node<'_>, report: &mut Report) -> Option<Whereabouts> {
    let ledger = root.get("ledger")?;
    let directory = path(ledger.get("directory")?, report)?;
    let archive = ledger.get("archive").and_then(|archive| archive.get("directory"));
    let archive = archive.and_then(|node| path(node, report));
    let keys = match ledger.get("sealing").and_then(|sealing| sealing.get("keys")) {
        Some(node) => self::keys(node, report)?,
        None => Vec::new(),
    };
    let keys = keys.into_iter().map(|(_, key)| key).collect();
    Some(Whereabouts { directory, archive, keys })
}

/// What operators should know of these settings although nothing is wrong.
pub(crate) fn notes(
    archive: Option<&Archive>,
    retention: &Retention,
    is_offered: impl Fn(&str) -> bool,
) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(Archive { directory, .. }) = archive
        && !directory.exists()
    {
        notes.push(format!(
            "`ledger.archive.directory`: nothing is archived until `{}` is there",
            directory.display()
        ));
    }
    let mut unknown: Vec<&str> =
        retention.services.keys().map(String::as_str).filter(|name| !is_offered(name)).collect();
    unknown.sort_unstable();
    let note = |name: &str| format!("`ledger.retention`: no node offers the service `{name}`");
    notes.extend(unknown.into_iter().map(note));
    notes
}
