//! What a run has reached: shares of answers, sizes of sets.

use std::fmt;

use super::check::{Answer, Reference};
use super::world::World;

/// Sums over a run.
#[derive(Default, Clone)]
pub(crate) struct Mix {
    pub(crate) worlds: u64,
    pub(crate) with_schema: u64,
    pub(crate) decisions: u64,
    pub(crate) allowed: u64,
    pub(crate) denied_by_forbid: u64,
    pub(crate) with_errors: u64,
    pub(crate) several_errors: u64,
    pub(crate) several_reasons: u64,
    /// Decisions times policies.
    pub(crate) policies_asked: u64,
    pub(crate) policies: u64,
    pub(crate) policies_max: u64,
    pub(crate) links: u64,
    pub(crate) uncompiled: u64,
    pub(crate) dropped: u64,
    /// Policies of worlds with a schema that were validated, and those that passed.
    pub(crate) validated: u64,
    pub(crate) valid: u64,
}

impl Mix {
    pub(crate) fn add_world(&mut self, world: &World, reference: &Reference, validate: bool) {
        self.worlds += 1;
        self.with_schema += u64::from(world.schema.is_some());
        let policies = reference.policies.num_of_policies();
        self.policies += policies as u64;
        self.policies_max = self.policies_max.max(policies as u64);
        let linked = reference.policies.policies().filter(|policy| !policy.is_static());
        self.links += linked.count() as u64;
        self.dropped += reference.dropped.len() as u64;
        if let Some((valid, _)) = validate.then(|| reference.valid()).flatten() {
            self.validated += policies as u64;
            self.valid += valid as u64;
        }
    }

    pub(crate) fn add_answer(&mut self, answer: &Answer, policies: usize) {
        self.decisions += 1;
        self.allowed += u64::from(answer.allowed);
        self.denied_by_forbid += u64::from(!answer.allowed && !answer.reasons.is_empty());
        self.with_errors += u64::from(!answer.errors.is_empty());
        self.several_errors += u64::from(answer.errors.len() > 1);
        self.several_reasons += u64::from(answer.reasons.len() > 1);
        self.policies_asked += policies as u64;
    }

    pub(crate) fn merge(&mut self, other: &Mix) {
        self.worlds += other.worlds;
        self.with_schema += other.with_schema;
        self.decisions += other.decisions;
        self.allowed += other.allowed;
        self.denied_by_forbid += other.denied_by_forbid;
        self.with_errors += other.with_errors;
        self.several_errors += other.several_errors;
        self.several_reasons += other.several_reasons;
        self.policies_asked += other.policies_asked;
        self.policies += other.policies;
        self.policies_max = self.policies_max.max(other.policies_max);
        self.links += other.links;
        self.uncompiled += other.uncompiled;
        self.dropped += other.dropped;
        self.validated += other.validated;
        self.valid += other.valid;
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = |part: u64, whole: u64| 100.0 * part as f64 / whole.max(1) as f64;
        let of = |part: u64| share(part, self.decisions);
        let mean = self.policies_asked as f64 / self.decisions.max(1) as f64;
        writeln!(
            f,
            "{} decisions in {} worlds, {} of them with a schema",
            self.decisions, self.worlds, self.with_schema
        )?;
        writeln!(
            f,
            "policies a decision: mean {mean:.1}, at most {}; {} policies, {} of them links, {} \
             left to the reference, {} dropped as they do not parse or are too large",
            self.policies_max, self.policies, self.links, self.uncompiled, self.dropped
        )?;
        writeln!(
            f,
            "allow {:.1} %, deny by a forbid {:.1} %, deny by none {:.1} %",
            of(self.allowed),
            of(self.denied_by_forbid),
            of(self.decisions - self.allowed - self.denied_by_forbid)
        )?;
        writeln!(
            f,
            "several determining policies {:.1} %, errors {:.1} %, several errors {:.1} %",
            of(self.several_reasons),
            of(self.with_errors),
            of(self.several_errors)
        )?;
        write!(
            f,
            "of the policies with a schema {:.1} % pass strict validation ({} looked at)",
            share(self.valid, self.validated),
            self.validated
        )
    }
}
