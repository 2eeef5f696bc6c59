//! What is known of revisions, as the admin API tells it.

use wire::generated::admin::{self as told, GetStatusResponse, ReloadMode};

use crate::revisions::{Origin, Rejected, Revisions, Standing};
use crate::{Problem, Reload};

/// Adds to `answer` what the revisions know.
pub(crate) fn add(answer: &mut GetStatusResponse, revisions: &Revisions) {
    let Standing { since, origin: from, reload, rejected } = revisions.standing();
    let snapshot = revisions.current();
    answer.revision = snapshot.revision().0;
    answer.agreements = count(snapshot.agreement_count());
    answer.policies = count(snapshot.policy_count());
    answer.memory_bytes = count(snapshot.memory_bytes());
    answer.in_force_time_us = since.as_micros();
    answer.set_origin(origin(from));
    answer.set_reload_mode(match reload {
        Reload::Signal => ReloadMode::Signal,
        Reload::OnChange => ReloadMode::OnChange,
    });
    answer.rejected = rejected.as_ref().map(self::rejected);
}

fn rejected(rejected: &Rejected) -> told::Rejected {
    told::Rejected {
        time_us: rejected.time.as_micros(),
        origin: origin(rejected.origin).into(),
        problems: rejected.problems.iter().map(problem).collect(),
        problems_total: count(rejected.problems_total),
        cause: rejected.cause.clone().unwrap_or_default(),
    }
}

/// A problem as the admin API tells it.
pub(crate) fn problem(problem: &Problem) -> told::Problem {
    told::Problem {
        file: problem.file.clone(),
        line: problem.line,
        column: problem.column,
        found: problem.found.clone(),
        expected: problem.expected.clone(),
        hint: problem.hint.clone().unwrap_or_default(),
    }
}

fn origin(origin: Origin) -> told::Origin {
    match origin {
        Origin::Start => told::Origin::Start,
        Origin::Signal => told::Origin::Signal,
        Origin::Change => told::Origin::Change,
        Origin::Apply => told::Origin::Apply,
    }
}

pub(crate) fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
