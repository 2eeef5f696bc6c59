//! Faults in sealing, archiving and removing: nothing that was durable is lost, the ledger never
//! stops for them, and what was cut is finished later.

use std::path::PathBuf;

use super::*;
use crate::{Archive, Keys, RemoveError, Sealing, Source, verify};

const NAME_FAULTS: [Fault; 2] = [Fault::NameLost, Fault::NameDone];
/// Entries of a test's ledger: more than two segments are left.
const ENTRIES: u64 = 14;

/// A ledger that seals and archives at once, in folders of its own.
struct Site {
    folder: tempfile::TempDir,
    archive: tempfile::TempDir,
    keys: Keys,
}

impl Site {
    fn new() -> Self {
        let mut keys = Keys::default();
        keys.add("2026-a", &Keys::generate().unwrap()).unwrap();
        let dir = || tempfile::tempdir().unwrap();
        Self { folder: dir(), archive: dir(), keys }
    }

    fn options(&self) -> Options {
        let mut options = options(self.folder.path());
        let mut sealing = Sealing::new(self.keys.clone(), Some("2026-a".into()));
        sealing.level = 1;
        sealing.retry_pause = Duration::from_millis(1);
        sealing.term = Arc::new(|_| Duration::ZERO);
        options.sealing = Some(sealing);
        let folder = self.archive.path().into();
        options.archive = Some(Archive { folder, after: Duration::ZERO });
        options
    }

    fn source(&self) -> Source {
        Source {
            folder: self.folder.path().into(),
            archives: vec![self.archive.path().into()],
            keys: self.keys.clone(),
        }
    }

    /// Waits until all left segments are sealed and archived, or the disk died. Then there are the
    /// segment in use and those prepared.
    fn settle(&self, log: &Log, dead: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !dead() && (self.count("log") != 3 || self.count("sealed") > 0) {
            assert!(Instant::now() < deadline, "not settled: {:?}", log.status().keeping);
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn count(&self, extension: &str) -> usize {
        let is_segment = |path: &&PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with("segment-") && path.extension().is_some_and(|e| e == extension)
        };
        self.files().iter().filter(is_segment).count()
    }

    fn files(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.folder.path()).unwrap();
        files.map(|file| file.unwrap().path()).collect()
    }

    /// Opens on a sound disk, lets it settle, and reads all again.
    fn check(&self, durable: u64) {
        let (log, recovered) = Log::open(self.options()).unwrap();
        assert!(recovered.entries >= durable, "{} of {durable}", recovered.entries);
        let next = log.append(&entry(recovered.entries)).unwrap();
        assert_eq!(next.wait().unwrap().index(), recovered.entries);
        self.settle(&log, || false);
        log.close().unwrap();
        self.check_closed(recovered.entries + 1);
    }

    fn check_closed(&self, entries: u64) {
        let mut next = 0;
        let mut on_entry = |index: u64, bytes: &[u8]| {
            assert_eq!((index, bytes), (next, entry(next).as_slice()));
            next += 1;
            Ok(())
        };
        let verified = verify(&self.source(), None, &mut on_entry, &mut |_, _| {}).unwrap();
        assert_eq!((next, verified.entries), (entries, entries));
        assert_eq!(verified.unknown_files, Vec::<PathBuf>::new());
        assert!(verified.sealed_segments > 0, "{verified:?}");
        assert_eq!((self.count("sealed"), self.count("tmp")), (0, 0));
    }
}

/// Every operation of sealing and archiving, and its faults.
fn cases() -> impl Iterator<Item = (Step, usize, Fault)> {
    let written = |step, writes: usize, names: usize| {
        let of_writes = (0..writes).flat_map(move |after| {
            FAULTS
                .into_iter()
                .filter(|fault| fault.kind() == Kind::Write)
                .map(move |f| (step, after, f))
        });
        let of_syncs = FAULTS
            .into_iter()
            .filter(|fault| fault.kind() == Kind::Sync)
            .map(move |f| (step, 0, f));
        let of_names = (0..names)
            .flat_map(move |after| NAME_FAULTS.into_iter().map(move |f| (step, after, f)));
        of_writes.chain(of_syncs).chain(of_names)
    };
    // Heads, block and tail; rename, sync of the folder, removal of the raw segment.
    written(Step::Seal, 3, 3).chain(written(Step::Archive, 1, 3)).chain(written(Step::Stub, 1, 2))
}

