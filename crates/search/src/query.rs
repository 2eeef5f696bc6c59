//! Which exchanges fit: lists of blocks are cut, then the rows of what remains are looked at.

use std::ops::Range;

use model::{Criteria, ExchangeId, Pseudonym};
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use crate::SearchError;
use crate::blocks::{block, common, era, indices, union};
use crate::row::{KINDS, asked, dossier_key, id_millis, subject_key};
use crate::schema::{cursor, integer};
use crate::words::{Numbers, find};

/// Most exchanges of one page.
pub const LIMIT_MAX: usize = 1000;
/// Most blocks of one page, so that no query takes long: some two million exchanges.
const BLOCKS_MAX: usize = 4096;

/// Rows of a range; what is asked for narrows them further.
const ROWS: &str = "SELECT entry, last, id, subject FROM exchange WHERE entry >= ? AND entry < ?";
/// The entry that says that an exchange concerns a person.
const CONCERNED: &str = "SELECT said FROM concerned WHERE entry = ?1 AND subject = ?2";
/// Columns of words, in the order of [`KINDS`].
const COLUMNS: [&str; 8] =
    ["member", "system", "node", "method", "agreement", "purpose", "decided", "reason"];
const POSTINGS: &str = "SELECT block FROM posting \
                        WHERE era = ?1 AND key = ?2 AND block <= ?3 ORDER BY block DESC";
const BLOCKS: &str = "SELECT number FROM block WHERE latest >= ?1 AND earliest < ?2 \
                      AND number <= ?3 ORDER BY number DESC";

/// Where an exchange stands in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    /// Index of its first entry.
    pub(crate) first: u64,
    /// Index of its last entry, if it is another.
    pub(crate) last: Option<u64>,
    /// Index of the entry that says whom it concerns, where that is not the first.
    pub(crate) said: Option<u64>,
}

/// What one look at the index gave.
#[derive(Debug, Default)]
pub(crate) struct Spots {
    /// Newest first.
    pub(crate) spots: Vec<Spot>,
    /// Where older ones begin, if there may be any.
    pub(crate) before: Option<u64>,
    /// Entries that are in the index.
    pub(crate) indexed: u64,
}

/// Criteria in the terms of one index.
struct Wanted {
    numbers: Numbers,
    dossier: Option<i64>,
    subjects: Vec<Pseudonym>,
    exchange: Option<ExchangeId>,
    times: Range<i64>,
    /// Selects rows by words, dossier and time, which the database compares fastest.
    select: String,
    /// What `select` compares with, after the two ends of the range.
    compared: Vec<i64>,
}

/// The exchanges that fit, among those that begin before `before`; at most `limit`.
pub(crate) fn query(
    connection: &mut Connection,
    criteria: &Criteria,
    before: Option<u64>,
    limit: usize,
) -> Result<Spots, SearchError> {
    // One state of the index for the whole query.
    let transaction = connection.transaction()?;
    let cursor = cursor(&transaction)?;
    let end = before.unwrap_or(u64::MAX).min(cursor.size);
    let nothing = Spots { indexed: cursor.size, ..Spots::default() };
    let Some(newest) = end.checked_sub(1).map(block) else { return Ok(nothing) };
    let Some(wanted) = Wanted::new(&transaction, criteria)? else { return Ok(nothing) };
    let blocks = wanted.blocks(&transaction, newest, cursor.odd_ids)?;
    let limit = limit.clamp(1, LIMIT_MAX);
    let mut spots = Vec::new();
    for (looked, block) in blocks.into_iter().enumerate() {
        let Range { start, end: after } = indices(block);
        if looked >= BLOCKS_MAX {
            let before = Some(after);
            return Ok(Spots { spots, before, indexed: cursor.size });
        }
        if wanted.take(&transaction, start..after.min(end), limit, &mut spots)? {
            let before = spots.last().map(|spot| spot.first);
            return Ok(Spots { spots, before, indexed: cursor.size });
        }
    }
    Ok(Spots { spots, before: None, indexed: cursor.size })
}

