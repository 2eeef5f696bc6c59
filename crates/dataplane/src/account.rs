//! What is known of one call so far, and the entries it leaves.
//!
//! Every call that arrives leaves either a refusal, or an admission and an end; a call whose task
//! is dropped leaves its end from here.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use http::header::HeaderValue;
use model::{
    Admitted as AdmittedEntry, Code, Entry, ExchangeId, FIELDS_BYTES_MAX, Finished, MemberId,
    Passed, Reason, Refusal, Refused, RevisionId, SystemId, Terms, Timestamp,
};
use policy::source::Fields;
use policy::{Caller, Decision, Destination, Route};

use crate::admit::Admitted;
use crate::connection::Peer;
use crate::evidence::{self, Recorded, Sequenced};
use crate::gateway::Shared;
use crate::head::{
    EXCHANGE_AGREEMENT, EXCHANGE_DOSSIER, EXCHANGE_MEMBER, EXCHANGE_PROCEDURE, EXCHANGE_PURPOSE,
    EXCHANGE_SYSTEM,
};
use crate::meter::{Meter, Salt};
use crate::respond;

/// Longest method path in a refusal's entry, in bytes.
const METHOD_BYTES_MAX: usize = 256;
/// Messages of a call that pass, both ways, before the ledger is told of them.
const PASSED_MESSAGES_MAX: u64 = 1000;
/// Longest time after which a message that passes lets the ledger be told.
const PASSED_TIME_MAX: Duration = Duration::from_secs(10);
/// Stands in an entry for fields that it has no room for.
const MORE: &str = "…";

pub(crate) struct Account {
    shared: Arc<Shared>,
    peer: Arc<Peer>,
    exchange: ExchangeId,
    arrived: Timestamp,
    revision: RevisionId,
    system: Option<(SystemId, MemberId)>,
    method: Option<Box<str>>,
    terms: Terms,
    state: State,
    salt: Salt,
    request: RefCell<Meter>,
    response: RefCell<Meter>,
    /// How much had passed when the ledger was told last, and when that was.
    told: Cell<(u64, Timestamp)>,
}

/// One way of a call: what passes is counted, and the ledger is told of it from time to time.
#[derive(Clone, Copy)]
pub(crate) struct Way<'a> {
    account: &'a Account,
    meter: &'a RefCell<Meter>,
}

impl Way<'_> {
    /// Takes note of the next bytes. Returns how many bytes the messages that have begun have, as
    /// [`Meter::announced`] counts them.
    pub(crate) fn add(&self, data: &[u8]) -> u64 {
        let mut meter = self.meter.borrow_mut();
        let before = meter.messages();
        meter.add(data);
        let (messages, announced) = (meter.messages(), meter.announced());
        drop(meter);
        // Of calls with one message each way the end tells soon enough.
        if messages > before && messages > 1 {
            self.account.passing();
        }
        announced
    }
}

#[expect(
    clippy::large_enum_variant,
    reason = "there is one for each call, and a box would cost more"
)]
enum State {
    Arrived,
    Admitted { entry: AdmittedEntry, sequenced: Sequenced },
    Closed,
}

impl Account {
    /// Opens the account of a call that has just arrived.
    pub(crate) fn open(shared: &Arc<Shared>, peer: &Arc<Peer>, arrived: Timestamp) -> Self {
        let salt = shared.ids.salt();
        Self {
            exchange: shared.ids.next(arrived),
            shared: shared.clone(),
            peer: peer.clone(),
            arrived,
            revision: RevisionId::default(),
            system: None,
            method: None,
            terms: Terms::default(),
            state: State::Arrived,
            request: RefCell::new(Meter::new(salt)),
            response: RefCell::new(Meter::new(salt)),
            told: Cell::new((0, arrived)),
            salt,
        }
    }

    pub(crate) fn exchange(&self) -> ExchangeId {
        self.exchange
    }

    pub(crate) fn salt(&self) -> Salt {
        self.salt
    }

    pub(crate) fn exchange_value(&self) -> HeaderValue {
        respond::exchange_value(self.exchange)
    }

    pub(crate) fn revision(&self) -> RevisionId {
        self.revision
    }

    /// Notes the revision that decides.
    pub(crate) fn decided_by(&mut self, revision: RevisionId) {
        self.revision = revision;
    }

    /// Notes who calls.
    pub(crate) fn identified(&mut self, caller: &Caller<'_>) {
        self.system = Some((caller.system.id.clone(), caller.member.id.clone()));
    }

