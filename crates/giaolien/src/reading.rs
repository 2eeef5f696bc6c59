//! Reading the ledger for operators: searched by the index, recorded before it is answered.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use audit::{Log, Lost, Source};
use model::{
    Action, AdminAction, Clock, Criteria, Entry, LedgerRead, Operator, Pseudonyms, Reading,
    RevisionId, SystemClock,
};
use search::{Act, Answer, Follower, Hole, LIMIT_MAX, SearchError};
use tlog::Signer;
use tonic::Status;
use wire::evidence::{EvidenceError, encode_entry, encode_receipt};
use wire::generated::admin::{
    self as told, Exchange, LedgerEntry, SearchActsRequest, SearchActsResponse, SearchRequest,
    SearchResponse,
};
use wire::search::{decode_act_criteria, decode_criteria, decode_person};

use crate::proofs::Proofs;

/// Longest reason why the ledger is read, in bytes.
const WHY_BYTES_MAX: usize = 1024;
/// Bytes of an answer, about: callers take four MiB.
const ANSWER_BYTES_MAX: usize = 3 << 20;

/// The ledger as operators read it.
pub(crate) struct Readings {
    pub(crate) ledger: Arc<Log>,
    pub(crate) source: Source,
    proofs: Proofs,
    signer: Arc<Signer>,
    pseudonyms: Pseudonyms,
    /// Absent without `ledger.index`.
    follower: Option<Follower>,
}

impl Readings {
    /// Begins to fill the index, if there is to be one.
    pub(crate) fn start(
        ledger: Arc<Log>,
        proofs: Proofs,
        source: Source,
        signer: Arc<Signer>,
        pseudonyms: Pseudonyms,
        index: Option<&Path>,
    ) -> Result<Self> {
        let durable = Arc::clone(&ledger);
        let start = |index| Follower::start(index, &source, move || durable.status().size);
        let follower = index.map(start).transpose().context("start the ledger's index")?;
        Ok(Self { ledger, source, proofs, signer, pseudonyms, follower })
    }

    /// Searches the ledger for an operator. The answer is given only once the ledger has it that
    /// it was.
    pub(crate) fn search(
        &self,
        mut request: SearchRequest,
        operator: &Operator,
    ) -> Result<SearchResponse, Status> {
        let follower = self.follower()?;
        let why = why(&request.why)?;
        let criteria = decode_criteria(request.criteria.take().unwrap_or_default());
        let mut criteria = criteria.map_err(invalid)?;
        let reading = match request.person.take() {
            Some(person) => {
                criteria.subjects = self.subjects(&person)?;
                Reading::Subject
            }
            None => Reading::Search,
        };
        let limit = limit(request.limit)?;
        let before = (request.before > 0).then_some(request.before);
        let answer = follower.find(&criteria, before, limit).map_err(|error| failed(&error))?;
        let response = self.response(follower, answer, &criteria, request.receipts)?;
        let results = response.exchanges.len() as u64;
        self.record_reading(operator, reading, &criteria.to_string(), (why, results))?;
        Ok(response)
    }

    /// Searches what operators did, for one of them. Recorded as [`search`](Self::search) is.
    pub(crate) fn acts(
        &self,
        mut request: SearchActsRequest,
        operator: &Operator,
    ) -> Result<SearchActsResponse, Status> {
        let follower = self.follower()?;
        let why = why(&request.why)?;
        let person = request.person.take();
        let limit = limit(request.limit)?;
        let before = (request.before > 0).then_some(request.before);
        let mut criteria = decode_act_criteria(request).map_err(invalid)?;
        if let Some(person) = person {
            criteria.subjects = self.subjects(&person)?;
        }
        let answer = follower.acts(&criteria, before, limit).map_err(|error| failed(&error))?;
        let (mut bytes, mut entries, mut before) = (0, Vec::new(), answer.before);
        for Act { index, bytes: entry, .. } in answer.acts {
            if bytes > ANSWER_BYTES_MAX {
                before = entries.last().map(|last: &LedgerEntry| last.index);
                break;
            }
            bytes += entry.len();
            entries.push(LedgerEntry { index, entry });
        }
        let results = entries.len() as u64;
        self.record_reading(operator, Reading::Acts, &criteria.to_string(), (why, results))?;
        Ok(SearchActsResponse {
            entries,
            before: before.unwrap_or_default(),
            indexed: answer.indexed,
            durable: follower.durable(),
            lost: answer.lost.map(lost),
            holes: answer.holes.into_iter().map(hole).collect(),
        })
    }

    fn follower(&self) -> Result<&Follower, Status> {
        self.follower.as_ref().ok_or_else(|| {
            Status::failed_precondition(
                "found no `ledger.index` in gateway.yaml, which searches need",
            )
        })
    }

    /// Records that the ledger is read, why, and how much of it.
    pub(crate) fn record_reading(
        &self,
        operator: &Operator,
        reading: Reading,
        criteria: &str,
        (why, results): (Box<str>, u64),
    ) -> Result<(), Status> {
        let (time, operator, criteria) = (SystemClock.now(), operator.clone(), criteria.into());
        let read = LedgerRead { time, operator, reading, criteria, why, results };
        self.append(&Entry::LedgerRead(read)).map_err(|cause| {
            Status::unavailable(format!("the ledger cannot record that it is read: {cause}"))
        })
    }

