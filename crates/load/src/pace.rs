//! When calls start: at once in closed loop, on a fixed schedule in open loop.
//!
//! # How the schedule is kept
//!
//! Call number `i` is *intended* at `start + i / rate`, and its latency counts from there,
//! whatever happened before it could start: a server that stalls for a second is charged with
//! every call that should have been made in that second (no *coordinated omission*).
//!
//! Timers of the runtime count whole milliseconds, which at 50,000 calls a second would start
//! them in batches of 50. So one [`metronome`] thread sleeps until the next call is due, by the
//! kernel's own timer, and wakes the gate of each worker, which releases all calls due by then,
//! each with its own intended time. Ticks are at least [`TICK_MIN`] apart, so above 10,000 calls
//! a second a few calls share one. With [`Plan::spin`] the gate looks at the clock without pause
//! instead. Measured on two cores, mutual TLS, an echo server in another process, 5,000 and
//! 50,000 calls a second:
//!
//! | waiting by | start delay p50 | latency p50 | CPU of the load per call |
//! |---|---|---|---|
//! | the runtime's timer | 613 and 878 µs | 713 and 1,500 µs | 18 and 6 µs |
//! | the metronome | 82 and 82 µs | 172 and 237 µs | 79 and 13 µs |
//! | spinning | 3 and 1 µs | 84 and 43 µs | 200 and 20 µs: a whole core |
//!
//! Spinning is not the default since, on a small machine, that core is taken from the very server
//! that is measured. Whatever delays a start is part of the latency, and reported by itself as
//! the start delay, so that the load's own share can be told from the server's.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore};

use crate::plan::{Pace, Plan};

/// Ticks of the metronome are at least this far apart, to bound what waking up costs.
const TICK_MIN: Duration = Duration::from_micros(100);

/// The measured time, between warm-up and drain.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) start: Instant,
    pub(crate) open: Instant,
    pub(crate) close: Instant,
    pub(crate) drained: Instant,
}

impl Window {
    pub(crate) fn new(plan: &Plan, start: Instant) -> Window {
        let open = start + plan.warm_up;
        let close = open + plan.duration;
        Window { start, open, close, drained: close + plan.drain }
    }

    pub(crate) fn holds(&self, now: Instant) -> bool {
        self.open <= now && now < self.close
    }
}

/// Leave to make one call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn {
    /// When it should start; its latency counts from here.
    pub(crate) intended: Instant,
    /// Whether it belongs to the window.
    pub(crate) measured: bool,
    /// Whether it was due before a stream was free.
    pub(crate) deferred: bool,
    index: u64,
}

/// What a stream does next.
#[derive(Debug)]
pub(crate) enum Next {
    Call(Turn),
    /// No call is left to start.
    Over,
    /// The connection ended while the stream was idle.
    Lost,
}

/// A connection's end, for streams that wait for their turn meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Loss {
    happened: AtomicBool,
    news: Notify,
}

impl Loss {
    pub(crate) fn tell(&self) {
        self.happened.store(true, Ordering::Release);
        self.news.notify_waiters();
    }

    async fn wait(&self) {
        // Made before the flag is read, so that news between the two is not missed.
        let news = self.news.notified();
        if !self.happened.load(Ordering::Acquire) {
            news.await;
        }
    }
}

/// Hands out the turns of one worker.
#[derive(Debug)]
pub(crate) enum Turns {
    Closed { window: Window, budget: Option<Arc<AtomicU64>> },
    Open(Schedule),
}

impl Turns {
    /// Turns of worker `number` of `workers`; `budget` is what is left of the plan's calls.
    pub(crate) fn new(
        plan: &Plan,
        window: Window,
        budget: Option<Arc<AtomicU64>>,
        number: usize,
        workers: usize,
    ) -> Turns {
        match plan.pace {
            Pace::Closed => Turns::Closed { window, budget },
            Pace::Open { calls_per_second } => {
                let timetable = Timetable::new(plan, calls_per_second, window);
                Turns::Open(Schedule::new(timetable, number as u64, workers as u64))
            }
        }
    }

    pub(crate) async fn next(&self, loss: &Loss) -> Next {
        match self {
            Turns::Closed { window, budget } => next_closed(window, budget.as_deref()),
            Turns::Open(schedule) => schedule.next(loss).await,
        }
    }

    /// Takes back a turn that could not be used.
    pub(crate) fn hand_back(&self, turn: Turn) {
        match self {
            Turns::Closed { budget: Some(budget), .. } if turn.measured => {
                budget.fetch_add(1, Ordering::Relaxed);
            }
            Turns::Closed { .. } => (),
            Turns::Open(schedule) => schedule.hand_back(turn),
        }
    }

    /// Whether no call is left to start, now or later.
    pub(crate) fn are_over(&self) -> bool {
        match self {
            Turns::Closed { window, budget } => {
                let spent = |budget: &Arc<AtomicU64>| budget.load(Ordering::Relaxed) == 0;
                Instant::now() >= window.close || budget.as_ref().is_some_and(spent)
            }
            Turns::Open(schedule) => schedule.is_over(),
        }
    }

    /// Turns of the window that were due by `now` and not used.
    pub(crate) fn unused(&self, now: Instant) -> Vec<Turn> {
        match self {
            Turns::Closed { .. } => Vec::new(),
            Turns::Open(schedule) => schedule.unused(now),
        }
    }
}

fn next_closed(window: &Window, budget: Option<&AtomicU64>) -> Next {
    let now = Instant::now();
    if now >= window.close {
        return Next::Over;
    }
    let measured = now >= window.open;
    if let Some(budget) = budget.filter(|_| measured) {
        let one_less = |left: u64| left.checked_sub(1);
        if budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_err() {
            return Next::Over;
        }
    }
    Next::Call(Turn { intended: now, measured, deferred: false, index: 0 })
}

