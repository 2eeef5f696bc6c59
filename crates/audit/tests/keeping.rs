//! Sealed, archived and removed segments through the crate's public door.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that fails may panic"
)]

mod common;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use audit::{
    Absence, Archive, Keys, Log, OpenError, Options, ReadError, Record, RemoveError, Sealing,
    Source, Verified, VerifyError, records, verify,
};
use common::{StoppedClock, entry, options, signer};
use model::Clock;

const KEY_A: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const KEY_B: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";

fn keys(of: &[(&str, &str)]) -> Keys {
    let mut keys = Keys::default();
    of.iter().for_each(|(id, text)| keys.add(id, text).unwrap());
    keys
}

fn sealing(options: &mut Options, keys: Keys, seal_with: Option<&str>) {
    let mut sealing = Sealing::new(keys, seal_with.map(Into::into));
    sealing.retry_pause = Duration::from_millis(1);
    options.sealing = Some(sealing);
}

/// Entries that do not compress, some six to a segment of the smallest size.
fn large(number: u64) -> Vec<u8> {
    let mut state = number + 1;
    let mut entry = entry(number);
    entry.extend(
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .take(20_000),
    );
    entry
}

fn append(log: &Log, numbers: std::ops::Range<u64>) {
    for number in numbers {
        assert_eq!(log.append(&large(number)).unwrap().wait().unwrap().index(), number);
    }
}

/// Waits until no more than the three newest segments are raw, and what is to be archived is.
fn settle(log: &Log, folder: &Path, archives: bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let is_written = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        let mut first = [0];
        let read = fs::File::open(path).and_then(|mut file| file.read(&mut first));
        // Those that are prepared are blank.
        name.starts_with("segment-") && read.is_ok() && first != [0]
    };
    while with_extension(folder, "log").iter().filter(|path| is_written(path)).count() > 1
        || (archives && !with_extension(folder, "sealed").is_empty())
    {
        assert!(Instant::now() < deadline, "{:?}", log.status().keeping);
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The segments whose files have this extension.
fn with_extension(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let is_segment = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("segment-") && path.extension().is_some_and(|e| e == extension)
    };
    let mut files: Vec<_> = files.filter(is_segment).collect();
    files.sort();
    files
}

fn check(source: &Source) -> Result<Verified, VerifyError> {
    let key = signer().verifying_key();
    verify(source, Some(&key), &mut |_, _| Ok(()), &mut |_, _| {})
}

fn read(source: &Source, from: u64) -> Vec<(u64, Vec<u8>)> {
    records(source, from)
        .unwrap()
        .map(|record| {
            let Record { index, time, entry } = record.unwrap();
            assert_eq!(time, StoppedClock.now());
            (index, entry)
        })
        .collect()
}

fn expected(numbers: std::ops::Range<u64>) -> Vec<(u64, Vec<u8>)> {
    numbers.map(|number| (number, large(number))).collect()
}

/// A ledger of 30 entries in sealed segments, the last ones raw.
fn sealed_ledger(folder: &Path, keys_given: Keys, seal_with: Option<&str>) {
    let mut options = options(folder);
    sealing(&mut options, keys_given, seal_with);
    let (log, _) = Log::open(options).unwrap();
    append(&log, 0..30);
    settle(&log, folder, false);
    assert_eq!(log.status().keeping.trouble, None);
    log.close().unwrap();
}

#[test]
fn a_sealed_ledger_verifies_reads_and_goes_on() {
    for seal_with in [None, Some("a")] {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(&[("a", KEY_A)]);
        sealed_ledger(folder.path(), keys.clone(), seal_with);
        let source = Source { keys, ..Source::folder(folder.path().into()) };
        let verified = check(&source).unwrap();
        assert_eq!(verified.entries, 30);
        assert!(verified.sealed_segments > 2, "{verified:?}");
        for from in [0, 1, 7, 12, 13, 29, 30] {
            assert_eq!(read(&source, from), expected(from..30));
        }
        // Without sealing, and without keys, the ledger opens and takes entries.
        let (log, recovered) = Log::open(options(folder.path())).unwrap();
        assert_eq!((recovered.entries, recovered.root_hash), (30, verified.root_hash));
        append(&log, 30..33);
        log.close().unwrap();
        assert_eq!(check(&source).unwrap().entries, 33);
    }
}

