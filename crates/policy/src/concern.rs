//! Whom the changes of a contract concern.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use mask::{Contract, Mask, Message};
use model::{AgreementId, Effect};

use crate::agreement::{Coverage, Masks};
use crate::agreements::Slot;
use crate::registry::{Ix, row};
use crate::snapshot::Snapshot;

/// The agreements that something concerns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Concerned {
    /// The first of them, by id.
    pub first: BTreeSet<AgreementId>,
    /// How many there are.
    pub count: usize,
}

/// What the messages that pass under an agreement hold.
#[derive(Default)]
struct Held<'a> {
    /// Paths of methods.
    methods: BTreeSet<&'a str>,
    /// Messages that pass as they are.
    whole: BTreeSet<&'a str>,
    /// Messages that pass in part.
    parts: BTreeSet<&'a str>,
    /// Fields that are given of those, as `package.Message.field`.
    given: BTreeSet<String>,
}

impl Snapshot {
    /// The agreements under which each of `changes` can be noticed: those that cover the method,
    /// or under which the message passes with the field in it. Of each, the first `shown`.
    pub fn concerned(&self, changes: &[&mask::Change], shown: usize) -> Vec<Concerned> {
        let mut all = vec![Concerned::default(); changes.len()];
        let Some(contract) = self.contract.as_deref() else { return all };
        let mut noticed: HashMap<*const Coverage, Vec<usize>> = HashMap::new();
        for coverage in self.coverages.iter() {
            let held = self.held(contract, coverage);
            let places = changes.iter().zip(0..).filter(|(change, _)| held.notices(change));
            noticed.insert(Arc::as_ptr(coverage), places.map(|(_, place)| place).collect());
        }
        for slot in self.agreements.slots().filter(|slot| self.is_first(slot)) {
            let agreement = &slot.agreement;
            let places = noticed.get(&Arc::as_ptr(&agreement.clauses.coverage));
            for place in places.into_iter().flatten() {
                if let Some(concerned) = all.get_mut(*place) {
                    concerned.count += 1;
                    concerned.add(agreement.id(), shown);
                }
            }
        }
        all
    }

    /// Whether a slot is the first of its agreement, which has one for each purpose.
    fn is_first(&self, slot: &Slot) -> bool {
        let codes = slot.agreement.purposes();
        let purposes = &self.registry.names.purposes;
        codes.len() == 1
            || codes.iter().filter_map(|code| purposes.get(code.as_str())).min()
                == Some(slot.purpose)
    }

    fn held<'a>(&'a self, contract: &'a Contract, coverage: &Coverage) -> Held<'a> {
        let mut held = Held::default();
        let first = row(&self.registry.services, coverage.service).map_or(0, |row| row.methods.0);
        for (ix, method) in (first..).zip(self.registry.methods_of(coverage.service)) {
            let covers = |some: &[Ix]| some.binary_search(&ix).is_ok();
            let is_covered = coverage.methods.as_deref().is_none_or(covers);
            let Some(contracted) = method.contracted.as_deref().filter(|_| is_covered) else {
                continue;
            };
            held.methods.insert(&method.path);
            let masked = method.effect == Effect::Update;
            let request = mask_of(&coverage.request_masks, ix).filter(|_| masked);
            held.add(contract, &contracted.request.message, request);
            let answer = mask_of(&coverage.answer_masks, ix);
            held.add(contract, &contracted.answer.message, answer);
        }
        held
    }
}

impl Concerned {
    fn add(&mut self, id: &AgreementId, shown: usize) {
        let is_among = self.first.len() < shown || self.first.last().is_some_and(|last| id < last);
        if is_among && shown > 0 {
            self.first.insert(id.clone());
            if self.first.len() > shown {
                self.first.pop_last();
            }
        }
    }
}

impl<'a> Held<'a> {
    fn add(&mut self, contract: &'a Contract, message: &str, mask: Option<&Arc<Mask>>) {
        let Some(root) = contract.message(message) else { return };
        match mask {
            None => self.add_whole(contract, root),
            Some(mask) => {
                self.parts.insert(&root.name);
                mask.given().for_each(|field| self.add_path(contract, root, &field.path));
            }
        }
    }

    fn add_whole(&mut self, contract: &'a Contract, root: &'a Message) {
        let mut waiting = vec![root];
        while let Some(message) = waiting.pop() {
            if self.whole.insert(&message.name) {
                waiting.extend(message.fields.iter().filter_map(|field| contract.held(field)));
            }
        }
    }

    /// Adds the fields on the way of a path. What is not found ends it.
    fn add_path(&mut self, contract: &'a Contract, root: &'a Message, path: &str) {
        let mut place = Some(root);
        for name in names(path) {
            let Some(message) = place else { return };
            if let Some(typed) = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
                place = contract.message(typed);
            } else if let Some(field) = message.field_named(name) {
                self.given.insert(format!("{}.{name}", message.name));
                place = contract.held(field);
                if let Some(entry) = place.filter(|message| message.is_map_entry) {
                    place = entry.field(2).and_then(|value| contract.held(value));
                }
            } else {
                return;
            }
            self.parts.extend(place.map(|message| message.name.as_str()));
        }
    }

    fn notices(&self, change: &mask::Change) -> bool {
        let name = change.name.as_str();
        if name.starts_with('/') {
            return self.methods.contains(name);
        }
        self.whole.contains(change.message.as_str())
            || self.given.contains(name)
            || name == change.message && self.parts.contains(name)
    }
}

fn mask_of(masks: &Masks, method: Ix) -> Option<&Arc<Mask>> {
    let at = masks.binary_search_by_key(&method, |(method, _)| *method).ok()?;
    masks.get(at).map(|(_, mask)| mask)
}

/// The names of a path. Dots within brackets belong to the name of a type.
fn names(path: &str) -> impl Iterator<Item = &str> {
    let mut is_within = false;
    path.split(move |letter| {
        is_within = letter == '[' || is_within && letter != ']';
        letter == '.' && !is_within
    })
}
