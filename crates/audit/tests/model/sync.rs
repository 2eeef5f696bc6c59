//! The primitives of `src/sync.rs` with a scheduler behind them: it decides who runs at every lock,
//! wait, wake-up and timer. One place of the real code can be made to forget its wake-up.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::ops::{Add, Deref, DerefMut};
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use shuttle::sync::atomic::{AtomicBool, Ordering};
use shuttle::thread::ThreadId;

/// Timers later than this never ring.
const HORIZON: Duration = Duration::from_secs(3600);

/// A place in the code that wakes somebody: file and line.
pub(crate) type Site = (&'static str, u32);

thread_local! {
    /// All tasks of an execution run on one thread.
    static TIME: RefCell<Time> = RefCell::default();
    static SITES: RefCell<BTreeSet<Site>> = RefCell::default();
    static MUTE: RefCell<Option<Site>> = const { RefCell::new(None) };
}

#[derive(Default)]
struct Time {
    now: Duration,
    next_timer: u64,
    timers: Vec<Timer>,
}

struct Timer {
    number: u64,
    until: Duration,
    ring: Arc<dyn Fn()>,
}

/// The places that have woken somebody since the thread began.
pub(crate) fn sites() -> BTreeSet<Site> {
    SITES.with_borrow(Clone::clone)
}

/// Makes one place forget to wake.
pub(crate) fn mute(site: Option<Site>) {
    MUTE.set(site);
}

fn is_muted(location: &Location<'static>) -> bool {
    let site = (location.file(), location.line());
    // Only the code under test is of interest.
    if location.file().contains("/src/") {
        SITES.with_borrow_mut(|sites| sites.insert(site));
    }
    MUTE.with_borrow(|muted| *muted == Some(site))
}

/// Lets the scheduler go on with another task.
pub(crate) fn point() {
    AtomicBool::new(false).store(true, Ordering::SeqCst);
}

/// The task that lets timers ring, at any moment: a wait may take as long as it likes.
pub(crate) struct Clock {
    over: shuttle::sync::Mutex<bool>,
    changed: shuttle::sync::Condvar,
}

thread_local! {
    static CLOCK: RefCell<Option<Arc<Clock>>> = const { RefCell::new(None) };
    static PLACES: RefCell<HashMap<ThreadId, Arc<Place>>> = RefCell::default();
}

impl Clock {
    /// The clock of a new execution.
    pub(crate) fn new() -> Arc<Self> {
        TIME.take();
        PLACES.take();
        let over = shuttle::sync::Mutex::new(false);
        let clock = Arc::new(Self { over, changed: shuttle::sync::Condvar::new() });
        CLOCK.set(Some(Arc::clone(&clock)));
        clock
    }

    pub(crate) fn run(&self) {
        loop {
            let mut over = self.over.lock().unwrap();
            let first = loop {
                let first = TIME.with_borrow(|time| {
                    let first = time.timers.iter().min_by_key(|timer| timer.until)?;
                    Some((first.number, first.until, Arc::clone(&first.ring)))
                });
                if first.is_some() || *over {
                    break first;
                }
                over = self.changed.wait(over).unwrap();
            };
            drop(over);
            let Some((number, until, ring)) = first else { return };
            TIME.with_borrow_mut(|time| {
                time.now = time.now.max(until);
                time.timers.retain(|timer| timer.number != number);
            });
            ring();
            // Time that passes must not keep the others from doing anything.
            shuttle::thread::yield_now();
        }
    }

    pub(crate) fn stop(&self) {
        *self.over.lock().unwrap() = true;
        self.changed.notify_all();
    }
}

/// A moment of the model's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(Duration);

impl Instant {
    pub(crate) fn now() -> Self {
        Self(TIME.with_borrow(|time| time.now))
    }

    pub(crate) fn duration_since(&self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0 + duration)
    }
}

