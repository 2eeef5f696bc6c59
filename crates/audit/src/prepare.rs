//! Segments are written with zeros ahead of need, so that a commit never waits for space and a
//! full disk shows before it can cut a batch.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::disk::{self, Disk, Step};
use crate::folder;
use crate::queue::{Prepared, Shared};

/// Zeros written with one call.
const CHUNK_BYTES: usize = 1 << 20;
/// Pause between attempts while the disk is full.
const NO_SPACE_PAUSE: Duration = Duration::from_millis(500);

/// The thread that keeps segments ready.
pub(crate) struct Preparer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) folder: PathBuf,
    pub(crate) segment_bytes: u64,
    /// Number of the next segment to make.
    pub(crate) next: u64,
}

impl Preparer {
    pub(crate) fn run(mut self) {
        while self.shared.wait_to_prepare() {
            match create(&*self.disk, &self.folder, self.next, self.segment_bytes) {
                Ok(prepared) => {
                    self.next += 1;
                    self.shared.offer(prepared);
                }
                Err(error) if disk::is_no_space(&error) => self.shared.no_space(NO_SPACE_PAUSE),
                Err(error) => {
                    let name = folder::segment_name(self.next);
                    return self.shared.prepare_failed(&format!("prepare `{name}`: {error}"));
                }
            }
        }
    }
}

/// Makes a segment of zeros that survives a crash whole or not at all.
pub(crate) fn create(
    disk: &dyn Disk,
    folder: &Path,
    number: u64,
    bytes: u64,
) -> io::Result<Prepared> {
    let path = folder::segment_path(folder, number);
    let temporary = folder::temporary_path(&path);
    let file = write_zeros(disk, &temporary, bytes).inspect_err(|_| {
        // Gives the space back; if even that fails, recovery removes it.
        let _ = fs::remove_file(&temporary);
    })?;
    // If we stop before this line recovery removes the temporary file.
    fs::rename(&temporary, &path)?;
    disk::sync_folder(folder)?;
    Ok(Prepared { number, path, file, bytes })
}

fn write_zeros(disk: &dyn Disk, path: &Path, bytes: u64) -> io::Result<File> {
    let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
    let zeros = vec![0; CHUNK_BYTES];
    let mut offset = 0;
    while offset < bytes {
        let length = usize::try_from(bytes - offset).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        disk.write_at(Step::Prepare, &file, zeros.get(..length).unwrap_or(&zeros), offset)?;
        // Synced piece by piece: one large sync would hold up the syncs of commits.
        disk.sync(Step::Prepare, &file)?;
        offset += length as u64;
    }
    Ok(file)
}
