//! A ledger in the model: the real writer and queue, with a disk that is none, and in the places of
//! the preparer and the checkpointer tasks that call the queue as those do.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use model::SystemClock;
use shuttle::rand::Rng;
use shuttle::thread::{self, JoinHandle};
use tlog::tree::Frontier;
use tlog::{Head, Signer};

use crate::disk::Disk;
use crate::frame::{Chain, SECTOR_BYTES};
use crate::identity::Identity;
use crate::keep::Keep;
use crate::model_disk::{ModelDisk, Plan};
use crate::pace::{BUSY_FROM, Pace};
use crate::queue::{Prepared, Shared, Start};
use crate::segment::HEADER_BYTES;
use crate::sync::{Clock, Instant};
use crate::writer::{Current, Writer};

/// Two frames fill a segment.
const SEGMENT_BYTES: u64 = (HEADER_BYTES + 2 * SECTOR_BYTES) as u64;
/// One entry fills a batch, or three do.
const BATCH_BYTES: [usize; 2] = [20, 50];
const PENDING_ENTRIES: usize = 4;
/// The file that all segments are.
const NULL: &str = "/dev/null";
const FOREVER: Duration = Duration::from_secs(100_000);
const SHORT: Duration = Duration::from_millis(10);

/// What goes wrong beside the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    None,
    /// So many segments are prepared, then there is no space until all calls are answered.
    Full(u32),
    /// So many segments are prepared, then there is no space for a moment.
    Short(u32),
    /// After so many segments the preparer fails.
    PrepareFails(u32),
    /// The checkpointer finds that the segment is gone.
    Lost,
}

/// How far the helpers are, for who waits for that.
#[derive(Default)]
struct Progress {
    /// Segments offered.
    offered: u32,
    /// Size that the last checkpoint covers.
    covered: u64,
    /// Whether there is space, where there was none.
    space: bool,
}

type Watched = Arc<(shuttle::sync::Mutex<Progress>, shuttle::sync::Condvar)>;

pub(crate) struct Ledger {
    pub(crate) shared: Arc<Shared>,
    pub(crate) disk: Arc<ModelDisk>,
    pub(crate) trouble: Trouble,
    watched: Watched,
    clock: Arc<Clock>,
    ticking: JoinHandle<()>,
    writer: JoinHandle<()>,
    preparer: JoinHandle<()>,
    checkpointer: JoinHandle<()>,
}

impl Ledger {
    pub(crate) fn start(plan: Plan, trouble: Trouble, signer: Arc<Signer>) -> Self {
        let clock = Clock::new();
        let disk = ModelDisk::new(plan);
        let file = null();
        let frontier = Frontier::new();
        let written = Identity::of(NULL.into(), &file).unwrap();
        let shared = Arc::new(Shared::new(Start {
            head: Head { size: 0, root_hash: frontier.root() },
            written: written.clone(),
            prepared: Default::default(),
            pending_entries_max: PENDING_ENTRIES,
            batch_bytes_max: BATCH_BYTES[shuttle::rand::thread_rng().gen_range(0..2)],
            // Both kinds of pace, from a few entries on.
            pace: Pace::new([1, BUSY_FROM][shuttle::rand::thread_rng().gen_range(0..2)]),
        }));
        let writer = Writer {
            shared: Arc::clone(&shared),
            disk: Arc::clone(&disk) as Arc<dyn Disk>,
            clock: Arc::new(SystemClock),
            signer,
            current: Current { file, bytes: SEGMENT_BYTES, offset: HEADER_BYTES as u64 },
            written,
            chain: Chain { segment: 0, prev_crc: 0, frontier },
            keep: Arc::new(Keep),
        };
        let watched = Watched::default();
        let for_preparer = (Arc::clone(&shared), Arc::clone(&watched));
        let for_checkpointer = (Arc::clone(&shared), Arc::clone(&watched));
        let ticking = Arc::clone(&clock);
        Self {
            ticking: thread::spawn(move || ticking.run()),
            writer: thread::spawn(move || writer.run()),
            preparer: thread::spawn(move || prepare(&for_preparer.0, &for_preparer.1, trouble)),
            checkpointer: thread::spawn(move || {
                checkpoint(&for_checkpointer.0, &for_checkpointer.1, trouble);
            }),
            shared,
            disk,
            trouble,
            watched,
            clock,
        }
    }

    /// There is space again.
    pub(crate) fn free_space(&self) {
        self.watched.0.lock().unwrap().space = true;
        self.watched.1.notify_all();
    }

    /// Waits until two segments are ready and a checkpoint covers all full ones.
    pub(crate) fn wait_until_ready(&self) {
        let mut progress = self.watched.0.lock().unwrap();
        loop {
            let known = self.disk.known();
            // Two batches fill a segment, and each has an entry at least.
            let full = 2 * u64::from(known.begun);
            if progress.offered >= known.begun + 2 && progress.covered >= full {
                return;
            }
            drop(known);
            progress = self.watched.1.wait(progress).unwrap();
        }
    }

    /// As `Log::close` does it.
    pub(crate) fn close(self) -> (Arc<Shared>, Arc<ModelDisk>) {
        self.shared.begin_close();
        self.writer.join().unwrap();
        self.shared.end_writer();
        self.preparer.join().unwrap();
        self.checkpointer.join().unwrap();
        self.clock.stop();
        self.ticking.join().unwrap();
        (self.shared, self.disk)
    }
}

fn null() -> File {
    File::open(NULL).unwrap()
}

fn prepare(shared: &Shared, watched: &Watched, trouble: Trouble) {
    let mut number = 1;
    let mut was_short = false;
    while shared.wait_to_prepare() {
        let made = number as u32 - 1;
        match trouble {
            Trouble::PrepareFails(after) if made >= after => {
                return shared.prepare_failed("cannot prepare, as planned");
            }
            Trouble::Full(after) if made >= after && !watched.0.lock().unwrap().space => {
                shared.no_space(SHORT);
                // Space comes when the others are done: they must have their turn.
                thread::yield_now();
                continue;
            }
            Trouble::Short(after) if made >= after && !was_short => {
                was_short = true;
                shared.no_space(SHORT);
                continue;
            }
            _ => {}
        }
        let file = null();
        shared.offer(Prepared { number, path: NULL.into(), file, bytes: SEGMENT_BYTES });
        number += 1;
        watched.0.lock().unwrap().offered += 1;
        watched.1.notify_all();
    }
}

fn checkpoint(shared: &Shared, watched: &Watched, trouble: Trouble) {
    // Some checkpoints come in the middle of things, the rest only when they are asked for.
    let mut timed = shuttle::rand::thread_rng().gen_range(0..3);
    loop {
        let interval = if timed > 0 { SHORT } else { FOREVER };
        let (head, last) = shared.wait_for_checkpoint(Instant::now(), interval);
        if trouble == Trouble::Lost && timed == 1 {
            shared.poison("the segment is gone, as planned", None);
        }
        watched.0.lock().unwrap().covered = head.size;
        watched.1.notify_all();
        if last {
            return;
        }
        timed = u32::saturating_sub(timed, 1);
    }
}