#[test]
fn old_segments_open_with_old_keys() {
    let folder = tempfile::tempdir().unwrap();
    sealed_ledger(folder.path(), keys(&[("a", KEY_A)]), Some("a"));
    let mut options = options(folder.path());
    sealing(&mut options, keys(&[("a", KEY_A), ("b", KEY_B)]), Some("b"));
    let (log, _) = Log::open(options.clone()).unwrap();
    append(&log, 30..50);
    settle(&log, folder.path(), false);
    log.close().unwrap();
    let source = |keys| Source { keys, ..Source::folder(folder.path().into()) };
    let both = keys(&[("a", KEY_A), ("b", KEY_B)]);
    assert_eq!(check(&source(both.clone())).unwrap().entries, 50);
    assert_eq!(read(&source(both), 0), expected(0..50));

    // Without a key it is told which segments stay shut, and what holds all the same.
    let Err(VerifyError::Unread(unread)) = check(&source(keys(&[("b", KEY_B)]))) else {
        panic!("a shut segment passed");
    };
    assert_eq!((unread.proved.entries, unread.proved.checkpoint_size), (50, 50));
    assert_eq!(unread.segments[0].why, "key `a` was not given");
    let read: Vec<_> = records(&source(keys(&[("b", KEY_B)])), 3).unwrap().collect();
    let Err(ReadError::Absent { first_index: 0, next_index, absence: Absence::Shut(_) }) = read[0]
    else {
        panic!("{:?}", read[0]);
    };
    let gaps = read.iter().filter(|item| item.is_err()).count() as u64;
    assert_eq!(gaps, unread.segments.len() as u64);
    assert!(next_index > 3);
    // A key of the same id that is another opens nothing.
    let Err(VerifyError::Unread(unread)) = check(&source(keys(&[("a", KEY_B), ("b", KEY_B)])))
    else {
        panic!("a wrong key passed");
    };
    assert_eq!(unread.segments[0].why, "the key given as `a` is not the one it needs");

    sealing(&mut options, keys(&[("a", KEY_A)]), Some("c"));
    assert!(matches!(Log::open(options), Err(OpenError::SealingKey(id)) if id == "c"));
}

#[test]
fn every_changed_byte_of_a_sealed_segment_is_found_and_named() {
    for seal_with in [None, Some("a")] {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(&[("a", KEY_A)]);
        sealed_ledger(folder.path(), keys.clone(), seal_with);
        let source = Source { keys, ..Source::folder(folder.path().into()) };
        let path = with_extension(folder.path(), "sealed").remove(1);
        let good = fs::read(&path).unwrap();
        let mut bytes = good.clone();
        let (heads, tail) = (0..300, good.len() - 500..good.len());
        let places = heads.chain(500..700).chain((700..tail.start).step_by(4099)).chain(tail);
        for at in places {
            bytes[at] ^= 1 << (at % 8);
            fs::write(&path, &bytes).unwrap();
            match check(&source) {
                Err(VerifyError::Damaged { file, offset, .. }) => {
                    assert_eq!((file, offset), (path.clone(), at as u64));
                }
                other => panic!("byte {at} of {}: {other:?}", path.display()),
            }
            bytes[at] = good[at];
        }
        // Longer, shorter, exchanged.
        for bytes in [&[&good[..], &[0]].concat()[..], &good[..good.len() - 1], &good[..4000], b""]
        {
            fs::write(&path, bytes).unwrap();
            assert!(matches!(check(&source), Err(VerifyError::Damaged { .. })));
        }
        fs::write(&path, fs::read(with_extension(folder.path(), "sealed").remove(0)).unwrap())
            .unwrap();
        assert!(matches!(check(&source), Err(VerifyError::Damaged { offset: 16, .. })));
        fs::write(&path, &good).unwrap();
        check(&source).unwrap();
        // A missing file is an error for the verifier, for a reader, and at the next start.
        fs::remove_file(&path).unwrap();
        assert!(matches!(check(&source), Err(VerifyError::Missing(_))));
        let last = records(&source, 0).unwrap().last().unwrap();
        assert!(matches!(last, Err(ReadError::Unreadable { .. })));
        assert!(matches!(Log::open(options(folder.path())), Err(OpenError::MissingSegment(_))));
    }
}

/// Says whose root it is.
fn record(expired: &audit::Expired) -> Vec<u8> {
    [&b"removed after its term: "[..], &expired.root_hash].concat()
}

