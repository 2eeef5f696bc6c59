//! Where the segments of a ledger are: raw, sealed, in an archive, or gone.

use std::io;
use std::path::{Path, PathBuf};

use crate::closed::{Closed, ClosedError};
use crate::folder;
use crate::keys::Keys;
use crate::scan::header_block;
use crate::segment::{HeaderBlock, SegmentHeader};

/// How often a segment that changed its form meanwhile is looked for again.
const LOOKS_MAX: usize = 8;

/// What a ledger is read from: its folder, the folders of its archive, and the keys that open
/// sealed segments.
///
/// ```
/// let source = audit::Source::folder("/var/lib/giaolien/ledger".into());
/// assert!(source.archives.is_empty());
/// ```
#[derive(Clone, Debug)]
pub struct Source {
    /// The ledger's folder.
    pub folder: PathBuf,
    /// Where archived segments are looked for, in order.
    pub archives: Vec<PathBuf>,
    /// Keys for sealed segments, by id.
    pub keys: Keys,
}

/// What is there of a segment.
#[derive(Debug)]
pub(crate) enum Place {
    /// The segment as it was written.
    Raw(PathBuf),
    /// Its sealed form; if that lies in an archive, with what stayed in the ledger's folder.
    Sealed { closed: Box<Closed>, stub: Option<Box<Closed>> },
    /// It was archived, and is in none of the archives given.
    Away(Box<Closed>),
    /// Its entries were removed after their term.
    Gone(Box<Closed>),
}

impl Source {
    /// A ledger in one folder, without archive or keys.
    pub fn folder(folder: PathBuf) -> Self {
        Self { folder, archives: Vec::new(), keys: Keys::default() }
    }

    /// What there is of a segment; `None` if nothing.
    pub(crate) fn place(&self, number: u64) -> Result<Option<Place>, ClosedError> {
        // A segment goes only forward: raw, sealed, archived, gone, and the next form is there
        // before the last is taken away. Looked for in this order it is missed only if it moved
        // in between, and then found by looking again.
        for _ in 0..LOOKS_MAX {
            match self.look(number) {
                Err(ClosedError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                }
                Ok(None) if self.is_there(number) => {}
                found => return found,
            }
        }
        self.look(number)
    }

    fn is_there(&self, number: u64) -> bool {
        self.forms(number).iter().any(|path| path.exists())
    }

    fn forms(&self, number: u64) -> [PathBuf; 4] {
        let folder = &self.folder;
        [
            folder::segment_path(folder, number),
            folder::sealed_path(folder, number),
            folder::archived_path(folder, number),
            folder::gone_path(folder, number),
        ]
    }

    fn look(&self, number: u64) -> Result<Option<Place>, ClosedError> {
        let [raw, sealed, archived, gone] = self.forms(number);
        if raw.exists() {
            return Ok(Some(Place::Raw(raw)));
        }
        if sealed.exists() {
            let closed = Box::new(Closed::open(&sealed, number)?);
            return Ok(Some(Place::Sealed { closed, stub: None }));
        }
        // Looked at before the other: while a segment is removed both are there, and the record
        // of the removal is in the ledger already.
        if gone.exists() {
            return Ok(Some(Place::Gone(Box::new(Closed::open(&gone, number)?))));
        }
        if archived.exists() {
            let stub = Box::new(Closed::open(&archived, number)?);
            let copies = self.archives.iter().map(|archive| folder::sealed_path(archive, number));
            let Some(copy) = copies.into_iter().find(|copy| copy.exists()) else {
                return Ok(Some(Place::Away(stub)));
            };
            let closed = Box::new(Closed::open(&copy, number)?);
            return Ok(Some(Place::Sealed { closed, stub: Some(stub) }));
        }
        Ok(None)
    }

    /// The header block of a segment in any form; `None` if there is none or it is not in use.
    pub(crate) fn segment_header(&self, number: u64) -> Result<Option<SegmentHeader>, ClosedError> {
        for _ in 0..LOOKS_MAX {
            let path = match self.place(number)? {
                None => return Ok(None),
                Some(Place::Raw(path)) => path,
                Some(Place::Sealed { closed, .. } | Place::Away(closed) | Place::Gone(closed)) => {
                    return Ok(Some(closed.segment));
                }
            };
            return match header_block(&path) {
                Ok(HeaderBlock::Whole { header, .. }) => Ok(Some(*header)),
                // Torn, or about to be written.
                Ok(HeaderBlock::Zero | HeaderBlock::Broken { .. }) => Ok(None),
                Ok(HeaderBlock::Foreign { offset, what }) => {
                    Err(ClosedError::Damaged { path, offset: offset as u64, what })
                }
                Err(source) if source.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => Err(ClosedError::Io { path, source }),
            };
        }
        Ok(None)
    }
}

impl From<&Path> for Source {
    fn from(folder: &Path) -> Self {
        Self::folder(folder.to_owned())
    }
}

impl From<&PathBuf> for Source {
    fn from(folder: &PathBuf) -> Self {
        Self::folder(folder.clone())
    }
}

impl From<&Source> for Source {
    fn from(source: &Source) -> Self {
        source.clone()
    }
}
