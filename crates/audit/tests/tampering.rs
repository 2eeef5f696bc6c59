//! Every change of a ledger folder is found, and the byte is named.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that fails may panic"
)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use audit::{Log, Verified, VerifyError, verify_folder};
use common::{append, entry, options, signer};

fn verify(folder: &Path) -> Result<Verified, VerifyError> {
    verify_folder(folder, None, &mut |_, _| Ok(()), &mut |_, _| {})
}

/// Two segments in use, two prepared.
fn small_ledger(folder: &Path) -> u64 {
    let (log, _) = Log::open(options(folder)).unwrap();
    append(&log, 0..3);
    // Two large entries do not fit into what is left of the first segment.
    for _ in 0..2 {
        log.append(&vec![b'x'; 65_000]).unwrap().wait().unwrap();
    }
    log.append(&entry(5)).unwrap().wait().unwrap();
    log.close().unwrap();
    6
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn a_whole_ledger_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let entries = small_ledger(folder.path());
    fs::write(folder.path().join("notes.txt"), "an operator's").unwrap();
    let mut seen = Vec::new();
    let key = signer().verifying_key();
    let mut on_entry = |index: u64, bytes: &[u8]| {
        seen.push((index, bytes.len()));
        Ok(())
    };
    let mut last = (0, 0);
    let verified = verify_folder(folder.path(), Some(&key), &mut on_entry, &mut |done, total| {
        assert!(done >= last.0 && done <= total);
        last = (done, total);
    })
    .unwrap();
    assert_eq!(last.0, last.1);
    assert_eq!((verified.entries, verified.checkpoint_size), (entries, entries));
    assert_eq!((verified.segments, verified.live, verified.key_given), (2, false, true));
    assert_eq!(verified.unknown_files, [folder.path().join("notes.txt")]);
    assert_eq!(seen.len() as u64, entries);
    let read: Vec<_> = audit::entries(folder.path(), 2).unwrap().map(Result::unwrap).collect();
    assert_eq!(read.len() as u64, entries - 2);
    assert_eq!(read.first().unwrap(), &(2, entry(2)));
    assert_eq!(read.last().unwrap(), &(5, entry(5)));
}

#[test]
fn every_changed_byte_is_found_and_named() {
    let folder = tempfile::tempdir().unwrap();
    small_ledger(folder.path());
    for path in files(folder.path()) {
        let good = fs::read(&path).unwrap();
        let mut bytes = good.clone();
        // All that is written, and some of the zeros. Of the two large entries, all the same, a
        // part will do.
        let (mut run, mut tried) = (0, 0);
        for at in 0..good.len() {
            run = if at > 0 && good[at - 1] == good[at] { run + 1 } else { 0 };
            if run > 16 && at % 4099 != 0 {
                continue;
            }
            // Naming a byte of a checkpoint takes a while: a few of them here, all of them,
            // refused at least, in the tests of `locate`.
            let seldom = match path.file_name().unwrap().to_str().unwrap() {
                "checkpoint" => 16,
                "checkpoints.log" if good[at] != b'\x0c' => 61,
                _ => 1,
            };
            if at % seldom != 0 {
                continue;
            }
            bytes[at] ^= 1 << (at % 8);
            fs::write(&path, &bytes).unwrap();
            match verify(folder.path()) {
                Err(VerifyError::Damaged { file, offset, .. }) => {
                    assert_eq!((file, offset), (path.clone(), at as u64));
                }
                other => panic!("byte {at} of {}: {other:?}", path.display()),
            }
            bytes[at] = good[at];
            tried += 1;
        }
        assert!(tried > 0 || good.is_empty());
        fs::write(&path, &good).unwrap();
    }
    verify(folder.path()).unwrap();
}

#[test]
fn what_a_forger_would_do_is_found() {
    let whole = tempfile::tempdir().unwrap();
    small_ledger(whole.path());
    let segment = |number: u32| format!("segment-{number:010}.log");
    let check = |change: &dyn Fn(&Path), expected: &str| {
        let copy = tempfile::tempdir().unwrap();
        for file in files(whole.path()) {
            fs::copy(&file, copy.path().join(file.file_name().unwrap())).unwrap();
        }
        change(copy.path());
        let error = verify(copy.path()).unwrap_err().to_string();
        let error = error.replace(&format!("{}/", copy.path().display()), "");
        assert_eq!(error, expected);
    };
    check(
        &|folder| fs::remove_file(folder.join(segment(0))).unwrap(),
        "`segment-0000000000.log` is missing",
    );
    check(
        &|folder| {
            let segments =
                files(folder).into_iter().filter(|path| path.to_str().unwrap().contains("segment"));
            segments.skip(1).for_each(|path| fs::remove_file(path).unwrap());
        },
        "checkpoint vouches for 6 entries, the segments hold 4",
    );
    check(&|folder| fs::remove_file(folder.join("checkpoint")).unwrap(), "`checkpoint` is missing");
    check(
        &|folder| {
            let path = folder.join(segment(1));
            let mut bytes = fs::read(&path).unwrap();
            bytes.truncate(4096);
            fs::write(&path, bytes).unwrap();
        },
        "`segment-0000000001.log` is damaged at byte 4096: length is not that of a segment",
    );
    check(
        &|folder| {
            // The last frame of the first segment, blanked.
            let path = folder.join(segment(0));
            let mut bytes = fs::read(&path).unwrap();
            bytes[4096 + 1536..].fill(0);
            fs::write(&path, bytes).unwrap();
        },
        "`segment-0000000000.log` is damaged at byte 5632: entry 3 is missing",
    );
    check(
        &|folder| {
            let path = folder.join(segment(1));
            let mut bytes = fs::read(&path).unwrap();
            bytes[..4096].fill(0);
            fs::write(&path, bytes).unwrap();
        },
        "`segment-0000000001.log` is damaged at byte 0: \
         header is blank, a whole frame follows at byte 4096",
    );
}
