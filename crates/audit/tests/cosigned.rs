//! Checkpoints that witnesses cosigned: kept over restarts and crashes, held against the ledger.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails may panic")]
#![allow(clippy::indexing_slicing, reason = "a test that fails may panic")]

mod common;

use std::fs;
use std::path::Path;

use audit::{CosignedLog, Log, Verified, VerifyError, newest_checkpoint, verify_folder};
use common::{append, options, origin, signer};
use tlog::{Checkpoint, Cosigner, Note, Signer, tree};

fn verify(folder: &Path) -> Result<Verified, VerifyError> {
    verify_folder(folder, Some(&signer().verifying_key()), &mut |_, _| Ok(()), &mut |_, _| {})
}

fn witness() -> Cosigner {
    Cosigner::generate("witness.example.vn".parse().unwrap()).unwrap().0
}

/// The newest checkpoint with a cosignature.
fn cosigned(folder: &Path, witness: &Cosigner, time: u64) -> Note {
    let mut note: Note = fs::read_to_string(folder.join("checkpoint")).unwrap().parse().unwrap();
    note.add(witness.cosign(note.text(), time)).unwrap();
    note
}

/// A ledger that was cosigned three times.
fn ledger(folder: &Path) -> Vec<Note> {
    let (witness, mut notes) = (witness(), Vec::new());
    for time in 0..3 {
        let (log, _) = Log::open(options(folder)).unwrap();
        append(&log, time * 4..time * 4 + 4);
        log.close().unwrap();
        let (log, _) = Log::open(options(folder)).unwrap();
        let mut kept = CosignedLog::open(&log).unwrap();
        assert_eq!(kept.last(), notes.last());
        let note = cosigned(folder, &witness, time);
        kept.append(&note).unwrap();
        assert_eq!(kept.last(), Some(&note));
        notes.push(note);
        log.close().unwrap();
    }
    notes
}

#[test]
fn what_was_cosigned_is_kept_and_is_of_the_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let notes = ledger(folder.path());
    let read: Vec<Note> = audit::cosigned(folder.path()).unwrap().map(Result::unwrap).collect();
    assert_eq!(read, notes);
    let verified = verify(folder.path()).unwrap();
    assert_eq!((verified.cosigned_size, verified.unknown_files.len()), (12, 0));
    let (log, _) = Log::open(options(folder.path())).unwrap();
    append(&log, 12..15);
    assert_eq!(audit::written_after(&log, 15).unwrap(), None);
    assert!(audit::written_after(&log, 12).unwrap().is_some());
    log.close().unwrap();
    assert_eq!(verify(folder.path()).unwrap().cosigned_size, 12);
    // The one that more signed, as long as it reaches far enough.
    let newest = |index| newest_checkpoint(folder.path(), index).unwrap();
    assert_eq!(newest(11).unwrap().0, notes[2]);
    assert_eq!(newest(12).unwrap().1.size, 15);
    assert_eq!(newest(15), None);
}

#[test]
fn a_torn_end_is_cut_and_a_changed_byte_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let notes = ledger(folder.path());
    let path = folder.path().join("cosigned.log");
    let whole = fs::read(&path).unwrap();
    let last = whole.len() - notes[2].to_string().len() - 10;
    for cut in last + 1..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let torn = verify(folder.path());
        assert!(matches!(&torn, Err(VerifyError::Torn { offset, .. }) if *offset == last as u64));
        let (log, _) = Log::open(options(folder.path())).unwrap();
        assert_eq!(CosignedLog::open(&log).unwrap().last(), Some(&notes[1]));
        log.close().unwrap();
        assert_eq!(fs::read(&path).unwrap(), whole[..last]);
    }
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        fs::write(&path, changed).unwrap();
        let found = verify(folder.path());
        let told = matches!(found, Err(VerifyError::Damaged { .. } | VerifyError::Torn { .. }));
        assert!(told, "byte {at}: {found:?}");
    }
}

#[test]
fn a_checkpoint_of_another_history_is_found() {
    let folder = tempfile::tempdir().unwrap();
    ledger(folder.path());
    let path = folder.path().join("cosigned.log");
    let whole = fs::read(&path).unwrap();
    let note = |signer: &Signer, size| {
        let checkpoint = Checkpoint { origin: origin(), size, root_hash: tree::empty_root() };
        Note::sign(&checkpoint.to_string(), signer).unwrap()
    };
    let stranger = Signer::generate(origin()).unwrap().0;
    let other = "a checkpoint that is not among those of `checkpoints.log`";
    let cases = [
        (note(&signer(), 12), other),
        (note(&signer(), 13), other),
        (cosigned(folder.path(), &witness(), 9), ""),
        (note(&stranger, 12), "a checkpoint that no key of this ledger signed"),
    ];
    for (note, expected) in cases {
        fs::write(&path, &whole).unwrap();
        let (log, _) = Log::open(options(folder.path())).unwrap();
        CosignedLog::open(&log).unwrap().append(&note).unwrap();
        log.close().unwrap();
        match verify(folder.path()) {
            Ok(_) => assert_eq!(expected, "", "{note}"),
            Err(VerifyError::Damaged { offset, what, .. }) => {
                assert_eq!((offset, what.as_str()), (whole.len() as u64, expected));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// A start reads the end of a long file only.
#[test]
fn the_last_of_many_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let notes = ledger(folder.path());
    let path = folder.path().join("cosigned.log");
    let (log, _) = Log::open(options(folder.path())).unwrap();
    let mut kept = CosignedLog::open(&log).unwrap();
    for time in 0..1500 {
        kept.append(&cosigned(folder.path(), &witness(), time)).unwrap();
    }
    let last = cosigned(folder.path(), &witness(), 7777);
    kept.append(&last).unwrap();
    assert!(fs::metadata(&path).unwrap().len() > 400_000);
    assert_eq!(CosignedLog::open(&log).unwrap().last(), Some(&last));
    assert_eq!(newest_checkpoint(folder.path(), 0).unwrap().unwrap().0, last);
    log.close().unwrap();
    assert_eq!(audit::cosigned(folder.path()).unwrap().count(), notes.len() + 1501);
    assert_eq!(verify(folder.path()).unwrap().cosigned_size, 12);
}