#[test]
fn an_archived_ledger_verifies_and_its_oldest_may_go() {
    let (folder, archive) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let keys = keys(&[("a", KEY_A)]);
    let mut options = options(folder.path());
    sealing(&mut options, keys.clone(), Some("a"));
    // Entries under ten are kept for a day, the rest for ever.
    let term = |entry: &[u8]| match entry.starts_with(b"entry 0") || entry[7] == b' ' {
        true => Duration::ZERO,
        false => Duration::from_secs(86_400),
    };
    options.sealing.as_mut().unwrap().term = Arc::new(term);
    options.archive = Some(Archive { folder: archive.path().into(), after: Duration::ZERO });
    let (log, _) = Log::open(options.clone()).unwrap();
    append(&log, 0..30);
    settle(&log, folder.path(), true);
    // By the stopped clock no term is over yet: it has to be later than the entry.
    assert_eq!(log.expired().unwrap(), []);
    log.close().unwrap();

    let with_archive = Source {
        folder: folder.path().into(),
        archives: vec![archive.path().into()],
        keys: keys.clone(),
    };
    let verified = check(&with_archive).unwrap();
    assert_eq!((verified.entries, verified.removed.len()), (30, 0));
    assert_eq!(read(&with_archive, 0), expected(0..30));
    // Without the archive the tree is followed all the same, and that is said.
    let without = Source { archives: Vec::new(), ..with_archive.clone() };
    let Err(VerifyError::Unread(unread)) = check(&without) else {
        panic!("an archive that is away passed");
    };
    assert_eq!(unread.proved.root_hash, verified.root_hash);

    options.clock = Arc::new(LaterClock);
    let (log, _) = Log::open(options).unwrap();
    let expired = log.expired().unwrap();
    assert_eq!(expired.len(), 1, "{expired:?}");
    let refused = log.remove_expired(&expired[0], b"without the root hash");
    assert!(matches!(refused, Err(RemoveError::Record(0))));
    assert_eq!(log.remove_expired(&expired[0], &record(&expired[0])).unwrap(), 30);
    assert_eq!(log.expired().unwrap(), []);
    assert!(log.remove_expired(&expired[0], &record(&expired[0])).is_err());
    log.close().unwrap();

    let verified = check(&with_archive).unwrap();
    assert_eq!(verified.entries, 31);
    assert_eq!((verified.removed[0].segment, verified.removed[0].recorded), (0, 30));
    assert_eq!(with_extension(archive.path(), "sealed").len() as u64, verified.sealed_segments);
    let mut rest = records(&with_archive, 0).unwrap();
    let gap = rest.next().unwrap().unwrap_err();
    let ReadError::Absent { next_index, absence: Absence::Gone { recorded: 30 }, .. } = gap else {
        panic!("{gap}");
    };
    assert_eq!(rest.next().unwrap().unwrap().index, next_index);
    assert_eq!(rest.map(Result::unwrap).last().unwrap().entry, record(&expired[0]));

    // A stub that points to another entry is found.
    let gone = with_extension(folder.path(), "gone").remove(0);
    let mut bytes = fs::read(&gone).unwrap();
    bytes[152] = 29;
    let crc = crc32c::crc32c(&bytes[..508]);
    bytes[508..512].copy_from_slice(&crc.to_le_bytes());
    fs::write(&gone, bytes).unwrap();
    let error = check(&with_archive).unwrap_err().to_string();
    assert!(error.ends_with("byte 152: entry 29 does not record this removal"), "{error}");
}

struct LaterClock;

impl Clock for LaterClock {
    fn now(&self) -> model::Timestamp {
        StoppedClock.now().after(Duration::from_secs(3600))
    }
}

#[test]
fn an_exchanged_copy_in_the_archive_is_found() {
    let (folder, archive) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut options = options(folder.path());
    sealing(&mut options, Keys::default(), None);
    options.archive = Some(Archive { folder: archive.path().into(), after: Duration::ZERO });
    let (log, _) = Log::open(options).unwrap();
    append(&log, 0..30);
    settle(&log, folder.path(), true);
    log.close().unwrap();
    // The same segment, sealed again with a key: true, and not what was archived.
    let other = tempfile::tempdir().unwrap();
    sealed_ledger(other.path(), keys(&[("a", KEY_A)]), Some("a"));
    let name = "segment-0000000001.sealed";
    fs::copy(other.path().join(name), archive.path().join(name)).unwrap();
    let source = Source {
        folder: folder.path().into(),
        archives: vec![archive.path().into()],
        keys: keys(&[("a", KEY_A)]),
    };
    let error = check(&source).unwrap_err().to_string();
    assert!(error.contains("not the file that was archived"), "{error}");
}

