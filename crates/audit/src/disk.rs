//! The only writes to the ledger folder, behind a seam so that tests can make each one fail.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What a write or sync is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Zeros of a segment to come.
    Prepare,
    /// A segment's header.
    Header,
    /// A batch of entries.
    Frame,
    /// A checkpoint among all that were signed.
    History,
    /// The newest checkpoint.
    Checkpoint,
    /// Recovery clears a torn tail or confirms the last frame.
    Recover,
    /// A sealed segment takes the place of a raw one.
    Seal,
    /// A sealed segment is copied to the archive, and then removed.
    Archive,
    /// What stays of a segment without its entries.
    Stub,
    /// A segment whose term is over is removed.
    Expire,
}

/// Writes, syncs, and changes of names. Two implementations: the machine's, and one that fails on
/// purpose.
pub(crate) trait Disk: Send + Sync {
    /// Writes all bytes, or fails with an unknown part of them written.
    fn write_at(&self, step: Step, file: &File, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Returns once everything written to the file is durable. After an error the state of the
    /// writes since the last sync is unknown, and stays so: it must not be tried again.
    fn sync(&self, step: Step, file: &File) -> io::Result<()>;

    /// Gives a file its final name in its folder, in the place of what had it.
    fn rename(&self, step: Step, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, step: Step, path: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable.
    fn sync_folder(&self, step: Step, folder: &Path) -> io::Result<()>;
}

/// The machine's disk.
pub(crate) struct RealDisk;

impl Disk for RealDisk {
    fn write_at(&self, _: Step, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn sync(&self, step: Step, file: &File) -> io::Result<()> {
        match step {
            // The file was written to its full length before: no metadata is needed to read it.
            Step::Frame => file.sync_data(),
            _ => file.sync_all(),
        }
    }

    fn rename(&self, _: Step, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, _: Step, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_folder(&self, _: Step, folder: &Path) -> io::Result<()> {
        sync_folder(folder)
    }
}

/// Makes creations, renames and removals in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Whether the error says that there is no room, which time can mend.
pub(crate) fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
