//! Reads a configuration folder again and again: whole, or only the agreements that changed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{AgreementId, RevisionId};
use policy::{Change, Snapshot, Source};

use crate::changes::contract_changes;
use crate::draft::Draft;
use crate::folder::{AGREEMENTS, Folder, parse};
use crate::inputs::{Digest, Inputs, Roots, digest};
use crate::problem::Report;
use crate::yaml::NodeDigest;
use crate::{Config, LoadError, agreements, apply, gateway_settings, survey, whole};

/// Most changes that are made one by one, and most of them as one part of so many of all
/// agreements: above either, compiling the whole is the quicker way.
const CHANGES_MAX: usize = 2_000;
const CHANGES_SHARE: usize = 4;
/// So many changes are always few.
const CHANGES_FEW: usize = 100;

/// Reads one configuration folder, and remembers of each file of agreements what it takes to tell
/// what changed: digests and ids, never the agreements themselves.
#[derive(Debug)]
pub struct Loader {
    folder: PathBuf,
    /// Of the last folder that was good.
    memory: Option<Memory>,
}

/// A configuration that took the place of another.
#[derive(Debug)]
pub struct Reloaded {
    /// The configuration.
    pub config: Config,
    /// How many agreements were added, changed or taken out, where nothing else changed. `None`
    /// if the folder was read as a whole.
    pub amended: Option<usize>,
}

/// What is remembered of a folder that was good.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    revision: RevisionId,
    /// The files that were read, agreements aside.
    inputs: Inputs,
    /// The files that there were, agreements aside.
    names: Vec<String>,
    files: BTreeMap<String, Arc<Held>>,
    /// Everything but the agreements.
    source: Source,
}

/// What is remembered of a file of agreements.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) digest: Digest,
    pub(crate) agreements: Box<[(AgreementId, NodeDigest)]>,
}

/// A configuration, not in force yet, and what will be remembered of it.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) reloaded: Reloaded,
    pub(crate) memory: Memory,
}

impl Loader {
    /// Reads the folder for the first time. An apply that was cut short is finished before.
    ///
    /// # Errors
    ///
    /// Returns every problem found, not only the first; or what could not be read.
    pub fn load(folder: &Path, revision: RevisionId) -> Result<(Self, Config), LoadError> {
        apply::finish(folder)?;
        let mut loader = Self { folder: folder.to_owned(), memory: None };
        let (config, memory) = whole(&Roots::new(folder), revision)?;
        loader.memory = Some(memory);
        Ok((loader, config))
    }

    /// Reads the folder again. Where only agreements changed since `current` was read, only the
    /// files of agreements that changed are decoded, and all else is shared with `current`; what
    /// comes of it is the same either way.
    ///
    /// # Errors
    ///
    /// As [`Loader::load`]. What is remembered stays as it was.
    pub fn reload(
        &mut self,
        current: &Snapshot,
        revision: RevisionId,
    ) -> Result<Reloaded, LoadError> {
        apply::finish(&self.folder)?;
        let candidate = self.candidate(&Roots::new(&self.folder), current, revision)?;
        self.remember(candidate.memory);
        Ok(candidate.reloaded)
    }

    /// The folder that is read.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The names of the files outside the parts of the folder that configuration reads: what to
    /// look at for changes beside the folder.
    pub fn named_files(&self) -> Vec<PathBuf> {
        let names = self.memory.iter().flat_map(|memory| memory.inputs.iter());
        names.map(|(name, _)| self.folder.join(name)).collect()
    }

    /// What the files that lie there would give. Nothing is remembered of it yet.
    pub(crate) fn candidate(
        &self,
        roots: &Roots,
        current: &Snapshot,
        revision: RevisionId,
    ) -> Result<Candidate, LoadError> {
        if let Some(memory) = &self.memory
            // What is remembered may be of a revision that never came into force.
            && memory.revision == current.revision()
            && let Some(candidate) = amended(memory, roots, current, revision)?
        {
            return Ok(candidate);
        }
        let (mut config, memory) = whole(roots, revision)?;
        config.notes.extend(contract_changes(current, &config.snapshot));
        Ok(Candidate { reloaded: Reloaded { config, amended: None }, memory })
    }

    /// Remembers a folder whose configuration comes into force.
    pub(crate) fn remember(&mut self, memory: Memory) {
        self.memory = Some(memory);
    }
}

impl Memory {
    /// What is remembered of a folder that was read as a whole.
    pub(crate) fn new(
        source: Source,
        inputs: Inputs,
        names: Vec<String>,
        files: BTreeMap<String, Arc<Held>>,
    ) -> Self {
        Self { revision: source.revision, inputs, names, files, source }
    }

    /// Whether every file that was read still holds the same, agreements aside. One that cannot
    /// be read does not: reading it as part of the whole tells why.
    fn inputs_hold(&self, roots: &Roots) -> bool {
        self.inputs.iter().all(|(name, known)| {
            let path = roots.path(name);
            let size = path.metadata().map(|metadata| metadata.len());
            let bytes = size.and_then(|size| crate::material::read_bounded(&path, size));
            bytes.is_ok_and(|bytes| digest(&bytes) == *known)
        })
    }
}

