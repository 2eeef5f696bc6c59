//! Checkpoints that witnesses cosigned, in the file `cosigned.log`: notes as they were published,
//! each followed by a line of a form feed, which no note can hold, and the CRC32C of the note in
//! eight hexadecimal digits.
//!
//! Each is one of `checkpoints.log`, with more signatures. The file is appended to only; what a
//! crash tore off its end was never published, and the witness gives it again.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use model::Timestamp;

use crate::disk::{self, Disk, RealDisk, Step};
use crate::folder;
use crate::log::Log;
use crate::read::{ReadError, records};
use tlog::note::{Checkpoint, NOTE_BYTES_MAX, Note};

/// Begins the line after each note.
const FORM_FEED: u8 = 0x0c;
/// Bytes of that line: form feed, checksum, line break.
const END_BYTES: usize = 10;
/// What is read of the file to find its last note: more than two of the longest.
const TAIL_BYTES: u64 = 256 << 10;

/// The file, open for appending by the process that writes the ledger.
#[derive(Debug)]
pub struct CosignedLog {
    file: File,
    /// Where the next note goes.
    end: u64,
    last: Option<Note>,
    failed: bool,
}

impl CosignedLog {
    /// Opens or makes the file of a ledger that this process writes, and cuts off what a crash
    /// left after the last whole note.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be opened or cut, or if what is in it was changed: then it is left
    /// alone.
    pub fn open(log: &Log) -> io::Result<Self> {
        let folder = log.site().source.folder.as_path();
        let path = folder.join(folder::COSIGNED);
        let is_new = !path.exists();
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file?;
        if is_new {
            disk::sync_folder(folder)?;
        }
        let mut notes = CosignedNotes::of_end(path, file.try_clone()?)?;
        let mut last = None;
        let end = loop {
            match notes.next_note() {
                Ok(Found::Note(note)) => last = Some(note),
                Ok(Found::End | Found::Torn) => break notes.offset,
                Ok(Found::Changed) => return Err(changed(&notes)),
                Err(error) => return Err(error),
            }
        };
        file.set_len(end)?;
        Ok(Self { file, end, last, failed: false })
    }

    /// The note that was appended last.
    pub fn last(&self) -> Option<&Note> {
        self.last.as_ref()
    }

    /// Appends a note; it is durable when this returns.
    ///
    /// # Errors
    ///
    /// Fails if it could not be made durable. After a failed sync all later ones fail, until the
    /// ledger is opened again: what is on the disk is not known.
    pub fn append(&mut self, note: &Note) -> io::Result<()> {
        if self.failed {
            return Err(io::Error::other("a sync of `cosigned.log` failed before"));
        }
        let bytes = encode(note);
        // An attempt for which there was no space may have left a part.
        self.file.set_len(self.end)?;
        RealDisk.write_at(Step::History, &self.file, &bytes, self.end)?;
        if let Err(error) = RealDisk.sync(Step::History, &self.file) {
            self.failed = true;
            return Err(error);
        }
        self.end += bytes.len() as u64;
        self.last = Some(note.clone());
        Ok(())
    }
}