#[test]
fn a_machine_that_dies_while_keeping_loses_nothing() {
    for (step, after, fault) in cases() {
        let site = Site::new();
        let disk = FaultyDisk::new(Some((step, after, fault)));
        let (log, _) = Log::open_on(site.options(), Arc::clone(&disk) as _).unwrap();
        let durable = append_until_refused(&log, ENTRIES);
        site.settle(&log, || disk.plan.lock().dead);
        assert!(disk.plan.lock().dead, "{step:?} {after} {fault:?} did not show");
        drop(log);
        site.check(durable);
    }
}

#[test]
fn a_ledger_goes_on_when_keeping_fails_and_tries_again() {
    for (step, after, fault) in cases() {
        let site = Site::new();
        let disk = FaultyDisk::new(Some((step, after, fault)));
        disk.change(|plan| plan.lives_on = true);
        let (log, _) = Log::open_on(site.options(), Arc::clone(&disk) as _).unwrap();
        assert_eq!(append_until_refused(&log, ENTRIES), ENTRIES, "{step:?} {after} {fault:?}");
        site.settle(&log, || false);
        assert!(disk.plan.lock().fault.is_none(), "{step:?} {after} {fault:?} did not show");
        let status = log.status();
        assert_eq!((status.trouble, status.keeping.failed), (None, 1));
        log.close().unwrap();
        site.check_closed(ENTRIES);
    }
}

/// Says which segment it is of, and holds the root hash.
fn record(expired: &crate::Expired) -> Vec<u8> {
    [&b"removed: "[..], &expired.segment.to_le_bytes(), &expired.root_hash].concat()
}

#[test]
fn a_removal_that_is_cut_is_finished_or_done_again() {
    let write_faults = FAULTS.into_iter().map(|fault| (Step::Stub, fault));
    let names = [Step::Stub, Step::Expire].into_iter();
    let name_faults = names.flat_map(|step| NAME_FAULTS.map(|fault| (step, fault)));
    for (step, fault) in write_faults.chain(name_faults) {
        for after in if fault.kind() == Kind::Name { 0..2 } else { 0..1 } {
            let site = Site::new();
            let (log, _) = Log::open(site.options()).unwrap();
            append_until_refused(&log, ENTRIES);
            site.settle(&log, || false);
            log.close().unwrap();

            let disk = FaultyDisk::new(Some((step, after, fault)));
            let (log, _) = Log::open_on(site.options(), disk).unwrap();
            let expired = log.expired().unwrap();
            let first = expired.first().unwrap();
            let removed = log.remove_expired(first, &record(first));
            assert!(matches!(removed, Err(RemoveError::Files(_))), "{step:?} {after} {fault:?}");
            drop(log);
            // The record is in the ledger, whatever became of the entries.
            let (log, recovered) = Log::open(site.options()).unwrap();
            assert_eq!(recovered.entries, ENTRIES + 1);
            if let Some(again) = log.expired().unwrap().iter().find(|again| *again == first) {
                log.remove_expired(again, &record(again)).unwrap();
            }
            let copy = crate::folder::sealed_path(site.archive.path(), first.segment);
            let deadline = Instant::now() + Duration::from_secs(20);
            while copy.exists() || site.count("gone") == 0 {
                assert!(Instant::now() < deadline, "{step:?} {after} {fault:?}");
                std::thread::sleep(Duration::from_millis(2));
            }
            log.close().unwrap();
            let mut first_read = None;
            let mut on_entry = |index: u64, _: &[u8]| {
                first_read.get_or_insert(index);
                Ok(())
            };
            let verified = verify(&site.source(), None, &mut on_entry, &mut |_, _| {}).unwrap();
            assert_eq!(verified.removed.len(), 1);
            assert_eq!(first_read, Some(first.count));
        }
    }
}
