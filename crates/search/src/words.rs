//! Words by number: what many rows share is written once.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};

use crate::SearchError;
use crate::row::{KINDS, Kind, Words};

/// Words that are remembered at most.
const REMEMBERED_MAX: usize = 1 << 17;

/// The numbers of words, in the order of [`KINDS`].
pub(crate) type Numbers = [Option<i64>; 8];

/// Gives words their numbers, and remembers those it gave last.
#[derive(Debug, Default)]
pub(crate) struct Dictionary(HashMap<Kind, HashMap<String, i64>>, usize);

impl Dictionary {
    /// The numbers of these words; new words get new ones.
    pub(crate) fn numbers(
        &mut self,
        connection: &Connection,
        words: &Words,
    ) -> Result<Numbers, SearchError> {
        let mut numbers = Numbers::default();
        for ((word, kind), number) in words.iter().zip(KINDS).zip(&mut numbers) {
            if let Some(text) = word {
                *number = Some(self.number(connection, kind, text)?);
            }
        }
        Ok(numbers)
    }

    /// The number of a word.
    pub(crate) fn number(
        &mut self,
        connection: &Connection,
        kind: Kind,
        text: &str,
    ) -> Result<i64, SearchError> {
        if let Some(number) = self.0.get(&kind).and_then(|known| known.get(text)) {
            return Ok(*number);
        }
        let number = match find(connection, kind, text)? {
            Some(number) => number,
            None => {
                let insert = "INSERT INTO word (kind, text) VALUES (?1, ?2)";
                connection.prepare_cached(insert)?.insert(params![kind as i64, text])?
            }
        };
        if self.1 >= REMEMBERED_MAX {
            *self = Self::default();
        }
        self.0.entry(kind).or_default().insert(text.to_owned(), number);
        self.1 += 1;
        Ok(number)
    }
}

/// The number of a word, if it occurs.
pub(crate) fn find(
    connection: &Connection,
    kind: Kind,
    text: &str,
) -> Result<Option<i64>, SearchError> {
    let select = "SELECT id FROM word WHERE kind = ?1 AND text = ?2";
    let mut select = connection.prepare_cached(select)?;
    Ok(select.query_row(params![kind as i64, text], |row| row.get(0)).optional()?)
}
