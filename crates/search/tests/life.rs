//! The life of an index: behind the ledger, never ahead, never believed against it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that fails may panic"
)]

mod common;

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use audit::Log;
use common::{Call, append, entries, keys, open, subjects};
use model::{Concerned, Criteria, Entry, Passed, PersonNumber, Pseudonyms, Traffic};
use search::{Finder, Follower, Index, Last, SearchError};

fn calls(numbers: std::ops::Range<u64>) -> Vec<Call> {
    let call = |number| Call {
        number,
        member: 7,
        method: 1,
        purpose: 2,
        subject: Some((number as u32 % 5, number % 2 == 0)),
        dossier: None,
        refused: false,
        reason: None,
        ended: true,
    };
    numbers.map(call).collect()
}

fn filled(index: &Path, ledger: &Path, log: &Log) -> Index {
    let mut index = Index::open(index, ledger).unwrap();
    while index.advance(log.status().size).unwrap() {}
    index
}

fn found(index: &Path, ledger: &Path, criteria: &Criteria) -> Vec<u64> {
    let answer = Finder::new(index, ledger).find(criteria, None, 1000).unwrap();
    answer.exchanges.iter().map(|exchange| exchange.index).collect()
}

/// The history of a person, by the keys that there are.
fn history(to: &Path, ledger: &Path, keys: &Pseudonyms) -> Vec<u64> {
    let person = PersonNumber::new("VN", "personal", "900000000003").unwrap();
    let subjects = keys.subjects(&person);
    assert!(!subjects.is_empty(), "without subjects every exchange fits");
    found(to, ledger, &Criteria { subjects, ..Criteria::default() })
}

#[test]
fn destroying_a_key_ends_its_links_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, to) = (folder.path().join("ledger"), folder.path().join("index"));
    let (log, signer) = open(&ledger, "ledger.test");
    append(&log, &entries(&calls(0..100), 0));
    drop(filled(&to, &ledger, &log));
    let both = Pseudonyms::new(keys().to_vec());
    let whole = history(&to, &ledger, &both);
    // Of a hundred calls, twenty are about each person; every other one in each year.
    assert_eq!(whole.len(), 20);
    let [_, later] = keys();
    let left = history(&to, &ledger, &Pseudonyms::new(vec![later]));
    assert_eq!(left.len(), 10);
    assert!(left.iter().all(|index| whole.contains(index)));
    log.close().unwrap();
    let key = signer.verifying_key();
    let readable = &mut |_: u64, entry: &[u8]| match wire::evidence::decode_entry(entry) {
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    };
    let verified = audit::verify_folder(&ledger, Some(&key), readable, &mut |_, _| {}).unwrap();
    assert_eq!(verified.entries, 200);
}

#[test]
fn an_exchange_is_shown_as_the_ledger_has_it_with_its_receipt() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, to) = (folder.path().join("ledger"), folder.path().join("index"));
    let (log, signer) = open(&ledger, "ledger.test");
    let written = entries(&calls(0..3), 0);
    append(&log, &written);
    drop(filled(&to, &ledger, &log));
    let finder = Finder::new(&to, &ledger);
    let exchange = Criteria { exchange: Some(calls(1..2)[0].exchange()), ..Criteria::default() };
    let answer = finder.find(&exchange, None, 10).unwrap();
    assert_eq!((answer.indexed, answer.before), (6, None));
    let [exchange] = answer.exchanges.as_slice() else { panic!("{answer:?}") };
    assert_eq!(Some(&exchange.first), written.get(exchange.index as usize));
    assert_eq!(exchange.bytes, wire::evidence::encode_entry(&exchange.first));
    let end = exchange.last.as_ref().and_then(Last::finished).unwrap();
    assert_eq!(end.admitted, exchange.index);
    let receipt = finder.receipt(exchange.index, &signer).unwrap();
    audit::verify_receipt(&receipt, &signer.verifying_key()).unwrap();
    assert_eq!(receipt.entry, exchange.bytes);
    log.close().unwrap();
}

#[test]
fn the_index_of_another_ledger_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("index");
    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    let (log, _) = open(&one, "ledger.test");
    append(&log, &entries(&calls(0..100), 0));
    filled(&to, &one, &log).close().unwrap();
    // The same one is gone on with.
    assert_eq!(Index::open(&to, &one).unwrap().size(), 200);
    log.close().unwrap();
    let (log, _) = open(&other, "ledger.test");
    append(&log, &entries(&calls(100..150), 0));
    assert_eq!(Index::open(&to, &other).unwrap().size(), 0);
    drop(filled(&to, &other, &log));
    assert_eq!(found(&to, &other, &Criteria::default()).len(), 50);
    log.close().unwrap();
}