impl Wanted {
    /// `None` if a word that is asked for does not occur.
    fn new(connection: &Connection, criteria: &Criteria) -> Result<Option<Self>, SearchError> {
        let mut numbers = Numbers::default();
        for ((word, kind), number) in asked(criteria).iter().zip(KINDS).zip(&mut numbers) {
            if let Some(text) = word {
                let Some(found) = find(connection, kind, text)? else { return Ok(None) };
                *number = Some(found);
            }
        }
        let from = criteria.from.map_or(0, |time| integer(time.as_micros()));
        let until = criteria.until.map_or(i64::MAX, |time| integer(time.as_micros()));
        let dossier = criteria.dossier.as_deref().map(dossier_key);
        let (select, compared) = select(&numbers, dossier, &(from..until));
        Ok(Some(Self {
            numbers,
            dossier,
            subjects: criteria.subjects.iter().map(|subject| subject.pseudonym).collect(),
            exchange: criteria.exchange,
            times: from..until,
            select,
            compared,
        }))
    }

    /// The blocks that may hold what is wanted, the newest first.
    fn blocks(
        &self,
        connection: &Connection,
        newest: i64,
        odd_ids: bool,
    ) -> Result<Vec<i64>, SearchError> {
        let mut postings = connection.prepare_cached(POSTINGS)?;
        let mut list = |key: i64| -> Result<Vec<i64>, SearchError> {
            let mut list = Vec::new();
            for era in (0..=era(newest)).rev() {
                let blocks = postings.query_map(params![era, key, newest], |row| row.get(0))?;
                for block in blocks {
                    list.push(block?);
                }
            }
            Ok(list)
        };
        let keys = self.numbers.iter().flatten().copied().chain(self.dossier);
        let mut lists = keys.map(&mut list).collect::<Result<Vec<_>, _>>()?;
        if !self.subjects.is_empty() {
            let subjects = self.subjects.iter().map(|subject| list(subject_key(*subject)));
            lists.push(union(subjects.collect::<Result<_, _>>()?));
        }
        let times = self.times(odd_ids);
        if lists.is_empty() || times != (0..i64::MAX) {
            let mut blocks = connection.prepare_cached(BLOCKS)?;
            let range = params![times.start, times.end, newest];
            let blocks = blocks.query_map(range, |row| row.get(0))?;
            lists.push(blocks.collect::<Result<_, _>>()?);
        }
        Ok(common(lists))
    }

    /// The times asked for; an id that tells its time narrows them.
    fn times(&self, odd_ids: bool) -> Range<i64> {
        let Some(exchange) = self.exchange.filter(|_| !odd_ids) else {
            return self.times.clone();
        };
        let begun = integer(id_millis(&exchange)).saturating_mul(1000);
        self.times.start.max(begun)..self.times.end.min(begun.saturating_add(1000))
    }

