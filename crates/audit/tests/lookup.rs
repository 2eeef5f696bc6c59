//! Entries by index, and receipts made anew, while the ledger grows.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails may panic")]

mod common;

use std::fs;
use std::path::Path;

use audit::{Log, ReadError, Reader, verify_receipt};
use common::{append, entry, options, origin, signer};

fn all(folder: &Path) -> Vec<Vec<u8>> {
    audit::entries(folder, 0).unwrap().map(|item| item.unwrap().1).collect()
}

#[test]
fn every_entry_is_found_by_its_index_in_any_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut reader = Reader::new(folder.path());
    let (log, _) = Log::open(options(folder.path())).unwrap();
    assert_eq!(reader.entry(0).unwrap(), None);
    // Several segments, with batches of one and batches of many.
    append(&log, 0..300);
    for many in 0..20_u64 {
        let tickets: Vec<_> =
            (0..50).map(|n| log.append(&entry(300 + many * 50 + n)).unwrap()).collect();
        tickets.iter().for_each(|ticket| drop(ticket.wait().unwrap()));
    }
    let expected = all(folder.path());
    assert_eq!(expected.len(), 1300);
    assert_eq!(reader.origin().unwrap(), Some(origin()));
    let there = |at: usize| expected.get(at).cloned();
    for at in (0..1300).rev().chain(0..1300).chain([7, 1299, 650, 651, 0]) {
        assert_eq!(reader.entry(at as u64).unwrap(), there(at), "entry {at}");
    }
    assert_eq!(reader.entry(1300).unwrap(), None);
    // The reader goes on where the ledger does.
    append(&log, 1300..1310);
    assert_eq!(reader.entry(1305).unwrap(), Some(entry(1305)));
    let mut next = 0;
    while let Some(held) = reader.frame(next).unwrap() {
        assert_eq!(held.first, next);
        next = held.next();
    }
    assert_eq!((next, log.status().size), (1310, 1310));
    assert_eq!(reader.frame(1309).unwrap().unwrap().root_hash, log.status().root_hash);
    log.close().unwrap();
}

#[test]
fn a_receipt_made_anew_is_the_one_that_was_given() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(options(folder.path())).unwrap();
    let tickets: Vec<_> = (0..40).map(|number| log.append(&entry(number)).unwrap()).collect();
    let mut reader = Reader::new(folder.path());
    for (ticket, number) in tickets.iter().zip(0..) {
        let given = ticket.wait().unwrap().receipt(&entry(number));
        let anew = reader.receipt(number, &signer()).unwrap().unwrap();
        assert_eq!(anew, given);
        verify_receipt(&anew, &signer().verifying_key()).unwrap();
    }
    assert!(reader.receipt(40, &signer()).unwrap().is_none());
    log.close().unwrap();
}

#[test]
fn a_damaged_frame_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(options(folder.path())).unwrap();
    append(&log, 0..10);
    log.close().unwrap();
    let path = folder.path().join("segment-0000000000.log");
    let mut segment = fs::read(&path).unwrap();
    *segment.get_mut(4096 + 100).unwrap() ^= 1; // in the body of the first frame
    fs::write(&path, segment).unwrap();
    let mut reader = Reader::new(folder.path());
    match reader.entry(0) {
        Err(ReadError::Damaged { file, offset }) => assert_eq!((file, offset), (path, 4096)),
        other => panic!("{other:?}"),
    }
    assert_eq!(reader.entry(5).unwrap(), Some(entry(5)));
}
