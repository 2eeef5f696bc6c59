//! What was found, read back from the ledger: the index only says where to look.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use audit::Reader;
use model::{Criteria, Entry, Finished, Receipt};
use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags};
use tlog::Signer;

use crate::SearchError;
use crate::index::file;
use crate::query::{Spot, query};

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
}

/// Searches one ledger by its index. From any thread, one search at a time.
#[derive(Debug)]
pub struct Finder {
    index: PathBuf,
    reader: Mutex<Reader>,
}

impl Finder {
    /// Searches the ledger in the folder `ledger` by the index in the folder `index`.
    pub fn new(index: &Path, ledger: &Path) -> Self {
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
        // Opened anew each time, since the file may have been made anew.
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(&self.index, flags)?;
        let spots = query(&mut connection, criteria, before, limit)?;
        let read = |spot: &Spot| read(&mut reader, criteria, *spot);
        let exchanges = spots.spots.iter().map(read).collect::<Result<_, _>>()?;
        Ok(Answer { exchanges, before: spots.before, indexed: spots.indexed })
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

/// Reads an exchange, and compares it with what was asked for.
fn read(reader: &mut Reader, criteria: &Criteria, spot: Spot) -> Result<Exchange, SearchError> {
    let (bytes, first) = entry(reader, spot.first)?;
    let last = match spot.last {
        Some(index) => {
            let (bytes, entry) = entry(reader, index)?;
            match &entry {
                Entry::Finished(call) if call.admitted == spot.first => {}
                Entry::Passed(call) if call.admitted == spot.first => {}
                _ => return Err(other(index)),
            }
            Some(Last { index, bytes, entry })
        }
        None => None,
    };
    match criteria.fit(&first, last.as_ref().and_then(Last::finished)) {
        true => Ok(Exchange { index: spot.first, bytes, first, last }),
        false => Err(other(spot.first)),
    }
}

fn entry(reader: &mut Reader, index: u64) -> Result<(Vec<u8>, Entry), SearchError> {
    let bytes = reader.entry(index)?.ok_or(SearchError::Missing(index))?;
    let entry = wire::evidence::decode_entry(&bytes).map_err(|_| other(index))?;
    Ok((bytes, entry))
}

fn other(index: u64) -> SearchError {
    SearchError::Damaged(format!("entry {index} of the ledger says something else"))
}
