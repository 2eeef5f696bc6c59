//! What appends, the writer and the background threads share: one lock, held briefly.

use std::collections::VecDeque;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::backlog::Backlog;
use crate::frame::{ENTRY_BYTES_MAX, FrameBuilder, stored_bytes};
use crate::identity::Identity;
use crate::pace::Pace;
use crate::receipt::Commit;
use crate::sync::{Condvar, Instant, Mutex, MutexGuard};
use crate::ticket::{Batch, LedgerError, Ticket};
use tlog::Head;
use tlog::tree::{self, Hash};

/// Entries of one frame, in bytes, at most; less if the segments are smaller.
pub(crate) const BATCH_BYTES_MAX: usize = 1 << 20;
/// Entries appended and not yet durable, in bytes, at most.
pub(crate) const PENDING_BYTES_MAX: usize = 32 << 20;
/// Segments written with zeros ahead of need.
pub(crate) const PREPARED_SEGMENTS: usize = 2;
/// How long entries that nobody waits for stay unwritten when nothing else comes.
const LINGER_MAX: Duration = Duration::from_millis(5);
/// Buffers kept for later batches.
const SPARE_FRAMES: usize = 2;

/// Why an entry was not taken. It is not in the ledger and will not be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AppendError {
    /// The entry is longer than allowed.
    #[error("entry has {bytes} bytes, at most {ENTRY_BYTES_MAX} are allowed")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// Too many entries wait for the disk.
    #[error("too many entries wait for the disk")]
    Full,
    /// The ledger cannot write now.
    #[error("ledger is unavailable: {0}")]
    Unavailable(String),
    /// The ledger was closed.
    #[error("ledger is closed")]
    Closed,
}

/// What the writer thread is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WriterState {
    Works,
    /// Sleeps until there is an entry.
    Idle,
    /// Sleeps until there is an entry that somebody waits for, or it is time.
    Lingers,
}

/// How much may wait for the disk before an entry is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// The bounds.
    Usual,
    /// Twice the bounds.
    Reserve,
}

/// Why a ledger refuses entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No space for the next segment. Tried again until there is.
    NoSpace,
    /// A write or sync failed, or a file was taken away. Lasts until the process starts anew and
    /// recovers from what is on disk.
    Failed(Arc<str>),
}

impl From<Trouble> for LedgerError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::NoSpace => Self::NoSpace,
            Trouble::Failed(why) => Self::Failed(why),
        }
    }
}

/// A batch that takes entries, or waits for the writer.
pub(crate) struct Pending {
    pub(crate) batch: Arc<Batch>,
    pub(crate) first: u64,
    pub(crate) frame: FrameBuilder,
    pub(crate) leaves: Vec<Hash>,
    /// Bytes of its entries as they count among those that wait.
    bytes: usize,
}

impl Pending {
    fn new(first: u64, frame: FrameBuilder) -> Self {
        Self { batch: Batch::new(), first, frame, leaves: Vec::new(), bytes: 0 }
    }
}

/// A segment file full of zeros, synced, under its final name.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) number: u64,
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    pub(crate) bytes: u64,
}

/// What the preparer is at.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Preparing {
    Going,
    NoSpace,
    Failed(Arc<str>),
}

struct State {
    /// Takes entries.
    open: Pending,
    /// Full, in order before `open`.
    sealed: VecDeque<Pending>,
    spare: Vec<FrameBuilder>,
    next_index: u64,
    pending_bytes: usize,
    head: Head,
    trouble: Option<Trouble>,
    closing: bool,
    writer_ended: bool,
    writer: WriterState,
    /// Whether somebody may wait for an entry of `open`.
    awaited: bool,
    pace: Pace,
    checkpoint_due: bool,
    prepared: VecDeque<Prepared>,
    segment_wanted: bool,
    preparing: Preparing,
    written: Identity,
}

