//! The tables of an index, and what an index says about itself.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use crate::SearchError;

/// Raised whenever tables or their meaning change: an index of another version is made anew.
pub(crate) const VERSION: i64 = 4;
/// Statements that stay prepared.
const STATEMENTS: usize = 32;
/// Cache of the connection that fills the index, in KiB.
const FILL_CACHE_KIB: i64 = 128 << 10;
/// Pages of the write-ahead log after which it is carried over into the index.
const CHECKPOINT_PAGES: i64 = 16_384;

// `exchange`: a row for each exchange, by the index of its first entry; words by their id.
// `concerned`: further persons of an exchange, with the index of the entry that says so.
// `posting`: in which blocks a word occurs, or a dossier or a person by a negative hash. By eras of
// some blocks, so that what is added lies near what was added before; otherwise each of these
// hashes would touch another page of the whole index.
// `block`: the times between which the exchanges of a block began.
// `act`: a row for each entry about what an operator did.
// `hole`: entries that were passed over, since their segment was away or stayed shut.
const TABLES: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE word (
    id INTEGER PRIMARY KEY,
    kind INTEGER NOT NULL,
    text TEXT NOT NULL,
    UNIQUE (kind, text)
);
CREATE TABLE exchange (
    entry INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    id BLOB NOT NULL,
    member INTEGER,
    system INTEGER,
    node INTEGER,
    method INTEGER,
    agreement INTEGER,
    purpose INTEGER,
    decided INTEGER,
    reason INTEGER,
    dossier INTEGER,
    subject BLOB,
    last INTEGER
);
CREATE TABLE concerned (
    entry INTEGER NOT NULL,
    subject BLOB NOT NULL,
    said INTEGER NOT NULL,
    PRIMARY KEY (entry, subject)
) WITHOUT ROWID;
CREATE TABLE posting (
    era INTEGER NOT NULL,
    key INTEGER NOT NULL,
    block INTEGER NOT NULL,
    PRIMARY KEY (era, key, block)
) WITHOUT ROWID;
CREATE TABLE block (
    number INTEGER PRIMARY KEY,
    earliest INTEGER NOT NULL,
    latest INTEGER NOT NULL
);
CREATE TABLE act (
    entry INTEGER PRIMARY KEY,
    time INTEGER NOT NULL
);
CREATE TABLE hole (
    first INTEGER PRIMARY KEY,
    next INTEGER NOT NULL,
    why TEXT NOT NULL
);
";

/// Up to where an index is filled, and which ledger it belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// The ledger's name; empty before the first entry.
    pub(crate) origin: String,
    /// Entries that are in the index.
    pub(crate) size: u64,
    /// Root hash of the ledger over them; empty before the first.
    pub(crate) root_hash: Vec<u8>,
    /// Whether some id does not tell when its call began.
    pub(crate) odd_ids: bool,
}

/// Prepares a connection that fills an index.
pub(crate) fn prepare(connection: &Connection) -> Result<(), SearchError> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // What a crash of the machine takes is made anew from the ledger.
    connection.pragma_update(None, "synchronous", "OFF")?;
    connection.pragma_update(None, "cache_size", -FILL_CACHE_KIB)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    Ok(())
}

/// Makes the tables of an empty index.
pub(crate) fn create(connection: &mut Connection) -> Result<(), SearchError> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(TABLES)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    put_cursor(&transaction, &Cursor::default())?;
    Ok(transaction.commit()?)
}

pub(crate) fn version(connection: &Connection) -> Result<i64, SearchError> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

pub(crate) fn put_cursor(
    transaction: &Transaction<'_>,
    cursor: &Cursor,
) -> Result<(), SearchError> {
    let Cursor { origin, size, root_hash, odd_ids } = cursor;
    let mut put = transaction.prepare_cached("REPLACE INTO meta (key, value) VALUES (?1, ?2)")?;
    put.execute(params!["origin", origin])?;
    put.execute(params!["size", integer(*size)])?;
    put.execute(params!["root_hash", root_hash])?;
    put.execute(params!["odd_ids", odd_ids])?;
    Ok(())
}

pub(crate) fn cursor(connection: &Connection) -> Result<Cursor, SearchError> {
    Ok(Cursor {
        origin: meta(connection, "origin")?.ok_or_else(|| without("origin"))?,
        size: size(connection)?,
        root_hash: meta(connection, "root_hash")?.ok_or_else(|| without("root_hash"))?,
        odd_ids: meta(connection, "odd_ids")?.ok_or_else(|| without("odd_ids"))?,
    })
}

/// A number as the database holds it; none of ours gets as large as its largest.
pub(crate) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Entries that are in the index.
pub(crate) fn size(connection: &Connection) -> Result<u64, SearchError> {
    let size: i64 = meta(connection, "size")?.ok_or_else(|| without("size"))?;
    u64::try_from(size).map_err(|_| SearchError::Damaged(format!("its `size` is {size}")))
}

fn without(key: &str) -> SearchError {
    SearchError::Damaged(format!("it has no `{key}`"))
}

/// The run of the machine in which the index was opened for filling; empty once it was closed in
/// good order.
pub(crate) fn boot(connection: &Connection) -> Result<String, SearchError> {
    Ok(meta(connection, "boot")?.unwrap_or_default())
}

pub(crate) fn put_boot(connection: &Connection, boot: &str) -> Result<(), SearchError> {
    connection.execute("REPLACE INTO meta (key, value) VALUES ('boot', ?1)", params![boot])?;
    Ok(())
}

fn meta<T: rusqlite::types::FromSql>(
    connection: &Connection,
    key: &str,
) -> Result<Option<T>, SearchError> {
    let mut get = connection.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
    Ok(get.query_row(params![key], |row| row.get(0)).optional()?)
}
