//! Names of the files in a ledger folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The newest signed checkpoint.
pub(crate) const CHECKPOINT: &str = "checkpoint";
/// Every checkpoint that was signed.
pub(crate) const CHECKPOINTS: &str = "checkpoints.log";
/// The folder of tiles, which are made from the entries.
pub(crate) const TILES: &str = "tiles";
/// Locked by the process that writes the ledger; empty.
pub(crate) const LOCK: &str = "lock";
/// Ends the name of a file that is not complete yet.
const TEMPORARY: &str = ".tmp";
const SEGMENT_PREFIX: &str = "segment-";
const SEGMENT_SUFFIX: &str = ".log";
const SEGMENT_DIGITS: usize = 10;

/// What stands in a ledger folder.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Numbers of the segments, ascending.
    pub(crate) segments: Vec<u64>,
    /// Files left over from a write that a crash cut.
    pub(crate) temporary: Vec<PathBuf>,
    /// Files that are none of ours.
    pub(crate) unknown: Vec<PathBuf>,
}

pub(crate) fn segment_name(number: u64) -> String {
    format!("{SEGMENT_PREFIX}{number:0SEGMENT_DIGITS$}{SEGMENT_SUFFIX}")
}

pub(crate) fn segment_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(segment_name(number))
}

/// Where a file is written before it takes its name.
pub(crate) fn temporary_path(path: &Path) -> PathBuf {
    path.with_added_extension("tmp")
}

/// The number in a segment's name, if it is one and is written the one right way.
fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(SEGMENT_PREFIX)?.strip_suffix(SEGMENT_SUFFIX)?;
    let number = digits.parse().ok()?;
    (segment_name(number) == name).then_some(number)
}

pub(crate) fn list(folder: &Path) -> io::Result<Listing> {
    let mut listing = Listing::default();
    for item in fs::read_dir(folder)? {
        let item = item?;
        let name = item.file_name();
        let name = name.to_str().unwrap_or_default();
        let own = |stem: &str| stem == CHECKPOINT || segment_number(stem).is_some();
        match segment_number(name) {
            Some(number) => listing.segments.push(number),
            None if [CHECKPOINT, CHECKPOINTS, LOCK, TILES].contains(&name) => {}
            None if name.strip_suffix(TEMPORARY).is_some_and(own) => {
                listing.temporary.push(item.path());
            }
            None => listing.unknown.push(item.path()),
        }
    }
    listing.segments.sort_unstable();
    listing.unknown.sort_unstable();
    Ok(listing)
}
