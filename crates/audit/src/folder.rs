//! Names of the files in a ledger folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The newest signed checkpoint.
pub(crate) const CHECKPOINT: &str = "checkpoint";
/// Every checkpoint that was signed.
pub(crate) const CHECKPOINTS: &str = "checkpoints.log";
/// Those of them that witnesses cosigned.
pub(crate) const COSIGNED: &str = "cosigned.log";
/// The folder of tiles, which are made from the entries.
pub(crate) const TILES: &str = "tiles";
/// Locked by the process that writes the ledger; empty.
pub(crate) const LOCK: &str = "lock";
/// Ends the name of a file that is not complete yet.
const TEMPORARY: &str = ".tmp";
const SEGMENT_PREFIX: &str = "segment-";
const SEGMENT_SUFFIX: &str = ".log";
const SEALED_SUFFIX: &str = ".sealed";
const ARCHIVED_SUFFIX: &str = ".archived";
const GONE_SUFFIX: &str = ".gone";
const SEGMENT_DIGITS: usize = 10;

/// What stands in a ledger folder.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Numbers of the raw segments, ascending.
    pub(crate) segments: Vec<u64>,
    /// Numbers of the closed segments, ascending; one may have a raw file beside it.
    pub(crate) closed: Vec<u64>,
    /// Numbers of the segments whose entries were removed; they are among the closed.
    pub(crate) gone: Vec<u64>,
    /// Files left over from a write that a crash cut.
    pub(crate) temporary: Vec<PathBuf>,
    /// Files that are none of ours.
    pub(crate) unknown: Vec<PathBuf>,
}

impl Listing {
    /// Numbers of all segments, ascending.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        let mut numbers = [self.segments.as_slice(), self.closed.as_slice()].concat();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }
}

pub(crate) fn segment_name(number: u64) -> String {
    name(number, SEGMENT_SUFFIX)
}

fn name(number: u64, suffix: &str) -> String {
    format!("{SEGMENT_PREFIX}{number:0SEGMENT_DIGITS$}{suffix}")
}

/// The sealed form of a segment, in the ledger's folder or in an archive.
pub(crate) fn sealed_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(name(number, SEALED_SUFFIX))
}

/// What stays in the ledger's folder of a segment that was archived.
pub(crate) fn archived_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(name(number, ARCHIVED_SUFFIX))
}

/// What stays in the ledger's folder of a segment whose entries were removed.
pub(crate) fn gone_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(name(number, GONE_SUFFIX))
}

pub(crate) fn segment_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(segment_name(number))
}

/// Where a file is written before it takes its name.
pub(crate) fn temporary_path(path: &Path) -> PathBuf {
    path.with_added_extension("tmp")
}

/// The number in a segment's name, if it is one and is written the one right way.
fn number_of(file: &str, suffix: &str) -> Option<u64> {
    let digits = file.strip_prefix(SEGMENT_PREFIX)?.strip_suffix(suffix)?;
    let number = digits.parse().ok()?;
    (name(number, suffix) == file).then_some(number)
}

fn segment_number(file: &str) -> Option<u64> {
    number_of(file, SEGMENT_SUFFIX)
}

fn closed_number(file: &str) -> Option<u64> {
    let suffixes = [SEALED_SUFFIX, ARCHIVED_SUFFIX, GONE_SUFFIX];
    suffixes.iter().find_map(|suffix| number_of(file, suffix))
}

pub(crate) fn list(folder: &Path) -> io::Result<Listing> {
    let mut listing = Listing::default();
    for item in fs::read_dir(folder)? {
        let item = item?;
        let name = item.file_name();
        let name = name.to_str().unwrap_or_default();
        let own = |stem: &str| {
            stem == CHECKPOINT || segment_number(stem).or(closed_number(stem)).is_some()
        };
        if let Some(number) = closed_number(name) {
            listing.closed.push(number);
            listing.gone.extend(number_of(name, GONE_SUFFIX));
            continue;
        }
        match segment_number(name) {
            Some(number) => listing.segments.push(number),
            None if [CHECKPOINT, CHECKPOINTS, COSIGNED, LOCK, TILES].contains(&name) => {}
            None if name.strip_suffix(TEMPORARY).is_some_and(own) => {
                listing.temporary.push(item.path());
            }
            None => listing.unknown.push(item.path()),
        }
    }
    listing.segments.sort_unstable();
    listing.closed.sort_unstable();
    listing.closed.dedup();
    listing.unknown.sort_unstable();
    Ok(listing)
}
