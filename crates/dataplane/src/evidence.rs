//! Evidence as values: what may be done is given by what has been written.
//!
//! [`Sequenced`] → [`Cleared`] lets a call be forwarded, [`Sequenced`] → [`Recorded`] lets an
//! answer be released. None of them can be made without the ledger.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use audit::{AppendError, Durable, LedgerError, Log, Ticket};
use model::{Effect, Entry, Reason, Receipt, Refusal};
use tokio::time::timeout;

/// How long a call waits for its entry to become durable. A sync takes well under this on any
/// disk that works.
const RECORD_TIME_MAX: Duration = Duration::from_secs(5);
const TOO_LONG: &str = "the disk takes too long";

/// An entry that has its place in the ledger but may not be durable yet.
#[derive(Clone)]
pub(crate) struct Sequenced(Arc<Placed>);

struct Placed {
    ticket: Ticket,
    entry: Vec<u8>,
}

/// Evidence that a call may be forwarded: a query as soon as its entry has a place, an update
/// once its entry is durable.
pub(crate) struct Cleared(Sequenced);

/// Evidence that an entry is on disk.
pub(crate) struct Recorded {
    durable: Durable,
    placed: Sequenced,
}

impl Sequenced {
    /// Gives `entry` its place in the ledger.
    pub(crate) fn append(ledger: &Log, entry: &Entry) -> Result<Self, Refusal> {
        let entry = wire::evidence::encode_entry(entry);
        let ticket = ledger.append(&entry).map_err(unavailable)?;
        Ok(Self(Arc::new(Placed { ticket, entry })))
    }

    /// The entry's index.
    pub(crate) fn index(&self) -> u64 {
        self.0.ticket.index()
    }

    /// Whether it is certain that the entry is not in the ledger and never will be, so that its
    /// place was given to another.
    pub(crate) fn is_lost(&self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        let durable = pin!(self.0.ticket.durable()).poll(&mut cx);
        matches!(durable, Poll::Ready(Err(LedgerError::NoSpace)))
    }

    /// Waits for as much as the method's effect demands before the call is forwarded.
    pub(crate) async fn clear(self, effect: Effect) -> Result<Cleared, Refusal> {
        if effect == Effect::Update {
            self.recorded().await?;
        }
        Ok(Cleared(self))
    }

    /// Waits until the entry is durable, but not for a disk that hangs.
    pub(crate) async fn recorded(&self) -> Result<Recorded, Refusal> {
        match timeout(RECORD_TIME_MAX, self.0.ticket.durable()).await {
            Ok(durable) => {
                let durable = durable.map_err(unavailable)?;
                Ok(Recorded { durable, placed: self.clone() })
            }
            Err(_elapsed) => Err(unavailable(TOO_LONG)),
        }
    }

    /// Whether the entry is durable by now, without waiting any longer.
    pub(crate) fn recorded_by_now(&self) -> Result<Recorded, Refusal> {
        let mut cx = Context::from_waker(Waker::noop());
        match pin!(self.0.ticket.durable()).poll(&mut cx) {
            Poll::Ready(durable) => {
                let durable = durable.map_err(unavailable)?;
                Ok(Recorded { durable, placed: self.clone() })
            }
            Poll::Pending => Err(unavailable(TOO_LONG)),
        }
    }
}

impl Cleared {
    /// Waits until the entry of the call is durable.
    pub(crate) async fn recorded(&self) -> Result<Recorded, Refusal> {
        self.0.recorded().await
    }
}

impl Recorded {
    /// The caller's receipt.
    pub(crate) fn receipt(&self) -> Receipt {
        self.durable.receipt(&self.placed.0.entry)
    }
}

fn unavailable(cause: impl fmt::Display) -> Refusal {
    Refusal::new(Reason::LedgerUnavailable).because(cause)
}

/// Writes what has passed of a call that goes on. While the ledger has no room it is left out: later
/// entries say more.
pub(crate) fn pass(ledger: &Log, entry: &Entry) {
    if let Err(error) = ledger.append(&wire::evidence::encode_entry(entry)) {
        tracing::debug!(%error, "entry of what passed not written");
    }
}

/// Writes an entry that nobody waits for, into the room that is kept for ends. It fails only with
/// the ledger as a whole; then the missing entry says that the outcome is unknown.
pub(crate) fn note(ledger: &Log, entry: &Entry) {
    let bytes = wire::evidence::encode_entry(entry);
    match ledger.append_end(&bytes) {
        Ok(_not_awaited) => {}
        Err(AppendError::Closed) => {}
        Err(error) => tracing::warn!(%error, "entry not written"),
    }
}
