//! Admission: an allowed call still needs room in its quota and in the gateway.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use model::{Reason, Refusal, Timestamp};
use policy::source::Fields;
use policy::{Agreement, Decision, Route};

use crate::gateway::Shared;

/// What a caller is told to wait when the gateway is full.
const OVERLOAD_WAIT: Duration = Duration::from_millis(100);

/// Evidence that a decision allowed this call and that there is room for it. Made only by
/// [`admit`].
pub(crate) struct Admitted<'a> {
    decision: Decision<'a>,
    _slot: Slot,
}

impl<'a> Admitted<'a> {
    pub(crate) fn decision(&self) -> &Decision<'a> {
        &self.decision
    }
}

/// Takes a place among the calls in flight, and one call from the agreement's quota, unless the
/// agreement obliges this gateway to what it cannot do.
pub(crate) fn admit<'a>(
    shared: &Shared,
    decision: Decision<'a>,
    route: &Route<'_>,
    now: Timestamp,
) -> Result<Admitted<'a>, Refusal> {
    let agreement = decision.agreement;
    if let Some(obligation) = unmet(agreement, route) {
        return Err(under(agreement, Reason::ObligationUnmet).with("obligation", obligation));
    }
    let most = shared.limits.calls_in_flight_max;
    let slot = Slot::take(&shared.calls_in_flight, most).ok_or_else(|| {
        Refusal::new(Reason::Overloaded).with("calls_max", most).retry_after(OVERLOAD_WAIT)
    })?;
    shared
        .quotas
        .take(agreement.id(), agreement.quota(), now)
        .map_err(|wait| under(agreement, Reason::QuotaExhausted).retry_after(wait))?;
    Ok(Admitted { decision, _slot: slot })
}

/// The obligation of `agreement` that this gateway cannot meet on a route, by the name that
/// refusals give it: `fields` where no contract says which there are, `subjects` where none says
/// whom messages are about. Such calls are refused.
pub fn unmet(agreement: &Agreement, route: &Route<'_>) -> Option<&'static str> {
    let names_fields = matches!(agreement.fields(), Fields::Named(_));
    let tells_subjects = route.request_watch().or_else(|| route.answer_watch()).is_some();
    match agreement.subjects() {
        _ if names_fields && agreement.answer_mask(route).is_none() => Some("fields"),
        Some(_) if !tells_subjects => Some("subjects"),
        _ => None,
    }
}

fn under(agreement: &Agreement, reason: Reason) -> Refusal {
    Refusal::new(reason).under(agreement.id().clone()).with("legal_basis", agreement.legal_basis())
}

/// A place among a bounded number, given back when dropped.
pub(crate) struct Slot(Arc<AtomicUsize>);

impl Slot {
    pub(crate) fn take(taken: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let before = taken.fetch_add(1, Ordering::Relaxed);
        let slot = Self(taken.clone());
        (before < most).then_some(slot)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_bounded_and_given_back() {
        let taken = Arc::new(AtomicUsize::new(0));
        let (a, b) = (Slot::take(&taken, 2).unwrap(), Slot::take(&taken, 2).unwrap());
        assert!(Slot::take(&taken, 2).is_none());
        drop(a);
        assert!(Slot::take(&taken, 2).is_some());
        drop(b);
        assert_eq!(taken.load(Ordering::Relaxed), 0);
    }
}
