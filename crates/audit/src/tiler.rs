//! The thread that keeps the tiles up with the durable entries, behind everything else. It takes
//! leaf hashes from the queue, where the writer leaves them, and hashes no entry twice.

use std::path::PathBuf;
use std::sync::Arc;

use crate::backlog::Work;
use crate::checkpoint;
use crate::folder;
use crate::queue::Shared;
use crate::tiles::{Tiles, TilesError};
use tlog::note::{Checkpoint, Note};
use tlog::{Hash, Head};

/// What the thread works with.
pub(crate) struct Tiler {
    pub(crate) shared: Arc<Shared>,
    pub(crate) tiles: Tiles,
    pub(crate) folder: PathBuf,
    /// The durable tree when the ledger was opened.
    pub(crate) head: Head,
}

impl Tiler {
    /// Runs until the last checkpoint was written. The ledger goes on without tiles if they
    /// cannot be made: they are needed for proofs, not for evidence.
    pub(crate) fn run(self) {
        if let Err(error) = self.start() {
            return self.give_up(&error);
        }
        while let Some(work) = self.shared.backlog.wait() {
            if let Err(error) = self.follow(work) {
                return self.give_up(&error);
            }
        }
    }

    fn start(&self) -> Result<(), TilesError> {
        self.tiles.restore(self.head)?;
        let path = self.folder.join(folder::CHECKPOINT);
        // Replaced by a newer one in the meantime, it comes with the work.
        let note =
            checkpoint::read(&path).map_err(|source| TilesError::Unreadable { path, source })?;
        let Checkpoint { size, .. } = note.parse::<Note>()?.text().parse()?;
        if size <= self.head.size {
            self.tiles.publish(note);
        }
        Ok(())
    }

    fn follow(&self, work: Work) -> Result<(), TilesError> {
        let Work { leaves, lost, head, released } = work;
        let leaves: Vec<Hash> = leaves.concat();
        let size = self.tiles.size() + leaves.len() as u64;
        if let Some(head) = head.filter(|head| lost || size != head.size) {
            self.tiles.restore(head)?;
        } else {
            let covered = released.as_ref().map_or(0, |(_, head)| head.size);
            let before = covered.saturating_sub(self.tiles.size()) as usize;
            let (before, after) = leaves.split_at_checked(before).unwrap_or((&leaves, &[]));
            self.tiles.extend(before);
            if let Some((_, head)) = &released
                && head.size == self.tiles.size()
                && head.root_hash != self.tiles.root()
            {
                return Err(TilesError::Damaged { first: 0, last: head.size.saturating_sub(1) });
            }
            self.tiles.extend(after);
        }
        if let Some((note, _)) = released {
            self.tiles.publish(note);
        }
        Ok(())
    }

    fn give_up(&self, error: &TilesError) {
        tracing::error!(%error, "tiles are not kept up, there are no proofs of newer entries");
        self.shared.backlog.turn_off();
    }
}
