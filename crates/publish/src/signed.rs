//! The newest checkpoint of a ledger as others are to see it: after a change of the key with the
//! signatures of both keys, for as long as the key before is given.

use std::sync::Arc;

use audit::Tiles;
use tlog::{Checkpoint, Note, Signer};

/// The checkpoints of a ledger that is being written. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Signed {
    tiles: Tiles,
    previous: Option<Arc<Signer>>,
}

impl Signed {
    /// Checkpoints of the ledger with these tiles; `previous` is the key before, which signs what
    /// the present one has signed. Who trusts only the old key, as a witness or monitor, can so go
    /// over to the new one at leisure.
    pub fn new(tiles: Tiles, previous: Option<Arc<Signer>>) -> Self {
        Self { tiles, previous }
    }

    /// The newest checkpoint whose tiles are all there; `None` for the moment in which the ledger
    /// is opened.
    pub fn newest(&self) -> Option<Note> {
        let mut note: Note = self.tiles.checkpoint().parse().ok()?;
        if let Some(previous) = &self.previous
            && let Err(error) = note.add_signature(previous)
        {
            tracing::warn!(%error, "the old key does not sign");
        }
        Some(note)
    }

    /// What the newest checkpoint says, too.
    pub(crate) fn read(&self) -> Option<(Note, Checkpoint)> {
        let note = self.newest()?;
        let checkpoint = note.text().parse().ok()?;
        Some((note, checkpoint))
    }

    /// The tiles that the checkpoints are of.
    pub fn tiles(&self) -> &Tiles {
        &self.tiles
    }
}
