//! Every checkpoint that was ever signed, in the file `checkpoints.log`: notes as they were
//! released, each with a line after it that holds a form feed, which no note can hold.
//!
//! The file is what keeps a ledger from signing two histories: before a checkpoint is signed it
//! is held against the last one here, and it is durable here before anybody sees it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::disk::{self, Disk, Step};
use crate::folder;
use crate::recover::OpenError;
use tlog::Head;
use tlog::note::{Checkpoint, Note};

/// Stands after each note.
pub(crate) const NOTE_END: &[u8] = b"\x0c\n";
/// What is read of the end of the file; a note has a few hundred bytes.
const TAIL_BYTES: u64 = 64 << 10;

/// The file, open for appending.
#[derive(Debug)]
pub(crate) struct History {
    file: File,
    /// Where the next note goes. What lies beyond was never released.
    end: u64,
    /// What was signed last, and the note.
    last: Option<(Head, String)>,
}

/// The end of the file as a start finds it.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    /// Bytes up to the end of the last whole note.
    end: u64,
    /// The last whole note, and what it says.
    pub(crate) last: Option<(Note, Checkpoint)>,
}

impl History {
    /// Opens or makes the file, and cuts off what a crash left after the last whole note.
    pub(crate) fn open(folder: &Path, tail: &Tail) -> io::Result<Self> {
        let path = folder.join(folder::CHECKPOINTS);
        let is_new = !path.exists();
        let file = File::options().write(true).create(true).truncate(false).open(&path)?;
        if is_new {
            disk::sync_folder(folder)?;
        }
        file.set_len(tail.end)?;
        let last =
            tail.last.as_ref().map(|(note, checkpoint)| (head(checkpoint), note.to_string()));
        Ok(Self { file, end: tail.end, last })
    }

    /// Whether a checkpoint may be signed: it neither goes back behind the last one, nor has
    /// another root for its size.
    pub(crate) fn admit(&self, new: Head) -> io::Result<()> {
        let Some((last, _)) = &self.last else { return Ok(()) };
        let refuse = |what: String| {
            let signed = format!("`{}` holds one signed over {}", folder::CHECKPOINTS, last.size);
            Err(io::Error::other(format!("{what} is not signed, {signed}")))
        };
        match new.size.cmp(&last.size) {
            std::cmp::Ordering::Less => refuse(format!("a checkpoint over {} entries", new.size)),
            std::cmp::Ordering::Equal if new.root_hash != last.root_hash => {
                refuse(format!("another root hash over {} entries", new.size))
            }
            _ => Ok(()),
        }
    }

    /// Makes a note durable that is about to be released.
    pub(crate) fn append(&mut self, disk: &dyn Disk, note: &Note, head: Head) -> io::Result<()> {
        let text = note.to_string();
        if self.last.as_ref().is_some_and(|(_, last)| *last == text) {
            // It is here and was not released, for want of space perhaps.
            return Ok(());
        }
        let bytes = [text.as_bytes(), NOTE_END].concat();
        // An attempt for which there was no space may have left a part of a longer note.
        self.file.set_len(self.end)?;
        // If we stop before the sync has returned, nobody saw the note: a start keeps it if it
        // is whole, and cuts it off if it is torn.
        disk.write_at(Step::History, &self.file, &bytes, self.end)?;
        // A failed sync is never tried again, for want of space neither.
        disk.sync(Step::History, &self.file)
            .map_err(|error| io::Error::other(format!("sync: {error}")))?;
        self.end += bytes.len() as u64;
        self.last = Some((head, text));
        Ok(())
    }
}

fn head(checkpoint: &Checkpoint) -> Head {
    Head { size: checkpoint.size, root_hash: checkpoint.root_hash }
}

