//! The commit and wake-up protocol in all kinds of orders: the real queue, tickets and writer, with a
//! scheduler that decides at every lock, wait and wake-up who runs next.
//!
//! What must hold in every order: each entry that was taken is settled, once; nobody sleeps for ever
//! (the scheduler finds that no task can run); what is told durable was synced before; what is told
//! to be lost for want of space is not in the ledger; after a failed write or sync the disk is not
//! used again. `MODEL_SECONDS=600 cargo test -p audit --test model` tries for longer.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails may panic")]
#![allow(clippy::indexing_slicing, reason = "a test that fails may panic")]
#![allow(clippy::print_stdout, reason = "tests tell what they measured")]
#![allow(dead_code, unreachable_pub, reason = "the modules under test are the crate's own files")]

#[path = "../../src/backlog.rs"]
mod backlog;
#[path = "../../src/disk.rs"]
mod disk;
#[path = "../../src/fields.rs"]
mod fields;
#[path = "../../src/folder.rs"]
mod folder;
#[path = "../../src/frame.rs"]
mod frame;
#[path = "../../src/identity.rs"]
mod identity;
mod keep;
mod ledger;
#[path = "disk.rs"]
mod model_disk;
#[path = "../../src/pace.rs"]
mod pace;
#[path = "../../src/queue.rs"]
mod queue;
#[path = "../../src/receipt.rs"]
mod receipt;
#[path = "../../src/segment.rs"]
mod segment;
mod sync;
#[path = "../../src/ticket.rs"]
mod ticket;
#[path = "../../src/writer.rs"]
mod writer;
#[path = "../../src/zeros.rs"]
mod zeros;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use shuttle::rand::Rng;
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner, thread};
use tlog::Signer;

use ledger::{Ledger, Trouble};
use model_disk::{ModelDisk, Plan};
use queue::{AppendError, Room};
use ticket::{Durable, LedgerError, Ticket};

const CALLERS: u32 = 3;
const ENTRIES_EACH: u32 = 2;
/// Tasks of one execution take some hundred steps.
const STEPS_MAX: usize = 20_000;
const SECONDS: u64 = 12;

/// Runs executions until the time is over; how many.
fn explore(scenario: fn(), seconds: f64, seed: u64) -> usize {
    let mut config = Config::default();
    config.max_steps = MaxSteps::FailAfter(STEPS_MAX);
    config.max_time = Some(Duration::from_secs_f64(seconds / 2.0));
    config.failure_persistence = FailurePersistence::Print;
    let random = RandomScheduler::new_from_seed(seed, usize::MAX);
    let some = Runner::new(random, config.clone()).run(scenario);
    // Finds faults that need a few switches at the right places, and long runs in between.
    let few_switches = PctScheduler::new_from_seed(seed, 3, usize::MAX);
    some + Runner::new(few_switches, config).run(scenario)
}