#[test]
fn a_damaged_index_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, to) = (folder.path().join("ledger"), folder.path().join("index"));
    let (log, _) = open(&ledger, "ledger.test");
    append(&log, &entries(&calls(0..500), 0));
    filled(&to, &ledger, &log).close().unwrap();
    let file = to.join("index.sqlite");

    // The file is no index at all.
    let whole = fs::read(&file).unwrap();
    fs::write(&file, vec![b'x'; whole.len()]).unwrap();
    assert_eq!(Index::open(&to, &ledger).unwrap().size(), 0);

    // Pages in the middle are gone: whatever is asked, what is found is right, or it is told.
    drop(filled(&to, &ledger, &log));
    fs::write(&file, &whole).unwrap();
    for name in ["index.sqlite-wal", "index.sqlite-shm"] {
        drop(fs::remove_file(to.join(name)));
    }
    let mut open = fs::File::options().write(true).open(&file).unwrap();
    open.seek(SeekFrom::Start(8192)).unwrap();
    open.write_all(&vec![0xa5; whole.len() - 8192]).unwrap();
    drop(open);
    match Finder::new(&to, &ledger).find(&Criteria::default(), None, 100) {
        Err(SearchError::Damaged(_)) => {}
        other => panic!("{other:?}"),
    }
    log.close().unwrap();
}

#[test]
fn the_follower_stays_behind_the_durable_end_and_mends_its_index() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, to) = (folder.path().join("ledger"), folder.path().join("index"));
    let (log, _) = open(&ledger, "ledger.test");
    append(&log, &entries(&calls(0..100), 0));
    let durable = Arc::new(AtomicU64::new(0));
    let told = Arc::clone(&durable);
    let follower = Follower::start(&to, &ledger, move || told.load(Ordering::SeqCst)).unwrap();
    let found = |follower: &Follower| {
        follower.find(&Criteria::default(), None, 1000).map(|answer| answer.exchanges.len())
    };
    assert_eq!(found(&follower).unwrap(), 0);
    assert_eq!(follower.indexed(), 0);
    durable.store(log.status().size, Ordering::SeqCst);
    assert_eq!(found(&follower).unwrap(), 100);
    assert_eq!((follower.indexed(), follower.durable()), (200, 200));
    // Another process cannot fill it meanwhile.
    assert!(matches!(Index::open(&to, &ledger), Err(SearchError::Locked(_))));
    drop(follower);

    // Closed in good order, so it is gone on with. With a row that says what the ledger does not,
    // there is no answer, and the index is made anew.
    let database = rusqlite::Connection::open(to.join("index.sqlite")).unwrap();
    let forge = "UPDATE exchange SET entry = 199 WHERE entry = 0";
    assert_eq!(database.execute(forge, []).unwrap(), 1);
    drop(database);
    let told = Arc::clone(&durable);
    let follower = Follower::start(&to, &ledger, move || told.load(Ordering::SeqCst)).unwrap();
    match found(&follower) {
        Err(SearchError::Damaged(_)) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(found(&follower).unwrap(), 100);
    log.close().unwrap();
}

#[test]
fn a_call_without_an_end_is_found_with_what_had_passed() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, to) = (folder.path().join("ledger"), folder.path().join("index"));
    let (log, _) = open(&ledger, "ledger.test");
    let call = Call { refused: false, ended: false, ..calls(1..2)[0] };
    let first = call.first();
    let traffic = Traffic { messages: 1000, bytes: 50_000, digest: [7; 32] };
    let passed = |seconds| {
        Entry::Passed(Passed {
            exchange: call.exchange(),
            admitted: 0,
            time: call.time().after(Duration::from_secs(seconds)),
            request: traffic,
            response: traffic,
        })
    };
    append(&log, &[first.clone(), passed(10), passed(20)]);
    drop(filled(&to, &ledger, &log));
    let finder = Finder::new(&to, &ledger);
    let exchange = Criteria { exchange: Some(call.exchange()), ..Criteria::default() };
    let answer = finder.find(&exchange, None, 10).unwrap();
    let [found] = answer.exchanges.as_slice() else { panic!("{answer:?}") };
    let last = found.last.as_ref().unwrap();
    assert_eq!((last.index, &last.entry), (2, &passed(20)));
    assert_eq!(last.finished(), None);
    log.close().unwrap();
}

#[test]
fn a_person_whom_a_later_entry_names_leads_to_the_exchange() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, to) = (folder.path().join("ledger"), folder.path().join("index"));
    let (log, _) = open(&ledger, "ledger.test");
    let call = Call { refused: false, ended: true, subject: Some((1, true)), ..calls(1..2)[0] };
    let written: [Entry; 2] = entries(&[call], 0).try_into().unwrap();
    let [Entry::Admitted(_), Entry::Finished(end)] = written else { panic!("other entries") };
    let later = subjects(7).remove(1);
    let concerned = Entry::Concerned(Concerned {
        exchange: call.exchange(),
        admitted: 0,
        time: call.time(),
        period: later.period.clone(),
        pseudonyms: vec![later.pseudonym],
    });
    append(&log, &[call.first(), concerned, Entry::Finished(end)]);
    drop(filled(&to, &ledger, &log));
    let finder = Finder::new(&to, &ledger);
    let find = |subjects: Vec<_>| {
        let criteria = Criteria { subjects, ..Criteria::default() };
        finder.find(&criteria, None, 10).unwrap().exchanges.len()
    };
    assert_eq!(find(subjects(7)), 1, "whom the later entry names");
    assert_eq!(find(subjects(1)), 1, "whom the admission names");
    assert_eq!(find(subjects(2)), 0);
    log.close().unwrap();
}
