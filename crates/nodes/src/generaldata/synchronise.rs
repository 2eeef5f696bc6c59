//! Receiving a stream of records.

use tonic::{Status, Streaming};

use super::store::{self, NewRecord, Stored};
use super::{batch, is_data_set, is_key};
use crate::database::{Database, StoreError};
use crate::input;
use crate::proto::generaldata::v1 as wire;
use wire::RejectReason;

const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;
const REJECTS_MAX: usize = 1000;

/// Stores the records batch by batch; what a batch accepted is durable before the next is read.
pub(super) async fn run(
    database: &Database,
    mut records: Streaming<wire::Record>,
) -> Result<wire::SynchroniseResponse, Status> {
    let mut summary = wire::SynchroniseResponse::default();
    let mut source: Option<String> = None;
    loop {
        let batch = batch::next(&mut records, |record| record.payload.len()).await?;
        let Some(first) = batch.first() else { break };
        let source = source.get_or_insert_with(|| first.source.clone());
        if batch.iter().any(|record| record.source != *source) {
            return Err(input::invalid("source", "the same in all records of a stream"));
        }
        let outcomes = database.write(move |db| store_batch(db, &batch)).await?;
        for outcome in outcomes {
            count(&mut summary, outcome);
        }
    }
    match source {
        Some(_) => Ok(summary),
        None => Err(Status::invalid_argument("the stream has no record")),
    }
}

/// Adds an outcome to the summary. Records come in order, so its index follows from the counts.
fn count(summary: &mut wire::SynchroniseResponse, outcome: Result<(), wire::Reject>) {
    let Err(mut reject) = outcome else {
        summary.accepted += 1;
        return;
    };
    reject.index = summary.accepted + summary.rejected;
    summary.rejected += 1;
    if summary.rejects.len() < REJECTS_MAX {
        summary.rejects.push(reject);
    }
}

fn store_batch(
    db: &rusqlite::Connection,
    batch: &[wire::Record],
) -> Result<Vec<Result<(), wire::Reject>>, StoreError> {
    let mut outcomes = Vec::with_capacity(batch.len());
    for record in batch {
        let outcome = match check(record) {
            Err(detail) => Err((RejectReason::Malformed, detail.to_owned())),
            Ok(new) => match store::store(db, &new)? {
                Stored::Accepted => Ok(()),
                Stored::Stale(version) => {
                    Err((RejectReason::Stale, format!("version {version} stands here")))
                }
                Stored::Conflict => {
                    let detail = "this version stands here with another content";
                    Err((RejectReason::Conflict, detail.to_owned()))
                }
            },
        };
        outcomes.push(outcome.map_err(|(reason, detail)| wire::Reject {
            index: 0,
            key: record.key.chars().take(128).collect(),
            reason: reason.into(),
            detail,
        }));
    }
    Ok(outcomes)
}

fn check(record: &wire::Record) -> Result<NewRecord<'_>, &'static str> {
    if !input::is_unit_code(&record.source) {
        return Err("`source` must be an agency code such as G09");
    }
    if !is_data_set(&record.data_set) {
        return Err("`data_set` must be 1 to 64 lower-case letters, digits, `-` or `.`");
    }
    if !is_key(&record.key) {
        return Err("`key` must be 1 to 128 bytes without control characters");
    }
    if record.version == 0 || i64::try_from(record.version).is_err() {
        return Err("`version` must be at least 1");
    }
    if record.payload.len() > PAYLOAD_BYTES_MAX {
        return Err("`payload` must be at most 1 MiB");
    }
    if record.deleted && !record.payload.is_empty() {
        return Err("`payload` must be empty when `deleted`");
    }
    Ok(NewRecord {
        source: &record.source,
        data_set: &record.data_set,
        key: &record.key,
        version: record.version,
        deleted: record.deleted,
        payload: &record.payload,
    })
}
