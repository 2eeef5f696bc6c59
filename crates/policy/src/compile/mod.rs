//! From source to snapshot: every reference resolved, every problem found in one pass.

mod agreements;
mod contracts;
mod coverage;
mod guards;
mod masks;
mod nearest;
mod nodes;
mod registry;
mod routes;

use std::sync::Arc;

use model::{AgreementId, RevisionId};

use crate::entities::{GIVEN, entities};
use crate::names::Names;
use crate::problem::{Problem, Subject};
use crate::registry::{Ix, Registry};
use crate::snapshot::{Coverages, Snapshot};
use crate::source::{Agreement, Attributes, Source};

use coverage::Covering;
pub use nearest::nearest;

/// Problems that get a hint. Each hint compares the word with every known one.
const HINTED_PROBLEMS_MAX: usize = 100;

/// What happens to an agreement from one revision to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "made once for each change, and mostly the large one"
)]
pub enum Change {
    /// It is added, or takes the place of the one with its id.
    Put(Agreement),
    /// It is taken out.
    Remove(AgreementId),
}

impl Snapshot {
    /// Compiles `source`.
    ///
    /// # Errors
    ///
    /// Returns every problem found, not only the first.
    pub fn compile(source: Source) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::default();
        let mut registry = Registry::default();
        let guarded = source.policies.as_ref().map(|files| (files.clone(), known(&source)));
        registry::classes(&mut registry, &mut problems, source.classes);
        registry::members(&mut registry, &mut problems, source.members);
        registry::systems(&mut registry, &mut problems, source.systems);
        registry::purposes(&mut registry, &mut problems, source.purposes);
        registry::zones(&mut registry, &mut problems, source.zones);
        nodes::compile(&mut registry, &mut problems, source.nodes, source.contract.as_deref());
        routes::compile(&mut registry, &mut problems, &source.routes);
        let offset = source.utc_offset_minutes;
        let guards = guarded.and_then(|(files, entities)| {
            guards::compile(&registry, &mut problems, &files, entities, offset)
        });
        let shared = Coverages::default();
        let covering = Covering::new(&registry, source.contract.as_deref(), &shared);
        let agreements = agreements::compile(covering, &mut problems, source.agreements);
        match (problems.found.is_empty(), agreements) {
            (true, Some((agreements, coverages))) => Ok(Self {
                revision: source.revision,
                registry: Arc::new(registry),
                agreements,
                notes: guards.as_ref().map(guards::notes).unwrap_or_default().into(),
                guards: guards.map(Arc::new),
                revoked: Arc::new(source.revoked.into_iter().collect()),
                contract: source.contract,
                coverages: Arc::new(coverages),
            }),
            _ => Err(problems.found),
        }
    }

    /// The next revision, which differs in some agreements alone and shares all else with this
    /// one.
    ///
    /// # Errors
    ///
    /// Returns every problem found; a removed agreement that does not exist is one.
    pub fn amend(&self, revision: RevisionId, changes: Vec<Change>) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::default();
        let mut agreements = self.agreements.clone();
        let covering = Covering::new(&self.registry, self.contract.as_deref(), &self.coverages);
        let new = agreements::amend(covering, &mut agreements, &mut problems, changes);
        match problems.found.is_empty() {
            true => Ok(Self {
                revision,
                registry: self.registry.clone(),
                agreements,
                guards: self.guards.clone(),
                revoked: self.revoked.clone(),
                notes: self.notes.clone(),
                contract: self.contract.clone(),
                coverages: coverage::joined(&self.coverages, new),
            }),
            false => Err(problems.found),
        }
    }
}

/// What was found wrong so far.
#[derive(Default)]
struct Problems {
    found: Vec<Problem>,
}

impl Problems {
    fn add(&mut self, subject: &Subject, field: &str, found: impl Into<String>, expected: &str) {
        self.found.push(Problem {
            subject: subject.clone(),
            field: field.to_owned(),
            found: found.into(),
            expected: expected.to_owned(),
            hint: None,
        });
    }

    /// With what may help.
    fn add_hinted(
        &mut self,
        subject: &Subject,
        field: &str,
        found: impl Into<String>,
        expected: &str,
        hint: Option<String>,
    ) {
        self.add(subject, field, found, expected);
        if let Some(problem) = self.found.last_mut() {
            problem.hint = hint;
        }
    }

    /// A reference to what is not registered, with what may have been meant, for as long as
    /// looking it up is worth the time.
    fn unknown<W: AsRef<str>>(
        &mut self,
        subject: &Subject,
        field: &str,
        id: &str,
        kind: &str,
        known: impl Iterator<Item = W>,
    ) {
        let hinted = self.found.len() < HINTED_PROBLEMS_MAX;
        let near = hinted.then(|| nearest(id, known)).flatten();
        self.found.push(Problem {
            subject: subject.clone(),
            field: field.to_owned(),
            found: format!("`{id}`"),
            expected: format!("a registered {kind}"),
            hint: near.map(|near| format!("did you mean `{near}`?")),
        });
    }
}

/// Looks an object up by its id, or reports that it is not registered.
fn resolve(
    problems: &mut Problems,
    names: &Names,
    subject: &Subject,
    field: &str,
    id: &str,
    kind: &str,
) -> Option<Ix> {
    let found = names.get(id);
    if found.is_none() {
        problems.unknown(subject, field, id, kind, names.iter());
    }
    found
}

/// Gives an object the next number under its name, or reports that the name is taken.
fn enroll(problems: &mut Problems, names: &mut Names, subject: &Subject, id: &str) {
    if !names.push(id) {
        let expected = format!("one {} with this id", subject.kind());
        problems.add(subject, "id", "a second one", &expected);
    }
}

/// What policies know: the actions with their groups, and the registry.
fn known(source: &Source) -> Vec<cedar::Entity> {
    let actions = match source.actions.is_empty() {
        true => guards::actions(),
        false => source.actions.clone(),
    };
    actions.into_iter().chain(entities(source).into_iter().map(|(_, made)| made)).collect()
}

/// Reports attributes that the registry gives an object itself.
fn attributes(problems: &mut Problems, subject: &Subject, attributes: &Attributes) {
    for name in attributes.keys().filter(|name| GIVEN.contains(&&***name)) {
        let found = format!("`{name}`, which the registry gives itself");
        problems.add(subject, "attributes", found, "another name");
    }
}
