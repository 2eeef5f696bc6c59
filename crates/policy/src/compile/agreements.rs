//! Compiles agreements, a whole revision of them or some that change.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use foldhash::fast::FixedState;
use model::AgreementId;

use crate::agreement::{Agreement, Clauses, Coverage};
use crate::agreements::{ALIKE_MAX, Agreements, Compiled, Key, TooManyAlike};
use crate::compile::coverage::Covering;
use crate::compile::{Change, Problems, resolve};
use crate::problem::Subject;
use crate::registry::{ConsumerIx, Ix, Registry, row};
use crate::snapshot::Coverages;
use crate::source::{self, Consumer, Fields, Methods};

/// Clauses that were met already, for sharing.
type Pool = HashSet<Arc<Clauses>, FixedState>;

/// Compiles all agreements of a revision, with what they cover; `None` if any has a problem.
pub(super) fn compile(
    mut covering: Covering<'_>,
    problems: &mut Problems,
    agreements: Vec<source::Agreement>,
) -> Option<(Agreements, Coverages)> {
    let before = problems.found.len();
    let mut pool = Pool::default();
    let mut ids: HashSet<_, FixedState> = HashSet::default();
    let mut compiled = Vec::with_capacity(agreements.len());
    for agreement in agreements {
        if !ids.insert(agreement.id.clone()) {
            let subject = Subject::Agreement(agreement.id.to_string());
            problems.add(&subject, "id", "a second one", "one agreement with this id");
        }
        compiled.extend(compile_one(&mut covering, problems, &mut pool, agreement));
    }
    let clauses_bytes: usize = pool.iter().map(|clauses| clauses.memory_bytes()).sum();
    drop((pool, ids));
    let consumers = covering.registry().consumers();
    let coverages = covering.into_new();
    let coverage_bytes: usize = coverages.iter().map(|coverage| coverage.memory_bytes()).sum();
    if problems.found.len() > before {
        return None;
    }
    match Agreements::build(compiled, consumers, clauses_bytes + coverage_bytes) {
        Ok(agreements) => Some((agreements, coverages)),
        Err(too_many) => {
            report(problems, &too_many);
            None
        }
    }
}

/// Applies `changes`, of which a later one counts for the same agreement. Returns what is covered
/// that was not before.
pub(super) fn amend(
    mut covering: Covering<'_>,
    agreements: &mut Agreements,
    problems: &mut Problems,
    changes: Vec<Change>,
) -> Coverages {
    let mut pool = Pool::default();
    let mut edits: BTreeMap<AgreementId, Option<Compiled>> = BTreeMap::new();
    for change in changes {
        let (id, put) = match change {
            Change::Put(agreement) => (agreement.id.clone(), Some(agreement)),
            Change::Remove(id) => (id, None),
        };
        let before = agreements.find(id.as_str());
        let is_there = edits.get(&id).map_or(!before.is_empty(), Option::is_some);
        // What says the same as before goes on sharing it.
        pool.extend(before.iter().map(|slot| slot.agreement.clauses.clone()));
        match put {
            Some(agreement) => {
                let compiled = compile_one(&mut covering, problems, &mut pool, agreement);
                edits.extend(compiled.map(|compiled| (id, Some(compiled))));
            }
            None if is_there => drop(edits.insert(id, None)),
            None => {
                let subject = Subject::Agreement(id.to_string());
                problems.add(&subject, "id", "no agreement", "an agreement with this id");
            }
        }
    }
    let fresh = pool.iter().filter(|clauses| Arc::strong_count(clauses) <= 2);
    let clauses_bytes: usize = fresh.map(|clauses| clauses.memory_bytes()).sum();
    drop(pool);
    let new = covering.into_new();
    let coverage_bytes: usize = new.iter().map(|coverage| coverage.memory_bytes()).sum();
    let bytes = clauses_bytes + coverage_bytes;
    if problems.found.is_empty()
        && let Err(too_many) = agreements.amend(edits.into_iter().collect(), bytes)
    {
        report(problems, &too_many);
    }
    new
}

fn report(problems: &mut Problems, TooManyAlike(id): &TooManyAlike) {
    let found = "one more for the same consumer, service and purpose";
    let expected = format!("at most {ALIKE_MAX}");
    problems.add(&Subject::Agreement(id.to_string()), "purposes", found, &expected);
}