    /// Takes the rows of a range that fit, the newest first. True once there are `limit`.
    fn take(
        &self,
        connection: &Connection,
        range: Range<u64>,
        limit: usize,
        spots: &mut Vec<Spot>,
    ) -> Result<bool, SearchError> {
        let mut rows = connection.prepare_cached(&self.select)?;
        let ends = [integer(range.start), integer(range.end)];
        let mut rows = rows.query(params_from_iter(ends.iter().chain(&self.compared)))?;
        while let Some(row) = rows.next()? {
            let Some(said) = self.fits(connection, row)? else { continue };
            let index = |number: i64| u64::try_from(number).unwrap_or_default();
            let last: Option<i64> = row.get(1)?;
            let (first, last) = (index(row.get(0)?), last.map(index));
            spots.push(Spot { first, last, said: said.map(index) });
            if spots.len() >= limit {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a row fits, and the entry that says whom it concerns if it is a further one.
    fn fits(
        &self,
        connection: &Connection,
        row: &Row<'_>,
    ) -> Result<Option<Option<i64>>, SearchError> {
        if let Some(exchange) = &self.exchange
            && row.get::<_, [u8; 16]>(2)? != *exchange.as_bytes()
        {
            return Ok(None);
        }
        if self.subjects.is_empty() {
            return Ok(Some(None));
        }
        let subject: Option<[u8; 16]> = row.get(3)?;
        if subject.is_some_and(|bytes| self.subjects.contains(&Pseudonym(bytes))) {
            return Ok(Some(None));
        }
        let mut said = connection.prepare_cached(CONCERNED)?;
        for Pseudonym(subject) in &self.subjects {
            let said = said.query_row(params![row.get::<_, i64>(0)?, subject], |row| row.get(0));
            if let Some(said) = said.optional()? {
                return Ok(Some(Some(said)));
            }
        }
        Ok(None)
    }
}

/// The statement that selects rows, and what it compares with.
fn select(numbers: &Numbers, dossier: Option<i64>, times: &Range<i64>) -> (String, Vec<i64>) {
    let (mut select, mut compared) = (ROWS.to_owned(), Vec::new());
    let mut add = |condition: &str, value: i64| {
        select.push_str(" AND ");
        select.push_str(condition);
        compared.push(value);
    };
    for (number, column) in numbers.iter().zip(COLUMNS) {
        if let Some(number) = number {
            add(&format!("{column} = ?"), *number);
        }
    }
    if let Some(dossier) = dossier {
        add("dossier = ?", dossier);
    }
    if *times != (0..i64::MAX) {
        add("time >= ?", times.start);
        add("time < ?", times.end);
    }
    select.push_str(" ORDER BY entry DESC");
    (select, compared)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

    use super::*;
    use crate::row::Kind;
    use crate::schema::{Cursor, create, put_cursor};
    use crate::words::Dictionary;

    /// Exchanges of one member at these indices of the ledger.
    fn index(entries: &[u64]) -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        create(&mut connection).unwrap();
        let transaction = connection.transaction().unwrap();
        let number = Dictionary::default().number(&transaction, Kind::Member, "H26").unwrap();
        for entry in entries {
            let block = block(*entry);
            let row = "INSERT INTO exchange (entry, time, id, member) VALUES (?1, 1, x'00', ?2)";
            transaction.execute(row, params![integer(*entry), number]).unwrap();
            let post = "INSERT INTO posting (era, key, block) VALUES (?1, ?2, ?3)";
            transaction.execute(post, params![era(block), number, block]).unwrap();
            let times = "INSERT INTO block (number, earliest, latest) VALUES (?1, 1, 1)";
            transaction.execute(times, params![block]).unwrap();
        }
        let size = entries.last().map_or(0, |last| last + 1);
        put_cursor(&transaction, &Cursor { size, ..Cursor::default() }).unwrap();
        transaction.commit().unwrap();
        connection
    }

    #[test]
    fn what_lies_eras_apart_is_found() {
        let entries: Vec<u64> = (0..20).map(|number| number * 300_000 + 7).collect();
        let mut connection = index(&entries);
        let member = Criteria { member: Some("H26".parse().unwrap()), ..Criteria::default() };
        for criteria in [member, Criteria::default()] {
            let (mut found, mut before) = (Vec::new(), None);
            loop {
                let page = query(&mut connection, &criteria, before, 3).unwrap();
                assert_eq!(page.indexed, 19 * 300_000 + 8);
                found.extend(page.spots.iter().map(|spot| spot.first));
                before = page.before;
                if before.is_none() {
                    break;
                }
            }
            assert!(found.iter().eq(entries.iter().rev()), "{criteria}: {found:?}");
        }
        let other = Criteria { member: Some("G09".parse().unwrap()), ..Criteria::default() };
        assert!(query(&mut connection, &other, None, 3).unwrap().spots.is_empty());
    }

    /// No page looks at more than a bounded number of blocks; the next one goes on.
    #[test]
    fn a_long_search_comes_in_pages() {
        let entries: Vec<u64> = (0..BLOCKS_MAX as u64 + 10).map(|block| block * 1024).collect();
        let mut connection = index(&entries);
        let exchange = Some(ExchangeId::from_bytes([9; 16]));
        let nothing = Criteria { subjects: Vec::new(), exchange, ..Criteria::default() };
        // Ids do not tell times here, so every block may hold it.
        connection.execute("UPDATE meta SET value = 1 WHERE key = 'odd_ids'", []).unwrap();
        connection.execute("UPDATE exchange SET id = zeroblob(16)", []).unwrap();
        let first = query(&mut connection, &nothing, None, 3).unwrap();
        assert_eq!((first.spots.len(), first.before), (0, Some(10 * 1024)));
        let last = query(&mut connection, &nothing, first.before, 3).unwrap();
        assert_eq!((last.spots.len(), last.before), (0, None));
    }
}