/// The next revision from the agreements that changed; `None` if anything else did, or if there is
/// anything to report, which reading the whole then does.
fn amended(
    memory: &Memory,
    roots: &Roots,
    current: &Snapshot,
    revision: RevisionId,
) -> Result<Option<Candidate>, LoadError> {
    let folder = Folder::open(roots.clone())?;
    let mut report = Report::new(roots.clone());
    if survey(&folder, &mut report)? != memory.names || !memory.inputs_hold(roots) {
        return Ok(None);
    }
    let settings = gateway_settings(&folder, &mut report)?;
    let Some(gateway) = settings.gateway else { return Ok(None) };
    // The settings were read a second time, and are to be those that the digests speak of.
    if !report.inputs().are_in(&memory.inputs) {
        return Ok(None);
    }
    let Some(edit) = Edit::read(memory, &folder, &mut report)? else { return Ok(None) };
    if !report.is_empty() {
        return Ok(None);
    }
    let Edit { files, changes } = edit;
    if !is_few(changes.len(), current.agreement_count()) {
        return Ok(None);
    }
    let amended = Some(changes.len());
    let Ok(snapshot) = current.amend(revision, changes) else { return Ok(None) };
    let source = Source { revision, ..memory.source.clone() };
    let memory = Memory { revision, files, source: source.clone(), ..memory.clone() };
    let config = Config::new(gateway, source, snapshot);
    Ok(Some(Candidate { reloaded: Reloaded { config, amended }, memory }))
}

/// Whether so many changes to so many agreements are made one by one.
fn is_few(changes: usize, agreements: usize) -> bool {
    changes <= CHANGES_FEW.max(CHANGES_MAX.min(agreements / CHANGES_SHARE))
}

/// What changed among the agreements.
struct Edit {
    /// All files of agreements, as they are now.
    files: BTreeMap<String, Arc<Held>>,
    changes: Vec<Change>,
}

impl Edit {
    /// Reads the files of agreements that are not as they were. `None` if an agreement stands in
    /// two files.
    fn read(
        memory: &Memory,
        folder: &Folder,
        report: &mut Report,
    ) -> Result<Option<Self>, LoadError> {
        let names = if folder.has(AGREEMENTS) { folder.files(AGREEMENTS, report)? } else { vec![] };
        let mut files = BTreeMap::new();
        let mut draft = Draft::default();
        for name in names {
            let Ok(bytes) = folder.read(&name, report)? else { return Ok(None) };
            let digest = digest(&bytes);
            match memory.files.get(&name).filter(|held| held.digest == digest) {
                Some(held) => files.insert(name, Arc::clone(held)),
                None => {
                    let held = Arc::new(Held::decode(&bytes, digest, &mut draft, report));
                    files.insert(name, held)
                }
            };
        }
        Ok(Self::between(&memory.files, files, draft))
    }

    fn between(
        before: &BTreeMap<String, Arc<Held>>,
        now: BTreeMap<String, Arc<Held>>,
        mut draft: Draft,
    ) -> Option<Self> {
        let same = |name: &String, held: &Arc<Held>, others: &BTreeMap<String, Arc<Held>>| {
            others.get(name).is_some_and(|other| Arc::ptr_eq(other, held))
        };
        let gone = before.iter().filter(|(name, held)| !same(name, held, &now));
        let old: HashMap<&AgreementId, &NodeDigest> =
            gone.flat_map(|(_, held)| held.agreements.iter()).map(|(id, d)| (id, d)).collect();
        let (kept, come): (Vec<_>, Vec<_>) =
            now.iter().partition(|(name, held)| same(name, held, before));
        let new: HashMap<&AgreementId, &NodeDigest> = come
            .iter()
            .flat_map(|(_, held)| held.agreements.iter())
            .map(|(id, d)| (id, d))
            .collect();

        let added: HashSet<&AgreementId> =
            new.keys().filter(|id| !old.contains_key(*id)).copied().collect();
        let mut others = kept.iter().flat_map(|(_, held)| held.agreements.iter());
        if !added.is_empty() && others.any(|(id, _)| added.contains(id)) {
            return None;
        }
        let removed: BTreeSet<&AgreementId> =
            old.keys().filter(|id| !new.contains_key(*id)).copied().collect();
        let mut changes: Vec<Change> = removed.into_iter().cloned().map(Change::Remove).collect();
        let agreements = draft.take_agreements().into_iter();
        let changed =
            agreements.filter(|agreement| new.get(&agreement.id) != old.get(&agreement.id));
        changes.extend(changed.map(Change::Put));
        Some(Self { files: now, changes })
    }
}

impl Held {
    /// Decodes a file of agreements into the draft.
    pub(crate) fn decode(
        bytes: &[u8],
        digest: Digest,
        draft: &mut Draft,
        report: &mut Report,
    ) -> Self {
        // A file that could not be read is reported; nothing refers to what it held.
        let _ = parse(bytes, report, |root, report| agreements::agreements(root, draft, report));
        Self { digest, agreements: mem::take(&mut draft.digests).into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_few_beside_the_agreements() {
        assert!(is_few(100, 0) && !is_few(101, 400));
        assert!(is_few(250, 1_000) && !is_few(251, 1_000));
        assert!(is_few(2_000, 100_000) && !is_few(2_001, 100_000));
    }
}
