//! Many callers at once: indices are unique and dense, nobody is told durable too early, nobody
//! waits for ever, and a verifier may read along.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that fails may panic"
)]

mod common;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;

use audit::{Log, entries, verify_folder, verify_receipt};
use common::{options, signer};

const THREADS: u64 = 8;

#[test]
fn what_callers_share_may_be_shared() {
    fn check<T: Send + Sync>() {}
    check::<Log>();
    check::<audit::Ticket>();
    check::<audit::DurableFuture<'_>>();
    check::<audit::Durable>();
}

#[test]
fn indices_are_dense_and_durable_means_on_disk() {
    const EACH: u64 = 300;
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(options(folder.path())).unwrap();
    let call = |thread: u64| {
        let mut own = Vec::new();
        for number in 0..EACH {
            let entry = format!("thread {thread} entry {number}").into_bytes();
            let durable = log.append(&entry).unwrap().wait().unwrap();
            if number % 50 == 0 {
                verify_receipt(&durable.receipt(&entry), &signer().verifying_key()).unwrap();
                let read = entries(folder.path(), durable.index()).unwrap().next();
                assert_eq!(read.unwrap().unwrap(), (durable.index(), entry.clone()));
            }
            own.push((durable.index(), entry));
        }
        own
    };
    let mut all: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|t| scope.spawn(move || call(t))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    log.close().unwrap();
    all.sort();
    let read: Vec<_> = entries(folder.path(), 0).unwrap().map(Result::unwrap).collect();
    assert_eq!(read.len() as u64, THREADS * EACH);
    assert_eq!(all, read);
}

#[test]
fn a_verifier_reads_along() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(options(folder.path())).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for number in 0..200 {
                    log.append(&vec![number as u8; number * 30]).unwrap().wait().unwrap();
                }
                done.store(true, Ordering::Relaxed);
            });
        }
        let mut before = 0;
        while !done.load(Ordering::Relaxed) {
            let key = signer().verifying_key();
            let verified =
                verify_folder(folder.path(), Some(&key), &mut |_, _| Ok(()), &mut |_, _| {});
            let verified = verified.unwrap();
            assert!(verified.live && verified.entries >= before);
            before = verified.entries;
        }
    });
}

#[test]
fn dropped_and_repeated_waits_lose_no_wake_up() {
    const EACH: usize = 400;
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(options(folder.path())).unwrap();
    let log = Arc::new(log);
    thread::scope(|scope| {
        for thread in 0..THREADS as usize {
            let log = Arc::clone(&log);
            scope.spawn(move || {
                for number in 0..EACH {
                    let ticket = log.append(b"entry").unwrap();
                    // Some futures are polled and dropped, some polled again with another waker.
                    for _ in 0..(thread + number) % 4 {
                        let mut durable = pin!(ticket.durable());
                        let mut context = Context::from_waker(Waker::noop());
                        let _ = durable.as_mut().poll(&mut context);
                        if let Poll::Ready(outcome) = durable.poll(&mut context) {
                            assert_eq!(outcome.unwrap().index(), ticket.index());
                        }
                    }
                    match number % 3 {
                        0 => drop(ticket),
                        1 => drop(ticket.wait().unwrap()),
                        _ => thread::scope(|scope| {
                            scope.spawn(|| ticket.wait().unwrap());
                            ticket.wait().unwrap();
                        }),
                    }
                }
            });
        }
    });
    log.close().unwrap();
    assert_eq!(entries(folder.path(), 0).unwrap().count(), THREADS as usize * EACH);
}
