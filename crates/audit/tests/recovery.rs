//! Opening after a crash: what was acknowledged is there, a torn tail is cleared, and anything
//! else is refused.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that fails may panic"
)]

mod common;

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use audit::{
    AppendError, LedgerError, Log, OpenError, SEGMENT_BYTES_MIN, Trouble, VerifyError, entries,
    verify_folder,
};
use common::{append, entry, options, origin};
use tlog::Signer;

const SEGMENT_0: &str = "segment-0000000000.log";
const HEADER: usize = 4096;

/// A ledger of `vouched` entries and then one more frame, as after a crash before the next
/// checkpoint. Returns the first segment's bytes, and the place of that frame.
fn crashed(folder: &Path, vouched: u64, last: &[&[u8]]) -> (Vec<u8>, std::ops::Range<usize>) {
    let (log, _) = Log::open(options(folder)).unwrap();
    append(&log, 0..vouched);
    log.close().unwrap();
    let checkpoints = Checkpoints::read(folder);
    let start = end_of_frames(folder);
    let (log, _) = Log::open(options(folder)).unwrap();
    last.iter().for_each(|entry| drop(log.append(entry).unwrap().wait().unwrap()));
    log.close().unwrap();
    let end = end_of_frames(folder);
    checkpoints.write(folder);
    (fs::read(folder.join(SEGMENT_0)).unwrap(), start..end)
}

/// The files that tell what was signed.
struct Checkpoints([Vec<u8>; 2]);

impl Checkpoints {
    const FILES: [&str; 2] = ["checkpoint", "checkpoints.log"];

    fn read(folder: &Path) -> Self {
        Self(Self::FILES.map(|file| fs::read(folder.join(file)).unwrap()))
    }

    fn write(&self, folder: &Path) {
        Self::FILES
            .iter()
            .zip(&self.0)
            .for_each(|(file, b)| fs::write(folder.join(file), b).unwrap());
    }
}

fn end_of_frames(folder: &Path) -> usize {
    let bytes = fs::read(folder.join(SEGMENT_0)).unwrap();
    bytes.iter().rposition(|byte| *byte != 0).unwrap().next_multiple_of(512)
}

fn verify(folder: &Path) -> Result<u64, VerifyError> {
    verify_folder(folder, None, &mut |_, _| Ok(()), &mut |_, _| {}).map(|whole| whole.entries)
}

/// Opens a ledger with a torn last frame: that is gone, or, if nothing of it was lost, kept.
fn check_torn(folder: &Path, torn: &[u8], whole: &[u8], vouched: u64, start: usize) {
    fs::write(folder.join(SEGMENT_0), torn).unwrap();
    let left = torn.iter().skip(start).rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    if torn != whole && left > 1 {
        assert!(verify(folder).is_err());
    }
    let (log, recovered) = Log::open(options(folder)).unwrap();
    drop(log);
    let expected = match torn == whole {
        true => (vouched + 1, 0),
        false => (vouched, left as u64),
    };
    assert_eq!((recovered.entries, recovered.discarded_bytes), expected);
    let after = fs::read(folder.join(SEGMENT_0)).unwrap();
    assert_eq!(&after[..start], &whole[..start], "acknowledged bytes are as they were");
    assert_eq!(verify(folder).unwrap(), recovered.entries);
}

#[test]
fn a_write_cut_at_any_byte_is_cleared() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, frame) = crashed(folder.path(), 3, &[&entry(7)]);
    let checkpoints = Checkpoints::read(folder.path());
    for cut in frame.clone() {
        let mut torn = whole.clone();
        torn[cut..frame.end].fill(0);
        check_torn(folder.path(), &torn, &whole, 3, frame.start);
        checkpoints.write(folder.path());
    }
}

#[test]
fn a_write_with_any_sectors_lost_is_cleared() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, frame) = crashed(folder.path(), 3, &[&[b'x'; 4000]]);
    let checkpoints = Checkpoints::read(folder.path());
    let sectors = frame.len() / 512;
    for subset in 0..1u32 << sectors {
        let mut torn = whole.clone();
        for lost in (0..sectors).filter(|sector| subset >> sector & 1 == 1) {
            torn[frame.start + lost * 512..][..512].fill(0);
        }
        check_torn(folder.path(), &torn, &whole, 3, frame.start);
        checkpoints.write(folder.path());
    }
}

