//! Verifying segments that are sealed, archived or gone.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use tlog::tree::Hash;

use crate::archive::holds;
use crate::closed::{Closed, ClosedError};
use crate::locate;
use crate::sealed::{Form, SEALED_HEADER_BYTES, SealedHeader};
use crate::source::Place;
use crate::verify::{Pass, Verified, VerifyError};

/// A segment whose entries were removed after their term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// Number of the segment.
    pub segment: u64,
    /// Index of its first entry.
    pub first_index: u64,
    /// How many entries it had.
    pub count: u64,
    /// Index of the entry that records the removal; it holds the segment's root hash, unless that
    /// entry's own segment is gone.
    pub recorded: u64,
}

/// A segment whose entries could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadSegment {
    /// Its number.
    pub segment: u64,
    /// What there is of it.
    pub file: PathBuf,
    /// Why its entries could not be read.
    pub why: String,
}

/// What could not be read of a ledger, and what was proved without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// The segments, in order.
    pub segments: Vec<UnreadSegment>,
    /// What holds all the same: the hashes that the unread segments keep in the clear lead, with
    /// all other entries, to the root hash in the signed checkpoint.
    pub proved: Verified,
}

impl std::error::Error for Unread {}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.segments.first() else {
            return f.write_str("no segment was left unread");
        };
        let (file, why) = (first.file.display(), &first.why);
        match self.segments.len() {
            1 => write!(f, "the entries in `{file}` were not read: {why}")?,
            count => {
                write!(f, "the entries of {count} segments were not read, first `{file}`: {why}")?
            }
        }
        let entries = self.proved.entries;
        write!(f, "; their hashes and the rest lead to the signed root over {entries} entries")
    }
}

impl From<ClosedError> for VerifyError {
    fn from(error: ClosedError) -> Self {
        match error {
            ClosedError::Io { path, source } => Self::Unreadable { path, source },
            ClosedError::Damaged { path: file, offset, what } => {
                Self::Damaged { file, offset, what }
            }
            // A segment that stays shut is told of before it comes to an error.
            ClosedError::Shut { path: file, shut } => {
                Self::Damaged { file, offset: 0, what: shut.to_string() }
            }
        }
    }
}

/// What a pass has met of closed segments.
#[derive(Default)]
pub(super) struct Tally {
    sealed: u64,
    removed: Vec<Removed>,
    unread: Vec<UnreadSegment>,
    /// Entries that have to record removals, with what they have to hold: the stub's path and the
    /// root hash of the segment.
    records: BTreeMap<u64, Vec<(PathBuf, Hash)>>,
    /// The largest size that a sealed segment's note vouches for.
    vouched: Option<(PathBuf, u64)>,
}

impl Tally {
    /// Looks whether an entry records a removal, if it has to.
    pub(super) fn entry(&mut self, index: u64, entry: &[u8]) -> Result<(), VerifyError> {
        for (file, root) in self.records.remove(&index).unwrap_or_default() {
            if !holds(entry, &root) {
                let what = format!("entry {index} does not record this removal");
                return Err(VerifyError::Damaged { file, offset: 152, what });
            }
        }
        Ok(())
    }

    /// What is left to check once all entries were read.
    pub(super) fn end(self, entries: u64, checkpoint_size: u64) -> Result<Self, VerifyError> {
        if let Some((index, files)) = self.records.last_key_value()
            && *index >= entries
            && let Some((file, _)) = files.first()
        {
            let what = format!("entry {index}, which is to record this removal, is not there");
            return Err(VerifyError::Damaged { file: file.clone(), offset: 152, what });
        }
        match &self.vouched {
            Some((file, size)) if *size > checkpoint_size => {
                let (file, what) =
                    (file.clone(), "sealed under a later checkpoint than the ledger's");
                Err(VerifyError::Damaged { file, offset: 40, what: what.to_owned() })
            }
            _ => Ok(self),
        }
    }

    /// A success, unless entries were left unread.
    pub(super) fn outcome(self, verified: Verified) -> Result<Verified, VerifyError> {
        let verified = Verified { sealed_segments: self.sealed, removed: self.removed, ..verified };
        match self.unread.is_empty() {
            true => Ok(verified),
            false => {
                let unread = Unread { segments: self.unread, proved: verified };
                Err(VerifyError::Unread(Box::new(unread)))
            }
        }
    }
}

