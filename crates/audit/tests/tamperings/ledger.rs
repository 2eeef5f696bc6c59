//! The finished ledger, where its frames are, and copies of it to spoil.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::Path;

use audit::{Log, Verified, VerifyError, verify_folder};
use tempfile::TempDir;

use crate::Random;
use crate::common::{options, signer};

pub(crate) const CHECKPOINT: &str = "checkpoint";
pub(crate) const HEADER: usize = 4096;
const ENTRIES: u64 = 260;

pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// A ledger of some segments, full, in use, and blank.
pub(crate) struct Finished {
    pub(crate) files: Files,
    /// Names of the segments in use.
    pub(crate) used: Vec<String>,
    pub(crate) frames: BTreeMap<String, Vec<Range<usize>>>,
    pub(crate) entries: u64,
    /// Another ledger of the same name and key, with other entries.
    pub(crate) other: Files,
}

impl Finished {
    pub(crate) fn new() -> Self {
        let files = write(1);
        let frames: BTreeMap<_, _> = files
            .iter()
            .filter(|(_, bytes)| bytes.starts_with(b"GLSEGMNT"))
            .map(|(name, bytes)| (name.clone(), frames(bytes)))
            .collect();
        let used: Vec<_> = frames.keys().cloned().collect();
        assert!(used.len() >= 4 && files.len() > used.len() + 1, "{used:?}");
        Self { files, used, frames, entries: ENTRIES, other: write(2) }
    }

    /// The block or frame of a segment that a byte lies in; or what is not in use.
    pub(crate) fn unit(&self, name: &str, at: usize) -> Range<usize> {
        let Some(frames) = self.frames.get(name) else { return 0..usize::MAX };
        if at < HEADER {
            return 0..HEADER;
        }
        let end = frames.last().map_or(HEADER, |last| last.end);
        frames.iter().find(|frame| frame.contains(&at)).cloned().unwrap_or(end..usize::MAX)
    }

    /// Where the frames of the other ledger's segment end.
    pub(crate) fn foreign_end(&self, name: &str) -> usize {
        let frames = self.other.get(name).map(|segment| frames(segment)).unwrap_or_default();
        frames.last().map_or(HEADER, |last| last.end)
    }

    /// The index of the first entry of the frame at a byte.
    pub(crate) fn first_entry(&self, name: &str, at: usize) -> Option<u64> {
        let frame = self.frames.get(name)?.iter().find(|frame| frame.contains(&at))?;
        let field = &self.files[name][frame.start + 16..][..8];
        Some(u64::from_le_bytes(field.try_into().unwrap()))
    }
}

/// Writes a ledger, and returns its files.
fn write(seed: u64) -> Files {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(options(folder.path())).unwrap();
    let mut random = Random(seed);
    let mut left = ENTRIES;
    while left > 0 {
        // Frames of one entry and of some, of a sector and of many.
        let group = (1 + random.below(4) as u64).min(left);
        let entries = (0..group).map(|_| {
            let bytes = [50, 400, 3000, 12_000][random.below(4)];
            vec![random.next() as u8; 1 + random.below(bytes)]
        });
        let tickets: Vec<_> = entries.map(|entry| log.append(&entry).unwrap()).collect();
        tickets.iter().for_each(|ticket| drop(ticket.wait().unwrap()));
        left -= group;
    }
    log.close().unwrap();
    read(folder.path())
}

fn read(folder: &Path) -> Files {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap());
    files
        // The tiles are derived, and not evidence.
        .filter(|file| file.file_name() != "lock" && file.file_name() != "tiles")
        .map(|file| (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap()))
        .collect()
}

fn frames(segment: &[u8]) -> Vec<Range<usize>> {
    let mut frames = Vec::new();
    let mut at = HEADER;
    while segment[at..].starts_with(b"GLFR") {
        let bytes = u32::from_le_bytes(segment[at + 12..][..4].try_into().unwrap()) as usize;
        frames.push(at..at + bytes);
        at += bytes;
    }
    frames
}

/// A folder with a ledger in it.
pub(crate) struct Copy(TempDir);

impl Copy {
    pub(crate) fn of(finished: &Finished) -> Self {
        let copy = Self(tempfile::tempdir().unwrap());
        copy.write(&Files::new(), &finished.files);
        assert_eq!(copy.verify().unwrap().entries, finished.entries);
        copy
    }

    /// Makes of a folder with the files `is` one with the files `becomes`.
    pub(crate) fn write(&self, is: &Files, becomes: &Files) {
        for name in is.keys().filter(|name| !becomes.contains_key(*name)) {
            fs::remove_file(self.0.path().join(name)).unwrap();
        }
        for (name, bytes) in becomes.iter().filter(|(name, bytes)| is.get(*name) != Some(bytes)) {
            fs::write(self.0.path().join(name), bytes).unwrap();
        }
    }

    pub(crate) fn verify(&self) -> Result<Verified, VerifyError> {
        let key = signer().verifying_key();
        verify_folder(self.0.path(), Some(&key), &mut |_, _| Ok(()), &mut |_, _| {})
    }
}
