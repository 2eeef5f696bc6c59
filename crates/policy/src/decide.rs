//! The decision: is this call allowed, and under which agreement.
//!
//! A call is allowed if an agreement names its consumer and method, is in force, and covers the
//! purpose, and if no Cedar policy forbids it. Where several agreements do, the nearest consumer
//! governs (the system itself, then its member, then the member's classes, then the members
//! above with theirs), and among equals the agreement whose id sorts first. A call that states
//! no purpose is allowed only if all agreements in force that name it imply the same one.

use model::{Reason, Refusal, Terms, Timestamp};

use crate::agreement::Agreement;
use crate::agreements::{Key, Lead, Slot};
use crate::context::{Context, Workspace};
use crate::registry::{Ix, row};
use crate::snapshot::{Caller, Decision, Route, Snapshot};
use crate::source::State;

/// Consumers looked up together. A commune's system has five.
const LEADS: usize = 6;
/// Most slots that are looked at to tell which purpose is implied, or why a call is refused.
const EXAMINED_MAX: usize = 4_096;

impl Snapshot {
    /// Decides whether `caller` may call `route` in this `context`. `workspace` tells afterwards
    /// which Cedar policies decided.
    ///
    /// # Errors
    ///
    /// Refuses with the reason of the agreement that came nearest to allowing the call, or with
    /// the policies that forbid it.
    pub fn decide<'a>(
        &'a self,
        caller: &Caller<'_>,
        route: &Route<'_>,
        context: &Context<'_>,
        workspace: &mut Workspace,
    ) -> Result<Decision<'a>, Refusal> {
        workspace.asked = false;
        if let Some(guards) = &self.guards {
            guards.prefetch(caller);
        }
        let purpose = self.stated_purpose(context.terms)?;
        let slot = match purpose {
            Some(purpose) => self.governing(caller, route, purpose, context),
            None => self.implied(caller, route, context),
        };
        let slot = slot.ok_or_else(|| self.declined(caller, route, context, purpose))?;
        let decision = self.under(slot).ok_or_else(|| uncovered(caller, route, context.terms))?;
        self.guard(caller, route, &decision, context, workspace)?;
        Ok(decision)
    }

    fn stated_purpose(&self, terms: &Terms) -> Result<Option<Ix>, Refusal> {
        let Some(code) = &terms.purpose else { return Ok(None) };
        match self.registry.names.purposes.get(code.as_str()) {
            Some(purpose) => Ok(Some(purpose)),
            None => Err(Refusal::new(Reason::PurposeUnknown).with("purpose", code.as_str())),
        }
    }

    /// The first slot in force for the purpose.
    fn governing<'a>(
        &'a self,
        caller: &Caller<'_>,
        route: &Route<'_>,
        purpose: Ix,
        context: &Context<'_>,
    ) -> Option<&'a Slot> {
        let (service, named) = (route.service_ix, context.terms.agreement.as_ref());
        let fits = |slot: &Slot| {
            slot.purpose == purpose
                && slot.covers(route.method_ix, route.place)
                && standing(slot, context.now).is_ok()
                && named.is_none_or(|id| id == slot.agreement.id())
        };
        let mut chain = self.registry.chain(caller.system_ix);
        loop {
            let mut leads = [Lead::NOWHERE; LEADS];
            let (mut taken, mut anywhere) = (0, false);
            while let Some(lead) = leads.get_mut(taken) {
                let Some(consumer) = chain.next() else { break };
                if self.agreements.reaches(consumer, service) {
                    *lead = self.agreements.lead(Key::new(consumer, service));
                    // Memory is asked for all of them before any is followed.
                    anywhere |= lead.leads_anywhere();
                    taken += 1;
                }
            }
            let leads = leads.get(..taken).unwrap_or_default();
            let found = match anywhere {
                true => leads.iter().find_map(|lead| lead.find(purpose, fits)),
                false => None,
            };
            if found.is_some() || taken < LEADS {
                return found;
            }
        }
    }

    /// The first slot in force, if no other in force is for another purpose. Where that takes
    /// too long to tell, none is implied.
    fn implied<'a>(
        &'a self,
        caller: &Caller<'_>,
        route: &Route<'_>,
        context: &Context<'_>,
    ) -> Option<&'a Slot> {
        let mut first: Option<&Slot> = None;
        for (slot, examined) in self.candidates(caller, route, context.terms, None).zip(0..) {
            if examined == EXAMINED_MAX {
                return None;
            }
            if standing(slot, context.now).is_ok() {
                match first {
                    Some(first) if first.purpose != slot.purpose => return None,
                    Some(_) => {}
                    None => first = Some(slot),
                }
            }
        }
        first
    }

    /// The slots of agreements that name the caller and the method, nearest consumer first, then
    /// by id; those for other purposes may be left out.
    pub(crate) fn candidates<'a>(
        &'a self,
        caller: &Caller<'_>,
        route: &Route<'_>,
        terms: &Terms,
        purpose: Option<Ix>,
    ) -> impl Iterator<Item = &'a Slot> {
        let (service, method, place) = (route.service_ix, route.method_ix, route.place);
        let chain = self.registry.chain(caller.system_ix);
        chain
            .filter(move |consumer| self.agreements.reaches(*consumer, service))
            .flat_map(move |consumer| self.agreements.run(Key::new(consumer, service), purpose))
            .filter(move |slot| slot.covers(method, place))
            .filter(move |slot| terms.agreement.as_ref().is_none_or(|id| *id == slot.agreement.id))
    }

    fn under<'a>(&'a self, slot: &'a Slot) -> Option<Decision<'a>> {
        let purpose = row(&self.registry.purposes, slot.purpose)?;
        Some(Decision { agreement: &slot.agreement, purpose, revision: self.revision })
    }

    /// Why no agreement allows the call.
    fn declined(
        &self,
        caller: &Caller<'_>,
        route: &Route<'_>,
        context: &Context<'_>,
        purpose: Option<Ix>,
    ) -> Refusal {
        let terms = context.terms;
        let mut nearest: Option<(Reason, &Slot)> = None;
        let mut best = 0;
        for slot in self.candidates(caller, route, terms, None).take(EXAMINED_MAX) {
            let reason = match (standing(slot, context.now), purpose) {
                // Agreements in force that imply different purposes imply none.
                (Ok(()), None) => return explain(Reason::PurposeMissing, slot, terms),
                (Ok(()), Some(_)) => Reason::PurposeNotCovered,
                (Err(reason), _) => reason,
            };
            let near = rank(reason, purpose == Some(slot.purpose));
            if near > best {
                (nearest, best) = (Some((reason, slot)), near);
            }
        }
        match nearest {
            Some((reason, slot)) => explain(reason, slot, terms),
            None => uncovered(caller, route, terms),
        }
    }
}