    /// Notes what was asked for, well-formed or not.
    pub(crate) fn asked(&mut self, path: &str) {
        let cut =
            (0..=METHOD_BYTES_MAX.min(path.len())).rev().find(|at| path.is_char_boundary(*at));
        self.method = path.get(..cut.unwrap_or_default()).map(Box::from);
    }

    /// Notes on which terms.
    pub(crate) fn stated(&mut self, terms: Terms) {
        self.terms = terms;
    }

    pub(crate) fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Writes the entry of an admitted call.
    pub(crate) fn admit(
        &mut self,
        caller: &Caller<'_>,
        route: &Route<'_>,
        destination: &Destination<'_>,
        admitted: &Admitted<'_>,
    ) -> Result<Sequenced, Refusal> {
        let Decision { agreement, purpose, revision } = admitted.decision();
        let entry = AdmittedEntry {
            exchange: self.exchange,
            time: self.arrived,
            certificate: self.peer.certificate.digest,
            system: caller.system.id.clone(),
            member: caller.member.id.clone(),
            node: destination.node.id.clone(),
            method: route.path.into(),
            effect: route.effect,
            agreement: agreement.id().clone(),
            purpose: (*purpose).clone(),
            dossier: self.terms.dossier.clone(),
            procedure: self.terms.procedure.clone(),
            revision: *revision,
            source: self.peer.source,
            shadow_node: destination.shadow.map(|node| node.id.clone()),
            // What a call asks is passed on unread, so that nobody is known in it.
            subject: None,
            fields: named(agreement.fields()),
        };
        let sequenced = Sequenced::append(&self.shared.ledger, &Entry::Admitted(entry.clone()))?;
        self.state = State::Admitted { entry, sequenced: sequenced.clone() };
        Ok(sequenced)
    }

    /// What the gateway tells the node about an admitted call, beside its id.
    pub(crate) fn vouched(&self) -> impl Iterator<Item = (HeaderName, &str)> {
        let entry = match &self.state {
            State::Admitted { entry, .. } => Some(entry),
            State::Arrived | State::Closed => None,
        };
        entry.into_iter().flat_map(|entry| {
            let always = [
                (EXCHANGE_MEMBER, entry.member.as_str()),
                (EXCHANGE_SYSTEM, entry.system.as_str()),
                (EXCHANGE_AGREEMENT, entry.agreement.as_str()),
                (EXCHANGE_PURPOSE, entry.purpose.as_str()),
            ];
            let dossier = entry.dossier.as_deref().map(|text| (EXCHANGE_DOSSIER, text));
            let procedure = entry.procedure.as_deref().map(|text| (EXCHANGE_PROCEDURE, text));
            always.into_iter().chain(dossier).chain(procedure)
        })
    }

