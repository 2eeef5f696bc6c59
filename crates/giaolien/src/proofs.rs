//! Checkpoints of the ledger for others, and proofs of entries under them.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use audit::TilesError;
use publish::{Signed, Witnesses};
use tlog::{Checkpoint, Note};

/// Longest wait for a checkpoint: by default one is signed each second.
const WAIT_MAX: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What proves that an entry stands in the ledger. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Proofs {
    signed: Signed,
    /// Who cosigns checkpoints, if anybody does.
    witnesses: Option<Arc<Witnesses>>,
}

impl Proofs {
    pub(crate) fn new(signed: Signed, witnesses: Option<Arc<Witnesses>>) -> Self {
        Self { signed, witnesses }
    }

    /// The newest checkpoint that others are to rely on: where there are witnesses, one that their
    /// quorum has cosigned.
    pub(crate) fn newest(&self) -> Option<Note> {
        match &self.witnesses {
            Some(witnesses) => witnesses.newest(),
            None => self.signed.newest(),
        }
    }

    /// Waits a short while until a signed checkpoint covers an entry. Blocks the thread.
    pub(crate) fn wait_for(&self, index: u64) {
        let until = Instant::now() + WAIT_MAX;
        let covers = |note: Note| {
            note.text().parse::<Checkpoint>().is_ok_and(|checkpoint| checkpoint.size > index)
        };
        while !self.signed.newest().is_some_and(covers) && Instant::now() < until {
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Proof files of entries, in their order. An entry that witnesses have not seen yet is proved
    /// by the newest signed checkpoint; one that none covers yet has no proof.
    pub(crate) fn of(&self, entries: &[(u64, &[u8])]) -> Result<Vec<Option<String>>, TilesError> {
        let mut proofs = vec![None; entries.len()];
        // First where more signed; the second adds what the first does not cover.
        for note in [self.newest(), self.signed.newest()].into_iter().flatten() {
            let Checkpoint { size, .. } = note.text().parse()?;
            let wanted = |(place, proof): (usize, &Option<String>)| {
                let covered = entries.get(place).is_some_and(|(index, _)| *index < size);
                (proof.is_none() && covered).then_some(place)
            };
            let places: Vec<usize> = proofs.iter().enumerate().filter_map(wanted).collect();
            let asked: Vec<_> =
                places.iter().filter_map(|place| entries.get(*place)).copied().collect();
            let bundles = self.signed.tiles().bundles(&note, &asked)?;
            for (place, bundle) in places.into_iter().zip(bundles) {
                if let Some(proof) = proofs.get_mut(place) {
                    *proof = Some(bundle.to_string());
                }
            }
        }
        Ok(proofs)
    }
}
