//! Entries into the index, some frames in each transaction.

use std::collections::{BTreeMap, HashMap, HashSet};

use audit::{Held, ReadError, Reader};
use model::{Concerned, Entry, ExchangeId, Pseudonym, act_time};
use rusqlite::{Connection, Transaction, params};

use crate::SearchError;
use crate::blocks::{block, era};
use crate::holes::{self, Hole};
use crate::row::{Kind, Met, subject_key};
use crate::schema::{Cursor, integer, put_cursor};
use crate::words::{Dictionary, Numbers};

/// Entries in one transaction, about.
const BATCH_ENTRIES: u64 = 32_768;

/// Fills one index from one ledger.
#[derive(Debug)]
pub(crate) struct Filler {
    reader: Reader,
    words: Dictionary,
}

/// What one transaction adds.
#[derive(Debug, Default)]
struct Batch {
    rows: BTreeMap<u64, Row>,
    /// Last entries of exchanges of earlier batches, by the index of their first entry.
    lasts: BTreeMap<u64, Last>,
    postings: HashSet<(i64, i64)>,
    times: HashMap<i64, (u64, u64)>,
    /// Further persons of exchanges, by the index of the exchange and of what says so.
    concerned: Vec<(u64, Pseudonym, u64)>,
    /// What operators did, by index and time.
    acts: Vec<(u64, u64)>,
}

/// The last entry of an exchange: its end, or how far it had got.
#[derive(Debug)]
struct Last {
    exchange: ExchangeId,
    index: u64,
    reason: Option<i64>,
}

#[derive(Debug)]
struct Row {
    met: Met,
    numbers: Numbers,
    last: Option<u64>,
}

impl Filler {
    pub(crate) fn new(reader: Reader) -> Self {
        Self { reader, words: Dictionary::default() }
    }

    /// Takes in what comes after `cursor`, up to `durable` entries of the ledger and at most one
    /// batch. Returns the new cursor, or `None` if there is nothing more.
    pub(crate) fn fill(
        &mut self,
        connection: &mut Connection,
        cursor: &Cursor,
        durable: u64,
    ) -> Result<Option<Cursor>, SearchError> {
        let mut next = cursor.clone();
        let mut batch = Batch::default();
        let transaction = connection.transaction()?;
        while next.size < durable && next.size - cursor.size < BATCH_ENTRIES {
            let held = match self.reader.frame(next.size) {
                Ok(Some(held)) => held,
                Ok(None) => break,
                Err(error) => {
                    self.pass_over(&transaction, error, &mut next)?;
                    continue;
                }
            };
            // Only whole frames, so that the root hash is one that the ledger has.
            if held.next() > durable {
                break;
            }
            (next.size, next.root_hash) = (held.next(), held.root_hash.to_vec());
            take(&transaction, &mut self.words, &mut batch, held, &mut next.odd_ids)?;
        }
        if next.size == cursor.size {
            return Ok(None);
        }
        if next.origin.is_empty() {
            next.origin = self.reader.origin()?.map(|name| name.to_string()).unwrap_or_default();
        }
        batch.write(&transaction)?;
        put_cursor(&transaction, &next)?;
        transaction.commit()?;
        Ok(Some(next))
    }
}

impl Filler {
    /// Goes on behind entries that are not to be had.
    fn pass_over(
        &mut self,
        transaction: &Transaction<'_>,
        error: ReadError,
        next: &mut Cursor,
    ) -> Result<(), SearchError> {
        let is_gone = error.is_gone();
        let ReadError::Absent { first_index, next_index, absence } = error else {
            return Err(error.into());
        };
        if !is_gone {
            let why = absence.to_string();
            tracing::warn!(first_index, next_index, why, "entries are passed over by the index");
            holes::put(transaction, &Hole { first: first_index, next: next_index, why })?;
        }
        let root_hash = self.reader.root_hash(next_index)?;
        let root_hash = root_hash.ok_or(SearchError::Missing(next_index))?;
        (next.size, next.root_hash) = (next_index, root_hash.to_vec());
        Ok(())
    }
}

/// Takes the entries of a frame into the batch.
fn take(
    transaction: &Transaction<'_>,
    words: &mut Dictionary,
    batch: &mut Batch,
    held: &Held,
    odd_ids: &mut bool,
) -> Result<(), SearchError> {
    for (bytes, index) in held.entries.iter().zip(held.first..) {
        // What cannot be read is no exchange; verifying the ledger tells of it.
        let Ok(entry) = wire::evidence::decode_entry(bytes) else {
            tracing::warn!(index, "an entry that cannot be read is not in the index");
            continue;
        };
        let met = match &entry {
            Entry::Admitted(call) => Met::admitted(call),
            Entry::Refused(call) => Met::refused(call),
            Entry::Finished(call) => {
                let reason = call.reason.map(|reason| reason.name());
                let number = |text| words.number(transaction, Kind::Reason, text);
                let reason = reason.map(number).transpose()?;
                batch.last(call.exchange, call.admitted, index, reason);
                continue;
            }
            Entry::Passed(call) => {
                batch.last(call.exchange, call.admitted, index, None);
                continue;
            }
            Entry::Concerned(call) => {
                batch.concern(call, index);
                continue;
            }
            Entry::LedgerRead(_) | Entry::AdminAction(_) | Entry::SegmentRemoved(_) => {
                batch.acts.extend(act_time(&entry).map(|time| (index, time.as_micros())));
                continue;
            }
            Entry::Opened(_) => continue,
        };
        *odd_ids |= !met.id_tells_time();
        let numbers = words.numbers(transaction, &met.words)?;
        batch.meet(index, met, numbers);
    }
    Ok(())
}

