//! How often the writer begins a batch: at once while few entries come, and at a distance while
//! many do.
//!
//! A sync costs CPU whatever it makes durable. When entries come so fast that each batch has many,
//! a short distance between the beginnings of batches makes them larger and fewer, and entries wait
//! a fraction of a millisecond longer.

use std::time::Duration;

use crate::sync::Instant;

/// Entries a second from which on batches keep their distance.
pub(crate) const BUSY_FROM: u64 = 30_000;
/// From the beginning of a batch to that of the next, at least, while many entries come.
const APART: Duration = Duration::from_micros(500);
/// How long entries are counted to tell how many come.
const WINDOW: Duration = Duration::from_millis(5);

/// What the batches before tell about the next.
#[derive(Debug)]
pub(crate) struct Pace {
    busy_from: u64,
    busy: bool,
    /// When the last batch began.
    begun: Option<Instant>,
    /// Since when entries are counted, and the index of the first.
    window: Option<(Instant, u64)>,
}

impl Pace {
    /// Keeps a distance from `busy_from` entries a second on.
    pub(crate) fn new(busy_from: u64) -> Self {
        Self { busy_from, busy: false, begun: None, window: None }
    }

    /// When the next batch may begin, if not at once.
    pub(crate) fn not_before(&self) -> Option<Instant> {
        self.begun.filter(|_| self.busy).map(|begun| begun + APART)
    }

    /// A batch begins; the entry after it will have the index `next`.
    pub(crate) fn begin(&mut self, next: u64) {
        let now = Instant::now();
        self.begun = Some(now);
        let Some((since, first)) = self.window else {
            self.window = Some((now, next));
            return;
        };
        if now >= since + WINDOW {
            let micros = u64::try_from(now.duration_since(since).as_micros()).unwrap_or(u64::MAX);
            let due = self.busy_from.saturating_mul(micros) / 1_000_000;
            self.busy = next.saturating_sub(first) > due;
            self.window = Some((now, next));
        }
    }
}
