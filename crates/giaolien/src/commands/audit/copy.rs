//! A copy of a ledger, searched without a gateway.

use std::path::Path;

use anyhow::{Context, Result, bail};
use audit::{Source, Tiles};
use search::{Finder, Index};
use tempfile::TempDir;
use tlog::{Checkpoint, Note};
use wire::generated::admin::{
    Exchange, LedgerEntry, SearchActsRequest, SearchActsResponse, SearchResponse,
};
use wire::search::decode_act_criteria;

use super::search::Asking;
use crate::progress::Progress;
use crate::reading::{hole, lost};

/// A copy with its index.
pub(super) struct Copy {
    finder: Finder,
    size: u64,
    /// What proves entries, if that is wanted.
    proofs: Option<(Tiles, Note, u64)>,
    /// Goes with the search.
    _temporary: Option<TempDir>,
}

impl Copy {
    /// Brings the index in the folder `index`, or a temporary one, up to the copy.
    /// `proofs` says whether entries are to be proved.
    pub(super) fn open(ledger: &Source, index: Option<&Path>, proofs: bool) -> Result<Self> {
        let temporary = match index {
            Some(_) => None,
            None => Some(tempfile::tempdir().context("make a temporary folder")?),
        };
        let folder = index.or_else(|| temporary.as_ref().map(TempDir::path));
        let folder = folder.context("no folder for the index")?;
        let size = fill(folder, ledger)?;
        let proofs = if proofs { prover(ledger)? } else { None };
        Ok(Self { finder: Finder::new(folder, ledger), size, proofs, _temporary: temporary })
    }

    /// A page of what fits.
    pub(super) fn page(&self, asking: &Asking<'_>) -> Result<SearchResponse> {
        let Asking { criteria, before, limit } = *asking;
        let before = (before > 0).then_some(before);
        let answer = self.finder.find(criteria, before, limit).context("search the copy")?;
        let mut proofs = self.proofs(&answer.exchanges)?.into_iter();
        let exchanges = answer.exchanges.into_iter().map(|found| {
            let (last_index, last) =
                found.last.map(|last| (last.index, last.bytes)).unwrap_or_default();
            let (index, entry) = (found.index, found.bytes);
            let (receipt, proof) = (Vec::new(), proofs.next().unwrap_or_default());
            Exchange { index, entry, last_index, last, receipt, proof }
        });
        Ok(SearchResponse {
            exchanges: exchanges.collect(),
            before: answer.before.unwrap_or_default(),
            indexed: answer.indexed,
            durable: self.size,
            periods: Vec::new(),
            lost: answer.lost.map(lost),
            holes: answer.holes.into_iter().map(hole).collect(),
        })
    }
}

impl Copy {
    /// A page of what operators did.
    pub(super) fn acts(&self, asked: SearchActsRequest) -> Result<SearchActsResponse> {
        let (before, limit) = (asked.before, usize::try_from(asked.limit).unwrap_or(usize::MAX));
        let criteria = decode_act_criteria(asked).context("what is asked for")?;
        let answer = self.finder.acts(&criteria, (before > 0).then_some(before), limit);
        let answer = answer.context("search the copy")?;
        let entries = answer.acts.into_iter();
        let entries = entries.map(|act| LedgerEntry { index: act.index, entry: act.bytes });
        Ok(SearchActsResponse {
            entries: entries.collect(),
            before: answer.before.unwrap_or_default(),
            indexed: answer.indexed,
            durable: self.size,
            lost: answer.lost.map(lost),
            holes: answer.holes.into_iter().map(hole).collect(),
        })
    }

    /// The proofs of what was found, empty for what the checkpoint does not cover.
    fn proofs(&self, found: &[search::Exchange]) -> Result<Vec<Vec<u8>>> {
        let Some((tiles, note, size)) = &self.proofs else { return Ok(Vec::new()) };
        let covered = found.iter().filter(|one| one.index < *size);
        let covered: Vec<_> = covered.map(|one| (one.index, one.bytes.as_slice())).collect();
        let mut bundles =
            tiles.bundles(note, &covered).context("the tree of the copy")?.into_iter();
        let proof = |one: &search::Exchange| match one.index < *size {
            true => bundles.next().map(|bundle| bundle.to_string().into_bytes()),
            false => None,
        };
        Ok(found.iter().map(proof).map(Option::unwrap_or_default).collect())
    }
}

/// The tree of a copy, and its newest checkpoint: one that witnesses cosigned if there is one.
fn prover(ledger: &Source) -> Result<Option<(Tiles, Note, u64)>> {
    let found = audit::newest_checkpoint(&ledger.folder, 0).context("read checkpoints")?;
    let Some((note, Checkpoint { size, .. })) = found else { return Ok(None) };
    let tiles = Tiles::open_source(ledger.clone()).context("the tree of the copy")?;
    Ok(Some((tiles, note, size)))
}

/// Takes in all that the copy holds, and returns how many entries that is.
fn fill(folder: &Path, ledger: &Source) -> Result<u64> {
    let shown = ledger.folder.display();
    let about = bytes(&ledger.folder).with_context(|| format!("read ledger `{shown}`"))?;
    let mut index = Index::open(folder, ledger)?;
    let mut progress = Progress::new("indexing");
    while index.advance(u64::MAX)? {
        // Entries take some 220 bytes.
        progress.at((index.size() * 220).min(about), about);
    }
    let size = index.size();
    // The index stops where frames stop; if something follows, that is no end but damage.
    if let Some(item) = audit::records(ledger, size)?.next() {
        let record = item.with_context(|| format!("ledger `{shown}` after entry {size}"))?;
        let entry = record.index;
        bail!("found entry {entry} in `{shown}` after the index was filled; is it being written?");
    }
    if size == 0 {
        bail!("found no entry in `{shown}`, expected a ledger");
    }
    index.close()?;
    Ok(size)
}

/// Bytes of the files in a folder.
fn bytes(folder: &Path) -> Result<u64> {
    let files = std::fs::read_dir(folder)?;
    files.map(|file| Ok(file?.metadata()?.len())).sum()
}