    /// Records what an operator did.
    pub(crate) fn record(
        &self,
        operator: &Operator,
        action: Action,
        revision: RevisionId,
    ) -> Result<(), String> {
        let (time, operator) = (SystemClock.now(), operator.clone());
        self.append(&Entry::AdminAction(AdminAction { time, operator, action, revision }))
    }

    fn subjects(
        &self,
        person: &wire::generated::admin::Person,
    ) -> Result<Vec<model::Subject>, Status> {
        if self.pseudonyms.is_empty() {
            return Err(Status::failed_precondition(
                "found no key in `ledger.pseudonyms` of gateway.yaml, without which nobody knows \
                 whom entries are about",
            ));
        }
        Ok(self.pseudonyms.subjects(&decode_person(person).map_err(invalid)?))
    }

    fn response(
        &self,
        follower: &Follower,
        answer: Answer,
        criteria: &Criteria,
        receipts: bool,
    ) -> Result<SearchResponse, Status> {
        let (mut bytes, mut exchanges, mut before) = (0, Vec::new(), answer.before);
        let mut proofs = match receipts {
            true => self.proofs_of(&answer.exchanges)?.into_iter(),
            false => Vec::new().into_iter(),
        };
        for found in answer.exchanges {
            if bytes > ANSWER_BYTES_MAX {
                before = exchanges.last().map(|last: &Exchange| last.index);
                break;
            }
            let receipt = match receipts {
                true => {
                    let receipt = follower.receipt(found.index, &self.signer);
                    encode_receipt(&receipt.map_err(|error| failed(&error))?)
                }
                false => Vec::new(),
            };
            let (last_index, last) =
                found.last.map(|last| (last.index, last.bytes)).unwrap_or_default();
            let proof = proofs.next().flatten().unwrap_or_default().into_bytes();
            bytes += found.bytes.len() + last.len() + receipt.len() + proof.len();
            let (index, entry) = (found.index, found.bytes);
            exchanges.push(Exchange { index, entry, last_index, last, receipt, proof });
        }
        let periods = criteria.subjects.iter().map(|subject| subject.period.to_string());
        Ok(SearchResponse {
            exchanges,
            before: before.unwrap_or_default(),
            indexed: answer.indexed,
            durable: follower.durable(),
            periods: periods.collect(),
            lost: answer.lost.map(lost),
            holes: answer.holes.into_iter().map(hole).collect(),
        })
    }

    /// The proofs of what was found, where a checkpoint covers it.
    fn proofs_of(&self, found: &[search::Exchange]) -> Result<Vec<Option<String>>, Status> {
        let entries: Vec<_> = found.iter().map(|one| (one.index, one.bytes.as_slice())).collect();
        if let Some(last) = entries.iter().map(|(index, _)| *index).max() {
            self.proofs.wait_for(last);
        }
        self.proofs.of(&entries).map_err(|error| {
            tracing::error!(%error, "no proofs for a search");
            Status::internal(format!("the ledger's tree cannot be read: {error}"))
        })
    }

    /// Appends an entry and waits until it is durable.
    fn append(&self, entry: &Entry) -> Result<(), String> {
        let ticket = self.ledger.append(&encode_entry(entry)).map_err(|error| error.to_string())?;
        ticket.wait().map(drop).map_err(|error| error.to_string())
    }
}

/// What was removed, as the admin API tells it.
pub(crate) fn lost(lost: Lost) -> told::Lost {
    told::Lost { entries: lost.entries, latest_us: lost.latest.as_micros() }
}

/// What is not to be had, as the admin API tells it.
pub(crate) fn hole(hole: Hole) -> told::Hole {
    told::Hole { first_index: hole.first, next_index: hole.next, why: hole.why }
}

fn limit(asked: u32) -> Result<usize, Status> {
    let limit = usize::try_from(asked).unwrap_or(usize::MAX);
    match (1..=LIMIT_MAX).contains(&limit) {
        true => Ok(limit),
        false => {
            Err(Status::invalid_argument(format!("found limit {limit}, expected 1 to {LIMIT_MAX}")))
        }
    }
}

/// The reason that was given.
pub(crate) fn why(text: &str) -> Result<Box<str>, Status> {
    let text = text.trim();
    match (1..=WHY_BYTES_MAX).contains(&text.len()) {
        true => Ok(text.into()),
        false => Err(Status::invalid_argument(format!(
            "found a reason of {} bytes, expected why the ledger is read in 1 to {WHY_BYTES_MAX}",
            text.len()
        ))),
    }
}

fn invalid(error: EvidenceError) -> Status {
    Status::invalid_argument(error.to_string())
}

fn failed(error: &SearchError) -> Status {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    tracing::warn!(cause = text, "a search failed");
    match error {
        SearchError::Damaged(_) => Status::aborted(format!("{text}; it is made anew, try again")),
        _ => Status::internal(text),
    }
}