/// The lock, and who waits for what.
pub(crate) struct Shared {
    state: Mutex<State>,
    writer: Condvar,
    segments: Condvar,
    preparer: Condvar,
    checkpointer: Condvar,
    /// For the tiles.
    pub(crate) backlog: Backlog,
    pending_entries_max: u64,
    batch_bytes_max: usize,
}

/// Where a queue starts.
pub(crate) struct Start {
    pub(crate) head: Head,
    pub(crate) prepared: VecDeque<Prepared>,
    pub(crate) written: Identity,
    pub(crate) pending_entries_max: usize,
    pub(crate) batch_bytes_max: usize,
    pub(crate) pace: Pace,
}

impl Shared {
    pub(crate) fn new(start: Start) -> Self {
        let state = State {
            open: Pending::new(start.head.size, FrameBuilder::new()),
            sealed: VecDeque::new(),
            spare: Vec::new(),
            next_index: start.head.size,
            pending_bytes: 0,
            head: start.head,
            trouble: None,
            closing: false,
            writer_ended: false,
            writer: WriterState::Works,
            awaited: false,
            pace: start.pace,
            checkpoint_due: false,
            prepared: start.prepared,
            segment_wanted: false,
            preparing: Preparing::Going,
            written: start.written,
        };
        Self {
            state: Mutex::new(state),
            writer: Condvar::new(),
            segments: Condvar::new(),
            preparer: Condvar::new(),
            checkpointer: Condvar::new(),
            backlog: Backlog::default(),
            pending_entries_max: start.pending_entries_max as u64,
            batch_bytes_max: start.batch_bytes_max,
        }
    }

    /// Gives the entry its index and a place in a batch.
    pub(crate) fn append(&self, entry: &[u8], room: Room) -> Result<Ticket, AppendError> {
        if entry.len() > ENTRY_BYTES_MAX {
            return Err(AppendError::TooLarge { bytes: entry.len() });
        }
        // Hashed before the lock is taken, so that hashing spreads over the callers' cores.
        let leaf = tree::leaf_hash(entry);
        let bytes = stored_bytes(entry);
        let mut state = self.state.lock();
        self.admit(&state, bytes, room)?;
        if !state.open.frame.is_empty()
            && state.open.frame.body_bytes() + bytes > self.batch_bytes_max
        {
            let full = state.replace_open();
            state.sealed.push_back(full);
        }
        let index = state.next_index;
        state.next_index += 1;
        state.pending_bytes += bytes;
        state.open.bytes += bytes;
        state.open.frame.push(entry);
        state.open.leaves.push(leaf);
        let ticket = Ticket::new(index, Arc::clone(&state.open.batch));
        let awaited = room == Room::Usual;
        state.awaited |= awaited;
        let wake = match state.writer {
            WriterState::Works => false,
            WriterState::Idle => true,
            WriterState::Lingers => awaited,
        };
        if wake {
            state.writer = WriterState::Works;
        }
        drop(state);
        if wake {
            self.writer.notify_one();
        }
        Ok(ticket)
    }

    fn admit(&self, state: &State, bytes: usize, room: Room) -> Result<(), AppendError> {
        if state.closing {
            return Err(AppendError::Closed);
        }
        if let Some(trouble) = &state.trouble {
            let why = LedgerError::from(trouble.clone()).to_string();
            return Err(AppendError::Unavailable(why));
        }
        let pending = state.next_index - state.head.size;
        let share = match room {
            Room::Usual => 1,
            Room::Reserve => 2,
        };
        let pending_bytes_max = PENDING_BYTES_MAX * share as usize;
        if pending >= self.pending_entries_max.saturating_mul(share)
            || state.pending_bytes + bytes > pending_bytes_max
        {
            return Err(AppendError::Full);
        }
        Ok(())
    }

