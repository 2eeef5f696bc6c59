//! A thread that keeps the index near the durable end of a ledger that is being written.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use audit::Source;
use model::{ActCriteria, Criteria, Receipt};
use parking_lot::{Condvar, Mutex};
use tlog::Signer;

use crate::{Acts, Answer, Finder, Index, SearchError};

/// How often the ledger is looked at while nobody asks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long to wait after something went wrong.
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// How long a search waits for the index to come up to the durable end.
const CATCH_UP_MAX: Duration = Duration::from_secs(5);

/// How many entries of the ledger are durable.
type DurableSize = dyn Fn() -> u64 + Send + Sync;

/// Keeps an index filled, and searches by it. The thread ends when this is dropped.
pub struct Follower {
    shared: Arc<Shared>,
    finder: Finder,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    durable: Box<DurableSize>,
    state: Mutex<State>,
    /// Told when there is something to do.
    wanted: Condvar,
    /// Told when the index got further, or cannot.
    advanced: Condvar,
}

#[derive(Default)]
struct State {
    /// Entries in the index, once it is open.
    indexed: Option<u64>,
    hurry: bool,
    rebuild: bool,
    stop: bool,
    trouble: bool,
}

impl Follower {
    /// Begins to fill the index in the folder `index` from the ledger in `ledger`, never further than
    /// `durable` says.
    ///
    /// # Errors
    ///
    /// Fails if there is no thread for it. What else goes wrong is logged, and tried again.
    pub fn start(
        index: &Path,
        ledger: impl Into<Source>,
        durable: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let ledger = ledger.into();
        let shared = Arc::new(Shared {
            durable: Box::new(durable),
            state: Mutex::default(),
            wanted: Condvar::new(),
            advanced: Condvar::new(),
        });
        let finder = Finder::new(index, &ledger);
        let (to_fill, index) = (Arc::clone(&shared), index.to_owned());
        let thread = thread::Builder::new().name("ledger-index".into());
        let thread = thread.spawn(move || to_fill.run(&index, &ledger))?;
        Ok(Self { shared, finder, thread: Some(thread) })
    }

    /// Entries that are in the index.
    pub fn indexed(&self) -> u64 {
        self.shared.state.lock().indexed.unwrap_or_default()
    }

    /// Entries that are durable.
    pub fn durable(&self) -> u64 {
        (self.shared.durable)()
    }

    /// As [`Finder::find`], over all that is durable now, or as much of it as is in the index
    /// some seconds later. Blocks the thread.
    ///
    /// # Errors
    ///
    /// As [`Finder::find`]; an index that proves wrong is made anew meanwhile.
    pub fn find(
        &self,
        criteria: &Criteria,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Answer, SearchError> {
        self.shared.catch_up();
        self.told(self.finder.find(criteria, before, limit))
    }

    /// As [`Finder::acts`], over what [`find`](Self::find) searches.
    ///
    /// # Errors
    ///
    /// As [`find`](Self::find).
    pub fn acts(
        &self,
        criteria: &ActCriteria,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Acts, SearchError> {
        self.shared.catch_up();
        self.told(self.finder.acts(criteria, before, limit))
    }

    /// Has an index made anew that proves wrong.
    fn told<T>(&self, found: Result<T, SearchError>) -> Result<T, SearchError> {
        if let Err(SearchError::Damaged(why)) = &found {
            tracing::warn!(why, "the index is damaged");
            self.shared.tell(|state| state.rebuild = true);
        }
        found
    }

    /// As [`Finder::receipt`].
    ///
    /// # Errors
    ///
    /// As [`Finder::receipt`].
    pub fn receipt(&self, index: u64, signer: &Arc<Signer>) -> Result<Receipt, SearchError> {
        self.finder.receipt(index, signer)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.shared.tell(|state| state.stop = true);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has told so, and its index is made anew.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn tell(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock());
        self.wanted.notify_one();
        self.advanced.notify_all();
    }

    fn catch_up(&self) {
        let durable = (self.durable)();
        let until = Instant::now() + CATCH_UP_MAX;
        let mut state = self.state.lock();
        state.hurry = true;
        self.wanted.notify_one();
        let behind = |state: &State| state.indexed.is_none_or(|indexed| indexed < durable);
        while (state.rebuild || behind(&state)) && !state.stop && !state.trouble {
            if self.advanced.wait_until(&mut state, until).timed_out() {
                return;
            }
        }
    }

    /// Opens the index and fills it until it is told to stop; again after trouble.
    fn run(&self, index: &Path, ledger: &Source) {
        let mut told = String::new();
        while let Err(error) = self.follow(index, ledger) {
            let cause = chain(&error);
            if cause != told {
                tracing::warn!(cause, "the index cannot be filled");
                told = cause;
            }
            let mut state = self.state.lock();
            (state.trouble, state.rebuild) = (true, matches!(error, SearchError::Damaged(_)));
            self.advanced.notify_all();
            if !state.stop {
                self.wanted.wait_for(&mut state, RETRY_AFTER);
            }
            if state.stop {
                return;
            }
        }
    }

    fn follow(&self, folder: &Path, ledger: &Source) -> Result<(), SearchError> {
        let mut index = Index::open(folder, ledger)?;
        loop {
            let (stop, rebuild) = {
                let mut state = self.state.lock();
                let rebuild = std::mem::take(&mut state.rebuild);
                (state.indexed, state.trouble) = ((!rebuild).then(|| index.size()), false);
                self.advanced.notify_all();
                (state.stop, rebuild)
            };
            if stop {
                return index.close();
            }
            if rebuild {
                index.rebuild()?;
                continue;
            }
            if index.advance((self.durable)())? {
                continue;
            }
            let mut state = self.state.lock();
            if !std::mem::take(&mut state.hurry) && !state.stop && !state.rebuild {
                self.wanted.wait_for(&mut state, LOOK_EVERY);
            }
        }
    }
}

/// An error with its causes.
fn chain(error: &SearchError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
