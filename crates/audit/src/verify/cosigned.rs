//! Verifying `cosigned.log`: whole, and of this ledger's own checkpoints. Whose the cosignatures are
//! only those who know the witnesses can say.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use crate::cosigned::{Found, cosigned};
use crate::folder;
use crate::history::NOTE_END;
use crate::verify::{VerifyError, unreadable};
use tlog::note::{Checkpoint, NOTE_BYTES_MAX, Note};
use tlog::sign::VerifyingKey;

/// Holds each note against `checkpoints.log`, which was verified before. Returns the size of the
/// last, 0 if there is none.
pub(super) fn verify(dir: &Path, keys: &[VerifyingKey], live: bool) -> Result<u64, VerifyError> {
    let path = dir.join(folder::COSIGNED);
    let mut notes = cosigned(dir).map_err(unreadable(&path))?;
    let mut signed = Signed::open(dir)?;
    let mut last = 0;
    loop {
        let offset = notes.offset();
        let damaged = |what: &str| {
            Err(VerifyError::Damaged { file: path.clone(), offset, what: what.to_owned() })
        };
        let note = match notes.next_note().map_err(unreadable(&path))? {
            Found::Note(note) => note,
            Found::Torn if !live => return Err(VerifyError::Torn { file: path, offset }),
            Found::End | Found::Torn => return Ok(last),
            Found::Changed => return damaged("a note that is not what its checksum was made of"),
        };
        let Ok(checkpoint) = note.text().parse::<Checkpoint>() else {
            return damaged("a note that is no checkpoint");
        };
        if note.signers(keys).is_err() {
            return damaged("a checkpoint that no key of this ledger signed");
        }
        if checkpoint.size < last || !signed.holds(&checkpoint)? {
            return damaged("a checkpoint that is not among those of `checkpoints.log`");
        }
        last = checkpoint.size;
    }
}

/// The checkpoints in `checkpoints.log`, in order.
struct Signed<'a> {
    dir: &'a Path,
    reader: BufReader<File>,
    last: Option<Checkpoint>,
}

impl<'a> Signed<'a> {
    fn open(dir: &'a Path) -> Result<Self, VerifyError> {
        let path = dir.join(folder::CHECKPOINTS);
        let file = File::open(&path).map_err(unreadable(&path))?;
        Ok(Self { dir, reader: BufReader::new(file), last: None })
    }

    /// Whether it is among them. Asked for in order of sizes.
    fn holds(&mut self, checkpoint: &Checkpoint) -> Result<bool, VerifyError> {
        while self.last.as_ref().is_none_or(|last| last.size < checkpoint.size) {
            match self.next().map_err(unreadable(&self.dir.join(folder::CHECKPOINTS)))? {
                Some(next) => self.last = Some(next),
                None => return Ok(false),
            }
        }
        Ok(self.last.as_ref() == Some(checkpoint))
    }

    fn next(&mut self) -> io::Result<Option<Checkpoint>> {
        let mut note = Vec::new();
        while !note.ends_with(NOTE_END) {
            let left = (NOTE_BYTES_MAX + NOTE_END.len()).saturating_sub(note.len()) as u64;
            if self.reader.by_ref().take(left).read_until(b'\n', &mut note)? == 0 {
                return Ok(None);
            }
        }
        let text = note.strip_suffix(NOTE_END).unwrap_or_default();
        let note = std::str::from_utf8(text).ok().and_then(|text| text.parse::<Note>().ok());
        Ok(note.and_then(|note| note.text().parse().ok()))
    }
}
