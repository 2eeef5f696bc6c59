//! The snapshot in force: read wait-free by every call, replaced whole.

use std::sync::Arc;

use arc_swap::ArcSwap;
use policy::Snapshot;

/// Holds the snapshot in force. A call takes it once, at its beginning, and keeps it.
#[derive(Debug)]
pub struct Live(ArcSwap<Snapshot>);

impl Live {
    /// Begins with `snapshot`.
    pub fn new(snapshot: Snapshot) -> Self {
        Self(ArcSwap::from_pointee(snapshot))
    }

    /// The snapshot in force now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }

    /// Puts `snapshot` in force. Calls under way finish under the one they began with; the next
    /// call on any connection, open or new, sees this one.
    pub fn replace(&self, snapshot: Snapshot) {
        self.0.store(Arc::new(snapshot));
    }
}
