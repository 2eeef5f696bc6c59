//! Verifying `checkpoints.log` along with the entries: every checkpoint must be signed, and have
//! the root that the entries have at its size. Follows the ledger from key to key.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Take};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::folder::{self, Listing};
use crate::history::NOTE_END;
use crate::locate;
use crate::source::Source;
use crate::verify::{VerifyError, readable_header};
use tlog::note::{Checkpoint, NOTE_BYTES_MAX, Note};
use tlog::sign::VerifyingKey;
use tlog::tree::Frontier;

/// What is looked at to find the byte that was changed.
const WINDOW_BYTES: usize = 1024;

/// A place where the ledger went over to another key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyChange {
    /// Entries before it.
    pub size: u64,
    /// The key before.
    pub from: VerifyingKey,
    /// The key after.
    pub to: VerifyingKey,
    /// Whether the key before signed a checkpoint together with the one after. If not, it may
    /// have been lost, and only other evidence says that the new key is the ledger's.
    pub vouched: bool,
}

/// The checkpoints not passed yet, and what those before have shown.
pub(crate) struct Follow {
    path: PathBuf,
    reader: BufReader<Take<File>>,
    live: bool,
    /// Where the next note starts.
    offset: u64,
    next: Option<Kept>,
    /// What is wrong first. Told after all entries were read: what is wrong with those explains
    /// more.
    fault: Option<VerifyError>,
    keys: Vec<VerifyingKey>,
    /// The key given, and those that it vouched for.
    pub(crate) trusted: Vec<VerifyingKey>,
    pub(crate) changes: Vec<KeyChange>,
    pub(crate) count: u64,
    last_size: u64,
}

/// A checkpoint in the file.
struct Kept {
    offset: u64,
    checkpoint: Checkpoint,
    note: Note,
}

impl Follow {
    /// `keys` are all that the ledger's segments name; `changes` where one follows another.
    pub(crate) fn open(
        folder: &Path,
        keys: &[VerifyingKey],
        given: Option<&VerifyingKey>,
        changes: Vec<KeyChange>,
        live: bool,
    ) -> Result<Self, VerifyError> {
        let path = folder.join(folder::CHECKPOINTS);
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (length, file) = opened.map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => VerifyError::Missing(path.clone()),
            _ => VerifyError::Unreadable { path: path.clone(), source },
        })?;
        let mut follow = Self {
            path,
            // What is appended from now on is not looked at.
            reader: BufReader::new(file.take(length)),
            live,
            offset: 0,
            next: None,
            fault: None,
            keys: keys.to_vec(),
            trusted: given.cloned().into_iter().collect(),
            changes,
            count: 0,
            last_size: 0,
        };
        follow.advance();
        Ok(follow)
    }

    /// Takes in the checkpoints over exactly the entries so far.
    pub(crate) fn at(&mut self, frontier: &Frontier) {
        while let Some(next) = self.next.take_if(|next| next.checkpoint.size <= frontier.size()) {
            let size = next.checkpoint.size;
            let fits = size == frontier.size() && next.checkpoint.root_hash == frontier.root();
            if !fits {
                let what = format!("checkpoint over {size} entries is not one of these entries");
                return self.fail(next.offset, what);
            }
            self.trust(&next.note, size);
            self.count += 1;
            self.last_size = size;
            self.advance();
        }
    }

    /// Passes by the checkpoints within entries that are not to be had: that the ledger signed them
    /// is all that can be said.
    pub(crate) fn pass_by(&mut self, end: u64) {
        while let Some(next) = self.next.take_if(|next| next.checkpoint.size < end) {
            let size = next.checkpoint.size;
            if size < self.last_size {
                let what = format!("checkpoint over {size} entries follows a larger one");
                return self.fail(next.offset, what);
            }
            self.trust(&next.note, size);
            self.last_size = size;
            self.advance();
        }
    }

    /// What is wrong, if anything. `released` is the size of the newest checkpoint.
    pub(crate) fn finish(&mut self, released: u64, found: u64) -> Result<(), VerifyError> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        if let Some(next) = &self.next {
            return Err(VerifyError::LostEntries { vouched: next.checkpoint.size, found });
        }
        if self.last_size < released || self.count == 0 {
            let what = format!("the checkpoint over {released} entries is not in it");
            return Err(self.damaged(self.offset, what));
        }
        Ok(())
    }

    /// Whether the key that signed last is the one given, or one that it led to.
    pub(crate) fn check_key(
        &self,
        given: &VerifyingKey,
        signed_by: &VerifyingKey,
    ) -> Result<(), VerifyError> {
        if self.trusted.contains(signed_by) {
            return Ok(());
        }
        let left = |change: &&KeyChange| {
            self.trusted.contains(&change.from) && !self.trusted.contains(&change.to)
        };
        Err(match self.changes.iter().rfind(left) {
            Some(change) => VerifyError::KeyChanged(Box::new(change.clone())),
            None => VerifyError::WrongKey { given: given.clone() },
        })
    }

    fn damaged(&self, offset: u64, what: String) -> VerifyError {
        VerifyError::Damaged { file: self.path.clone(), offset, what }
    }

    fn fail(&mut self, offset: u64, what: String) {
        self.fault = Some(self.damaged(offset, what));
    }

    /// A key that signs together with a trusted one is trusted from then on.
    fn trust(&mut self, note: &Note, size: u64) {
        let Ok(signers) = note.signers(&self.keys) else { return };
        for change in &mut self.changes {
            change.vouched |= change.size <= size
                && signers.contains(&&change.from)
                && signers.contains(&&change.to);
        }
        if signers.iter().any(|key| self.trusted.contains(key)) {
            for key in signers {
                if !self.trusted.contains(key) {
                    self.trusted.push(key.clone());
                }
            }
        }
    }

    /// Reads the next checkpoint.
    fn advance(&mut self) {
        let mut note = Vec::new();
        let limit = (NOTE_BYTES_MAX + NOTE_END.len()) as u64;
        let read = self.reader.by_ref().take(limit).read_until(b'\n', &mut note);
        let mut read = read.map(|_| ());
        while read.is_ok() && !note.is_empty() && !note.ends_with(NOTE_END) {
            let before = note.len();
            let left = limit.saturating_sub(before as u64);
            read = self.reader.by_ref().take(left).read_until(b'\n', &mut note).map(|_| ());
            if note.len() == before {
                return self.cut(&note);
            }
        }
        if let Err(source) = read {
            self.fault = Some(VerifyError::Unreadable { path: self.path.clone(), source });
            return;
        }
        let Some(text) = note.strip_suffix(NOTE_END) else { return };
        let (offset, keys) = (self.offset, &self.keys);
        self.offset += note.len() as u64;
        let parsed = std::str::from_utf8(text).ok().and_then(|text| text.parse::<Note>().ok());
        match (parsed, locate::checkpoint(text, keys)) {
            (Some(note), Some((checkpoint, _))) if note.signers(keys).is_ok() => {
                self.next = Some(Kept { offset, checkpoint, note });
            }
            _ => self.bad(offset),
        }
    }

    /// The file ends within a note.
    fn cut(&mut self, part: &[u8]) {
        let long = part.len() > WINDOW_BYTES;
        match locate_change(part, &self.keys) {
            Some(_) => self.bad(self.offset),
            None if long => self.bad(self.offset),
            // Being written.
            None if self.live => {}
            None => {
                let (file, offset) = (self.path.clone(), self.offset);
                self.fault = Some(VerifyError::Torn { file, offset });
            }
        }
    }

    fn bad(&mut self, offset: u64) {
        let mut window = vec![0; WINDOW_BYTES];
        let read = self.reader.get_ref().get_ref().read_at(&mut window, offset).unwrap_or(0);
        window.truncate(read);
        match locate_change(&window, &self.keys) {
            Some((at, was)) => {
                let is = window.get(at).copied().unwrap_or_default();
                let what = format!("byte is 0x{is:02x}, was 0x{was:02x}");
                self.fail(offset + at as u64, what);
            }
            None => {
                let what = "not a checkpoint that a key of this ledger signed";
                self.fail(offset, what.to_owned());
            }
        }
    }
}

