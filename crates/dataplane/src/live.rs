//! The revision in force: read wait-free by every call, replaced whole.

use std::sync::Arc;

use arc_swap::ArcSwap;
use policy::Snapshot;

use crate::token::Issuers;

/// Holds the revision in force. A call takes it once, at its beginning, and keeps it.
#[derive(Debug)]
pub struct Live(ArcSwap<Revision>);

/// What one revision decides by: replaced as one, so that no call sees parts of two.
#[derive(Clone, Debug)]
pub(crate) struct Revision {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) issuers: Arc<Issuers>,
}

impl Live {
    /// Begins with `snapshot`, and without issuers of tokens.
    pub fn new(snapshot: Snapshot) -> Self {
        Self::with_issuers(snapshot, Issuers::default())
    }

    /// Begins with `snapshot` and with tokens of `issuers`.
    pub fn with_issuers(snapshot: Snapshot, issuers: Issuers) -> Self {
        let (snapshot, issuers) = (Arc::new(snapshot), Arc::new(issuers));
        Self(ArcSwap::from_pointee(Revision { snapshot, issuers }))
    }

    /// The snapshot in force now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.0.load().snapshot.clone()
    }

    /// The whole revision in force now.
    pub(crate) fn revision(&self) -> Arc<Revision> {
        self.0.load_full()
    }

    /// Puts `snapshot` in force and keeps the issuers. Calls under way finish under the one they
    /// began with; the next call on any connection, open or new, sees this one.
    pub fn replace(&self, snapshot: Snapshot) {
        let snapshot = Arc::new(snapshot);
        self.0.rcu(|now| Revision { snapshot: snapshot.clone(), issuers: now.issuers.clone() });
    }

    /// Puts `snapshot` and `issuers` in force together.
    pub fn replace_with(&self, snapshot: Snapshot, issuers: Issuers) {
        let (snapshot, issuers) = (Arc::new(snapshot), Arc::new(issuers));
        self.0.store(Arc::new(Revision { snapshot, issuers }));
    }
}
