//! What the population database keeps, and its statements.

use jiff::civil::Date;
use prost::Message;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::database::StoreError;
use crate::number::PersonalNumber;
use crate::people::Person;
use crate::proto::population::v1::{ChangeKind, Citizen, CitizenChange};

pub(crate) const TABLES: &str = "
CREATE TABLE person (
    id INTEGER PRIMARY KEY,
    number INTEGER NOT NULL,
    household INTEGER NOT NULL,
    full_name TEXT NOT NULL,
    born TEXT NOT NULL,
    relationship INTEGER NOT NULL,
    life_status INTEGER NOT NULL,
    record BLOB NOT NULL
) STRICT;
CREATE TABLE change (
    id INTEGER PRIMARY KEY,
    person INTEGER NOT NULL REFERENCES person (id),
    province TEXT NOT NULL,
    changed_on TEXT NOT NULL,
    kind INTEGER NOT NULL
) STRICT;";

pub(crate) const INDEXES: &str = "
CREATE UNIQUE INDEX person_number ON person (number);
CREATE INDEX person_household ON person (household);
CREATE INDEX change_date ON change (changed_on, id);
CREATE INDEX change_province ON change (province, changed_on, id);";

/// The columns by which a person is recognised.
pub(crate) struct Known {
    pub(crate) number: PersonalNumber,
    pub(crate) household: i64,
    pub(crate) full_name: String,
    pub(crate) born: String,
    pub(crate) relationship: i32,
    pub(crate) life_status: i32,
}

/// Where a page of changes begins: after this date and row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) date: String,
    pub(crate) id: i64,
}

/// Which changes are asked for.
#[derive(Clone, Debug)]
pub(crate) struct ChangeFilter {
    pub(crate) from: Date,
    pub(crate) to: Date,
    /// Everywhere, if there is none.
    pub(crate) province: Option<String>,
    pub(crate) records: bool,
}

pub(crate) fn insert(
    db: &Connection,
    person: &Person,
    change: Option<(ChangeKind, Date)>,
) -> rusqlite::Result<()> {
    let citizen = &person.citizen;
    let relationship = citizen.household.as_ref().map_or(0, |household| household.relationship);
    let mut statement = db.prepare_cached(
        "INSERT INTO person (id, number, household, full_name, born, relationship, life_status, \
         record) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    statement.execute(params![
        person.index,
        person.number.to_sql(),
        person.household,
        citizen.full_name,
        citizen.birth_date,
        relationship,
        citizen.life_status,
        citizen.encode_to_vec()
    ])?;
    let Some((kind, date)) = change else { return Ok(()) };
    let residence = citizen.permanent_residence.as_ref();
    let province = residence.map_or("", |place| &place.province_code);
    let mut statement = db.prepare_cached(
        "INSERT INTO change (person, province, changed_on, kind) VALUES (?1, ?2, ?3, ?4)",
    )?;
    statement.execute(params![person.index, province, date.to_string(), kind as i32])?;
    Ok(())
}

pub(crate) fn known(db: &Connection, number: PersonalNumber) -> Result<Option<Known>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT number, household, full_name, born, relationship, life_status FROM person \
         WHERE number = ?1",
    )?;
    Ok(statement.query_row([number.to_sql()], read_known).optional()?)
}

/// The members of a household, whether they live or not.
pub(crate) fn members(db: &Connection, household: i64) -> Result<Vec<Known>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT number, household, full_name, born, relationship, life_status FROM person \
         WHERE household = ?1 ORDER BY id",
    )?;
    let rows = statement.query_map([household], read_known)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The record of a person, with the name and birth date that a caller must know.
pub(crate) fn citizen(
    db: &Connection,
    number: PersonalNumber,
) -> Result<Option<Citizen>, StoreError> {
    let mut statement = db.prepare_cached("SELECT record FROM person WHERE number = ?1")?;
    let record: Option<Vec<u8>> =
        statement.query_row([number.to_sql()], |row| row.get(0)).optional()?;
    Ok(record.map(|record| Citizen::decode(record.as_slice())).transpose()?)
}

/// At most `limit` changes after a cursor, oldest first, each with the cursor behind it.
pub(crate) fn changes(
    db: &Connection,
    filter: &ChangeFilter,
    after: &Cursor,
    limit: u32,
) -> Result<Vec<(CitizenChange, Cursor)>, StoreError> {
    const COLUMNS: &str = "SELECT change.id, changed_on, kind, number, \
         CASE WHEN ?5 THEN record END FROM change JOIN person ON person.id = change.person \
         WHERE changed_on >= ?1 AND changed_on < ?2 AND (changed_on, change.id) > (?3, ?4)";
    const ORDER: &str = "ORDER BY changed_on, change.id LIMIT ?6";
    let sql = match filter.province {
        Some(_) => format!("{COLUMNS} AND province = ?7 {ORDER}"),
        None => format!("{COLUMNS} AND ?7 IS NULL {ORDER}"),
    };
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows = statement.query(params![
        filter.from.to_string(),
        filter.to.to_string(),
        after.date,
        after.id,
        filter.records,
        limit,
        filter.province,
    ])?;
    let mut changes = vec![];
    while let Some(row) = rows.next()? {
        changes.push(read_change(row)?);
    }
    Ok(changes)
}

fn read_change(row: &Row<'_>) -> Result<(CitizenChange, Cursor), StoreError> {
    let cursor = Cursor { id: row.get(0)?, date: row.get(1)? };
    let record: Option<Vec<u8>> = row.get(4)?;
    let citizen = record.map(|record| Citizen::decode(record.as_slice())).transpose()?;
    let change = CitizenChange {
        personal_number: PersonalNumber::from_sql(row.get(3)?).to_string(),
        kind: row.get(2)?,
        changed_on: cursor.date.clone(),
        citizen,
    };
    Ok((change, cursor))
}

fn read_known(row: &Row<'_>) -> rusqlite::Result<Known> {
    Ok(Known {
        number: PersonalNumber::from_sql(row.get(0)?),
        household: row.get(1)?,
        full_name: row.get(2)?,
        born: row.get(3)?,
        relationship: row.get(4)?,
        life_status: row.get(5)?,
    })
}
