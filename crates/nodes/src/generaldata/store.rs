//! What the general database keeps, and its statements.

use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

use crate::database::StoreError;

pub(crate) const TABLES: &str = "
CREATE TABLE record (
    id INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    data_set TEXT NOT NULL,
    key TEXT NOT NULL,
    version INTEGER NOT NULL,
    digest BLOB NOT NULL,
    deleted INTEGER NOT NULL,
    payload BLOB NOT NULL,
    UNIQUE (source, data_set, key)
) STRICT;";

/// What stands under a key, without its payload.
pub(crate) struct Standing {
    pub(crate) version: u64,
    pub(crate) digest: Vec<u8>,
    pub(crate) deleted: bool,
}

/// A record that has been checked.
pub(crate) struct NewRecord<'a> {
    pub(crate) source: &'a str,
    pub(crate) data_set: &'a str,
    pub(crate) key: &'a str,
    pub(crate) version: u64,
    pub(crate) deleted: bool,
    pub(crate) payload: &'a [u8],
}

/// What came of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    Accepted,
    /// This version, newer, stands.
    Stale(u64),
    /// The same version stands with another content.
    Conflict,
}

pub(crate) fn find(
    db: &Connection,
    source: &str,
    data_set: &str,
    key: &str,
) -> Result<Option<Standing>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT version, digest, deleted FROM record \
         WHERE source = ?1 AND data_set = ?2 AND key = ?3",
    )?;
    let standing = statement.query_row([source, data_set, key], |row| {
        Ok(Standing {
            version: row.get::<_, i64>(0)?.cast_unsigned(),
            digest: row.get(1)?,
            deleted: row.get(2)?,
        })
    });
    Ok(standing.optional()?)
}

/// Makes a record stand, unless a newer version does or the same with another content.
pub(crate) fn store(db: &Connection, record: &NewRecord<'_>) -> Result<Stored, StoreError> {
    let digest = Sha256::digest(record.payload);
    let standing = find(db, record.source, record.data_set, record.key)?;
    match standing {
        Some(standing) if standing.version > record.version => {
            return Ok(Stored::Stale(standing.version));
        }
        Some(standing) if standing.version == record.version => {
            let same = standing.digest == digest.as_slice() && standing.deleted == record.deleted;
            return Ok(if same { Stored::Accepted } else { Stored::Conflict });
        }
        _ => {}
    }
    let mut statement = db.prepare_cached(
        "INSERT INTO record (source, data_set, key, version, digest, deleted, payload) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (source, data_set, key) DO UPDATE \
         SET version = excluded.version, digest = excluded.digest, deleted = excluded.deleted, \
         payload = excluded.payload",
    )?;
    statement.execute(params![
        record.source,
        record.data_set,
        record.key,
        record.version.cast_signed(),
        digest.as_slice(),
        record.deleted,
        record.payload,
    ])?;
    Ok(Stored::Accepted)
}