/// Whether an agreement is in force, or why not.
pub(crate) fn standing(slot: &Slot, now: Timestamp) -> Result<(), Reason> {
    match slot.state {
        State::Active => {}
        State::Draft => return Err(Reason::AgreementDraft),
        State::Suspended => return Err(Reason::AgreementSuspended),
        State::Ended => return Err(Reason::AgreementEnded),
    }
    if now < slot.valid_from {
        return Err(Reason::AgreementNotYetValid);
    }
    if now >= slot.valid_until {
        return Err(Reason::AgreementExpired);
    }
    Ok(())
}

/// How near a refused agreement came to allowing the call; the nearest one explains the refusal.
/// One that covers the purpose is nearer than one in force that does not.
fn rank(reason: Reason, covers_purpose: bool) -> u8 {
    let rank = match reason {
        Reason::PurposeNotCovered => 6,
        Reason::AgreementSuspended => 5,
        Reason::AgreementNotYetValid => 4,
        Reason::AgreementExpired => 3,
        Reason::AgreementDraft => 2,
        _ => 1,
    };
    if covers_purpose { rank + 6 } else { rank }
}

fn explain(reason: Reason, slot: &Slot, terms: &Terms) -> Refusal {
    let agreement: &Agreement = &slot.agreement;
    let refusal = Refusal::new(reason)
        .under(agreement.id().clone())
        .with("legal_basis", agreement.legal_basis());
    match reason {
        Reason::AgreementNotYetValid => refusal.with("valid_from", slot.valid_from),
        Reason::AgreementExpired => refusal.with("valid_until", slot.valid_until),
        Reason::PurposeMissing | Reason::PurposeNotCovered => {
            let mut covered = String::new();
            for purpose in agreement.purposes() {
                let gap = if covered.is_empty() { "" } else { " " };
                covered.extend([gap, purpose.as_str()]);
            }
            let refusal = refusal.with("purposes_covered", covered);
            match &terms.purpose {
                Some(purpose) => refusal.with("purpose", purpose.as_str()),
                None => refusal,
            }
        }
        _ => refusal,
    }
}

fn uncovered(caller: &Caller<'_>, route: &Route<'_>, terms: &Terms) -> Refusal {
    match &terms.agreement {
        Some(named) => Refusal::new(Reason::AgreementNotApplicable).with("agreement_named", named),
        None => Refusal::new(Reason::AgreementMissing),
    }
    .with("system", &caller.system.id)
    .with("method", route.path)
}
