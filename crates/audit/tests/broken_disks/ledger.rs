//! The two processes of a case: one that writes a ledger under load, one that opens it afterwards.
//! They say what happens line by line.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use audit::{Durable, LedgerError, Log, Ticket, verify_folder};
use tlog::tree;

use crate::common;

const CALLERS: u64 = 4;
/// A caller that meets no trouble ends after so many.
const ENTRIES_EACH: u64 = 150;
/// How long a caller waits, as the gateway's calls do, only less.
pub(crate) const WAIT_MAX: Duration = Duration::from_millis(800);

pub(crate) fn options(folder: &Path) -> audit::Options {
    let mut options = common::options(folder);
    options.checkpoint_interval = Duration::from_millis(50);
    options.pending_entries_max = 64;
    options
}

fn hash(entry: &[u8]) -> String {
    tree::leaf_hash(entry).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Microseconds since 1970: to compare with what happens in another process.
pub(crate) fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()
}

/// Appends with some callers until they are done or the ledger fails.
pub(crate) fn load(folder: PathBuf) {
    let log = match Log::open(options(&folder)) {
        Ok((log, recovered)) => {
            println!("open {}", recovered.entries);
            log
        }
        Err(error) => return println!("not-open {error}"),
    };
    thread::scope(|scope| {
        for caller in 0..CALLERS {
            let log = &log;
            scope.spawn(move || call(log, caller));
        }
    });
    let status = log.status();
    println!("status {} {:?}", status.size, status.trouble);
    println!("closed {:?}", log.close().map_err(|error| error.to_string()));
}

fn call(log: &Log, caller: u64) {
    for number in 0..ENTRIES_EACH {
        let begun = now();
        let mut entry = format!("{caller} {number} {begun} ").into_bytes();
        entry.resize(entry.len() + (number * 397 % 4000) as usize, caller as u8);
        let ticket = match log.append(&entry) {
            Ok(ticket) => ticket,
            Err(audit::AppendError::Full) => {
                println!("full");
                thread::sleep(Duration::from_millis(20));
                continue;
            }
            Err(refusal) => return println!("refused {refusal}"),
        };
        let waited = Instant::now();
        let outcome = match wait_for(&ticket, WAIT_MAX) {
            Some(outcome) => outcome,
            None => {
                println!("slow {}", waited.elapsed().as_millis());
                ticket.wait()
            }
        };
        match outcome {
            Ok(durable) => println!("durable {} {} {begun}", durable.index(), hash(&entry)),
            Err(error) => println!("failed {error}"),
        }
    }
    println!("done");
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits, but not for ever: the future is dropped when the time is over.
fn wait_for(ticket: &Ticket, most: Duration) -> Option<Result<Durable, LedgerError>> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut durable = pin!(ticket.durable());
    let until = Instant::now() + most;
    loop {
        if let Poll::Ready(outcome) = durable.as_mut().poll(&mut context) {
            return Some(outcome);
        }
        thread::park_timeout(until.checked_duration_since(Instant::now())?);
    }
}

/// Opens the ledger as the next start does, goes on, and says what is in it.
pub(crate) fn check(folder: PathBuf) {
    let (log, recovered) = Log::open(options(&folder)).unwrap();
    println!("open {}", recovered.entries);
    for number in 0..3 {
        let ticket = log.append(format!("afterwards {number}").as_bytes()).unwrap();
        assert_eq!(ticket.wait().unwrap().index(), recovered.entries + number);
    }
    log.close().unwrap();
    let key = common::signer().verifying_key();
    let mut on_entry = |index: u64, entry: &[u8]| {
        println!("entry {index} {}", hash(entry));
        Ok(())
    };
    let verified = verify_folder(&folder, Some(&key), &mut on_entry, &mut |_, _| {}).unwrap();
    assert_eq!(verified.checkpoint_size, recovered.entries + 3);
    println!("whole {}", verified.entries);
}