impl Batch {
    fn meet(&mut self, index: u64, met: Met, numbers: Numbers) {
        let block = block(index);
        let subject = met.subject.map(subject_key);
        let keys = numbers.iter().flatten().copied().chain(met.dossier).chain(subject);
        self.postings.extend(keys.map(|key| (key, block)));
        let time = met.time.as_micros();
        let (earliest, latest) = self.times.entry(block).or_insert((time, time));
        (*earliest, *latest) = ((*earliest).min(time), (*latest).max(time));
        self.rows.insert(index, Row { met, numbers, last: None });
    }

    fn concern(&mut self, call: &Concerned, index: u64) {
        let block = block(call.admitted);
        for pseudonym in &call.pseudonyms {
            self.postings.insert((subject_key(*pseudonym), block));
            self.concerned.push((call.admitted, *pseudonym, index));
        }
    }

    fn last(&mut self, exchange: ExchangeId, admitted: u64, index: u64, reason: Option<i64>) {
        self.postings.extend(reason.map(|reason| (reason, block(admitted))));
        match self.rows.get_mut(&admitted) {
            Some(row) if row.met.exchange == exchange => {
                row.last = Some(index);
                let [.., number] = &mut row.numbers;
                *number = reason;
            }
            // One that names another call's admission is of no call.
            Some(_) => {}
            None => {
                self.lasts.insert(admitted, Last { exchange, index, reason });
            }
        }
    }

    fn write(self, transaction: &Transaction<'_>) -> Result<(), SearchError> {
        let insert = "INSERT INTO exchange (entry, time, id, member, system, node, method, \
                      agreement, purpose, decided, reason, dossier, subject, last) \
                      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
        let mut insert = transaction.prepare_cached(insert)?;
        for (index, Row { met, numbers, last }) in &self.rows {
            let [member, system, node, method, agreement, purpose, decided, reason] = numbers;
            insert.execute(params![
                integer(*index),
                integer(met.time.as_micros()),
                met.exchange.as_bytes(),
                member,
                system,
                node,
                method,
                agreement,
                purpose,
                decided,
                reason,
                met.dossier,
                met.subject.map(|subject| subject.0),
                last.map(integer),
            ])?;
        }
        let update = "UPDATE exchange SET last = ?2, reason = ?3 \
                      WHERE entry = ?1 AND id = ?4";
        let mut update = transaction.prepare_cached(update)?;
        for (admitted, Last { exchange, index, reason }) in &self.lasts {
            let (admitted, index) = (integer(*admitted), integer(*index));
            update.execute(params![admitted, index, reason, exchange.as_bytes()])?;
        }
        let concern = "INSERT OR IGNORE INTO concerned (entry, subject, said) VALUES (?1, ?2, ?3)";
        let mut concern = transaction.prepare_cached(concern)?;
        for (entry, Pseudonym(subject), said) in self.concerned {
            concern.execute(params![integer(entry), subject, integer(said)])?;
        }
        let post = "INSERT OR IGNORE INTO posting (era, key, block) VALUES (?1, ?2, ?3)";
        let mut post = transaction.prepare_cached(post)?;
        // In the order of the table, which keeps its pages near.
        let in_era = |(key, block)| (era(block), key, block);
        let mut postings: Vec<(i64, i64, i64)> = self.postings.into_iter().map(in_era).collect();
        postings.sort_unstable();
        for (era, key, block) in postings {
            post.execute(params![era, key, block])?;
        }
        let widen = "INSERT INTO block (number, earliest, latest) VALUES (?1, ?2, ?3) \
                     ON CONFLICT (number) DO UPDATE SET \
                     earliest = min(earliest, ?2), latest = max(latest, ?3)";
        let mut widen = transaction.prepare_cached(widen)?;
        for (block, (earliest, latest)) in self.times {
            widen.execute(params![block, integer(earliest), integer(latest)])?;
        }
        let act = "REPLACE INTO act (entry, time) VALUES (?1, ?2)";
        let mut act = transaction.prepare_cached(act)?;
        for (index, time) in self.acts {
            act.execute(params![integer(index), integer(time)])?;
        }
        Ok(())
    }
}