/// Reads the end of the file. What was released, in the file `checkpoint`, must be in it.
pub(crate) fn read_tail(folder: &Path, released: Option<&Checkpoint>) -> Result<Tail, OpenError> {
    let path = folder.join(folder::CHECKPOINTS);
    let (start, bytes) = match read_end(&path) {
        Ok(end) => end,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Tail::default()),
        Err(error) => return Err(OpenError::io("read", &path, error)),
    };
    let mut ends: Vec<usize> = (NOTE_END.len()..=bytes.len())
        .filter(|end| bytes.get(..*end).is_some_and(|part| part.ends_with(NOTE_END)))
        .collect();
    let mut tail = Tail::default();
    // Only the last note can be torn: the one before was synced.
    for _ in 0..2 {
        let Some(end) = ends.pop() else { break };
        let from = ends.last().copied().unwrap_or(0);
        let note = bytes.get(from..end.saturating_sub(NOTE_END.len())).and_then(parse);
        if note.is_some() {
            tail = Tail { end: start + end as u64, last: note };
            break;
        }
    }
    let size = tail.last.as_ref().map_or(0, |(_, checkpoint)| checkpoint.size);
    match released.filter(|released| released.size > size) {
        Some(released) if !bytes.is_empty() => Err(OpenError::Damaged {
            file: path,
            offset: tail.end,
            what: format!("the checkpoint over {} entries is not in it", released.size),
        }),
        _ => Ok(tail),
    }
}

/// The last bytes of a file, and where they start.
fn read_end(path: &Path) -> io::Result<(u64, Vec<u8>)> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let start = length.saturating_sub(TAIL_BYTES);
    let mut bytes = vec![0; usize::try_from(length - start).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, start)?;
    Ok((start, bytes))
}

/// A note that is a checkpoint. Its signature is checked where the keys are known.
fn parse(bytes: &[u8]) -> Option<(Note, Checkpoint)> {
    let note: Note = std::str::from_utf8(bytes).ok()?.parse().ok()?;
    let checkpoint = note.text().parse().ok()?;
    Some((note, checkpoint))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

    use super::*;
    use crate::disk::RealDisk;
    use tlog::Signer;

    fn note(signer: &Signer, head: Head) -> Note {
        let Head { size, root_hash } = head;
        let checkpoint = Checkpoint { origin: signer.origin().clone(), size, root_hash };
        Note::sign(&checkpoint.to_string(), signer).unwrap()
    }

    #[test]
    fn two_roots_are_never_admitted_for_one_size() {
        let folder = tempfile::tempdir().unwrap();
        let (signer, _) = Signer::generate("ledger.example.vn".parse().unwrap()).unwrap();
        let mut history = History::open(folder.path(), &Tail::default()).unwrap();
        let head = |size, byte| Head { size, root_hash: [byte; 32] };
        for next in [head(0, 0), head(5, 1), head(5, 1), head(9, 2)] {
            history.admit(next).unwrap();
            history.append(&RealDisk, &note(&signer, next), next).unwrap();
        }
        let kept = std::fs::read(folder.path().join(folder::CHECKPOINTS)).unwrap();
        assert_eq!(kept.iter().filter(|byte| **byte == b'\x0c').count(), 3, "the same once");
        // Over a restart, too, and after a torn write.
        let path = folder.path().join(folder::CHECKPOINTS);
        let whole = std::fs::read(&path).unwrap();
        let torn = note(&signer, head(11, 3)).to_string();
        for cut in 0..torn.len() {
            let bytes = [&whole, torn.as_bytes().get(..cut).unwrap()].concat();
            std::fs::write(&path, bytes).unwrap();
            let tail = read_tail(folder.path(), None).unwrap();
            let history = History::open(folder.path(), &tail).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), whole);
            history.admit(head(9, 2)).unwrap();
            history.admit(head(10, 7)).unwrap();
            let refusal = history.admit(head(9, 1)).unwrap_err().to_string();
            assert_eq!(
                refusal,
                "another root hash over 9 entries is not signed, \
                 `checkpoints.log` holds one signed over 9"
            );
            assert!(history.admit(head(8, 2)).is_err());
        }
        // What was released must be there.
        let released =
            |size| Checkpoint { origin: signer.origin().clone(), size, root_hash: [0; 32] };
        assert!(read_tail(folder.path(), Some(&released(9))).is_ok());
        let missing = read_tail(folder.path(), Some(&released(10))).unwrap_err();
        assert!(matches!(missing, OpenError::Damaged { .. }), "{missing}");
    }
}
