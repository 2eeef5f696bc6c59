//! How fast entries become durable: callers that each append, wait, and append again.
//!
//! `cargo run --release -p audit --example commit_rate -- [folder]`; the folder should lie on the
//! disk to be measured. Callers are tasks of a small executor on as many threads as the machine
//! has cores, as in the gateway.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, reason = "an example")]

use std::collections::VecDeque;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use audit::{Log, Options};
use parking_lot::{Condvar, Mutex};
use tlog::Signer;

/// As measured on other schemes.
const ENTRY_BYTES: usize = 244;
const RUN: Duration = Duration::from_secs(5);

type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs tasks; enough of an executor to measure with.
#[derive(Default)]
struct Executor {
    ready: Mutex<VecDeque<Arc<Task>>>,
    some: Condvar,
    alive: AtomicUsize,
}

struct Task {
    executor: Arc<Executor>,
    future: Mutex<Option<Boxed>>,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        let executor = Arc::clone(&self.executor);
        executor.ready.lock().push_back(self);
        executor.some.notify_one();
    }
}

impl Executor {
    fn spawn(self: &Arc<Self>, future: impl Future<Output = ()> + Send + 'static) {
        self.alive.fetch_add(1, Ordering::SeqCst);
        let future = Mutex::new(Some(Box::pin(future) as Boxed));
        Arc::new(Task { executor: Arc::clone(self), future }).wake();
    }

    fn run(&self) {
        while self.alive.load(Ordering::SeqCst) > 0 {
            let mut ready = self.ready.lock();
            let Some(task) = ready.pop_front() else {
                self.some.wait_for(&mut ready, Duration::from_millis(10));
                continue;
            };
            drop(ready);
            let waker = Waker::from(Arc::clone(&task));
            let mut future = task.future.lock();
            let done = future
                .as_mut()
                .is_some_and(|f| f.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
            if done {
                *future = None;
                self.alive.fetch_sub(1, Ordering::SeqCst);
            }
        }
    }
}

async fn call(log: Arc<Log>, receipts: bool, until: Instant, waits: Arc<Mutex<Vec<u32>>>) {
    let mut own = Vec::new();
    let entry = [b'e'; ENTRY_BYTES];
    while Instant::now() < until {
        let begun = Instant::now();
        let ticket = log.append(&entry).expect("append");
        let durable = ticket.durable().await.expect("durable");
        own.push(u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX));
        if receipts {
            std::hint::black_box(durable.receipt(&entry));
        }
    }
    waits.lock().extend(own);
}

fn measure(folder: &Path, callers: usize, receipts: bool) {
    let folder = tempfile::tempdir_in(folder).unwrap();
    let origin: tlog::Origin = "ledger.example.vn".parse().unwrap();
    let (signer, _) = Signer::generate(origin.clone()).unwrap();
    let options = Options::new(folder.path().into(), origin, Arc::new(signer));
    let (log, _) = Log::open(options.clone()).unwrap();
    let log = Arc::new(log);
    // Segments are prepared in the background at first.
    thread::sleep(Duration::from_secs(1));
    let waits = Arc::new(Mutex::new(Vec::new()));
    let executor = Arc::new(Executor::default());
    let begun = Instant::now();
    for _ in 0..callers {
        executor.spawn(call(Arc::clone(&log), receipts, begun + RUN, Arc::clone(&waits)));
    }
    let cores = thread::available_parallelism().map_or(2, |cores| cores.get());
    thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(|| executor.run()))));
    let seconds = begun.elapsed().as_secs_f64();
    log.close().unwrap();
    drop(log);
    if callers > 1000 && !receipts {
        read_again(options, waits.lock().len());
    }
    let mut waits = std::mem::take(&mut *waits.lock());
    waits.sort_unstable();
    let at = |share: f64| {
        let place = ((waits.len() as f64 * share) as usize).min(waits.len() - 1);
        f64::from(waits.get(place).copied().unwrap_or_default()) / 1000.0
    };
    println!(
        "{callers:>5} callers{}: {:>8.0} entries/s, wait p50 {:.2} p99 {:.2} p99.9 {:.2} max {:.2} ms",
        if receipts { " with receipts" } else { "              " },
        waits.len() as f64 / seconds,
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0),
    );
}

fn read_again(options: Options, entries: usize) {
    let begun = Instant::now();
    drop(Log::open(options.clone()).unwrap());
    println!("      start and stop again: {:.2} s", begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    let folder = &options.directory;
    let verified = audit::verify_folder(folder, None, &mut |_, _| Ok(()), &mut |_, _| {}).unwrap();
    assert_eq!(verified.entries, entries as u64);
    let seconds = begun.elapsed().as_secs_f64() / entries as f64 * 1e6;
    println!("      verify: {seconds:.2} s per million entries, read from memory");
}

fn main() {
    let folder = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    println!("entries of {ENTRY_BYTES} bytes, {} s each, in {}", RUN.as_secs(), folder.display());
    for callers in [1, 64, 1024] {
        measure(&folder, callers, false);
    }
    measure(&folder, 64, true);
    measure(&folder, 1024, true);
}
