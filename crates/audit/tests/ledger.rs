//! The ledger through its public door.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that fails may panic"
)]

mod common;

use audit::{AppendError, Log, OpenError, verify_receipt};
use common::{append, entry, options, signer};

#[test]
fn entries_survive_and_receipts_verify() {
    let folder = tempfile::tempdir().unwrap();
    let (log, recovered) = Log::open(options(folder.path())).unwrap();
    assert_eq!((recovered.entries, recovered.discarded_bytes), (0, 0));
    let tickets: Vec<_> = (0..100).map(|n| log.append(&entry(n)).unwrap()).collect();
    for (number, ticket) in (0..).zip(&tickets) {
        let receipt = ticket.wait().unwrap().receipt(&entry(number));
        assert_eq!(receipt.index, number);
        verify_receipt(&receipt, &signer().verifying_key()).unwrap();
    }
    assert_eq!(log.status().size, 100);
    let root_hash = log.status().root_hash;
    log.close().unwrap();
    assert!(matches!(log.append(b"late"), Err(AppendError::Closed)));

    let (log, recovered) = Log::open(options(folder.path())).unwrap();
    assert_eq!((recovered.entries, recovered.root_hash), (100, root_hash));
    assert_eq!(log.append(b"next").unwrap().index(), 100);
}

#[test]
fn an_end_becomes_durable_without_anybody_coming_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(options(folder.path())).unwrap();
    for number in 0..10 {
        let end = log.append_end(&entry(2 * number)).unwrap();
        if number % 2 == 0 {
            assert_eq!(end.wait().unwrap().index(), 2 * number);
        }
        let next = log.append(&entry(2 * number + 1)).unwrap();
        assert_eq!(next.wait().unwrap().index(), 2 * number + 1);
        assert_eq!(end.wait().unwrap().index(), 2 * number);
    }
    let last = log.append_end(&entry(20)).unwrap();
    log.close().unwrap();
    assert_eq!(last.wait().unwrap().index(), 20);
}

#[test]
fn many_segments_and_many_starts() {
    let folder = tempfile::tempdir().unwrap();
    for start in 0..20 {
        let (log, recovered) = Log::open(options(folder.path())).unwrap();
        assert_eq!(recovered.entries, start * 50);
        append(&log, start * 50..(start + 1) * 50);
    }
}

#[test]
fn one_process_writes_a_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(options(folder.path())).unwrap();
    assert!(matches!(Log::open(options(folder.path())), Err(OpenError::Locked(_))));
    log.close().unwrap();
    Log::open(options(folder.path())).unwrap();
}
