//! Where entries about operators stand: there are few, so that time and place narrow them enough.

use model::ActCriteria;
use rusqlite::{Connection, params};

use crate::SearchError;
use crate::schema::integer;

/// Entries that are looked at for one page.
const LOOKED_MAX: usize = 4096;
const ACTS: &str = "SELECT entry FROM act WHERE entry < ?1 AND time >= ?2 AND time < ?3 \
                    ORDER BY entry DESC LIMIT ?4";

/// Entries that may fit.
pub(crate) struct Spots {
    /// The newest first.
    pub(crate) entries: Vec<u64>,
    /// Where older ones begin, if there may be any.
    pub(crate) before: Option<u64>,
}

/// The entries before `before` in the time that is asked for, as many as one page looks at.
pub(crate) fn spots(
    connection: &Connection,
    criteria: &ActCriteria,
    before: Option<u64>,
) -> Result<Spots, SearchError> {
    let from = criteria.from.map_or(0, |time| integer(time.as_micros()));
    let until = criteria.until.map_or(i64::MAX, |time| integer(time.as_micros()));
    let before = before.map_or(i64::MAX, integer);
    let mut select = connection.prepare_cached(ACTS)?;
    let index = |number: i64| u64::try_from(number).unwrap_or_default();
    let most = i64::try_from(LOOKED_MAX).unwrap_or(i64::MAX);
    let rows = select.query_map(params![before, from, until, most], |row| row.get(0).map(index))?;
    let entries = rows.collect::<Result<Vec<_>, _>>()?;
    let more = entries.len() == LOOKED_MAX;
    let before = entries.last().copied().filter(|_| more);
    Ok(Spots { entries, before })
}