/// The place of the one byte without whose change a whole note and its end stand at the start of
/// the window, and what it was.
fn locate_change(window: &[u8], keys: &[VerifyingKey]) -> Option<(usize, u8)> {
    let pairs = window.windows(NOTE_END.len()).enumerate();
    // One byte was changed: of the two after the note at least one is as it was.
    let ends = pairs.filter(|(_, pair)| pair.iter().zip(NOTE_END).any(|(is, was)| is == was));
    for (end, pair) in ends {
        let note = window.get(..end).unwrap_or_default();
        if locate::checkpoint(note, keys).is_some() {
            let mut bytes = (end..).zip(pair.iter().zip(NOTE_END));
            return bytes.find(|(_, (is, was))| is != was).map(|(at, (_, was))| (at, *was));
        }
        if pair == NOTE_END
            && let Some(flip) = locate::in_checkpoint(note, keys)
        {
            let is = note.get(flip.at).copied().unwrap_or_default();
            return Some((flip.at, is ^ flip.change));
        }
    }
    None
}

/// Adds the different keys in the headers of the segments; says where one follows another.
pub(crate) fn record_keys(
    source: &Source,
    listing: &Listing,
    keys: &mut Vec<VerifyingKey>,
) -> Result<Vec<KeyChange>, VerifyError> {
    let mut changes = Vec::new();
    let mut before: Option<VerifyingKey> = None;
    for number in listing.numbers() {
        let Some(header) = readable_header(source, number)? else { continue };
        if !keys.contains(&header.key) {
            keys.push(header.key.clone());
        }
        let (size, to) = (header.frontier.size(), header.key);
        if let Some(from) = before.replace(to.clone()).filter(|from| *from != to) {
            changes.push(KeyChange { size, from, to, vouched: false });
        }
    }
    Ok(changes)
}
