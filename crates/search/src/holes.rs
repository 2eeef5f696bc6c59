//! Entries that an index had to pass over, because their segment was away or stayed shut.

use rusqlite::{Connection, params};

use crate::SearchError;
use crate::schema::integer;

/// Entries that are not in the index although they belong there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hole {
    /// Index of the first.
    pub first: u64,
    /// Index of the first entry after them.
    pub next: u64,
    /// Why they were not to be had.
    pub why: String,
}

/// Notes a hole.
pub(crate) fn put(connection: &Connection, hole: &Hole) -> Result<(), SearchError> {
    let put = "REPLACE INTO hole (first, next, why) VALUES (?1, ?2, ?3)";
    let (first, next) = (integer(hole.first), integer(hole.next));
    connection.prepare_cached(put)?.execute(params![first, next, hole.why])?;
    Ok(())
}

/// All holes, in order.
pub(crate) fn all(connection: &Connection) -> Result<Vec<Hole>, SearchError> {
    let number = |number: i64| u64::try_from(number).unwrap_or_default();
    let mut select =
        connection.prepare_cached("SELECT first, next, why FROM hole ORDER BY first")?;
    let holes = select.query_map([], |row| {
        let (first, next) = (number(row.get(0)?), number(row.get(1)?));
        Ok(Hole { first, next, why: row.get(2)? })
    })?;
    Ok(holes.collect::<Result<_, _>>()?)
}
