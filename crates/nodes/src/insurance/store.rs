//! What the insurance database keeps, and its statements.

use prost::Message;
use rusqlite::{Connection, OptionalExtension, params};

use crate::database::StoreError;
use crate::number::PersonalNumber;
use crate::people::Person;
use crate::proto::insurance::v1::GetContributionHistoryResponse;

pub(crate) const TABLES: &str = "
CREATE TABLE insured (
    id INTEGER PRIMARY KEY,
    number INTEGER NOT NULL,
    full_name TEXT NOT NULL,
    born TEXT NOT NULL,
    history BLOB NOT NULL
) STRICT;";

pub(crate) const INDEXES: &str = "CREATE UNIQUE INDEX insured_number ON insured (number);";

pub(crate) struct Insured {
    pub(crate) full_name: String,
    pub(crate) born: String,
    pub(crate) history: GetContributionHistoryResponse,
}

pub(crate) fn insert(
    db: &Connection,
    person: &Person,
    history: &GetContributionHistoryResponse,
) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached(
        "INSERT INTO insured (number, full_name, born, history) VALUES (?1, ?2, ?3, ?4)",
    )?;
    let citizen = &person.citizen;
    statement.execute(params![
        person.number.to_sql(),
        citizen.full_name,
        citizen.birth_date,
        history.encode_to_vec()
    ])?;
    Ok(())
}

pub(crate) fn find(db: &Connection, number: PersonalNumber) -> Result<Option<Insured>, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT full_name, born, history FROM insured WHERE number = ?1")?;
    let row = statement
        .query_row([number.to_sql()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get::<_, Vec<u8>>(2)?))
        })
        .optional()?;
    let Some((full_name, born, history)) = row else { return Ok(None) };
    let history = GetContributionHistoryResponse::decode(history.as_slice())?;
    Ok(Some(Insured { full_name, born, history }))
}
