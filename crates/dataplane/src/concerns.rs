//! The persons whom one admitted call turns out to concern.

use std::cell::RefCell;
use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use model::{
    AgreementId, CONCERNED_MAX, Concerned, Entry, ExchangeId, PersonNumber, Pseudonym, Reason,
    Refusal, Subject, SystemId,
};
use policy::source::SubjectBudget;

use crate::evidence::Sequenced;
use crate::gateway::Shared;

/// The ledger taking persons down.
pub(crate) type Recording = Pin<Box<dyn Future<Output = Result<(), Refusal>>>>;

/// Takes down whom a call concerns, each person once, within the agreement's budget.
pub(crate) struct Concerns {
    pub(crate) shared: Arc<Shared>,
    pub(crate) exchange: ExchangeId,
    /// Index of the call's admission.
    pub(crate) admitted: u64,
    pub(crate) agreement: AgreementId,
    pub(crate) system: SystemId,
    pub(crate) budget: Option<SubjectBudget>,
    pub(crate) known: RefCell<HashSet<Pseudonym>>,
    /// The last entry that says so.
    pub(crate) last: RefCell<Option<Sequenced>>,
}

impl Concerns {
    /// Records persons; what it returns is done once the ledger holds them. `None` if there is
    /// nothing new to record.
    pub(crate) fn record(&self, persons: Vec<PersonNumber>) -> Result<Option<Recording>, Refusal> {
        if let Some(budget) = &self.budget {
            ask(&self.shared, &self.agreement, &self.system, budget, &persons)?;
        }
        let new =
            self.fresh(persons.iter().filter_map(|person| self.shared.persons.subject(person)));
        for some in new.chunks(CONCERNED_MAX) {
            let Some(Subject { period, .. }) = some.first() else { break };
            let concerned = Entry::Concerned(Concerned {
                exchange: self.exchange,
                admitted: self.admitted,
                time: self.shared.clock.now(),
                period: period.clone(),
                pseudonyms: some.iter().map(|subject| subject.pseudonym).collect(),
            });
            *self.last.borrow_mut() = Some(Sequenced::append(&self.shared.ledger, &concerned)?);
        }
        // Whom the other direction has named may not be durable yet.
        let last = self.last.borrow().clone().filter(|last| last.recorded_by_now().is_err());
        let recorded = |last: Sequenced| -> Recording {
            Box::pin(async move { last.recorded().await.map(drop) })
        };
        Ok(last.map(recorded))
    }

    fn fresh(&self, subjects: impl Iterator<Item = Subject>) -> Vec<Subject> {
        let mut known = self.known.borrow_mut();
        subjects.filter(|subject| known.insert(subject.pseudonym)).collect()
    }
}

/// Lets a system ask about persons, within its budget.
pub(crate) fn ask(
    shared: &Shared,
    agreement: &AgreementId,
    system: &SystemId,
    budget: &SubjectBudget,
    persons: &[PersonNumber],
) -> Result<(), Refusal> {
    let asked = shared.persons.ask(agreement, system, budget, persons, shared.clock.now());
    asked.map_err(|wait| {
        let refusal = Refusal::new(Reason::SubjectsExhausted).under(agreement.clone());
        let bound = |name, bound: Option<u32>, refusal: Refusal| match bound {
            Some(most) => refusal.with(name, most),
            None => refusal,
        };
        let refusal = bound("hour_max", budget.hour_max, refusal);
        bound("day_max", budget.day_max, refusal).retry_after(wait)
    })
}
