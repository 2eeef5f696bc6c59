//! All checkpoints are kept, none contradicts another, and a new key is introduced by the old.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that fails may panic"
)]

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use audit::{Log, OpenError, Options, Verified, VerifyError, verify_folder};
use common::{append, entry, options, origin, signer};
use tlog::note::{Checkpoint, Note};
use tlog::{Signer, VerifyingKey, tree};

fn verify(folder: &Path, key: Option<&VerifyingKey>) -> Result<Verified, VerifyError> {
    verify_folder(folder, key, &mut |_, _| Ok(()), &mut |_, _| {})
}

/// The notes in the file.
fn kept(folder: &Path) -> Vec<Note> {
    let text = fs::read_to_string(folder.join("checkpoints.log")).unwrap();
    let notes = text.strip_suffix("\x0c\n").unwrap().split("\x0c\n");
    notes.map(|note| note.parse().unwrap()).collect()
}

fn keep(folder: &Path, notes: &[Note]) {
    let text: String = notes.iter().map(|note| format!("{note}\x0c\n")).collect();
    fs::write(folder.join("checkpoints.log"), text).unwrap();
}

fn ledger(folder: &Path, entries: std::ops::Range<u64>) {
    let (log, recovered) = Log::open(options(folder)).unwrap();
    assert_eq!(recovered.entries, entries.start);
    append(&log, entries);
    log.close().unwrap();
}

#[test]
fn every_checkpoint_is_kept_and_is_on_the_tree() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(folder.path());
    options.checkpoint_interval = Duration::from_millis(20);
    let (log, _) = Log::open(options).unwrap();
    let began = Instant::now();
    let mut entries = 0;
    while kept(folder.path()).len() < 6 {
        append(&log, entries..entries + 1);
        entries += 1;
        assert!(began.elapsed() < Duration::from_secs(20), "no checkpoints");
    }
    log.close().unwrap();
    let notes = kept(folder.path());
    let leaves: Vec<_> = (0..entries).map(|n| tree::leaf_hash(&entry(n))).collect();
    for note in &notes {
        note.verify(&signer().verifying_key()).unwrap();
        let Checkpoint { size, root_hash, .. } = note.text().parse().unwrap();
        assert_eq!(root_hash, tree::root(&leaves[..size as usize]));
    }
    assert_eq!(notes.last().unwrap().to_string(), {
        fs::read_to_string(folder.path().join("checkpoint")).unwrap()
    });
    let verified = verify(folder.path(), None).unwrap();
    assert_eq!((verified.checkpoints, verified.entries), (notes.len() as u64, entries));
    assert!(verified.key_changes.is_empty());
}

#[test]
fn an_entry_is_soon_covered_though_none_comes_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(folder.path());
    options.checkpoint_interval = Duration::from_millis(50);
    let (log, _) = Log::open(options).unwrap();
    append(&log, 0..1);
    let began = Instant::now();
    while kept(folder.path()).last().unwrap().text().lines().nth(1) != Some("1") {
        assert!(began.elapsed() < Duration::from_secs(20), "not covered");
        std::thread::sleep(Duration::from_millis(1));
    }
    log.close().unwrap();
}

#[test]
fn a_checkpoint_that_is_not_on_the_tree_is_named() {
    let folder = tempfile::tempdir().unwrap();
    (0..4).for_each(|start| ledger(folder.path(), start * 2..start * 2 + 2));
    let whole = kept(folder.path());
    assert_eq!(whole.len(), 5);
    let offset =
        |notes: &[Note]| notes.iter().map(|note| note.to_string().len() as u64 + 2).sum::<u64>();
    let check = |notes: &[Note], place: usize, expected: &str| {
        keep(folder.path(), notes);
        match verify(folder.path(), None) {
            Err(VerifyError::Damaged { file, offset: found, what }) => {
                assert!(file.ends_with("checkpoints.log"), "{}", file.display());
                assert_eq!((found, what.as_str()), (offset(&notes[..place]), expected));
            }
            other => panic!("{other:?}"),
        }
    };
    let forged = |size| {
        let checkpoint = Checkpoint { origin: origin(), size, root_hash: [7; 32] };
        Note::sign(&checkpoint.to_string(), &signer()).unwrap()
    };
    // A second root for a size, signed with the ledger's own key.
    let mut notes = whole.clone();
    notes.insert(3, forged(4));
    check(&notes, 3, "checkpoint over 4 entries is not one of these entries");
    // A smaller size after a larger one.
    let mut notes = whole.clone();
    notes.swap(1, 2);
    check(&notes, 2, "checkpoint over 2 entries is not one of these entries");
    // A stranger's.
    let mut notes = whole.clone();
    let (stranger, _) = Signer::generate(origin()).unwrap();
    notes[2] = Note::sign(notes[2].text(), &stranger).unwrap();
    check(&notes, 2, "not a checkpoint that a key of this ledger signed");
    // The end taken away.
    check(&whole[..3], 3, "the checkpoint over 8 entries is not in it");
    let opened = Log::open(options(folder.path())).map(|(_, recovered)| recovered);
    assert!(matches!(opened, Err(OpenError::Damaged { .. })), "{opened:?}");
    fs::remove_file(folder.path().join("checkpoints.log")).unwrap();
    assert!(matches!(verify(folder.path(), None), Err(VerifyError::Missing(_))));
    keep(folder.path(), &whole);
    assert_eq!(verify(folder.path(), None).unwrap().checkpoints, 5);
}

