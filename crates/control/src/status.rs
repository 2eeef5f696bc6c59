//! What is known of revisions, as the admin API tells it.

use wire::generated::admin::{self as told, GetStatusResponse, ReloadMode};

use crate::outcome::Rejected;
use crate::revisions::{Origin, Revisions, Standing};
use crate::{Problem, Reload};

/// Adds to `answer` what the revisions know.
pub(crate) fn add(answer: &mut GetStatusResponse, revisions: &Revisions) {
    let standing = revisions.standing();
    let Standing { since, origin: from, operator, reload, .. } = standing;
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
    answer.operator = operator.map(|digest| digest.to_string()).unwrap_or_default();
    answer.needs_restart = standing.needs_restart.iter().map(|&name| name.to_owned()).collect();
    answer.rejected = standing.rejected.as_ref().map(rejected);
    answer.apply_rejected = standing.apply_rejected.as_ref().map(rejected);
}

fn rejected(rejected: &Rejected) -> told::Rejected {
    told::Rejected {
        time_us: rejected.time.as_micros(),
        origin: origin(rejected.origin).into(),
        problems: rejected.problems.iter().map(problem).collect(),
        problems_total: count(rejected.problems_total),
        operator: rejected.operator.map(|digest| digest.to_string()).unwrap_or_default(),
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
