//! What an append gives back: a ticket, the wait until its batch is on disk, and the evidence.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use model::Receipt;
use thiserror::Error;

use crate::receipt::Commit;
use crate::sync::{self, Mutex, OnceLock, Thread};

/// Why an appended entry did not become durable.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LedgerError {
    /// No space for the next segment. The entry is not in the ledger.
    #[error("no space left for the ledger")]
    NoSpace,
    /// The ledger failed. Whether the entry is on disk is unknown until the next start.
    #[error("ledger failed: {0}")]
    Failed(Arc<str>),
}

/// Entries that share one frame and one sync.
#[derive(Debug)]
pub(crate) struct Batch {
    outcome: OnceLock<Result<Arc<Commit>, LedgerError>>,
    waiters: Mutex<Waiters>,
}

/// Who waits for a batch. A slot freed by a dropped future is used again, so that polling in a
/// loop with new futures does not grow it.
#[derive(Debug, Default)]
struct Waiters {
    slots: Vec<Option<Waker>>,
    free: Vec<usize>,
}

impl Waiters {
    fn register(&mut self, slot: &mut Option<usize>, waker: &Waker) {
        let place = *slot.get_or_insert_with(|| {
            self.free.pop().unwrap_or_else(|| {
                self.slots.push(None);
                self.slots.len() - 1
            })
        });
        match self.slots.get_mut(place) {
            Some(Some(known)) => known.clone_from(waker),
            Some(empty) => *empty = Some(waker.clone()),
            None => {}
        }
    }

    fn forget(&mut self, place: usize) {
        // The batch is settled if the slot is gone.
        if let Some(slot) = self.slots.get_mut(place) {
            *slot = None;
            self.free.push(place);
        }
    }
}

impl Batch {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { outcome: OnceLock::new(), waiters: Mutex::default() })
    }

    /// Decides the batch, once, and wakes all who wait for it.
    pub(crate) fn settle(&self, outcome: Result<Arc<Commit>, LedgerError>) {
        if self.outcome.set(outcome).is_err() {
            return;
        }
        // INVARIANT: the outcome is set before the waiters are taken, and a waiter looks at the
        // outcome again under this lock; so nobody registers after the last wake.
        let waiters = std::mem::take(&mut *self.waiters.lock());
        waiters.slots.into_iter().flatten().for_each(Waker::wake);
    }
}

/// One appended entry, not yet durable.
#[derive(Debug)]
pub struct Ticket {
    index: u64,
    batch: Arc<Batch>,
}

impl Ticket {
    pub(crate) fn new(index: u64, batch: Arc<Batch>) -> Self {
        Self { index, batch }
    }

    /// The entry's index in the ledger, should it become durable.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Waits until the entry is on disk. May be called, polled and dropped any number of times.
    pub fn durable(&self) -> DurableFuture<'_> {
        DurableFuture { ticket: self, slot: None }
    }

    /// Blocks the thread until the entry is on disk.
    pub fn wait(&self) -> Result<Durable, LedgerError> {
        let waker = Waker::from(Arc::new(Unpark(sync::current())));
        let mut context = Context::from_waker(&waker);
        let mut durable = pin!(self.durable());
        loop {
            match durable.as_mut().poll(&mut context) {
                Poll::Ready(outcome) => return outcome,
                Poll::Pending => sync::park(),
            }
        }
    }

    fn outcome(&self) -> Option<Result<Durable, LedgerError>> {
        let outcome = self.batch.outcome.get()?.clone();
        Some(outcome.map(|commit| Durable { index: self.index, commit }))
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Resolves when the entry is on disk, or when it is certain that this process will not get it
/// there.
#[derive(Debug)]
#[must_use = "a future does nothing unless awaited"]
pub struct DurableFuture<'a> {
    ticket: &'a Ticket,
    slot: Option<usize>,
}

impl Future for DurableFuture<'_> {
    type Output = Result<Durable, LedgerError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let ticket = self.ticket;
        if let Some(outcome) = ticket.outcome() {
            return Poll::Ready(outcome);
        }
        let mut waiters = ticket.batch.waiters.lock();
        if let Some(outcome) = ticket.outcome() {
            return Poll::Ready(outcome);
        }
        waiters.register(&mut self.slot, context.waker());
        Poll::Pending
    }
}

impl Drop for DurableFuture<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.slot
            && self.ticket.batch.outcome.get().is_none()
        {
            self.ticket.batch.waiters.lock().forget(place);
        }
    }
}

/// Evidence that an entry is on disk. Only the ledger makes one.
#[derive(Clone)]
pub struct Durable {
    index: u64,
    commit: Arc<Commit>,
}

impl Durable {
    /// The entry's index in the ledger.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The receipt for the entry, which must be the bytes that were appended.
    ///
    /// The first receipt of a group signs for the whole group.
    pub fn receipt(&self, entry: &[u8]) -> Receipt {
        self.commit.receipt(self.index, entry)
    }
}

impl fmt::Debug for Durable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Durable({})", self.index)
    }
}
