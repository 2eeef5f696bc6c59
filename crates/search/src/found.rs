//! What was found, read back from the ledger: the index only says where to look.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use audit::{Lost, ReadError, Reader, Source};
use model::{ActCriteria, Criteria, Entry, Finished, Receipt, Subject};
use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags};
use tlog::Signer;

use crate::holes::{self, Hole};
use crate::index::file;
use crate::query::{LIMIT_MAX, Spot, query};
use crate::schema::size;
use crate::{SearchError, acts};

/// An exchange as the ledger has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Index of its first entry.
    pub index: u64,
    /// The bytes of that entry.
    pub bytes: Vec<u8>,
    /// What it says: an admission or a refusal.
    pub first: Entry,
    /// The last entry, if it is another.
    pub last: Option<Last>,
}

/// The last entry of an admitted call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Last {
    /// Index of the entry.
    pub index: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What it says: the call's end, or, without one, how far it had got.
    pub entry: Entry,
}

impl Last {
    /// The end of the call, if it has one.
    pub fn finished(&self) -> Option<&Finished> {
        match &self.entry {
            Entry::Finished(finished) => Some(finished),
            _ => None,
        }
    }
}

/// A page of what fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The newest first.
    pub exchanges: Vec<Exchange>,
    /// What to ask `before` for older ones; `None` if there are none. There may be more even if
    /// this page has fewer exchanges than asked for.
    pub before: Option<u64>,
    /// Entries of the ledger that were searched, from the first on.
    pub indexed: u64,
    /// What was removed after its term and is not found any more.
    pub lost: Option<Lost>,
    /// What could not be searched or read; an answer with any is not whole.
    pub holes: Vec<Hole>,
}

/// What an operator did, as the ledger has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// Index of the entry.
    pub index: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What it says.
    pub entry: Entry,
}

/// A page of what operators did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acts {
    /// The newest first.
    pub acts: Vec<Act>,
    /// As in [`Answer`].
    pub before: Option<u64>,
    /// As in [`Answer`].
    pub indexed: u64,
    /// As in [`Answer`].
    pub lost: Option<Lost>,
    /// As in [`Answer`].
    pub holes: Vec<Hole>,
}

/// Searches one ledger by its index. From any thread, one search at a time.
#[derive(Debug)]
pub struct Finder {
    index: PathBuf,
    reader: Mutex<Reader>,
}

impl Finder {
    /// Searches the ledger in `ledger` by the index in the folder `index`.
    pub fn new(index: &Path, ledger: impl Into<Source>) -> Self {
        Self { index: file(index), reader: Mutex::new(Reader::new(ledger)) }
    }

