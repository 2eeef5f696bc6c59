//! A call as the ledger has it, and whether the configuration has changed since.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use audit::{ReadError, Record, Source};
use model::{AgreementId, Entry, ExchangeId, Finished, Reason, RevisionId, Timestamp};

use super::finding::Finding;
use crate::progress::Progress;

/// A call in the ledger.
pub(super) struct Recorded {
    pub(super) exchange: ExchangeId,
    /// Where its first entry stands.
    pub(super) index: u64,
    /// Its first entry: an admission or a refusal.
    pub(super) entry: Entry,
    /// Its end, if it was admitted and has ended.
    pub(super) finished: Option<Finished>,
}

/// A file of the configuration that is newer than a revision.
#[derive(Debug)]
pub(super) struct Changed {
    pub(super) file: PathBuf,
    pub(super) time: Timestamp,
}

impl Recorded {
    /// Finds a call.
    ///
    /// # Errors
    ///
    /// Fails if the ledger cannot be read or has no such call.
    pub(super) fn find(ledger: &Source, exchange: ExchangeId) -> Result<Self> {
        let mut progress = Progress::new("searching");
        let total = entries_about(&ledger.folder);
        let mut found: Option<Self> = None;
        let mut absent = None;
        for item in audit::records(ledger, 0)? {
            let Record { index, entry: bytes, .. } = match item {
                Err(gap @ ReadError::Absent { .. }) => {
                    absent.get_or_insert(gap);
                    continue;
                }
                item => item?,
            };
            progress.at(index.min(total), total);
            let entry = wire::evidence::decode_entry(&bytes)
                .with_context(|| format!("entry {index} of the ledger"))?;
            match entry {
                Entry::Admitted(ref call) if call.exchange == exchange => {
                    found = Some(Self { exchange, index, entry, finished: None });
                }
                Entry::Refused(ref call) if call.exchange == exchange => {
                    return Ok(Self { exchange, index, entry, finished: None });
                }
                Entry::Finished(call) if call.exchange == exchange => {
                    if let Some(found) = found {
                        return Ok(Self { finished: Some(call), ..found });
                    }
                }
                _ => {}
            }
        }
        match found {
            Some(found) => Ok(found),
            None => {
                let why = absent.map(|gap| format!("; {gap}")).unwrap_or_default();
                bail!("no call `{exchange}` in the ledger `{}`{why}", ledger.folder.display())
            }
        }
    }

    pub(super) fn is_admitted(&self) -> bool {
        matches!(self.entry, Entry::Admitted(_))
    }

    /// The revision that decided.
    pub(super) fn revision(&self) -> RevisionId {
        match &self.entry {
            Entry::Admitted(call) => call.revision,
            Entry::Refused(call) => call.revision,
            _ => RevisionId::default(),
        }
    }

    /// The agreement that governed the call or its refusal.
    pub(super) fn agreement(&self) -> Option<&AgreementId> {
        match &self.entry {
            Entry::Admitted(call) => Some(&call.agreement),
            Entry::Refused(call) => call.agreement.as_ref(),
            _ => None,
        }
    }

    /// Why it was refused, if it was.
    pub(super) fn reason(&self) -> Option<Reason> {
        match &self.entry {
            Entry::Refused(call) => Some(call.reason),
            _ => None,
        }
    }

    /// Whether the call is decided now as it was then.
    pub(super) fn agrees(&self, finding: &Finding<'_>) -> bool {
        match (finding.decided(), self.reason()) {
            (Ok(decision), None) => Some(decision.agreement.id()) == self.agreement(),
            (Err(refusal), Some(reason)) => {
                refusal.reason() == reason && refusal.agreement() == self.agreement()
            }
            (Ok(_), Some(_)) | (Err(_), None) => false,
        }
    }
}

/// How many entries the checkpoint covers: what the second line of a signed note says.
fn entries_about(ledger: &Path) -> u64 {
    let note = fs::read_to_string(ledger.join("checkpoint")).unwrap_or_default();
    note.lines().nth(1).and_then(|size| size.parse().ok()).unwrap_or_default()
}

/// The file or folder that changed last, if one did after the revision was loaded: a revision's
/// number is the second it was loaded in. `dir` itself changes with every apply and is passed over,
/// as is the ledger.
pub(super) fn changed_since(
    dir: &Path,
    ledger: &Path,
    revision: RevisionId,
) -> Result<Option<Changed>> {
    let loaded = Timestamp::from_secs(revision.0.saturating_add(1));
    let ledger = ledger.canonicalize().ok();
    let mut newest: Option<Changed> = None;
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        let read = || format!("read folder `{}`", folder.display());
        for entry in fs::read_dir(&folder).with_context(read)? {
            let entry = entry.with_context(read)?;
            let path = entry.path();
            let is_ledger = || ledger.is_some() && path.canonicalize().ok() == ledger;
            if entry.file_name().as_encoded_bytes().starts_with(b".") || is_ledger() {
                continue;
            }
            let metadata = fs::metadata(&path).with_context(read)?;
            // An apply moves the folders and `routes.yaml` to their place, which is a change of
            // the inode and none of what it holds.
            let is_moved = metadata.is_dir() || path == dir.join("routes.yaml");
            let time = match is_moved {
                true => modified(&metadata),
                false => modified(&metadata).max(changed(&metadata)),
            };
            if time > newest.as_ref().map_or(loaded, |newest| newest.time) {
                let file = path.strip_prefix(dir).unwrap_or(&path).to_owned();
                newest = Some(Changed { file, time });
            }
            if metadata.is_dir() {
                folders.push(path);
            }
        }
    }
    Ok(newest)
}

fn modified(metadata: &Metadata) -> Timestamp {
    timestamp(metadata.mtime(), metadata.mtime_nsec())
}

/// When the inode changed: later than [`modified`] where a file was put back with an older time.
fn changed(metadata: &Metadata) -> Timestamp {
    timestamp(metadata.ctime(), metadata.ctime_nsec())
}

/// A time before 1970 counts as 1970.
fn timestamp(seconds: i64, nanos: i64) -> Timestamp {
    let seconds = u64::try_from(seconds).unwrap_or_default();
    let micros = u64::try_from(nanos / 1000).unwrap_or_default();
    Timestamp::from_micros(seconds.saturating_mul(1_000_000).saturating_add(micros))
}
