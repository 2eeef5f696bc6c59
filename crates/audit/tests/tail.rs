//! Following a ledger while it is written.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails may panic")]

mod common;

use std::thread;

use audit::{Log, ReadError, Tail};
use common::{append, entry, options};

#[test]
fn every_entry_comes_once_and_in_order_while_the_ledger_is_written() {
    const ENTRIES: u64 = 3_000;
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(options(folder.path())).unwrap();
    append(&log, 0..500);
    thread::scope(|scope| {
        scope.spawn(|| append(&log, 500..ENTRIES));
        // One from the start and one from within, over several segments.
        for from in [0, 123] {
            let (log, folder) = (&log, folder.path());
            scope.spawn(move || {
                let mut tail = Tail::new(folder.into(), from);
                while tail.next() < ENTRIES {
                    let mut next = tail.next();
                    for (index, bytes) in tail.read(log.status().size).unwrap() {
                        assert_eq!((index, bytes), (next, entry(next)));
                        next += 1;
                    }
                    assert_eq!(next, tail.next());
                }
            });
        }
    });
    let mut tail = Tail::new(folder.path().into(), 0);
    assert_eq!(tail.read(ENTRIES).unwrap().len() as u64, ENTRIES);
    assert_eq!(tail.read(ENTRIES).unwrap(), []);
    log.close().unwrap();
}

#[test]
fn no_entry_comes_before_it_is_said_to_be_durable() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(options(folder.path())).unwrap();
    let tickets: Vec<_> = (0..40).map(|n| log.append(&entry(n)).unwrap()).collect();
    tickets.iter().for_each(|ticket| drop(ticket.wait().unwrap()));
    let mut tail = Tail::new(folder.path().into(), 0);
    for durable in [0, 7, 7, 20, 40] {
        tail.read(durable).unwrap();
        assert_eq!(tail.next(), durable);
    }
    log.close().unwrap();
}

#[test]
fn what_is_durable_and_not_there_is_an_error_until_it_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(options(folder.path())).unwrap();
    append(&log, 0..5);
    let mut tail = Tail::new(folder.path().into(), 0);
    assert_eq!(tail.read(5).unwrap().len(), 5);
    match tail.read(6) {
        Err(ReadError::Missing { index: 5, .. }) => {}
        other => panic!("{other:?}"),
    }
    append(&log, 5..6);
    assert_eq!(tail.read(6).unwrap(), [(5, entry(5))]);
    log.close().unwrap();
}