#[test]
fn a_torn_tail_and_damage_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, frame) = crashed(folder.path(), 3, &[&[b'x'; 4000]]);
    let mut torn = whole.clone();
    torn[frame.start + 1024..frame.end].fill(0);
    fs::write(folder.path().join(SEGMENT_0), &torn).unwrap();
    let error = verify(folder.path()).unwrap_err();
    assert!(matches!(error, VerifyError::Torn { offset, .. } if offset == frame.start as u64));

    // The same, and a checkpoint that vouches for the entry.
    fs::write(folder.path().join(SEGMENT_0), &whole).unwrap();
    Log::open(options(folder.path())).unwrap().0.close().unwrap();
    fs::write(folder.path().join(SEGMENT_0), &torn).unwrap();
    let error = verify(folder.path()).unwrap_err();
    assert!(matches!(error, VerifyError::Damaged { offset, .. } if offset == frame.start as u64));
    let opened = Log::open(options(folder.path())).map(|(_, recovered)| recovered);
    assert!(matches!(opened, Err(OpenError::LostEntries { vouched: 4, found: 3 })));
}

#[test]
fn damage_before_whole_frames_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let last: Vec<_> = (2..5).map(entry).collect();
    let last: Vec<_> = last.iter().map(Vec::as_slice).collect();
    let (whole, frames) = crashed(folder.path(), 2, &last);
    let starts: Vec<_> =
        frames.clone().step_by(512).filter(|at| whole[*at..].starts_with(b"GLFR")).collect();
    assert_eq!(starts.len(), 3);
    for at in frames.start..starts[2] {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        fs::write(folder.path().join(SEGMENT_0), &damaged).unwrap();
        let frame = *starts.iter().rfind(|start| **start <= at).unwrap();
        match Log::open(options(folder.path())).map(|(_, recovered)| recovered) {
            Err(OpenError::Damaged { offset, .. }) => assert_eq!(offset, frame as u64),
            other => panic!("{other:?}"),
        }
        assert_eq!(fs::read(folder.path().join(SEGMENT_0)).unwrap(), damaged, "left as it was");
    }
}

#[test]
fn missing_acknowledged_entries_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(options(folder.path())).unwrap();
    append(&log, 0..5);
    log.close().unwrap();
    let path = folder.path().join(SEGMENT_0);
    let checkpoint = folder.path().join("checkpoint");
    let (whole, note) = (fs::read(&path).unwrap(), fs::read(&checkpoint).unwrap());
    let open = || Log::open(options(folder.path())).map(|(_, recovered)| recovered);

    let mut rolled_back = whole.clone();
    rolled_back[HEADER + 512..].fill(0);
    fs::write(&path, &rolled_back).unwrap();
    assert!(matches!(open(), Err(OpenError::LostEntries { vouched: 5, found: 1 })));

    fs::write(&path, &whole).unwrap();
    fs::remove_file(&checkpoint).unwrap();
    assert!(matches!(open(), Err(OpenError::CheckpointMissing)));

    let mut changed = note.clone();
    changed[30] ^= 1;
    fs::write(&checkpoint, &changed).unwrap();
    assert!(matches!(open(), Err(OpenError::Checkpoint(_))));

    // Another ledger of the same name, key and length.
    let other = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(options(other.path())).unwrap();
    (0..5).for_each(|n| drop(log.append(&entry(n + 1)).unwrap().wait().unwrap()));
    log.close().unwrap();
    fs::write(&checkpoint, &note).unwrap();
    fs::copy(other.path().join(SEGMENT_0), &path).unwrap();
    assert!(matches!(open(), Err(OpenError::RootMismatch(5))));
    assert!(matches!(verify(folder.path()), Err(VerifyError::RootMismatch(5))));

    fs::write(&path, &whole).unwrap();
    assert_eq!(open().unwrap().entries, 5);
}

#[test]
fn a_crash_between_segments_is_recovered() {
    // Whatever part of the second segment's header was written, and leftover temporary files.
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(options(folder.path())).unwrap();
    append(&log, 0..2);
    log.append(&[b'x'; 65_000]).unwrap().wait().unwrap();
    log.close().unwrap();
    let checkpoints = Checkpoints::read(folder.path());
    let second = folder.path().join("segment-0000000001.log");
    if !second.exists() {
        fs::write(&second, vec![0; SEGMENT_BYTES_MIN as usize]).unwrap();
    }
    let (log, _) = Log::open(options(folder.path())).unwrap();
    log.append(&[b'y'; 65_000]).unwrap().wait().unwrap();
    log.close().unwrap();
    let header = fs::read(&second).unwrap()[..HEADER].to_vec();
    let blank = vec![0; SEGMENT_BYTES_MIN as usize];
    for cut in (0..=HEADER).step_by(31).chain([HEADER]) {
        let mut torn = blank.clone();
        torn[..cut].copy_from_slice(&header[..cut]);
        fs::write(&second, &torn).unwrap();
        checkpoints.write(folder.path());
        fs::write(folder.path().join("segment-0000000009.log.tmp"), b"half").unwrap();
        fs::write(folder.path().join("checkpoint.tmp"), b"half").unwrap();
        let (log, recovered) = Log::open(options(folder.path())).unwrap();
        assert_eq!(recovered.entries, 3);
        assert_eq!(log.append(&[b'z'; 65_000]).unwrap().wait().unwrap().index(), 3);
        log.close().unwrap();
        assert_eq!(verify(folder.path()).unwrap(), 4);
        assert!(!folder.path().join("checkpoint.tmp").exists());
    }
}

