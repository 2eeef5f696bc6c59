//! What agreements cover: the fields they name become masks, each made once for all agreements
//! that cover the same.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;
use mask::Contract;
use model::Effect;

use crate::agreement::{Coverage, Masks};
use crate::compile::Problems;
use crate::compile::contracts::knows;
use crate::compile::masks::masks;
use crate::problem::Subject;
use crate::registry::{Ix, MethodRow, Registry, row};
use crate::snapshot::Coverages;
use crate::source::Fields;

const FIELDS: &str = "fields";
const REQUEST_FIELDS: &str = "request_fields";
/// What there is to say where a mask or a budget needs a contract.
const NO_CONTRACT: &str = "a service whose contract is known";
const GIVE_CONTRACT: &str = "put its `.proto` files, or a descriptor set, below `protos`";

/// Makes masks for what agreements cover.
pub(super) struct Covering<'a> {
    registry: &'a Registry,
    contract: Option<&'a Contract>,
    /// Those of the revision before.
    known: &'a Coverages,
    new: Coverages,
    /// What is wrong with others, for the next agreement that covers the same.
    bad: HashMap<Coverage, Vec<Wrong>, FixedState>,
}

/// What is wrong with what an agreement covers.
pub(super) struct Wrong {
    pub(super) field: String,
    pub(super) found: String,
    pub(super) expected: &'static str,
    pub(super) hint: Option<String>,
}

impl<'a> Covering<'a> {
    pub(super) fn new(
        registry: &'a Registry,
        contract: Option<&'a Contract>,
        known: &'a Coverages,
    ) -> Self {
        Self { registry, contract, known, new: Coverages::default(), bad: HashMap::default() }
    }

    pub(super) fn registry(&self) -> &'a Registry {
        self.registry
    }

    /// What was met and is not among what was known.
    pub(super) fn into_new(self) -> Coverages {
        self.new
    }

    /// The coverage with its masks, shared with all that cover the same; `None` after reporting
    /// what keeps it from having them.
    pub(super) fn share(
        &mut self,
        problems: &mut Problems,
        subject: &Subject,
        mut coverage: Coverage,
    ) -> Option<Arc<Coverage>> {
        if let Some(met) = self.known.get(&coverage).or_else(|| self.new.get(&coverage)) {
            return Some(met.clone());
        }
        if let Some(wrong) = self.bad.get(&coverage) {
            report(problems, subject, wrong);
            return None;
        }
        match self.masks(&coverage) {
            Ok((answer_masks, request_masks)) => {
                (coverage.answer_masks, coverage.request_masks) = (answer_masks, request_masks);
                let shared = Arc::new(coverage);
                self.new.insert(shared.clone());
                Some(shared)
            }
            Err(wrong) => {
                report(problems, subject, &wrong);
                self.bad.insert(coverage, wrong);
                None
            }
        }
    }

    /// Reports a bound on persons that nothing could be counted for.
    pub(super) fn check_subjects(
        &self,
        problems: &mut Problems,
        subject: &Subject,
        coverage: &Coverage,
    ) {
        if !self.describes(coverage) {
            let found = self.undescribed("a bound on persons", coverage);
            let hint = Some(format!("{GIVE_CONTRACT}; or take `subjects` out"));
            problems.add_hinted(subject, "subjects", found, NO_CONTRACT, hint);
            return;
        }
        let mut sides = self.covered(coverage).filter_map(|(_, method)| {
            let contracted = method.contracted.as_deref()?;
            Some([&contracted.request, &contracted.answer])
        });
        if !sides.any(|sides| sides.iter().any(|side| side.watch.is_some())) {
            let found = "a bound on persons, of whom no method that is covered says anything";
            let expected = "a method with a field of option `(giaolien.annotations.v1.subject)`";
            let hint = Some("mark the field in the contract; or take `subjects` out".to_owned());
            problems.add_hinted(subject, "subjects", found, expected, hint);
        }
    }

    fn masks(&self, coverage: &Coverage) -> Result<(Masks, Masks), Vec<Wrong>> {
        let both = [(FIELDS, &coverage.fields), (REQUEST_FIELDS, &coverage.request_fields)];
        let mut wrong = Vec::new();
        if !self.describes(coverage) {
            for (key, fields) in both {
                if matches!(fields, Fields::Named(_)) {
                    let found = self.undescribed("fields", coverage);
                    let hint = Some(format!("{GIVE_CONTRACT}; or take `{key}` out"));
                    wrong.push(Wrong { field: key.into(), found, expected: NO_CONTRACT, hint });
                }
            }
            let none = || Masks::default();
            return if wrong.is_empty() { Ok((none(), none())) } else { Err(wrong) };
        }
        let Some(contract) = self.contract else { return Ok(Default::default()) };
        let answers = self
            .covered(coverage)
            .filter_map(|(ix, method)| Some((ix, &method.contracted.as_deref()?.answer)));
        let updates = self.covered(coverage).filter(|(_, method)| method.effect == Effect::Update);
        let requests =
            updates.filter_map(|(ix, method)| Some((ix, &method.contracted.as_deref()?.request)));
        let requests: Vec<_> = requests.collect();
        if requests.is_empty() && matches!(coverage.request_fields, Fields::Named(_)) {
            wrong.push(Wrong {
                field: REQUEST_FIELDS.into(),
                found: "fields of requests, while no method that is covered is an update".into(),
                expected: "them for updates alone",
                hint: Some(format!("take `{REQUEST_FIELDS}` out")),
            });
        }
        let answers = masks(contract, FIELDS, &coverage.fields, answers);
        let requests =
            masks(contract, REQUEST_FIELDS, &coverage.request_fields, requests.into_iter());
        match (answers, requests) {
            (Ok(answers), Ok(requests)) if wrong.is_empty() => Ok((answers, requests)),
            (answers, requests) => {
                wrong.extend(answers.err().into_iter().flatten());
                wrong.extend(requests.err().into_iter().flatten());
                Err(wrong)
            }
        }
    }

    /// The methods that are covered.
    fn covered(&self, coverage: &Coverage) -> impl Iterator<Item = (Ix, &'a MethodRow)> {
        let first = row(&self.registry.services, coverage.service).map_or(0, |row| row.methods.0);
        let all = (first..).zip(self.registry.methods_of(coverage.service));
        all.filter(|(ix, _)| {
            coverage.methods.as_ref().is_none_or(|some| some.binary_search(ix).is_ok())
        })
    }

    fn describes(&self, coverage: &Coverage) -> bool {
        let service = row(&self.registry.services, coverage.service);
        service.is_some_and(|row| self.contract.is_some_and(|it| knows(it, &row.name)))
    }

    fn undescribed(&self, what: &str, coverage: &Coverage) -> String {
        let service = row(&self.registry.services, coverage.service);
        let name = service.map_or("?", |row| &*row.name);
        format!("{what}, while no contract describes `{name}`")
    }
}

fn report(problems: &mut Problems, subject: &Subject, wrong: &[Wrong]) {
    for Wrong { field, found, expected, hint } in wrong {
        problems.add_hinted(subject, field, found, expected, hint.clone());
    }
}

/// Both together, without those that no agreement of the last revision covers any more.
pub(super) fn joined(known: &Arc<Coverages>, new: Coverages) -> Arc<Coverages> {
    if new.is_empty() {
        return known.clone();
    }
    // What only `known` holds is covered by no agreement.
    let used = known.iter().filter(|coverage| Arc::strong_count(coverage) > 1).cloned();
    Arc::new(used.chain(new).collect())
}