#[test]
fn a_checkpoint_that_was_signed_and_not_released_is_released() {
    let folder = tempfile::tempdir().unwrap();
    ledger(folder.path(), 0..2);
    let released = fs::read(folder.path().join("checkpoint")).unwrap();
    ledger(folder.path(), 2..5);
    let newest = fs::read(folder.path().join("checkpoint")).unwrap();
    fs::write(folder.path().join("checkpoint"), released).unwrap();
    assert_eq!(verify(folder.path(), None).unwrap().checkpoint_size, 2);
    ledger(folder.path(), 5..5);
    assert_eq!(fs::read(folder.path().join("checkpoint")).unwrap(), newest);
    assert_eq!(kept(folder.path()).len(), 3, "not signed a second time");
}

#[test]
fn entries_that_only_the_history_vouches_for_are_missed() {
    let folder = tempfile::tempdir().unwrap();
    ledger(folder.path(), 0..2);
    let segment = folder.path().join("segment-0000000000.log");
    let before = [fs::read(&segment).unwrap(), fs::read(folder.path().join("checkpoint")).unwrap()];
    ledger(folder.path(), 2..5);
    // Segment and checkpoint are set back: two other entries would give a second history.
    fs::write(&segment, &before[0]).unwrap();
    fs::write(folder.path().join("checkpoint"), &before[1]).unwrap();
    let opened = Log::open(options(folder.path())).map(|(_, recovered)| recovered);
    assert!(matches!(opened, Err(OpenError::LostEntries { vouched: 5, found: 2 })), "{opened:?}");
    let verified = verify(folder.path(), None);
    assert!(matches!(verified, Err(VerifyError::LostEntries { vouched: 5, found: 2 })));
}

fn rotated(folder: &Path, new: &Arc<Signer>, previous: Option<&Arc<Signer>>) -> Options {
    let mut options = options(folder);
    (options.signer, options.previous) = (Arc::clone(new), previous.cloned());
    options
}

#[test]
fn a_key_that_the_old_one_vouched_for_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let keys: Vec<_> = (0..3).map(|_| Arc::new(Signer::generate(origin()).unwrap().0)).collect();
    let mut entries = 0;
    for (place, key) in keys.iter().enumerate() {
        let previous = place.checked_sub(1).map(|before| &keys[before]);
        // The old key is given for as long as one likes; it signs once.
        for _ in 0..2 {
            let (log, _) = Log::open(rotated(folder.path(), key, previous)).unwrap();
            append(&log, entries..entries + 2);
            entries += 2;
            log.close().unwrap();
        }
    }
    let both = kept(folder.path()).iter().filter(|note| note.signatures().len() == 2).count();
    assert_eq!(both, 2);
    for key in &keys {
        let verified = verify(folder.path(), Some(&key.verifying_key())).unwrap();
        assert_eq!((verified.key, verified.key_given), (keys[2].verifying_key(), true));
        let changes: Vec<_> = verified.key_changes.iter().map(|c| (c.size, c.vouched)).collect();
        assert_eq!(changes, [(4, true), (8, true)]);
    }
}

#[test]
fn a_key_that_the_old_one_did_not_vouch_for_is_told() {
    let folder = tempfile::tempdir().unwrap();
    ledger(folder.path(), 0..3);
    let (new, _) = Signer::generate(origin()).unwrap();
    let (stranger, _) = Signer::generate(origin()).unwrap();
    // A key that never signed here vouches for nothing.
    let options = rotated(folder.path(), &Arc::new(new), Some(&Arc::new(stranger)));
    let new = options.signer.verifying_key();
    Log::open(options).unwrap().0.close().unwrap();
    let verified = verify(folder.path(), Some(&new)).unwrap();
    assert!(!verified.key_changes[0].vouched);
    let old = signer().verifying_key();
    let expected = format!(
        "the key changed after 3 entries from `{old}` to `{new}` without the old key's word"
    );
    assert_eq!(verify(folder.path(), Some(&old)).unwrap_err().to_string(), expected);
}

#[test]
fn a_crash_between_new_segment_and_its_checkpoint_loses_no_word() {
    let folder = tempfile::tempdir().unwrap();
    ledger(folder.path(), 0..3);
    let files = ["checkpoint", "checkpoints.log"].map(|file| folder.path().join(file));
    let before = files.clone().map(|file| fs::read(file).unwrap());
    let new = Arc::new(Signer::generate(origin()).unwrap().0);
    let open = || Log::open(rotated(folder.path(), &new, Some(&signer()))).unwrap().0;
    open().close().unwrap();
    // The header is there, the checkpoint not yet.
    files.iter().zip(before).for_each(|(file, bytes)| fs::write(file, bytes).unwrap());
    let log = open();
    append(&log, 3..5);
    log.close().unwrap();
    let verified = verify(folder.path(), Some(&signer().verifying_key())).unwrap();
    assert_eq!((verified.key, verified.entries), (new.verifying_key(), 5));
}
