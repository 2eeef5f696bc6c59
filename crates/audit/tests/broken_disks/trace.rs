//! What the kernel was asked to do, thread by thread, from the records of `strace`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// What one process did to the files of a ledger.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    /// Failures that were injected.
    pub(crate) injected: usize,
    /// Frames, by file and offset, that a sync made durable.
    pub(crate) synced: BTreeSet<(String, u64)>,
    /// Uses of a file after a write or sync of it had failed.
    pub(crate) again: Vec<String>,
}

impl Trace {
    /// Reads the records `PREFIX.THREAD` in a folder.
    pub(crate) fn read(folder: &Path) -> Self {
        let mut trace = Self::default();
        for file in fs::read_dir(folder).unwrap() {
            let text = fs::read(file.unwrap().path()).unwrap();
            trace.thread(&String::from_utf8_lossy(&text));
        }
        trace
    }

    fn thread(&mut self, text: &str) {
        let mut written = BTreeMap::<String, Vec<u64>>::new();
        let mut failed = BTreeSet::new();
        for line in text.lines() {
            // pwrite64(5</ledger/segment-0000000000.log>, ""..., 512, 4096) = 512
            let Some((call, rest)) = line.split_once('(') else { continue };
            let Some((_, rest)) = rest.split_once('<') else { continue };
            let Some((file, rest)) = rest.split_once('>') else { continue };
            let Some((arguments, result)) = rest.rsplit_once(" = ") else { continue };
            let is_checkpoint = file.ends_with("checkpoint.tmp");
            if failed.contains(file) && !is_checkpoint {
                self.again.push(line.to_owned());
            }
            if result.contains("INJECTED") {
                self.injected += 1;
                failed.insert(file.to_owned());
            }
            if result.starts_with('-') {
                continue;
            }
            match call {
                "pwrite64" => {
                    let offset = arguments.trim_end_matches(')').rsplit(", ").next().unwrap();
                    written.entry(file.to_owned()).or_default().push(offset.parse().unwrap());
                }
                _ => {
                    let offsets = written.remove(file).unwrap_or_default();
                    self.synced.extend(offsets.into_iter().map(|at| (file.to_owned(), at)));
                }
            }
        }
    }

    /// How many entries the frames have that a sync made durable.
    pub(crate) fn synced_entries(&self) -> u64 {
        let end = |(file, offset): &(String, u64)| {
            let bytes = fs::read(file).unwrap_or_default();
            let frame = bytes.get(*offset as usize..).unwrap_or_default();
            let field = |at: usize, length: usize| {
                let field = frame[at..at + length].iter().rev();
                field.fold(0, |sum, byte| sum << 8 | u64::from(*byte))
            };
            frame.starts_with(b"GLFR").then(|| field(16, 8) + field(4, 4))
        };
        self.synced.iter().filter_map(end).max().unwrap_or(0)
    }
}
