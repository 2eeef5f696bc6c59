//! Paging through the changes of records.

use rusqlite::Connection;
use sha2::{Digest, Sha256};
use tonic::Status;

use super::store::{self, ChangeFilter, Cursor};
use crate::database::StoreError;
use crate::input;
use crate::proto::population::v1 as wire;

const PAGE_DEFAULT: u32 = 100;
const PAGE_MAX: u32 = 500;
const DAYS_MAX: i32 = 366;

/// One page of a list of changes.
pub(super) struct Query {
    filter: ChangeFilter,
    after: Cursor,
    limit: u32,
}

impl Query {
    pub(super) fn parse(request: &wire::ListChangesRequest) -> Result<Self, Status> {
        let from = input::date("from_date", &request.from_date)?;
        let to = input::date("to_date", &request.to_date)?;
        let days = from.until(to).map_or(0, |span| span.get_days());
        if !(1..=DAYS_MAX).contains(&days) {
            return Err(input::invalid("to_date", "1 to 366 days after `from_date`"));
        }
        let province = match request.province_code.as_str() {
            "" => None,
            code => {
                input::digits("province_code", code, 2)?;
                Some(code.to_owned())
            }
        };
        let filter = ChangeFilter { from, to, province, records: request.include_records };
        let after = match request.page_token.as_str() {
            "" => Cursor { date: from.to_string(), id: 0 },
            token => read_token(token, &filter).ok_or_else(|| {
                input::invalid("page_token", "the token of a page of the same request")
            })?,
        };
        let limit = match request.page_size {
            0 => PAGE_DEFAULT,
            size => size.min(PAGE_MAX),
        };
        Ok(Self { filter, after, limit })
    }

    pub(super) fn run(&self, db: &Connection) -> Result<wire::ListChangesResponse, StoreError> {
        // One more than fits tells whether there is a next page.
        let mut changes = store::changes(db, &self.filter, &self.after, self.limit + 1)?;
        let more = changes.len() > self.limit as usize;
        changes.truncate(self.limit as usize);
        let last = changes.last().filter(|_| more);
        let next_page_token =
            last.map(|(_, cursor)| write_token(cursor, &self.filter)).unwrap_or_default();
        let changes = changes.into_iter().map(|(change, _)| change).collect();
        Ok(wire::ListChangesResponse { changes, next_page_token })
    }
}

fn write_token(cursor: &Cursor, filter: &ChangeFilter) -> String {
    format!("{}.{}.{}", cursor.date, cursor.id, fingerprint(filter))
}

fn read_token(token: &str, filter: &ChangeFilter) -> Option<Cursor> {
    let mut parts = token.splitn(3, '.');
    let date = input::date("page_token", parts.next()?).ok()?.to_string();
    let id = parts.next()?.parse().ok()?;
    (parts.next()? == fingerprint(filter)).then_some(Cursor { date, id })
}

/// Ties a token to the conditions of its request.
fn fingerprint(filter: &ChangeFilter) -> String {
    let ChangeFilter { from, to, province, records: _ } = filter;
    let digest = Sha256::digest(format!("{from} {to} {province:?}"));
    digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}