    /// From the consumer to the node.
    pub(crate) fn request(&self) -> Way<'_> {
        Way { account: self, meter: &self.request }
    }

    /// From the node to the consumer.
    pub(crate) fn response(&self) -> Way<'_> {
        Way { account: self, meter: &self.response }
    }

    /// The digest of the answer so far.
    pub(crate) fn response_digest(&self) -> [u8; 32] {
        self.response.borrow().traffic().digest
    }

    /// Tells the ledger what has passed, if it was not told for long: should the gateway die, that
    /// much is known.
    fn passing(&self) {
        let State::Admitted { sequenced, .. } = &self.state else { return };
        let now = self.shared.clock.now();
        let messages = self.request.borrow().messages() + self.response.borrow().messages();
        let (told, when) = self.told.get();
        if messages - told < PASSED_MESSAGES_MAX && now.since(when) < PASSED_TIME_MAX {
            return;
        }
        self.told.set((messages, now));
        let passed = Entry::Passed(Passed {
            exchange: self.exchange,
            admitted: sequenced.index(),
            time: now,
            request: self.request.borrow().traffic(),
            response: self.response.borrow().traffic(),
        });
        evidence::pass(&self.shared.ledger, &passed);
    }

    /// Closes the account of an answered call.
    pub(crate) fn finish(&mut self, code: Code) {
        self.close(code, None);
    }

    /// Closes the account of a declined call. Returns the evidence for the caller's receipt: the
    /// refusal, or the admission where the call had got that far; none for a stranger beyond
    /// those that are recorded one by one.
    pub(crate) async fn decline(&mut self, refusal: &Refusal) -> Result<Option<Recorded>, Refusal> {
        let sequenced = match &self.state {
            State::Admitted { sequenced, .. } => {
                let sequenced = sequenced.clone();
                let recorded = match refusal.reason() {
                    // It has waited for the disk as long as a call may.
                    Reason::LedgerUnavailable => sequenced.recorded_by_now(),
                    _ => sequenced.recorded().await,
                };
                self.close(respond::code(refusal.reason()), Some(refusal.reason()));
                return recorded.map(Some);
            }
            State::Arrived | State::Closed => match self.refuse(refusal) {
                Some(entry) => Sequenced::append(&self.shared.ledger, &entry)?,
                None => return Ok(None),
            },
        };
        sequenced.recorded().await.map(Some)
    }

    /// The entry of a refused call, within the bound on entries that strangers may cause.
    fn refuse(&mut self, refusal: &Refusal) -> Option<Entry> {
        self.state = State::Closed;
        measure("", refusal.reason().name());
        let mut refused = self.refused(refusal);
        if refused.system.is_none() {
            refused.suppressed = self.shared.refusals.lock().take(self.arrived, &refused)?;
        }
        Some(Entry::Refused(refused))
    }

    fn close(&mut self, code: Code, reason: Option<Reason>) {
        let State::Admitted { entry, sequenced } =
            std::mem::replace(&mut self.state, State::Closed)
        else {
            return;
        };
        if sequenced.is_lost() {
            // Its admission is not in the ledger, so this is the one entry of the call.
            let refusal = Refusal::new(Reason::LedgerUnavailable).under(entry.agreement);
            if let Some(entry) = self.refuse(&refusal) {
                evidence::note(&self.shared.ledger, &entry);
            }
            return;
        }
        let now = self.shared.clock.now();
        measure(entry.node.as_str(), reason.map_or(code.name(), Reason::name));
        metrics::histogram!("gw_call_duration_seconds", "node" => entry.node.to_string())
            .record(now.since(self.arrived).as_secs_f64());
        let finished = Entry::Finished(Finished {
            exchange: self.exchange,
            admitted: sequenced.index(),
            time: now,
            code,
            reason,
            request: self.request.borrow().traffic(),
            response: self.response.borrow().traffic(),
        });
        evidence::note(&self.shared.ledger, &finished);
    }

    fn refused(&self, refusal: &Refusal) -> Refused {
        let (system, member) = self.system.clone().unzip();
        Refused {
            exchange: self.exchange,
            time: self.arrived,
            reason: refusal.reason(),
            certificate: Some(self.peer.certificate.digest),
            system,
            member,
            method: self.method.clone(),
            agreement: refusal.agreement().cloned(),
            purpose: self.terms.purpose.clone(),
            dossier: self.terms.dossier.clone(),
            procedure: self.terms.procedure.clone(),
            revision: self.revision,
            source: self.peer.source,
            suppressed: 0,
        }
    }
}

/// The fields that an agreement names, as many as an entry may hold; [`MORE`] stands for others.
fn named(fields: &Fields) -> Vec<Box<str>> {
    let Fields::Named(names) = fields else { return Vec::new() };
    let mut room = FIELDS_BYTES_MAX - MORE.len() - 1;
    let mut fields = Vec::with_capacity(names.len());
    for name in names {
        let Some(left) = room.checked_sub(name.len() + 1) else {
            fields.push(MORE.into());
            break;
        };
        room = left;
        fields.push(name.as_str().into());
    }
    fields
}

/// Counts an ended call: by its node, and by its status or the reason why it was declined.
fn measure(node: &str, outcome: &'static str) {
    metrics::counter!("gw_calls_total", "node" => node.to_owned(), "outcome" => outcome)
        .increment(1);
}

/// A task that is dropped in the middle, as at the end of a drain, still leaves the call's end.
impl Drop for Account {
    fn drop(&mut self) {
        match self.state {
            State::Arrived => {
                if let Some(entry) = self.refuse(&Refusal::new(Reason::Cancelled)) {
                    evidence::note(&self.shared.ledger, &entry);
                }
            }
            State::Admitted { .. } => self.close(Code::Cancelled, Some(Reason::Cancelled)),
            State::Closed => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_an_entry_has_no_room_for_are_not_passed_over_in_silence() {
        let named = |count: usize| named(&Fields::Named(vec!["a".repeat(99); count]));
        assert_eq!(named(3).len(), 3);
        let many = named(20);
        assert_eq!((many.len(), many.last().map(|last| &**last)), (11, Some(MORE)));
        let bytes: usize = many.iter().map(|field| field.len() + 1).sum();
        assert!(bytes <= FIELDS_BYTES_MAX, "{bytes} bytes");
        assert!(super::named(&Fields::All).is_empty());
    }
}