/// A stub that somebody put there does not make the gateway remove what is archived.
#[test]
fn a_forged_stub_removes_nothing() {
    let (folder, archive) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut options = options(folder.path());
    sealing(&mut options, keys(&[("a", KEY_A)]), Some("a"));
    options.archive = Some(Archive { folder: archive.path().into(), after: Duration::ZERO });
    let (log, _) = Log::open(options.clone()).unwrap();
    append(&log, 0..30);
    settle(&log, folder.path(), true);
    log.close().unwrap();
    let stub = with_extension(folder.path(), "archived").remove(0);
    let mut bytes = fs::read(&stub).unwrap();
    (bytes[10], bytes[152]) = (3, 29);
    let crc = crc32c::crc32c(&bytes[..508]);
    bytes[508..512].copy_from_slice(&crc.to_le_bytes());
    let gone = stub.with_extension("gone");
    fs::write(&gone, bytes).unwrap();
    let (log, _) = Log::open(options.clone()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while log.status().keeping.trouble.is_none() {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(2));
    }
    let trouble = log.status().keeping.trouble.unwrap();
    assert!(trouble.contains("no entry that records this removal"), "{trouble}");
    log.close().unwrap();
    assert!(stub.exists() && with_extension(archive.path(), "sealed").len() > 2);
    assert!(matches!(check(&options.source()), Err(VerifyError::Damaged { offset: 152, .. })));
    fs::remove_file(gone).unwrap();
    assert_eq!(check(&options.source()).unwrap().entries, 30);
}

/// A segment without entries, left for a new signing key, is sealed like any other.
#[test]
fn a_new_signing_key_and_an_empty_segment_are_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path());
    drop(Log::open(options.clone()).unwrap());
    let (other, _) = tlog::Signer::generate(common::origin()).unwrap();
    let mut options = Options { signer: Arc::new(other), ..options };
    sealing(&mut options, Keys::default(), None);
    let (log, _) = Log::open(options.clone()).unwrap();
    append(&log, 0..20);
    settle(&log, folder.path(), false);
    log.close().unwrap();
    let key = options.signer.verifying_key();
    let source = options.source();
    let verified = verify(&source, Some(&key), &mut |_, _| Ok(()), &mut |_, _| {}).unwrap();
    assert_eq!((verified.entries, verified.checkpoint_size), (20, 20));
    assert_eq!(read(&source, 0), expected(0..20));
    assert!(with_extension(folder.path(), "sealed")[0].ends_with("segment-0000000000.sealed"));
}

/// Readers and verifiers meet segments in every form, and while they change it.
#[test]
fn a_ledger_is_read_and_verified_while_it_is_sealed_and_archived() {
    let (folder, archive) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut options = options(folder.path());
    options.checkpoint_interval = Duration::from_millis(1);
    sealing(&mut options, keys(&[("a", KEY_A)]), Some("a"));
    options.archive = Some(Archive { folder: archive.path().into(), after: Duration::ZERO });
    let (log, _) = Log::open(options.clone()).unwrap();
    append(&log, 0..1);
    let appended = std::sync::atomic::AtomicU64::new(1);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut passes = 0;
            loop {
                let least = appended.load(std::sync::atomic::Ordering::SeqCst);
                let found = read(&options.source(), 0);
                assert!(found.len() as u64 >= least, "{} of {least}", found.len());
                assert_eq!(found, expected(0..found.len() as u64));
                assert!(check(&options.source()).unwrap().entries >= least);
                passes += 1;
                if least == 120 {
                    return passes;
                }
            }
        });
        for number in 1..120 {
            append(&log, number..number + 1);
            appended.store(number + 1, std::sync::atomic::Ordering::SeqCst);
        }
        assert!(reader.join().unwrap() > 1);
    });
    settle(&log, folder.path(), true);
    let keeping = log.status().keeping;
    assert_eq!((keeping.failed, keeping.trouble), (0, None));
    log.close().unwrap();
    assert_eq!(check(&options.source()).unwrap().entries, 120);
}