#[test]
fn a_new_key_begins_a_new_segment() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(options(folder.path())).unwrap();
    append(&log, 0..3);
    log.close().unwrap();
    let old = options(folder.path()).signer.verifying_key();
    let verify =
        |key: Option<&_>| verify_folder(folder.path(), key, &mut |_, _| Ok(()), &mut |_, _| {});
    let (new, _) = Signer::generate(origin()).unwrap();
    let new = Arc::new(new);
    for start in [3, 6] {
        let mut options = options(folder.path());
        options.signer = Arc::clone(&new);
        let (log, recovered) = Log::open(options).unwrap();
        assert_eq!(recovered.entries, start);
        // The new key vouches for the ledger from the start.
        assert_eq!(verify(Some(&new.verifying_key())).unwrap().entries, start);
        append(&log, start..start + 3);
        log.close().unwrap();
    }
    let new = new.verifying_key();
    let verified = verify(Some(&new)).unwrap();
    assert_eq!((verified.entries, verified.segments), (9, 2));
    assert!(!verify(None).unwrap().key_given);
    assert!(matches!(verify(Some(&old)), Err(VerifyError::KeyChanged(change)) if change.size == 3));
    let (other, _) = Signer::generate(origin()).unwrap();
    let other = verify(Some(&other.verifying_key()));
    assert!(matches!(other, Err(VerifyError::WrongKey { .. })));
    // A ledger of another name is not taken over.
    let mut options = options(folder.path());
    options.origin = "other.example.vn".parse().unwrap();
    options.signer = Arc::new(Signer::generate(options.origin.clone()).unwrap().0);
    assert!(matches!(Log::open(options), Err(OpenError::OtherLedger { .. })));
}

#[test]
fn many_segments_after_the_checkpoint_are_followed() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(options(folder.path())).unwrap();
    append(&log, 0..1);
    log.close().unwrap();
    let checkpoints = Checkpoints::read(folder.path());
    let (log, _) = Log::open(options(folder.path())).unwrap();
    (1..9).for_each(|n| drop(log.append(&[n; 50_000]).unwrap().wait().unwrap()));
    log.close().unwrap();
    checkpoints.write(folder.path());
    assert_eq!(Log::open(options(folder.path())).unwrap().1.entries, 9);
    let read: Vec<_> = entries(folder.path(), 7).unwrap().map(Result::unwrap).collect();
    assert_eq!(read, [(7, vec![7; 50_000]), (8, vec![8; 50_000])]);
}

#[test]
fn a_file_taken_away_is_noticed() {
    for (replace, quiet) in [(false, false), (false, true), (true, false), (true, true)] {
        let folder = tempfile::tempdir().unwrap();
        let mut options = options(folder.path());
        let interval = if quiet { Duration::from_millis(5) } else { Duration::from_secs(3600) };
        options.checkpoint_interval = interval;
        let (log, _) = Log::open(options).unwrap();
        append(&log, 0..2);
        let path = folder.path().join(SEGMENT_0);
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        if replace {
            fs::write(&path, bytes).unwrap();
        }
        if quiet {
            // It shows though nobody writes.
            let deadline = Instant::now() + Duration::from_secs(10);
            while log.status().trouble.is_none() {
                assert!(Instant::now() < deadline, "not noticed");
                std::thread::yield_now();
            }
        } else {
            // Not even one entry is called durable.
            let outcome = log.append(b"more").unwrap().wait();
            assert!(matches!(outcome, Err(LedgerError::Failed(_))), "{outcome:?}");
        }
        let refusal = log.append(b"more").unwrap_err();
        assert!(matches!(refusal, AppendError::Unavailable(_)), "{refusal}");
        assert!(matches!(log.status().trouble, Some(Trouble::Failed(_))));
    }
}

#[test]
fn stray_bytes_after_the_end_are_cleared() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(options(folder.path())).unwrap();
    append(&log, 0..3);
    log.close().unwrap();
    let file = fs::File::options().write(true).open(folder.path().join(SEGMENT_0)).unwrap();
    file.write_all_at(b"stray", 100_000).unwrap();
    assert!(verify(folder.path()).is_err());
    let (log, recovered) = Log::open(options(folder.path())).unwrap();
    assert_eq!(recovered.entries, 3);
    assert!(recovered.discarded_bytes > 0);
    append(&log, 3..6);
    log.close().unwrap();
    assert_eq!(verify(folder.path()).unwrap(), 6);
}
