//! Asking the snapshot for its decision, and telling of policies that err while they are asked.

use std::collections::HashMap;
use std::time::Duration;

use metrics::{Counter, counter};
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
        let told = &worker.shared.erring;
        worker.erring.borrow_mut().note(snapshot, &workspace, told, context.now);
    }
    decided
}

/// The policies that erred in one worker. Counting one that did before takes no lock and
/// allocates nothing.
#[derive(Default)]
pub(crate) struct Erring(HashMap<Box<str>, Errors>);

struct Errors {
    counter: Counter,
    /// When this worker last asked whether to tell.
    asked: Timestamp,
}

impl Erring {
    fn note(&mut self, snapshot: &Snapshot, workspace: &Workspace, told: &Told, now: Timestamp) {
        for policy in workspace.erring().iter().filter_map(|ix| snapshot.policy(*ix)) {
            if self.count(&policy.id, now) && told.is_due(&policy.id, now) {
                tracing::warn!(policy = %policy.id, "policy errs and is passed over");
            }
        }
    }

    /// Counts an error of `policy`. Says whether it is time to ask if it is to be told about.
    fn count(&mut self, policy: &str, now: Timestamp) -> bool {
        if let Some(errors) = self.0.get_mut(policy) {
            errors.counter.increment(1);
            let is_due = now.since(errors.asked) >= TELL_EVERY;
            if is_due {
                errors.asked = now;
            }
            return is_due;
        }
        let counter = counter!("gw_policy_errors_total", "policy" => policy.to_owned());
        counter.increment(1);
        if self.0.len() >= POLICIES_MAX {
            self.0.clear();
        }
        self.0.insert(policy.into(), Errors { counter, asked: now });
        true
    }
}

/// When each policy that erred was last told about, over all workers. A worker asks once a minute
/// for each policy at most.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<HashMap<Box<str>, Timestamp>>);

impl Told {
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
        let (told, at) = (Told::default(), Timestamp::from_secs);
        assert!(told.is_due("a", at(100)));
        assert!(!told.is_due("a", at(159)));
        assert!(told.is_due("b", at(159)));
        assert!(told.is_due("a", at(160)));
    }

    #[test]
    fn a_worker_asks_once_a_minute_and_all_together_tell_once() {
        let (told, at) = (Told::default(), Timestamp::from_secs);
        let (mut first, mut second) = (Erring::default(), Erring::default());
        let tells = |erring: &mut Erring, now| erring.count("a", now) && told.is_due("a", now);
        assert!(tells(&mut first, at(100)));
        assert!(!tells(&mut second, at(130)), "another worker has told");
        assert!(!first.count("a", at(159)), "this one does not even ask");
        assert!(first.count("b", at(159)));
        assert!(tells(&mut first, at(160)));
        assert!(!tells(&mut second, at(190)));
    }

    #[test]
    fn policies_that_err_are_remembered_up_to_a_bound() {
        let mut erring = Erring::default();
        for number in 0..2 * POLICIES_MAX + 1 {
            assert!(erring.count(&number.to_string(), Timestamp::from_secs(100)));
            assert!(erring.0.len() <= POLICIES_MAX);
        }
    }
}
