//! The decision: is this call allowed, and under which agreement.
//!
//! A call is allowed if an agreement names its consumer and method, is in force, and covers the
//! purpose. Where several do, the nearest consumer governs (the system itself, then its member,
//! then the members above), and among equals the agreement whose id sorts first. A call that
//! states no purpose is allowed only if all agreements in force that name it imply the same one.

use std::iter;

use model::{PurposeCode, Reason, Refusal, Terms, Timestamp};

use crate::snapshot::{AgreementRow, Caller, ConsumerKey, Decision, Ix, Route, Snapshot, row};
use crate::source::{Agreement, State};

impl Snapshot {
    /// Decides whether `caller` may call `route` on these `terms` at the time `now`.
    ///
    /// # Errors
    ///
    /// Refuses with the reason of the agreement that came nearest to allowing the call.
    pub fn decide<'a>(
        &'a self,
        caller: &Caller<'_>,
        route: &Route<'_>,
        terms: &Terms,
        now: Timestamp,
    ) -> Result<Decision<'a>, Refusal> {
        if let Some(purpose) = terms.purpose.as_ref().filter(|code| !self.purposes.contains(*code))
        {
            return Err(Refusal::new(Reason::PurposeUnknown).with("purpose", purpose));
        }
        let mut chosen: Option<Decision<'a>> = None;
        let mut nearest: Option<(Reason, &Agreement)> = None;
        for row in self.candidates(caller, route) {
            let agreement = &row.agreement;
            if terms.agreement.as_ref().is_some_and(|named| *named != agreement.id) {
                continue;
            }
            match fits(agreement, terms.purpose.as_ref(), now) {
                Ok(purpose) => match &chosen {
                    // Agreements in force that imply different purposes imply none.
                    Some(first) if first.purpose != purpose => {
                        return Err(explain(Reason::PurposeMissing, agreement, terms));
                    }
                    Some(_) => {}
                    None => {
                        chosen = Some(Decision { agreement, purpose, revision: self.revision });
                    }
                },
                Err(reason @ Reason::PurposeMissing) => {
                    return Err(explain(reason, agreement, terms));
                }
                Err(reason) if nearest.is_none_or(|(near, _)| rank(reason) > rank(near)) => {
                    nearest = Some((reason, agreement));
                }
                Err(_) => {}
            }
            // With a stated purpose the nearest agreement in force governs.
            if let Some(decision) = chosen.filter(|_| terms.purpose.is_some()) {
                return Ok(decision);
            }
        }
        chosen.ok_or_else(|| match nearest {
            Some((reason, agreement)) => explain(reason, agreement, terms),
            None => uncovered(caller, route, terms),
        })
    }

    /// The agreements that name the caller and the method, nearest consumer first, then by id.
    fn candidates<'a>(
        &'a self,
        caller: &Caller<'_>,
        route: &Route<'_>,
    ) -> impl Iterator<Item = &'a AgreementRow> {
        let (service, method) = (route.service_ix, route.method_ix);
        iter::once(ConsumerKey::System(caller.system_ix))
            .chain(self.ancestry(caller.member_ix).map(ConsumerKey::Member))
            .filter_map(move |consumer| self.governing.get(&(consumer, service)))
            .flatten()
            .filter_map(|ix| row(&self.agreements, *ix))
            .filter(move |row| covers(row, method))
    }

    /// The member and those above it.
    fn ancestry(&self, member: Ix) -> impl Iterator<Item = Ix> {
        iter::successors(Some(member), |ix| row(&self.members, *ix)?.parent)
    }
}

fn covers(row: &AgreementRow, method: Ix) -> bool {
    row.methods.as_ref().is_none_or(|methods| methods.binary_search(&method).is_ok())
}

/// The purpose that the call has under `agreement`, or why the agreement does not allow it.
fn fits<'a>(
    agreement: &'a Agreement,
    stated: Option<&PurposeCode>,
    now: Timestamp,
) -> Result<&'a PurposeCode, Reason> {
    match agreement.state {
        State::Active => {}
        State::Draft => return Err(Reason::AgreementDraft),
        State::Suspended => return Err(Reason::AgreementSuspended),
        State::Ended => return Err(Reason::AgreementEnded),
    }
    if now < agreement.valid_from {
        return Err(Reason::AgreementNotYetValid);
    }
    if now >= agreement.valid_until {
        return Err(Reason::AgreementExpired);
    }
    match (stated, agreement.purposes.as_slice()) {
        (Some(code), purposes) => {
            purposes.iter().find(|covered| *covered == code).ok_or(Reason::PurposeNotCovered)
        }
        (None, [only]) => Ok(only),
        (None, _) => Err(Reason::PurposeMissing),
    }
}

/// How near a refused agreement came to allowing the call; the nearest one explains the refusal.
fn rank(reason: Reason) -> u8 {
    match reason {
        Reason::PurposeNotCovered => 5,
        Reason::AgreementSuspended => 4,
        Reason::AgreementNotYetValid => 3,
        Reason::AgreementExpired => 2,
        Reason::AgreementDraft => 1,
        _ => 0,
    }
}

fn explain(reason: Reason, agreement: &Agreement, terms: &Terms) -> Refusal {
    let refusal = Refusal::new(reason)
        .under(agreement.id.clone())
        .with("legal_basis", &agreement.legal_basis);
    match reason {
        Reason::AgreementNotYetValid => refusal.with("valid_from", agreement.valid_from),
        Reason::AgreementExpired => refusal.with("valid_until", agreement.valid_until),
        Reason::PurposeMissing | Reason::PurposeNotCovered => {
            let covered: Vec<&str> = agreement.purposes.iter().map(PurposeCode::as_str).collect();
            let refusal = refusal.with("purposes_covered", covered.join(" "));
            match &terms.purpose {
                Some(purpose) => refusal.with("purpose", purpose),
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