fn compile_one(
    covering: &mut Covering<'_>,
    problems: &mut Problems,
    pool: &mut Pool,
    agreement: source::Agreement,
) -> Option<Compiled> {
    let before = problems.found.len();
    let registry = covering.registry();
    let subject = Subject::Agreement(agreement.id.to_string());
    let purposes = purposes(registry, problems, &subject, &agreement);
    terms(problems, &subject, &agreement);
    let consumer = consumer(registry, problems, &subject, &agreement.consumer);
    let service = service(registry, problems, &subject, &agreement);
    let methods = match (&agreement.methods, service) {
        (Methods::Named(names), Some(service)) => {
            Some(methods(registry, problems, &subject, service, names))
        }
        (Methods::Named(_), None) | (Methods::All, _) => None,
    };
    if problems.found.len() > before {
        return None;
    }
    let (consumer, service) = (consumer?, service?);
    let first_method = row(&registry.services, service)?.methods.0;
    let coverage = Coverage {
        service,
        methods,
        fields: agreement.fields,
        request_fields: agreement.request_fields,
        answer_masks: Box::default(),
        request_masks: Box::default(),
    };
    if agreement.subjects.is_some() {
        covering.check_subjects(problems, &subject, &coverage);
    }
    let coverage = covering.share(problems, &subject, coverage)?;
    if problems.found.len() > before {
        return None;
    }
    let clauses = Arc::new(Clauses {
        coverage,
        purposes: agreement.purposes.into(),
        legal_basis: agreement.legal_basis.into(),
        mode: agreement.mode,
        quota: agreement.quota.into(),
        subjects: agreement.subjects,
    });
    let clauses = match pool.get(&clauses) {
        Some(met) => met.clone(),
        None => {
            pool.insert(clauses.clone());
            clauses
        }
    };
    Some(Compiled {
        key: Key::new(consumer, service),
        purposes,
        state: agreement.state,
        valid_from: agreement.valid_from,
        valid_until: agreement.valid_until,
        agreement: Agreement { id: agreement.id, clauses },
        first_method,
    })
}

fn purposes(
    registry: &Registry,
    problems: &mut Problems,
    subject: &Subject,
    agreement: &source::Agreement,
) -> Vec<Ix> {
    if agreement.purposes.is_empty() {
        problems.add(subject, "purposes", "none", "at least one purpose code");
    }
    let mut purposes = Vec::with_capacity(agreement.purposes.len());
    for (code, n) in agreement.purposes.iter().zip(0..) {
        match registry.names.purposes.get(code.as_str()) {
            Some(purpose) => purposes.push(purpose),
            None => {
                let (field, known) = (format!("purposes[{n}]"), registry.names.purposes.iter());
                problems.unknown(subject, &field, code.as_str(), "purpose", known);
            }
        }
    }
    purposes.sort_unstable();
    purposes.dedup();
    purposes
}

fn terms(problems: &mut Problems, subject: &Subject, agreement: &source::Agreement) {
    if agreement.valid_from >= agreement.valid_until {
        let found = format!("{}, not after the start", agreement.valid_until);
        problems.add(subject, "valid_until", found, "an end after the start of validity");
    }
    for (quota, n) in agreement.quota.iter().zip(0..) {
        if quota.calls == 0 || quota.burst == 0 || quota.period.is_zero() {
            problems.add(subject, &format!("quota[{n}]"), "zero", "at least one call");
        }
    }
    if matches!(&agreement.methods, Methods::Named(names) if names.is_empty()) {
        problems.add(subject, "methods", "none", "`all`, or at least one method");
    }
    for (key, fields) in
        [("fields", &agreement.fields), ("request_fields", &agreement.request_fields)]
    {
        if matches!(fields, Fields::Named(names) if names.is_empty()) {
            problems.add(subject, key, "none", "`all`, or at least one field");
        }
    }
    if agreement.subjects.is_some_and(|it| it.hour_max.or(it.day_max).is_none()) {
        problems.add(subject, "subjects", "no bound", "`hour_max`, `day_max` or both");
    }
}

fn consumer(
    registry: &Registry,
    problems: &mut Problems,
    subject: &Subject,
    consumer: &Consumer,
) -> Option<ConsumerIx> {
    let found = registry.find_consumer(consumer);
    if found.is_none() {
        let names = &registry.names;
        let (id, kind, table) = match consumer {
            Consumer::Member(id) => (id.as_str(), "member", &names.members),
            Consumer::System(id) => (id.as_str(), "system", &names.systems),
            Consumer::Class(id) => (id.as_str(), "class", &names.classes),
        };
        problems.unknown(subject, "consumer", id, kind, table.iter());
    }
    found
}

fn service(
    registry: &Registry,
    problems: &mut Problems,
    subject: &Subject,
    agreement: &source::Agreement,
) -> Option<Ix> {
    let names = &registry.names;
    let node = agreement.node.as_str();
    let node = resolve(problems, &names.nodes, subject, "node", node, "node")?;
    let found = names.services.get(&agreement.service);
    let of_node = |ix: &Ix| row(&registry.services, *ix).is_some_and(|row| row.node == node);
    if let Some(service) = found.filter(of_node) {
        return Some(service);
    }
    let known = registry.services.iter().filter(|row| row.node == node).map(|row| &*row.name);
    let kind = format!("service of node `{}`", agreement.node);
    problems.unknown(subject, "service", &agreement.service, &kind, known);
    None
}

fn methods(
    registry: &Registry,
    problems: &mut Problems,
    subject: &Subject,
    service: Ix,
    names: &[String],
) -> Box<[Ix]> {
    let first = row(&registry.services, service).map_or(0, |service| service.methods.0);
    let known = registry.methods_of(service);
    let named =
        |row: &crate::registry::MethodRow, name: &str| row.path.rsplit('/').next() == Some(name);
    let mut covered = Vec::with_capacity(names.len());
    for (name, n) in names.iter().zip(0..) {
        match known.iter().zip(first..).find(|(row, _)| named(row, name)) {
            Some((_, ix)) => covered.push(ix),
            None => {
                let known = known.iter().filter_map(|row| row.path.rsplit('/').next());
                let field = format!("methods[{n}]");
                problems.unknown(subject, &field, name, "method of the service", known);
            }
        }
    }
    covered.sort_unstable();
    covered.dedup();
    covered.into()
}