    /// The writer's next batch; `None` once the ledger closes and all is written.
    ///
    /// While many entries come, batches begin at a distance. Entries that end something are not
    /// waited for, so when there is nothing else they linger for a moment: the next call's entry
    /// comes along and one sync does for both.
    pub(crate) fn take(&self) -> Option<Pending> {
        let mut state = self.state.lock();
        let mut lingers_until = None;
        loop {
            let next = state.next_index;
            if let Some(full) = state.sealed.pop_front() {
                state.pace.begin(next);
                return Some(full);
            }
            if state.open.frame.is_empty() {
                if state.closing {
                    return None;
                }
                state.writer = WriterState::Idle;
                self.writer.wait(&mut state);
            } else {
                let linger = || Instant::now() + LINGER_MAX;
                let until = match state.awaited {
                    true => state.pace.not_before(),
                    false => Some(*lingers_until.get_or_insert_with(linger)),
                };
                let Some(until) = until.filter(|until| !state.closing && Instant::now() < *until)
                else {
                    state.awaited = false;
                    state.pace.begin(next);
                    return Some(state.replace_open());
                };
                // For a distance that is kept nobody needs to wake the writer.
                if !state.awaited {
                    state.writer = WriterState::Lingers;
                }
                self.writer.wait_until(&mut state, until);
            }
            state.writer = WriterState::Works;
        }
    }

    /// The batch is on disk: moves the head and wakes who waits.
    pub(crate) fn publish(&self, done: Pending, commit: Commit, head: Head) {
        let mut state = self.state.lock();
        let outcome = match &state.trouble {
            Some(trouble) => Err(trouble.clone().into()),
            None => {
                state.head = head;
                Ok(Arc::new(commit))
            }
        };
        state.pending_bytes = state.pending_bytes.saturating_sub(done.bytes);
        state.recycle(done.frame);
        if outcome.is_ok() {
            // Under the lock: who sees the head finds its hashes there.
            self.backlog.push(done.leaves, head);
        }
        drop(state);
        done.batch.settle(outcome);
    }

    /// The writer could not get a segment: fails what waits, unless one came in the meantime.
    pub(crate) fn refuse_no_space(&self, taken: Pending) {
        let mut state = self.state.lock();
        // A segment may have come since; then the preparer has nothing more to clear.
        if state.prepared.is_empty() && state.trouble.is_none() {
            state.trouble = Some(Trouble::NoSpace);
        }
        // These indices were never durable and their tickets fail, so they are given out again.
        state.next_index = state.head.size;
        self.fail(state, Some(taken), LedgerError::NoSpace);
    }

    /// Refuses everything until the process starts anew.
    pub(crate) fn poison(&self, why: &str, taken: Option<Pending>) {
        let why: Arc<str> = why.into();
        let mut state = self.state.lock();
        if matches!(state.trouble, Some(Trouble::Failed(_))) {
            let known = state.trouble.clone().unwrap_or(Trouble::NoSpace);
            return self.fail(state, taken, known.into());
        }
        tracing::error!(error = %why, "ledger failed, calls are refused until it is started anew");
        state.trouble = Some(Trouble::Failed(Arc::clone(&why)));
        self.fail(state, taken, LedgerError::Failed(why));
    }

    fn fail(&self, mut state: MutexGuard<'_, State>, taken: Option<Pending>, error: LedgerError) {
        let mut failed: Vec<_> = taken.into_iter().chain(state.sealed.drain(..)).collect();
        failed.push(state.replace_open());
        state.pending_bytes = 0;
        drop(state);
        failed.iter().for_each(|pending| pending.batch.settle(Err(error.clone())));
    }

    /// The next segment, full of zeros; waits for the preparer if it is behind.
    pub(crate) fn take_prepared(&self) -> Result<Prepared, Trouble> {
        let mut state = self.state.lock();
        loop {
            if let Some(prepared) = state.prepared.pop_front() {
                state.segment_wanted = false;
                self.preparer.notify_one();
                return Ok(prepared);
            }
            state.segment_wanted = true;
            self.preparer.notify_one();
            match &state.preparing {
                Preparing::Going => self.segments.wait(&mut state),
                Preparing::NoSpace => return Err(Trouble::NoSpace),
                Preparing::Failed(why) => return Err(Trouble::Failed(Arc::clone(why))),
            }
        }
    }

