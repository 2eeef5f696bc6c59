//! The measurement from outside: start the workers, watch the clock, add up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};

use crate::error::LoadError;
use crate::pace::{self, Timetable, Turns, Window};
use crate::plan::{Pace, Plan};
use crate::prepared::Prepared;
use crate::process::{Machine, ProcessUse, Watch};
use crate::report::Report;
use crate::tally::Tally;
use crate::worker::{self, Go, News};

/// Where a measurement stands, for a progress bar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// What is being done.
    pub phase: Phase,
    /// Time since the load began.
    pub elapsed: Duration,
    /// Warm-up and window together; the drain comes on top.
    pub total: Duration,
}

/// The parts of a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Load is on but not measured.
    WarmUp,
    /// Load is measured.
    Window,
    /// No more calls start; the last ones end.
    Drain,
}

/// Makes the measurement the plan describes. Blocks till it is over: connecting, warm-up, window,
/// drain.
pub fn run(plan: Plan) -> Result<Report, LoadError> {
    run_with_progress(plan, &mut |_| ())
}

/// As [`run()`], and tells several times a second where it stands.
pub fn run_with_progress(
    plan: Plan,
    on_progress: &mut dyn FnMut(Progress),
) -> Result<Report, LoadError> {
    let prepared = Arc::new(Prepared::new(&plan)?);
    let mut watches = Watch::all(&plan.watch)?;
    let mut workers = Workers::start(&plan, &prepared)?;
    workers.wait_until_connected(&plan)?;

    let window = Window::new(&plan, Instant::now() + START_DELAY);
    let metronome = workers.begin(&plan, window)?;
    let clock = Clock { window, total: plan.warm_up + plan.duration };
    let early = workers.finish_before(window.open, &mut |now| clock.tell(now, on_progress));
    let mut unreadable = Vec::new();
    for watch in &mut watches {
        unreadable.push(watch.restart().err());
    }
    if !early {
        workers.finish_before(window.close, &mut |now| clock.tell(now, on_progress));
    }
    let closed = Instant::now().min(window.close);
    let processes = watches.iter().zip(unreadable).map(|(watch, error)| match error {
        None => watch.read(),
        Some(error) => ProcessUse { spent: Err(error.to_string()), ..watch.read() },
    });
    let processes = processes.collect();
    let until = window.drained + DRAIN_SLACK;
    workers.finish_before(until, &mut |now| clock.tell(now, on_progress));
    let tally = workers.join()?;
    metronome.stop();

    let elapsed = closed.saturating_duration_since(window.open);
    Ok(Report::new(Machine::read(), plan, elapsed, tally, processes))
}

/// Time for the start signal to reach every worker before the first call is due.
const START_DELAY: Duration = Duration::from_millis(20);
/// How long after the drain a worker is still waited for with progress told.
const DRAIN_SLACK: Duration = Duration::from_millis(500);
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

struct Clock {
    window: Window,
    total: Duration,
}

impl Clock {
    fn tell(&self, now: Instant, on_progress: &mut dyn FnMut(Progress)) {
        let phase = if now < self.window.open {
            Phase::WarmUp
        } else if now < self.window.close {
            Phase::Window
        } else {
            Phase::Drain
        };
        let elapsed = now.saturating_duration_since(self.window.start);
        on_progress(Progress { phase, elapsed, total: self.total });
    }
}

/// The worker threads and the line on which they report.
struct Workers {
    threads: Vec<JoinHandle<Result<Tally, LoadError>>>,
    starts: Vec<oneshot::Sender<Go>>,
    news: mpsc::Receiver<News>,
    running: usize,
}

