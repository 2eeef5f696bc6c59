//! Entries in order, for operators who take them away. Recorded before the first one is given.

use audit::{ReadError, Records};
use control::admin::Parts;
use model::{Operator, Reading};
use tonic::Status;
use wire::generated::admin::{ExportRequest, ExportResponse, ExportTree, Hole, LedgerEntry};

use crate::reading::{Readings, why};

/// Most entries of one export; who wants more asks again.
const COUNT_MAX: u64 = 1_000_000;
/// Bytes of entries in one part, about: callers take four MiB.
const PART_BYTES: usize = 1 << 20;
/// What an entry takes beside its bytes, about.
const AROUND_BYTES: usize = 16;

impl Readings {
    /// Reads entries for an operator.
    pub(crate) fn export(
        &self,
        request: ExportRequest,
        operator: &Operator,
    ) -> Result<Parts, Status> {
        let ExportRequest { first_index: first, count, why: reason } = request;
        let reason = why(&reason)?;
        if !(1..=COUNT_MAX).contains(&count) {
            let found = format!("found {count} entries, expected 1 to {COUNT_MAX}");
            return Err(Status::invalid_argument(found));
        }
        let status = self.ledger.status();
        let end = first.saturating_add(count).min(status.size);
        let criteria = format!("entries={first}..{end}");
        let results = end.saturating_sub(first);
        self.record_reading(operator, Reading::Export, &criteria, (reason, results))?;
        let tree = ExportTree {
            origin: status.origin.to_string(),
            size: status.size,
            root_hash: status.root_hash.to_vec(),
        };
        let records = audit::records(&self.source, first).map_err(|error| failed(&error))?;
        let more = end < status.size;
        let parts = Export { records, next: first, end, more, tree: Some(tree) };
        Ok(Box::new(parts))
    }
}

/// An export under way.
struct Export {
    records: Records,
    /// Index of the entry that comes next.
    next: u64,
    /// Index of the first entry that does not belong to it.
    end: u64,
    /// Whether the ledger goes on there.
    more: bool,
    /// Given with the last part.
    tree: Option<ExportTree>,
}

impl Iterator for Export {
    type Item = Result<ExportResponse, Status>;

    fn next(&mut self) -> Option<Self::Item> {
        self.tree.as_ref()?;
        let part = self.part();
        if part.is_err() {
            self.tree = None;
        }
        Some(part)
    }
}

impl Export {
    fn part(&mut self) -> Result<ExportResponse, Status> {
        let mut part = ExportResponse::default();
        let mut bytes = 0;
        while self.next < self.end && bytes < PART_BYTES {
            match self.records.next() {
                Some(Ok(record)) if record.index == self.next => {
                    self.next += 1;
                    bytes += record.entry.len() + AROUND_BYTES;
                    part.entries.push(LedgerEntry { index: record.index, entry: record.entry });
                }
                Some(Err(error)) if error.is_gone() => {
                    if let ReadError::Absent { first_index, next_index, absence } = error {
                        let first_index = first_index.max(self.next);
                        self.next = next_index.min(self.end);
                        let (next_index, why) = (self.next, absence.to_string());
                        part.gone.push(Hole { first_index, next_index, why });
                    }
                }
                Some(Err(error)) => return Err(failed(&error)),
                Some(Ok(_)) | None => {
                    let missing = self.next;
                    return Err(Status::internal(format!(
                        "found no entry {missing} although it is durable, verify the ledger"
                    )));
                }
            }
        }
        if self.next >= self.end {
            part.next_index = if self.more { self.end } else { 0 };
            part.tree = self.tree.take();
        }
        Ok(part)
    }
}

fn failed(error: &ReadError) -> Status {
    tracing::warn!(%error, "an export failed");
    Status::internal(error.to_string())
}