impl Pass<'_> {
    /// A segment that has no raw file any more.
    pub(super) fn closed(&mut self, number: u64, place: Place) -> Result<(), VerifyError> {
        let (closed, stub, why) = match place {
            Place::Raw(path) => return Err(VerifyError::Missing(path)),
            Place::Sealed { closed, stub } => (closed, stub, None),
            Place::Away(stub) => {
                (stub, None, Some("it is in none of the archives given".to_owned()))
            }
            Place::Gone(stub) => (stub, None, None),
        };
        self.fits(number, &closed)?;
        if let Some(stub) = stub {
            check_stub(&stub, &closed)?;
        }
        let done_before = self.bytes_done;
        self.chain.segment = number;
        self.chain.prev_crc = closed.segment_crc;
        self.segments += 1;
        match (closed.header.form, why) {
            (Form::Sealed, None) => match closed.raw(&self.source.keys) {
                Ok(raw) => self.sealed(&closed, raw)?,
                Err(ClosedError::Shut { shut, .. }) => self.unread(&closed, shut.to_string()),
                Err(error) => return Err(error.into()),
            },
            (Form::Gone { recorded }, None) => {
                let SealedHeader { first_index, count, root_hash, .. } = closed.header;
                let removed = Removed { segment: number, first_index, count, recorded };
                if recorded < closed.header.end() {
                    return Err(damaged(&closed, 152, "removal is recorded before the entries"));
                }
                let record = (closed.path.clone(), root_hash);
                self.tally.records.entry(recorded).or_default().push(record);
                self.tally.removed.push(removed);
                self.pass_by(&closed);
            }
            (Form::Archived, Some(why)) => self.unread(&closed, why),
            _ => return Err(damaged(&closed, 10, "form does not match the file's name")),
        }
        self.end = Some((closed.path.clone(), closed.file_bytes as usize));
        self.bytes_done = done_before + closed.file_bytes;
        (self.progress)(self.bytes_done, self.bytes_total);
        Ok(())
    }

    /// The segment has to go on where the one before ends, and its note has to hold.
    fn fits(&mut self, number: u64, closed: &Closed) -> Result<(), VerifyError> {
        let length = closed.segment.segment_bytes;
        self.header(&closed.path, &closed.segment, number, length).map_err(
            |error| match error {
                // The header block is not the first thing in the file here.
                VerifyError::Damaged { file, offset, what } if file == closed.path => {
                    let offset = offset + SEALED_HEADER_BYTES as u64;
                    VerifyError::Damaged { file, offset, what }
                }
                other => other,
            },
        )?;
        let (size, root_hash) = (closed.header.end(), closed.header.root_hash);
        let note = locate::checkpoint(&closed.note, self.keys);
        let holds = note.is_some_and(|(note, _)| (note.size, note.root_hash) == (size, root_hash));
        if !holds {
            let what = "note is not this ledger's word for the root hash in the header";
            return Err(damaged(closed, closed.file_bytes - closed.note.len() as u64 - 4, what));
        }
        if self.tally.vouched.as_ref().is_none_or(|(_, vouched)| *vouched < size) {
            self.tally.vouched = Some((closed.path.clone(), size));
        }
        Ok(())
    }

    /// Follows the frames of a sealed segment.
    fn sealed(&mut self, closed: &Closed, mut raw: Vec<u8>) -> Result<(), VerifyError> {
        self.frames(&closed.path, &closed.file, &mut raw, false)?;
        self.tally.sealed += 1;
        let wrong = [
            (
                self.chain.frontier != closed.frontier,
                32,
                "frames do not give the tree in the header",
            ),
            (
                self.chain.prev_crc != closed.header.last_crc,
                148,
                "checksum is not the last frame's",
            ),
        ];
        match wrong.into_iter().find(|(is_wrong, ..)| *is_wrong) {
            Some((_, offset, what)) => Err(damaged(closed, offset, what)),
            None => Ok(()),
        }
    }

    fn unread(&mut self, closed: &Closed, why: String) {
        let segment = closed.header.number;
        self.tally.unread.push(UnreadSegment { segment, file: closed.path.clone(), why });
        self.pass_by(closed);
    }

    /// Follows the tree past a segment by the hashes that were kept.
    fn pass_by(&mut self, closed: &Closed) {
        self.chain.frontier = closed.frontier.clone();
        self.chain.prev_crc = closed.header.last_crc;
        self.history.pass_by(self.chain.frontier.size());
        self.note_root();
    }
}

/// What stayed in the ledger's folder has to be of the file in the archive.
fn check_stub(stub: &Closed, archived: &Closed) -> Result<(), VerifyError> {
    match stub.is_stub_of(archived) && stub.header.form == Form::Archived {
        true => Ok(()),
        false => Err(damaged(archived, 0, "not the file that was archived")),
    }
}

fn damaged(closed: &Closed, offset: u64, what: &str) -> VerifyError {
    VerifyError::Damaged { file: closed.path.clone(), offset, what: what.to_owned() }
}