/// When the first entry that is there and that a tree of `size` entries does not cover was written;
/// `None` if it covers all.
///
/// # Errors
///
/// Fails if the ledger cannot be read.
pub fn written_after(log: &Log, size: u64) -> Result<Option<Timestamp>, ReadError> {
    for record in records(&log.site().source, size)? {
        match record {
            Ok(record) => return Ok(Some(record.time)),
            // Old entries may have been removed, or be away.
            Err(ReadError::Absent { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn encode(note: &Note) -> Vec<u8> {
    let mut bytes = note.to_string().into_bytes();
    let end = format!("\x0c{:08x}\n", crc32c::crc32c(&bytes));
    bytes.extend_from_slice(end.as_bytes());
    bytes
}

fn changed(notes: &CosignedNotes) -> io::Error {
    let CosignedNotes { path, offset, .. } = notes;
    let what = format!("`{}` is damaged at byte {offset}, verify the folder", path.display());
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Reads the checkpoints of a ledger folder that witnesses cosigned, in order. None if there is no
/// such file. Signatures are not checked, and a torn end is passed over.
///
/// # Errors
///
/// Fails if the file cannot be opened.
pub fn cosigned(folder: &Path) -> io::Result<CosignedNotes> {
    let path = folder.join(folder::COSIGNED);
    match File::open(&path) {
        Ok(file) => Ok(CosignedNotes::of(path, file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Ok(CosignedNotes { path, reader: None, offset: 0 })
        }
        Err(error) => Err(error),
    }
}

/// Cosigned checkpoints in order; after an error there are no more.
#[derive(Debug)]
pub struct CosignedNotes {
    path: PathBuf,
    reader: Option<BufReader<File>>,
    /// Where the next note starts.
    offset: u64,
}

/// What comes next in the file.
pub(crate) enum Found {
    /// A whole note.
    Note(Note),
    /// Nothing more.
    End,
    /// A part of a note, and then the end.
    Torn,
    /// Bytes that are not what was written.
    Changed,
}

impl CosignedNotes {
    fn of(path: PathBuf, file: File) -> Self {
        Self { path, reader: Some(BufReader::new(file)), offset: 0 }
    }

    /// The last notes in the file.
    fn of_end(path: PathBuf, file: File) -> io::Result<Self> {
        let start = file.metadata()?.len().saturating_sub(TAIL_BYTES);
        let mut notes = Self::of(path, file);
        let Some(reader) = notes.reader.as_mut().filter(|_| start > 0) else { return Ok(notes) };
        notes.offset = reader.seek(SeekFrom::Start(start))?;
        // From somewhere within a note to its end.
        let mut line = Vec::new();
        while line.first() != Some(&FORM_FEED) {
            line.clear();
            let read = reader.by_ref().take(TAIL_BYTES).read_until(b'\n', &mut line)?;
            notes.offset += read as u64;
            if read == 0 {
                return Err(changed(&notes));
            }
        }
        Ok(notes)
    }

    /// Where the next note starts, in bytes from the start of the file.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    pub(crate) fn next_note(&mut self) -> io::Result<Found> {
        let Some(reader) = &mut self.reader else { return Ok(Found::End) };
        let mut bytes = Vec::new();
        let limit = NOTE_BYTES_MAX + END_BYTES;
        loop {
            let line = bytes.len();
            let left = (limit - line) as u64;
            reader.by_ref().take(left).read_until(b'\n', &mut bytes)?;
            let Some(last) = bytes.get(line..).filter(|last| last.ends_with(b"\n")) else {
                return Ok(match (bytes.is_empty(), bytes.len() < limit) {
                    (true, _) => Found::End,
                    (false, true) => Found::Torn,
                    (false, false) => Found::Changed,
                });
            };
            if last.first() != Some(&FORM_FEED) {
                continue;
            }
            return Ok(match whole(&bytes, line) {
                Some(note) => {
                    self.offset += bytes.len() as u64;
                    Found::Note(note)
                }
                // Of the last note a power cut may have left any part.
                None if reader.fill_buf()?.is_empty() => Found::Torn,
                None => Found::Changed,
            });
        }
    }
}

/// The note in these bytes, which ends where `end` begins, if its checksum holds.
fn whole(bytes: &[u8], end: usize) -> Option<Note> {
    let note: Note = std::str::from_utf8(bytes.get(..end)?).ok()?.parse().ok()?;
    (encode(&note) == bytes).then_some(note)
}

impl Iterator for CosignedNotes {
    type Item = io::Result<Note>;

    fn next(&mut self) -> Option<Self::Item> {
        let ended = match self.next_note() {
            Ok(Found::Note(note)) => return Some(Ok(note)),
            Ok(Found::End | Found::Torn) => None,
            Ok(Found::Changed) => Some(Err(changed(self))),
            Err(error) => Some(Err(error)),
        };
        self.reader = None;
        ended
    }
}

/// The newest checkpoint of a folder, as its notes say, that covers more than `index` entries: one
/// that witnesses cosigned if there is one, else the newest that was signed. Signatures are not
/// checked.
///
/// # Errors
///
/// Fails if a file cannot be read.
pub fn newest_checkpoint(folder: &Path, index: u64) -> io::Result<Option<(Note, Checkpoint)>> {
    let covers = |note: Note| {
        let checkpoint: Checkpoint = note.text().parse().ok()?;
        (checkpoint.size > index).then_some((note, checkpoint))
    };
    let mut newest = None;
    let path = folder.join(folder::COSIGNED);
    if path.exists() {
        for note in CosignedNotes::of_end(path.clone(), File::open(&path)?)? {
            newest = Some(note?);
        }
    }
    if let Some(found) = newest.and_then(covers) {
        return Ok(Some(found));
    }
    let text = crate::checkpoint::read(&folder.join(folder::CHECKPOINT))?;
    let note = text.parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok(covers(note))
}
