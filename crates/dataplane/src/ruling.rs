//! Asking the snapshot for its decision, and telling of policies that err while they are asked.

use std::collections::HashMap;
use std::time::Duration;

use model::{Refusal, Timestamp};
use parking_lot::Mutex;
use policy::{Caller, Context, Decision, Route, Snapshot, Workspace};

use crate::gateway::Worker;

/// How often a policy that errs is told about.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// Policies whose last errors are remembered.
const POLICIES_MAX: usize = 4096;

/// Decides about a call in this worker's workspace.
pub(crate) fn decide<'a>(
    worker: &Worker,
    snapshot: &'a Snapshot,
    caller: &Caller<'_>,
    route: &Route<'_>,
    context: &Context<'_>,
) -> Result<Decision<'a>, Refusal> {
    let mut workspace = worker.workspace.borrow_mut();
    let decided = snapshot.decide(caller, route, context, &mut workspace);
    if !workspace.erring().is_empty() {
        worker.shared.erring.tell(snapshot, &workspace, context.now);
    }
    decided
}

/// When each policy that erred was last told about, over all workers.
#[derive(Debug, Default)]
pub(crate) struct Erring(Mutex<HashMap<Box<str>, Timestamp>>);

impl Erring {
    fn tell(&self, snapshot: &Snapshot, workspace: &Workspace, now: Timestamp) {
        for policy in workspace.erring().iter().filter_map(|ix| snapshot.policy(*ix)) {
            metrics::counter!("gw_policy_errors_total", "policy" => policy.id.to_string())
                .increment(1);
            if self.is_due(&policy.id, now) {
                tracing::warn!(policy = %policy.id, "policy errs and is passed over");
            }
        }
    }

    fn is_due(&self, policy: &str, now: Timestamp) -> bool {
        let mut told = self.0.lock();
        if told.get(policy).is_some_and(|last| now.since(*last) < TELL_EVERY) {
            return false;
        }
        if told.len() >= POLICIES_MAX {
            told.clear();
        }
        told.insert(policy.into(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_that_errs_is_told_about_once_a_minute() {
        let (erring, at) = (Erring::default(), Timestamp::from_secs);
        assert!(erring.is_due("a", at(100)));
        assert!(!erring.is_due("a", at(159)));
        assert!(erring.is_due("b", at(159)));
        assert!(erring.is_due("a", at(160)));
    }
}
