//! What the social-security database keeps, and its statements.

use prost::Message;
use rusqlite::{Connection, OptionalExtension, params};

use crate::database::StoreError;
use crate::number::PersonalNumber;
use crate::proto::socialsecurity::v1::Beneficiary;

pub(crate) const TABLES: &str = "
CREATE TABLE beneficiary (
    number INTEGER PRIMARY KEY,
    verified_account INTEGER NOT NULL,
    record BLOB NOT NULL
) STRICT;";

pub(crate) fn find(
    db: &Connection,
    number: PersonalNumber,
) -> Result<Option<Beneficiary>, StoreError> {
    let mut statement = db.prepare_cached("SELECT record FROM beneficiary WHERE number = ?1")?;
    let record: Option<Vec<u8>> =
        statement.query_row([number.to_sql()], |row| row.get(0)).optional()?;
    Ok(record.map(|record| Beneficiary::decode(record.as_slice())).transpose()?)
}

pub(crate) fn has_verified_account(
    db: &Connection,
    number: PersonalNumber,
) -> Result<bool, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT verified_account FROM beneficiary WHERE number = ?1")?;
    let verified = statement.query_row([number.to_sql()], |row| row.get(0)).optional()?;
    Ok(verified.unwrap_or(false))
}

pub(crate) fn write(
    db: &Connection,
    number: PersonalNumber,
    record: &Beneficiary,
) -> Result<(), StoreError> {
    let mut statement = db.prepare_cached(
        "INSERT INTO beneficiary (number, verified_account, record) VALUES (?1, ?2, ?3) \
         ON CONFLICT (number) DO UPDATE SET verified_account = excluded.verified_account, \
         record = excluded.record",
    )?;
    statement.execute(params![number.to_sql(), record.verified_account, record.encode_to_vec()])?;
    Ok(())
}