    /// The exchanges that fit `criteria` and begin before the entry `before`, the newest first; at
    /// most `limit`, which is between 1 and [`LIMIT_MAX`](crate::LIMIT_MAX).
    ///
    /// # Errors
    ///
    /// Fails if index or ledger cannot be read; with [`SearchError::Damaged`] if the index says
    /// what the ledger does not.
    pub fn find(
        &self,
        criteria: &Criteria,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Answer, SearchError> {
        let mut reader = self.reader.lock();
        let mut connection = self.connect()?;
        let spots = query(&mut connection, criteria, before, limit)?;
        let mut answer = Answer {
            exchanges: Vec::new(),
            before: spots.before,
            indexed: spots.indexed,
            lost: reader.lost()?,
            holes: holes::all(&connection)?,
        };
        for spot in spots.spots {
            match read(&mut reader, criteria, spot) {
                Ok(exchange) => answer.exchanges.extend(exchange),
                Err(SearchError::Ledger(error)) => answer.holes.extend(hole(error)?),
                Err(error) => return Err(error),
            }
        }
        answer.holes.sort_unstable_by_key(|hole| hole.first);
        answer.holes.dedup_by_key(|hole| hole.first);
        Ok(answer)
    }

    /// What operators did that fits `criteria`, before the entry `before`, the newest first; at most
    /// `limit`, which is between 1 and [`LIMIT_MAX`](crate::LIMIT_MAX).
    ///
    /// # Errors
    ///
    /// As [`find`](Self::find).
    pub fn acts(
        &self,
        criteria: &ActCriteria,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Acts, SearchError> {
        let mut reader = self.reader.lock();
        let connection = self.connect()?;
        let mut acts = Acts {
            acts: Vec::new(),
            before: None,
            indexed: size(&connection)?,
            lost: reader.lost()?,
            holes: holes::all(&connection)?,
        };
        let spots = acts::spots(&connection, criteria, before)?;
        acts.before = spots.before;
        for index in spots.entries {
            let (bytes, entry) = match entry(&mut reader, index) {
                Err(SearchError::Ledger(error)) => {
                    acts.holes.extend(hole(error)?);
                    continue;
                }
                read => read?,
            };
            if criteria.fit(&entry) {
                acts.acts.push(Act { index, bytes, entry });
            }
            if acts.acts.len() >= limit.clamp(1, LIMIT_MAX) {
                acts.before = Some(index);
                break;
            }
        }
        acts.holes.sort_unstable_by_key(|hole| hole.first);
        acts.holes.dedup_by_key(|hole| hole.first);
        Ok(acts)
    }

    /// Opened anew each time, since the file may have been made anew.
    fn connect(&self) -> Result<Connection, SearchError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Ok(Connection::open_with_flags(&self.index, flags)?)
    }

    /// The receipt for a durable entry of the ledger, made anew by `signer`.
    ///
    /// # Errors
    ///
    /// Fails if the ledger cannot be read, or ends before the entry.
    pub fn receipt(&self, index: u64, signer: &Arc<Signer>) -> Result<Receipt, SearchError> {
        self.reader.lock().receipt(index, signer)?.ok_or(SearchError::Missing(index))
    }
}

/// What could not be read; nothing if it was removed after its term.
fn hole(error: ReadError) -> Result<Option<Hole>, SearchError> {
    let is_gone = error.is_gone();
    match error {
        ReadError::Absent { .. } if is_gone => Ok(None),
        ReadError::Absent { first_index: first, next_index: next, absence } => {
            Ok(Some(Hole { first, next, why: absence.to_string() }))
        }
        error => Err(error.into()),
    }
}

/// Reads an exchange, and compares it with what was asked for. `None` if that takes its end, and
/// the end was removed after its term.
fn read(
    reader: &mut Reader,
    criteria: &Criteria,
    spot: Spot,
) -> Result<Option<Exchange>, SearchError> {
    let (bytes, first) = entry(reader, spot.first)?;
    let mut end_is_gone = false;
    let last = match spot.last.map(|index| (index, entry(reader, index))) {
        Some((_, Err(SearchError::Ledger(error)))) if error.is_gone() => {
            end_is_gone = true;
            None
        }
        Some((index, read)) => {
            let (bytes, entry) = read?;
            match &entry {
                Entry::Finished(call) if call.admitted == spot.first => {}
                Entry::Passed(call) if call.admitted == spot.first => {}
                _ => return Err(other(index)),
            }
            Some(Last { index, bytes, entry })
        }
        None => None,
    };
    let concerned = match spot.said {
        Some(index) => Some(concerned(reader, criteria, spot.first, index)?),
        None => None,
    };
    match criteria.fit(&first, last.as_ref().and_then(Last::finished), concerned.as_ref()) {
        true => Ok(Some(Exchange { index: spot.first, bytes, first, last })),
        false if end_is_gone => Ok(None),
        false => Err(other(spot.first)),
    }
}

/// Whom that is asked for a further entry of an exchange names.
fn concerned(
    reader: &mut Reader,
    criteria: &Criteria,
    admitted: u64,
    index: u64,
) -> Result<Subject, SearchError> {
    let (_, entry) = entry(reader, index)?;
    let Entry::Concerned(call) = entry else { return Err(other(index)) };
    let named = |subject: &&Subject| {
        subject.period == call.period && call.pseudonyms.contains(&subject.pseudonym)
    };
    let subject = criteria.subjects.iter().find(named).filter(|_| call.admitted == admitted);
    subject.cloned().ok_or_else(|| other(index))
}

fn entry(reader: &mut Reader, index: u64) -> Result<(Vec<u8>, Entry), SearchError> {
    let bytes = reader.entry(index)?.ok_or(SearchError::Missing(index))?;
    let entry = wire::evidence::decode_entry(&bytes).map_err(|_| other(index))?;
    Ok((bytes, entry))
}

fn other(index: u64) -> SearchError {
    SearchError::Damaged(format!("entry {index} of the ledger says something else"))
}