    /// The writer moved on to another segment: a checkpoint over the old one is due.
    pub(crate) fn rotated(&self, written: Identity) {
        let mut state = self.state.lock();
        state.written = written;
        state.checkpoint_due = true;
        self.checkpointer.notify_one();
    }

    /// Waits until another segment should be prepared; false once the writer has ended.
    ///
    /// A closing ledger wants no more than the writer needs to write what is left.
    pub(crate) fn wait_to_prepare(&self) -> bool {
        let mut state = self.state.lock();
        while !state.writer_ended && !state.wants_segment() {
            self.preparer.wait(&mut state);
        }
        !state.writer_ended
    }

    /// A segment was prepared.
    pub(crate) fn offer(&self, prepared: Prepared) {
        let mut state = self.state.lock();
        state.prepared.push_back(prepared);
        state.preparing = Preparing::Going;
        if state.trouble == Some(Trouble::NoSpace) {
            state.trouble = None;
            tracing::info!("space for the ledger is back");
        }
        self.segments.notify_one();
    }

    /// There was no space for a segment; returns after `pause`, or when the writer ends.
    pub(crate) fn no_space(&self, pause: Duration) {
        let mut state = self.state.lock();
        if state.preparing == Preparing::Going {
            tracing::warn!(segments = state.prepared.len(), "no space to prepare a segment");
        }
        state.preparing = Preparing::NoSpace;
        self.segments.notify_one();
        let until = Instant::now() + pause;
        while !state.writer_ended && !self.preparer.wait_until(&mut state, until).timed_out() {}
    }

    /// A segment could not be prepared, and will not be.
    pub(crate) fn prepare_failed(&self, why: &str) {
        self.state.lock().preparing = Preparing::Failed(why.into());
        self.segments.notify_one();
        self.poison(why, None);
    }

    /// Waits until a checkpoint is due: `interval` after `last`, or at once after a rotation.
    /// Says what it is to cover and whether it is the last one.
    pub(crate) fn wait_for_checkpoint(&self, last: Instant, interval: Duration) -> (Head, bool) {
        let mut state = self.state.lock();
        let until = last + interval;
        while !state.writer_ended && !state.checkpoint_due {
            if self.checkpointer.wait_until(&mut state, until).timed_out() {
                break;
            }
        }
        state.checkpoint_due = false;
        (state.head, state.writer_ended)
    }

    /// The file that is being written.
    pub(crate) fn written(&self) -> Identity {
        self.state.lock().written.clone()
    }

    pub(crate) fn head(&self) -> (Head, Option<Trouble>) {
        let state = self.state.lock();
        (state.head, state.trouble.clone())
    }

    /// Takes no more entries; the writer ends once all are written.
    pub(crate) fn begin_close(&self) {
        self.state.lock().closing = true;
        self.writer.notify_all();
    }

    /// The writer has ended: the last checkpoint is due.
    pub(crate) fn end_writer(&self) {
        self.state.lock().writer_ended = true;
        self.checkpointer.notify_all();
        self.preparer.notify_all();
    }
}

impl State {
    fn wants_segment(&self) -> bool {
        match self.closing {
            true => self.segment_wanted && self.prepared.is_empty(),
            false => self.prepared.len() < PREPARED_SEGMENTS,
        }
    }

    /// Takes the open batch away and opens the next.
    fn replace_open(&mut self) -> Pending {
        let frame = self.spare.pop().unwrap_or_else(FrameBuilder::new);
        std::mem::replace(&mut self.open, Pending::new(self.next_index, frame))
    }

    fn recycle(&mut self, mut frame: FrameBuilder) {
        if self.spare.len() < SPARE_FRAMES {
            frame.clear();
            self.spare.push(frame);
        }
    }
}
