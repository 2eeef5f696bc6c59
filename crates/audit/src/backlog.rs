//! What the tiles have not seen yet: leaf hashes of the batches that became durable, left here by
//! the writer, and the newest checkpoint.

use crate::sync::{Condvar, Mutex};
use tlog::Head;
use tlog::tree::Hash;

/// Leaf hashes kept, at most: 32 MiB. Beyond, the entries are read again.
pub(crate) const LEAVES_MAX: usize = 1 << 20;
/// Leaf hashes that the tiles are told of without a checkpoint.
const LEAVES_DUE: usize = 1 << 14;

/// The backlog of the tiles; shared by the threads that fill it and the one that works it off.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    state: Mutex<State>,
    due: Condvar,
}

/// A part of it.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// Leaf hashes by batch, in order.
    pub(crate) leaves: Vec<Vec<Hash>>,
    /// Whether there were too many to keep.
    pub(crate) lost: bool,
    /// The durable tree after them, if there were any.
    pub(crate) head: Option<Head>,
    /// A checkpoint that was released, and what it covers.
    pub(crate) released: Option<(String, Head)>,
}

#[derive(Debug, Default)]
struct State {
    work: Work,
    leaves: usize,
    /// The last checkpoint was written.
    ended: bool,
    /// Nobody works anything off.
    off: bool,
}

impl Backlog {
    /// A batch became durable.
    pub(crate) fn push(&self, leaves: Vec<Hash>, head: Head) {
        let mut state = self.state.lock();
        state.work.head = Some(head);
        let before = state.leaves;
        state.leaves += leaves.len();
        if state.off || state.work.lost || state.leaves > LEAVES_MAX {
            (state.work.leaves, state.leaves, state.work.lost) = (Vec::new(), 0, true);
            return;
        }
        state.work.leaves.push(leaves);
        if before < LEAVES_DUE && state.leaves >= LEAVES_DUE {
            drop(state);
            self.due.notify_one();
        }
    }

    /// A checkpoint was released: the tiles may give it out once they cover it.
    pub(crate) fn release(&self, note: String, head: Head) {
        self.state.lock().work.released = Some((note, head));
        self.due.notify_one();
    }

    /// Waits for work; `None` once the last checkpoint was written and all was taken.
    pub(crate) fn wait(&self) -> Option<Work> {
        let mut state = self.state.lock();
        while state.leaves < LEAVES_DUE && state.work.released.is_none() && !state.ended {
            self.due.wait(&mut state);
        }
        let work = std::mem::take(&mut state.work);
        state.leaves = 0;
        (work.head.is_some() || work.released.is_some()).then_some(work)
    }

    /// Nobody works anything off from now on.
    pub(crate) fn turn_off(&self) {
        *self.state.lock() = State { off: true, ..State::default() };
    }

    /// The last checkpoint was written, or could not be.
    pub(crate) fn end(&self) {
        self.state.lock().ended = true;
        self.due.notify_one();
    }
}