#[derive(Default)]
pub(crate) struct Mutex<T>(Arc<shuttle::sync::Mutex<T>>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Arc::new(shuttle::sync::Mutex::new(value)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard { mutex: self, held: Some(self.0.lock().unwrap()) }
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mutex")
    }
}

pub(crate) struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    held: Option<shuttle::sync::MutexGuard<'a, T>>,
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.held.as_ref().unwrap()
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.held.as_mut().unwrap()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Condvar(Arc<shuttle::sync::Condvar>);

/// Whether a wait ended because it was time.
pub(crate) struct Waited(bool);

impl Waited {
    pub(crate) fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    #[track_caller]
    pub(crate) fn notify_one(&self) {
        if !is_muted(Location::caller()) {
            self.0.notify_one();
        }
    }

    #[track_caller]
    pub(crate) fn notify_all(&self) {
        if !is_muted(Location::caller()) {
            self.0.notify_all();
        }
    }

    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let held = guard.held.take().unwrap();
        guard.held = Some(self.0.wait(held).unwrap());
    }

    pub(crate) fn wait_until<T: 'static>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        until: Instant,
    ) -> Waited {
        if until <= Instant::now() {
            return Waited(true);
        }
        let timer = (until.0 <= HORIZON).then(|| self.set_timer(guard.mutex, until));
        self.wait(guard);
        if let Some(number) = timer {
            TIME.with_borrow_mut(|time| time.timers.retain(|timer| timer.number != number));
        }
        Waited(until <= Instant::now())
    }

    fn set_timer<T: 'static>(&self, mutex: &Mutex<T>, until: Instant) -> u64 {
        let (mutex, condvar) = (Arc::clone(&mutex.0), Arc::clone(&self.0));
        // Whoever set the timer holds the lock until it sleeps.
        let ring = move || {
            drop(mutex.lock().unwrap());
            condvar.notify_all();
        };
        let clock = CLOCK.with_borrow(|clock| Arc::clone(clock.as_ref().unwrap()));
        let over = clock.over.lock().unwrap();
        let number = TIME.with_borrow_mut(|time| {
            time.next_timer += 1;
            let number = time.next_timer;
            time.timers.push(Timer { number, until: until.0, ring: Arc::new(ring) });
            number
        });
        drop(over);
        clock.changed.notify_all();
        number
    }
}

/// Holds the outcome of a batch. Set a second time, it has found a fault.
#[derive(Debug, Default)]
pub(crate) struct OnceLock<T>(std::sync::OnceLock<T>);

impl<T> OnceLock<T> {
    pub(crate) fn new() -> Self {
        Self(std::sync::OnceLock::new())
    }

    pub(crate) fn get(&self) -> Option<&T> {
        point();
        self.0.get()
    }

    pub(crate) fn set(&self, value: T) -> Result<(), T> {
        point();
        let set = self.0.set(value);
        assert!(set.is_ok(), "a batch was settled twice");
        point();
        set
    }
}

/// Where a task sleeps until it is woken. The scheduler's own `park` may return for no reason, which
/// would hide that a wake-up is missing.
#[derive(Default)]
struct Place {
    woken: shuttle::sync::Mutex<bool>,
    changed: shuttle::sync::Condvar,
}

pub(crate) struct Thread(Arc<Place>);

pub(crate) fn current() -> Thread {
    let task = shuttle::thread::current().id();
    let place = PLACES.with_borrow_mut(|places| Arc::clone(places.entry(task).or_default()));
    Thread(place)
}

pub(crate) fn park() {
    let Thread(place) = current();
    let mut woken = place.woken.lock().unwrap();
    while !*woken {
        woken = place.changed.wait(woken).unwrap();
    }
    *woken = false;
}

impl Thread {
    #[track_caller]
    pub(crate) fn unpark(&self) {
        if !is_muted(Location::caller()) {
            *self.0.woken.lock().unwrap() = true;
            self.0.changed.notify_one();
        }
    }
}