/// The calls of an open loop over all workers, numbered from the start of the warm-up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timetable {
    start: Instant,
    calls_per_second: f64,
    measured_from: u64,
    end: u64,
    spin: bool,
}

impl Timetable {
    pub(crate) fn new(plan: &Plan, calls_per_second: f64, window: Window) -> Timetable {
        let before = |length: Duration| (length.as_secs_f64() * calls_per_second).ceil() as u64;
        let measured_from = before(plan.warm_up);
        let by_time = before(plan.warm_up + plan.duration);
        let end = plan.calls.map_or(by_time, |calls| by_time.min(measured_from + calls));
        Timetable { start: window.start, calls_per_second, measured_from, end, spin: plan.spin }
    }

    fn intended(&self, index: u64) -> Instant {
        self.start + Duration::from_nanos((index as f64 * 1e9 / self.calls_per_second) as u64)
    }

    /// The first call after `now`.
    fn following(&self, now: Instant) -> u64 {
        match now.checked_duration_since(self.start) {
            None => 0,
            Some(elapsed) => (elapsed.as_secs_f64() * self.calls_per_second) as u64 + 1,
        }
    }
}

/// The part of the timetable that one worker keeps: every `stride`-th call from `first` on.
#[derive(Debug)]
pub(crate) struct Schedule {
    timetable: Timetable,
    first: u64,
    stride: u64,
    /// Woken by the metronome.
    pub(crate) gate: Arc<Notify>,
    /// INVARIANT: as many permits as calls are released and unused; one more when all are
    /// released, which is never kept and lets every stream find out that none is left.
    due: Semaphore,
    claims: Mutex<Claims>,
}

#[derive(Debug)]
struct Claims {
    next: u64,
    handed_back: Vec<u64>,
}

impl Schedule {
    fn new(timetable: Timetable, first: u64, stride: u64) -> Schedule {
        Schedule {
            timetable,
            first,
            stride,
            gate: Arc::default(),
            due: Semaphore::new(0),
            claims: Mutex::new(Claims { next: first, handed_back: Vec::new() }),
        }
    }

    /// Releases calls as they fall due, until all are released.
    pub(crate) async fn release(&self) {
        let mut next = self.first;
        while next < self.timetable.end {
            let now = Instant::now();
            let mut due = 0;
            while next < self.timetable.end && self.timetable.intended(next) <= now {
                next += self.stride;
                due += 1;
            }
            self.due.add_permits(due);
            if next >= self.timetable.end {
                break;
            }
            if self.timetable.spin {
                tokio::task::yield_now().await;
            } else {
                self.gate.notified().await;
            }
        }
        self.due.add_permits(1);
    }

    async fn next(&self, loss: &Loss) -> Next {
        // A permit that lies ready means that its call was due before this stream was free.
        let (permit, deferred) = match self.due.try_acquire() {
            Ok(permit) => (permit, true),
            Err(_) => tokio::select! {
                biased;
                permit = self.due.acquire() => match permit {
                    Ok(permit) => (permit, false),
                    // The semaphore is never closed.
                    Err(_) => return Next::Over,
                },
                () = loss.wait() => return Next::Lost,
            },
        };
        let Some(index) = self.claim() else { return Next::Over };
        permit.forget();
        Next::Call(Turn { deferred, ..self.turn(index) })
    }

    fn claim(&self) -> Option<u64> {
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = claims.handed_back.pop() {
            return Some(index);
        }
        let index = claims.next;
        if index >= self.timetable.end {
            return None;
        }
        claims.next = index + self.stride;
        Some(index)
    }

    fn is_over(&self) -> bool {
        let claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        claims.next >= self.timetable.end && claims.handed_back.is_empty()
    }

    fn hand_back(&self, turn: Turn) {
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        claims.handed_back.push(turn.index);
        drop(claims);
        self.due.add_permits(1);
    }

    fn turn(&self, index: u64) -> Turn {
        let measured = index >= self.timetable.measured_from;
        Turn { intended: self.timetable.intended(index), measured, deferred: false, index }
    }

    fn unused(&self, now: Instant) -> Vec<Turn> {
        let mut unused = Vec::new();
        while let Some(index) = self.claim() {
            let turn = self.turn(index);
            if turn.intended > now {
                break;
            }
            if turn.measured {
                unused.push(turn);
            }
        }
        unused
    }
}

/// Wakes the gates whenever a call is due, until the last is or `stop` is set.
pub(crate) fn metronome(timetable: Timetable, gates: &[Arc<Notify>], stop: &AtomicBool) {
    sleep_exactly();
    let mut now = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let last = timetable.end.saturating_sub(1);
        let next = timetable.following(now).min(last);
        let wake = timetable.intended(next).max(now + TICK_MIN);
        // In steps, so that a low rate does not keep `stop` waiting.
        std::thread::sleep(wake.saturating_duration_since(now).min(Duration::from_millis(50)));
        now = Instant::now();
        for gate in gates {
            gate.notify_one();
        }
        if next == last && now >= wake {
            return;
        }
    }
}

/// Takes the usual slack of 50 µs from the sleeps of this thread. Where the kernel declines, calls
/// start that much later, and the start delay shows it.
fn sleep_exactly() {
    let thread = std::fs::read_link("/proc/thread-self").ok();
    if let Some(id) = thread.as_deref().and_then(Path::file_name) {
        let _ = std::fs::write(Path::new("/proc").join(id).join("timerslack_ns"), "1000");
    }
}
