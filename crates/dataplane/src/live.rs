//! The revision in force: read wait-free by every call, replaced whole.
//!
//! A large revision takes long to free, and a worker that did so would keep all its calls waiting.
//! So a replaced revision stays in a list until no call holds it, and a thread frees it.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use policy::Snapshot;

use crate::token::Issuers;

/// How often it is looked whether replaced revisions are still held.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Holds the revision in force. A call takes it once, at its beginning, and keeps it.
#[derive(Debug)]
pub struct Live {
    now: ArcSwap<Revision>,
    replaced: Arc<Mutex<Replaced>>,
}

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
        let now = ArcSwap::from_pointee(Revision { snapshot, issuers });
        Self { now, replaced: Arc::default() }
    }

    /// The snapshot in force now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.now.load().snapshot.clone()
    }

    /// The whole revision in force now.
    pub(crate) fn revision(&self) -> Arc<Revision> {
        self.now.load_full()
    }

    /// Puts `snapshot` in force and keeps the issuers. Calls under way finish under the one they
    /// began with; the next call on any connection, open or new, sees this one.
    pub fn replace(&self, snapshot: Snapshot) {
        let snapshot = Arc::new(snapshot);
        let next = |now: &Arc<Revision>| Revision {
            snapshot: snapshot.clone(),
            issuers: now.issuers.clone(),
        };
        self.retire(self.now.rcu(next));
    }

    /// Puts `snapshot` and `issuers` in force together.
    pub fn replace_with(&self, snapshot: Snapshot, issuers: Issuers) {
        let (snapshot, issuers) = (Arc::new(snapshot), Arc::new(issuers));
        self.retire(self.now.swap(Arc::new(Revision { snapshot, issuers })));
    }

    /// Keeps `old` until it can be freed, and sees to it that there is a thread to do so.
    fn retire(&self, old: Arc<Revision>) {
        let mut replaced = self.replaced.lock();
        replaced.revisions.push(old);
        if replaced.watched {
            return;
        }
        let list = self.replaced.clone();
        let thread = std::thread::Builder::new().name("replaced".to_owned());
        match thread.spawn(move || free(&list)) {
            Ok(_detached) => replaced.watched = true,
            // The list is safe where it is, and the next replacement tries again.
            Err(error) => tracing::error!(%error, "no thread to free replaced revisions"),
        }
    }
}

/// Revisions that are not in force any more.
#[derive(Debug, Default)]
struct Replaced {
    revisions: Vec<Arc<Revision>>,
    /// Whether a thread sees to them.
    watched: bool,
}

impl Replaced {
    /// Takes out those that only the list holds. `None` ends the watch, since none are left.
    fn take_unused(&mut self) -> Option<Vec<Arc<Revision>>> {
        self.watched = !self.revisions.is_empty();
        self.watched.then(|| self.revisions.extract_if(.., |old| is_unused(old)).collect())
    }
}

/// Whether nobody else holds `revision` or its snapshot. Once so it stays so: what is not in
/// force is reached only through those who hold it.
fn is_unused(revision: &Arc<Revision>) -> bool {
    Arc::strong_count(revision) == 1 && Arc::strong_count(&revision.snapshot) == 1
}

/// Frees replaced revisions until none are left.
fn free(replaced: &Mutex<Replaced>) {
    loop {
        // The lock is let go before anything is freed: whoever replaces does not wait for that.
        let unused = replaced.lock().take_unused();
        match unused {
            Some(unused) => drop(unused),
            None => return,
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;
    use std::time::Instant;

    use super::*;

    fn until_freed(snapshot: &Weak<Snapshot>) {
        let begun = Instant::now();
        while snapshot.strong_count() > 0 {
            assert!(begun.elapsed() < Duration::from_secs(10), "never freed");
            std::thread::yield_now();
        }
    }

    /// Holds a revision with `hold`, replaces it, and lets go of it while no thread can free it.
    fn check<T>(hold: impl FnOnce(&Live) -> T) {
        let live = Live::new(Snapshot::default());
        let old = Arc::downgrade(&live.snapshot());
        let held = hold(&live);
        live.replace(Snapshot::default());
        let replaced = live.replaced.lock();
        assert_eq!((replaced.revisions.len(), replaced.watched), (1, true), "kept while held");
        drop(held);
        assert_eq!(old.strong_count(), 1, "the last call frees nothing");
        drop(replaced);
        until_freed(&old);
    }

    #[test]
    fn a_replaced_revision_is_not_freed_by_the_last_call_that_held_it() {
        check(Live::revision);
        check(Live::snapshot);
    }

    #[test]
    fn replaced_revisions_are_freed_however_often_they_change() {
        let live = Live::new(Snapshot::default());
        for _ in 0..2 {
            let mut old = Vec::new();
            for _ in 0..10 {
                old.push(Arc::downgrade(&live.snapshot()));
                live.replace_with(Snapshot::default(), Issuers::default());
            }
            old.iter().for_each(until_freed);
            let begun = Instant::now();
            while live.replaced.lock().watched {
                assert!(begun.elapsed() < Duration::from_secs(10), "the watch never ends");
                std::thread::yield_now();
            }
        }
        assert!(live.replaced.lock().revisions.is_empty());
    }
}