fn number_from(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

fn signer() -> Arc<Signer> {
    static SIGNER: OnceLock<Arc<Signer>> = OnceLock::new();
    let make = || Arc::new(Signer::generate("ledger.example.vn".parse().unwrap()).unwrap().0);
    Arc::clone(SIGNER.get_or_init(make))
}

/// All is well, save that there may be no space for a while.
fn sound() {
    let mut random = shuttle::rand::thread_rng();
    let trouble = match random.gen_range(0..4) {
        0 => Trouble::Full(random.gen_range(0..2)),
        1 => Trouble::Short(random.gen_range(0..2)),
        _ => Trouble::None,
    };
    calls(Ledger::start(Plan::Sound, trouble, signer()));
}

/// The disk fails, the preparer fails, or the file is taken away.
fn faulty() {
    let mut random = shuttle::rand::thread_rng();
    let (plan, trouble) = match random.gen_range(0..4) {
        0 => (Plan::FailsWrite(random.gen_range(1..5)), Trouble::None),
        1 => (Plan::FailsSync(random.gen_range(1..5)), Trouble::None),
        2 => (Plan::Sound, Trouble::PrepareFails(random.gen_range(0..2))),
        _ => (Plan::Sound, Trouble::Lost),
    };
    calls(Ledger::start(plan, trouble, signer()));
}

fn calls(ledger: Ledger) {
    let is_sound = ledger.disk.plan() == Plan::Sound
        && matches!(ledger.trouble, Trouble::None | Trouble::Full(_) | Trouble::Short(_));
    let callers: Vec<_> = (0..CALLERS)
        .map(|number| {
            let (shared, disk) = (Arc::clone(&ledger.shared), Arc::clone(&ledger.disk));
            thread::spawn(move || caller(number, &shared, &disk))
        })
        .collect();
    let join = || callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect();
    // A ledger may be closed with calls still coming, or after the last of them.
    let closes_early = is_sound && shuttle::rand::thread_rng().gen_bool(0.3);
    let told: Vec<Told>;
    let (shared, disk) = match closes_early && ledger.trouble == Trouble::None {
        true => {
            let closed = ledger.close();
            told = join();
            closed
        }
        false => {
            told = join();
            ledger.free_space();
            if is_sound {
                ledger.wait_until_ready();
                let last = ledger.shared.append(b"the last", Room::Usual).unwrap();
                assert_eq!(wait(&last).unwrap().index(), ledger.shared.head().0.size - 1);
            }
            ledger.close()
        }
    };
    let (head, trouble) = shared.head();
    let known = disk.known();
    assert!(head.size <= known.durable.len() as u64);
    if is_sound {
        assert_eq!((head.size, trouble), (known.durable.len() as u64, None));
    }
    for Told { entry, outcome } in told {
        let stored = known.durable.values().any(|stored| *stored == entry);
        match outcome {
            Ok(()) => assert!(stored, "told durable and not there"),
            Err(LedgerError::NoSpace) => assert!(!stored, "told lost and there"),
            Err(LedgerError::Failed(_)) => assert!(!is_sound),
        }
    }
}

/// What a caller was told of an entry.
struct Told {
    entry: Vec<u8>,
    outcome: Result<(), LedgerError>,
}

fn caller(number: u32, shared: &queue::Shared, disk: &ModelDisk) -> Vec<Told> {
    let mut taken = Vec::new();
    let mut told = Vec::new();
    // Some wait for each entry, some for all of them at the end.
    let waits_at_once = shuttle::rand::thread_rng().gen_bool(0.5);
    for turn in 0..ENTRIES_EACH {
        let entry = format!("caller {number} {turn}").into_bytes();
        let room = match shuttle::rand::thread_rng().gen_bool(0.3) {
            true => Room::Reserve,
            false => Room::Usual,
        };
        let ticket = match shared.append(&entry, room) {
            Ok(ticket) => ticket,
            Err(AppendError::TooLarge { .. }) => panic!("it is short"),
            Err(AppendError::Full | AppendError::Unavailable(_) | AppendError::Closed) => continue,
        };
        let size = shared.head().0.size;
        assert!(size <= disk.known().durable.len() as u64, "the head runs ahead of the disk");
        match waits_at_once {
            true => told.push(hear(entry, &ticket, disk)),
            false => taken.push((entry, ticket)),
        }
    }
    told.extend(taken.into_iter().map(|(entry, ticket)| hear(entry, &ticket, disk)));
    told
}

fn hear(entry: Vec<u8>, ticket: &Ticket, disk: &ModelDisk) -> Told {
    let outcome = wait(ticket);
    if let Ok(durable) = &outcome {
        assert_eq!(durable.index(), ticket.index());
        let known = disk.known();
        assert_eq!(known.durable.get(&ticket.index()), Some(&entry), "told before the sync");
    }
    let outcome = outcome.map(|_| ());
    assert_eq!(wait(ticket).map(|_| ()), outcome, "an outcome does not change");
    Told { entry, outcome }
}

struct Unpark(sync::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits in one of the ways in which a runtime may.
fn wait(ticket: &Ticket) -> Result<Durable, LedgerError> {
    let choose = |below: u32| shuttle::rand::thread_rng().gen_range(0..below);
    let waker = Waker::from(Arc::new(Unpark(sync::current())));
    let mut context = Context::from_waker(&waker);
    let mut deaf = Context::from_waker(Waker::noop());
    match choose(4) {
        0 => ticket.wait(),
        // Each time a new future: the one before is dropped once it has a place among the waiters.
        1 => loop {
            if let Poll::Ready(outcome) = pin!(ticket.durable()).as_mut().poll(&mut context) {
                return outcome;
            }
            let mut durable = pin!(ticket.durable());
            if let Poll::Ready(outcome) = durable.as_mut().poll(&mut context) {
                return outcome;
            }
            sync::park();
        },
        // Polled with a waker that nobody hears, then moved to a task that does.
        2 => {
            let mut durable = pin!(ticket.durable());
            if let Poll::Ready(outcome) = durable.as_mut().poll(&mut deaf) {
                return outcome;
            }
            loop {
                match durable.as_mut().poll(&mut context) {
                    Poll::Ready(outcome) => return outcome,
                    Poll::Pending => sync::park(),
                }
            }
        }
        // Given up, and asked for again.
        _ => {
            let given_up = pin!(ticket.durable()).as_mut().poll(&mut deaf);
            drop(given_up);
            ticket.wait()
        }
    }
}

#[test]
fn the_protocol_holds_in_every_order() {
    let seconds = number_from("MODEL_SECONDS", SECONDS) as f64;
    let seed = number_from("MODEL_SEED", std::process::id().into());
    println!("MODEL_SEED={seed}");
    let begun = Instant::now();
    let executions = [sound, faulty].map(|scenario| explore(scenario, seconds / 2.0, seed));
    println!("{executions:?} executions in {:.1} s", begun.elapsed().as_secs_f64());
    assert!(executions.iter().all(|count| *count > 100), "too few to mean anything");
}

/// The model is worth something only if it finds what it looks for: without any one of the wake-ups
/// somebody sleeps for ever.
#[test]
fn a_forgotten_wake_up_is_found() {
    let scenarios: [fn(); 2] = [sound, faulty];
    for scenario in scenarios {
        let _executions = explore(scenario, 1.0, 1);
    }
    let sites = sync::sites();
    assert!(sites.len() >= 10, "{sites:?}");
    for site in sites {
        sync::mute(Some(site));
        let found = scenarios
            .iter()
            .any(|scenario| catch_unwind(AssertUnwindSafe(|| explore(*scenario, 4.0, 1))).is_err());
        sync::mute(None);
        assert!(found, "{}:{} may be left out and nobody notices", site.0, site.1);
        println!("{}:{} left out: found", site.0, site.1);
    }
}