impl Workers {
    fn start(plan: &Plan, prepared: &Arc<Prepared>) -> Result<Workers, LoadError> {
        let count = plan.threads_used();
        let (sender, news) = mpsc::channel();
        let mut workers = Workers { threads: Vec::new(), starts: Vec::new(), news, running: count };
        for number in 0..count {
            let share = (plan.connections + count - 1 - number) / count;
            let (start, go) = oneshot::channel();
            let (prepared, sender) = (Arc::clone(prepared), sender.clone());
            let thread = std::thread::Builder::new()
                .name(format!("load-{number}"))
                .spawn(move || worker::run(prepared, share, &sender, go))?;
            workers.threads.push(thread);
            workers.starts.push(start);
        }
        Ok(workers)
    }

    /// Waits for the first connection of each lane; one that works is enough to go on.
    fn wait_until_connected(&mut self, plan: &Plan) -> Result<(), LoadError> {
        let (mut connected, mut reason) = (0, None);
        for _ in 0..self.running {
            match self.news.recv() {
                Ok(News::Connected { connections, failure }) => {
                    connected += connections;
                    reason = reason.or(failure);
                }
                Ok(News::Finished) | Err(_) => return Err(self.failed()),
            }
        }
        match reason {
            Some(reason) if connected == 0 => {
                Err(LoadError::Connect { address: plan.address.clone(), reason })
            }
            _ => Ok(()),
        }
    }

    /// The error of the worker that ended before it should.
    fn failed(&mut self) -> LoadError {
        self.starts.clear();
        let ends = std::mem::take(&mut self.threads).into_iter().map(JoinHandle::join);
        ends.flatten().find_map(Result::err).unwrap_or(LoadError::WorkerLost)
    }

    /// Gives the start signal, and starts the metronome of an open loop.
    fn begin(&mut self, plan: &Plan, window: Window) -> Result<Metronome, LoadError> {
        let budget = plan.calls.map(|calls| Arc::new(AtomicU64::new(calls)));
        let mut gates = Vec::new();
        let count = self.starts.len();
        for (number, start) in std::mem::take(&mut self.starts).into_iter().enumerate() {
            let turns = Turns::new(plan, window, budget.clone(), number, count);
            if let Turns::Open(schedule) = &turns {
                gates.push(Arc::clone(&schedule.gate));
            }
            // A worker that is gone already is found out when it is joined.
            let _ = start.send(Go { window, turns });
        }
        Metronome::start(plan, window, gates)
    }

    /// Waits until `deadline` or until all workers have finished; says whether they have.
    fn finish_before(&mut self, deadline: Instant, tick: &mut dyn FnMut(Instant)) -> bool {
        while self.running > 0 {
            let now = Instant::now();
            let left = deadline.saturating_duration_since(now);
            if left.is_zero() {
                return false;
            }
            tick(now);
            match self.news.recv_timeout(left.min(PROGRESS_EVERY)) {
                Ok(News::Finished) => self.running -= 1,
                Ok(News::Connected { .. }) | Err(RecvTimeoutError::Timeout) => (),
                Err(RecvTimeoutError::Disconnected) => self.running = 0,
            }
        }
        true
    }

    fn join(self) -> Result<Tally, LoadError> {
        let mut sum = Tally::default();
        for thread in self.threads {
            sum.add(thread.join().map_err(|_| LoadError::WorkerLost)??);
        }
        Ok(sum)
    }
}

/// The thread that paces an open loop; ends by itself after the last call.
struct Metronome {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Metronome {
    fn start(plan: &Plan, window: Window, gates: Vec<Arc<Notify>>) -> Result<Metronome, LoadError> {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = match plan.pace {
            Pace::Open { .. } if plan.spin => None,
            Pace::Closed => None,
            Pace::Open { calls_per_second } => {
                let timetable = Timetable::new(plan, calls_per_second, window);
                let stop = Arc::clone(&stop);
                let beat = move || pace::metronome(timetable, &gates, &stop);
                Some(std::thread::Builder::new().name("load-pace".to_owned()).spawn(beat)?)
            }
        };
        Ok(Metronome { stop, thread })
    }

    fn stop(self) {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        if let Some(thread) = self.thread {
            // It computes times and sleeps; there is nothing in it that could panic.
            let _ = thread.join();
        }
    }
}
