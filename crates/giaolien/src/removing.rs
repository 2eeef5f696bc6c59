//! Removing entries after their term, for operators: never by itself, and never without a record.

use audit::{Expired, RemoveError};
use model::{Clock, Entry, Operator, SegmentRemoved, SystemClock};
use tonic::Status;
use wire::evidence::encode_entry;
use wire::generated::admin::{
    ExpiredSegment, ListExpiredResponse, RemoveExpiredRequest, RemoveExpiredResponse,
};

use crate::reading::{Readings, why};

impl Readings {
    /// What may be removed.
    pub(crate) fn expired(&self) -> Result<ListExpiredResponse, Status> {
        let segments = self.ledger.expired().map_err(|error| failed(&error))?;
        Ok(ListExpiredResponse { segments: segments.into_iter().map(listed).collect() })
    }

    /// Removes the entries of a segment for an operator, after the ledger has it that it does.
    pub(crate) fn remove(
        &self,
        request: RemoveExpiredRequest,
        operator: &Operator,
    ) -> Result<RemoveExpiredResponse, Status> {
        let why = why(&request.why)?;
        let expired = self.ledger.expired().map_err(|error| failed(&error))?;
        let RemoveExpiredRequest { number, root_hash, .. } = request;
        let asked = |segment: &&Expired| {
            segment.segment == number && segment.root_hash.as_slice() == root_hash
        };
        let expired = expired.iter().find(asked).ok_or_else(|| {
            Status::failed_precondition(format!(
                "found no segment {number} with this root hash whose term is over and which is \
                 archived, expected one that is listed as such"
            ))
        })?;
        let record = Entry::SegmentRemoved(SegmentRemoved {
            time: SystemClock.now(),
            operator: operator.clone(),
            segment: expired.segment,
            first: expired.first_index,
            count: expired.count,
            root_hash: expired.root_hash,
            keep_until: expired.keep_until,
            why,
        });
        let recorded = self.ledger.remove_expired(expired, &encode_entry(&record));
        let recorded = recorded.map_err(|error| failed(&error))?;
        tracing::info!(segment = number, recorded, "entries of a segment were removed");
        Ok(RemoveExpiredResponse { recorded })
    }
}

fn listed(segment: Expired) -> ExpiredSegment {
    ExpiredSegment {
        number: segment.segment,
        first_index: segment.first_index,
        count: segment.count,
        root_hash: segment.root_hash.to_vec(),
        latest_us: segment.latest.as_micros(),
        keep_until_us: segment.keep_until.as_micros(),
    }
}

fn failed(error: &RemoveError) -> Status {
    tracing::warn!(%error, "entries were not removed");
    match error {
        RemoveError::Append(_) | RemoveError::Ledger(_) => {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            Status::unavailable(format!("{error}: {}", cause.unwrap_or_default()))
        }
        RemoveError::Record(_) | RemoveError::Files(_) => Status::internal(error.to_string()),
    }
}
