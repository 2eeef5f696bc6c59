//! What the database of civil servants keeps, and its statements.

use prost::Message;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::database::StoreError;
use crate::number::PersonalNumber;
use crate::people::REFERENCE_DATE;
use crate::proto::civilservants::v1::{CivilServant, CivilServantChange, Operation};

pub(crate) const TABLES: &str = "
CREATE TABLE profile (
    number INTEGER PRIMARY KEY,
    version INTEGER NOT NULL,
    unit TEXT NOT NULL,
    record BLOB
) STRICT;
CREATE TABLE change (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    operation INTEGER NOT NULL,
    number INTEGER NOT NULL,
    version INTEGER NOT NULL,
    unit TEXT NOT NULL,
    effective_date TEXT NOT NULL,
    record BLOB
) STRICT;";

/// What stands under a number.
pub(crate) struct Standing {
    pub(crate) version: u64,
    pub(crate) unit: String,
    /// `None` after a deletion.
    pub(crate) record: Option<CivilServant>,
}

/// A change as it is written.
pub(crate) struct NewChange<'a> {
    pub(crate) number: PersonalNumber,
    pub(crate) operation: Operation,
    pub(crate) version: u64,
    pub(crate) unit: &'a str,
    pub(crate) effective_date: &'a str,
    /// `None` for a deletion.
    pub(crate) record: Option<&'a CivilServant>,
}

/// Puts a generated record into an empty database.
pub(crate) fn insert(
    db: &Connection,
    number: PersonalNumber,
    record: &CivilServant,
) -> Result<(), StoreError> {
    let change = NewChange {
        number,
        operation: Operation::Add,
        version: 1,
        unit: &record.unit_code,
        effective_date: &REFERENCE_DATE.to_string(),
        record: Some(record),
    };
    write(db, &change)?;
    Ok(())
}

pub(crate) fn find(
    db: &Connection,
    number: PersonalNumber,
) -> Result<Option<Standing>, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT version, unit, record FROM profile WHERE number = ?1")?;
    let row = statement
        .query_row([number.to_sql()], |row| {
            Ok((row.get::<_, i64>(0)?, row.get(1)?, row.get::<_, Option<Vec<u8>>>(2)?))
        })
        .optional()?;
    let Some((version, unit, record)) = row else { return Ok(None) };
    Ok(Some(Standing { version: version.cast_unsigned(), unit, record: decode(record)? }))
}

/// Makes a change stand and adds it to the feed; returns its sequence number.
pub(crate) fn write(db: &Connection, change: &NewChange<'_>) -> Result<u64, StoreError> {
    let record = change.record.map(Message::encode_to_vec);
    let (number, version) = (change.number.to_sql(), change.version.cast_signed());
    let mut statement = db.prepare_cached(
        "INSERT INTO profile (number, version, unit, record) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (number) DO UPDATE SET version = excluded.version, unit = excluded.unit, \
         record = excluded.record",
    )?;
    statement.execute(params![number, version, change.unit, record])?;
    let mut statement = db.prepare_cached(
        "INSERT INTO change (operation, number, version, unit, effective_date, record) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    statement.execute(params![
        change.operation as i32,
        number,
        version,
        change.unit,
        change.effective_date,
        record
    ])?;
    Ok(db.last_insert_rowid().cast_unsigned())
}

/// At most `limit` changes after a sequence number, in order.
pub(crate) fn changes(
    db: &Connection,
    after: u64,
    records: bool,
    limit: u32,
) -> Result<Vec<CivilServantChange>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT sequence, operation, number, version, unit, effective_date, \
         CASE WHEN ?3 THEN record END FROM change WHERE sequence > ?1 ORDER BY sequence LIMIT ?2",
    )?;
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![after, limit, records])?;
    let mut changes = vec![];
    while let Some(row) = rows.next()? {
        changes.push(read_change(row)?);
    }
    Ok(changes)
}

/// The last sequence number; 0 when there was no change.
pub(crate) fn latest(db: &Connection) -> Result<u64, StoreError> {
    let latest: Option<i64> =
        db.query_row("SELECT max(sequence) FROM change", [], |row| row.get(0))?;
    Ok(latest.unwrap_or(0).cast_unsigned())
}

fn read_change(row: &Row<'_>) -> Result<CivilServantChange, StoreError> {
    Ok(CivilServantChange {
        sequence: row.get::<_, i64>(0)?.cast_unsigned(),
        operation: row.get(1)?,
        personal_number: PersonalNumber::from_sql(row.get(2)?).to_string(),
        version: row.get::<_, i64>(3)?.cast_unsigned(),
        unit_code: row.get(4)?,
        effective_date: row.get(5)?,
        profile: decode(row.get(6)?)?,
    })
}

fn decode(record: Option<Vec<u8>>) -> Result<Option<CivilServant>, StoreError> {
    Ok(record.map(|record| CivilServant::decode(record.as_slice())).transpose()?)
}
