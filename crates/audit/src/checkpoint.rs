//! The newest checkpoint: a signed note in the file `checkpoint`, replaced whole.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::disk::{self, Disk, Step};
use crate::folder;
use crate::history::History;
use crate::queue::Shared;
use crate::sync::Instant;
use tlog::Head;
use tlog::note::{Checkpoint, NOTE_BYTES_MAX, Note};
use tlog::sign::Signer;

/// Shortest interval between checkpoints, whatever the options say.
const INTERVAL_MIN: Duration = Duration::from_millis(1);

/// The thread that signs and writes checkpoints, and looks whether the ledger is still there.
pub(crate) struct Checkpointer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) folder: PathBuf,
    pub(crate) signer: Arc<Signer>,
    pub(crate) history: History,
    pub(crate) interval: Duration,
    /// Size that the file covers.
    pub(crate) covered: u64,
}

impl Checkpointer {
    /// Runs until the writer has ended; then the last checkpoint's outcome.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let interval = self.interval.max(INTERVAL_MIN);
        let mut last = Instant::now();
        loop {
            let (head, end) = self.shared.wait_for_checkpoint(last, interval);
            last = Instant::now();
            if let Some(why) = self.shared.written().lost() {
                self.shared.poison(&why, None);
            }
            let written = match head.size > self.covered {
                true => self.write(head),
                false => Ok(()),
            };
            match written {
                Ok(()) => self.covered = head.size,
                // Entries still become durable in the prepared segments; tried again.
                Err(error) if disk::is_no_space(&error) && !end => {
                    tracing::warn!(%error, "checkpoint not written");
                }
                // A failed write or sync is not tried again, here as little as for entries.
                Err(error) => {
                    if !end {
                        self.shared.poison(&format!("write checkpoint: {error}"), None);
                    }
                    return Err(error);
                }
            }
            if end {
                return Ok(());
            }
        }
    }

    fn write(&mut self, head: Head) -> io::Result<()> {
        let history = &mut self.history;
        let note = write(&*self.disk, &self.folder, history, &[&self.signer], head)?;
        self.shared.backlog.release(note.to_string(), head);
        Ok(())
    }
}

/// Signs a durable head and puts it in the place of the checkpoint before. With several signers
/// the last ones vouch for the first.
///
/// INVARIANT: two roots are never signed for one size. The history of all checkpoints admits a
/// head before it is signed, and holds the note before it is released.
pub(crate) fn write(
    disk: &dyn Disk,
    folder: &Path,
    history: &mut History,
    signers: &[&Signer],
    head: Head,
) -> io::Result<Note> {
    history.admit(head)?;
    let Head { size, root_hash } = head;
    let (first, others) =
        signers.split_first().ok_or_else(|| io::Error::other("no key to sign with"))?;
    let checkpoint = Checkpoint { origin: first.origin().clone(), size, root_hash };
    let mut note = Note::sign(&checkpoint.to_string(), first).map_err(io::Error::other)?;
    for signer in others {
        note.add_signature(signer).map_err(io::Error::other)?;
    }
    history.append(disk, &note, head)?;
    // If we stop here the next start releases the note.
    release(disk, folder, &note)?;
    Ok(note)
}

/// Puts a note that the history holds in the place of the checkpoint before.
pub(crate) fn release(disk: &dyn Disk, folder: &Path, note: &Note) -> io::Result<()> {
    let path = folder.join(folder::CHECKPOINT);
    let temporary = folder::temporary_path(&path);
    let file = File::options().write(true).create(true).truncate(true).open(&temporary)?;
    disk.write_at(Step::Checkpoint, &file, note.to_string().as_bytes(), 0)?;
    disk.sync(Step::Checkpoint, &file)?;
    // If we stop here the old checkpoint holds; recovery removes the temporary file.
    fs::rename(&temporary, &path)?;
    // If we stop here either one is found, and both are true.
    disk::sync_folder(folder)
}

/// The text of a checkpoint file; never more than a note can have.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    let mut text = Vec::new();
    File::open(path)?.take(NOTE_BYTES_MAX as u64 + 1).read_to_end(&mut text)?;
    // What is not text is not signed either.
    Ok(String::from_utf8_lossy(&text).into_owned())
}
