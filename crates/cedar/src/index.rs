//! Which policies can apply to a request: filed by what their scopes ask for.
//!
//! A scope asks each role (principal, action, resource) to be in one *class*: anything, of a
//! type, a certain entity, or below one. For every entity the classes it is in are listed once,
//! of those that occur in scopes. Policies stand in *leaves*, one for each combination of classes
//! that occurs; a request visits the leaves at the crossings of its three lists.

use std::collections::BTreeMap;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashTable};

use crate::EntityRef;
use crate::names::{Uids, number};
use crate::program::{Actions, Program, Scope, Side, SlotIx, Span, StepIx, Test};
use crate::scalar::{Glance, Scalar};
use crate::steps::Steps;
use crate::store::Stored;

/// Up to this many are searched one after the other.
const SCANNED_MAX: usize = 6;
/// From this many policies of one leaf that begin with the same question on, they are filed by
/// the answer.
const WIDE_MIN: usize = 4;
/// A kind that no entity has: the scope asks for none.
const NO_KIND: u32 = u32::MAX;

/// A policy where it is filed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) policy: u32,
    pub(crate) permits: bool,
    /// What is to hold besides where the entry stands.
    pub(crate) start: StepIx,
    principal_kind: u32,
    resource_kind: u32,
}

impl Entry {
    /// Whether the types are those that the scope asks for.
    pub(crate) fn fits(&self, principal: EntityRef, resource: EntityRef) -> bool {
        (self.principal_kind == NO_KIND || self.principal_kind == principal.kind)
            && (self.resource_kind == NO_KIND || self.resource_kind == resource.kind)
    }
}

/// Policies whose scopes ask for the same classes.
#[derive(Debug)]
pub(crate) struct Leaf {
    /// Class of the action.
    action: u32,
    pub(crate) plain: Span,
    pub(crate) wide: Span,
}

/// Policies of a leaf that begin by comparing the same slot with constants.
#[derive(Debug)]
pub(crate) struct Wide {
    pub(crate) slot: SlotIx,
    /// Whether the policies ask first if the slot has a value at all.
    pub(crate) guarded: bool,
    pub(crate) all: Span,
    by_constant: HashTable<(Scalar, Span)>,
}

#[derive(Debug, Default)]
struct Arm {
    resource: u32,
    leaves: Span,
}

/// What classes entities are in, for one role.
#[derive(Debug, Default)]
struct Role {
    by_entity: Vec<Span>,
    by_kind: Vec<Span>,
    any: Span,
    classes: Vec<u32>,
}

impl Role {
    fn classes(&self, entity: EntityRef) -> &[u32] {
        let span = self.by_entity.get(entity.ix as usize);
        let span = span.or_else(|| self.by_kind.get(entity.kind as usize)).unwrap_or(&self.any);
        span.of(&self.classes)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Index {
    principals: Role,
    actions: Role,
    resources: Role,
    /// By class of the principal.
    branches: Vec<Span>,
    /// Those of a branch are sorted by class of the resource.
    arms: Vec<Arm>,
    /// Arms of large branches by branch and class of the resource.
    crossings: HashMap<(u32, u32), u32, RandomState>,
    /// Those of an arm are sorted by class of the action.
    leaves: Vec<Leaf>,
    entries: Vec<Entry>,
    wides: Vec<Wide>,
    state: RandomState,
}

impl Index {
    /// Calls `visit` for each leaf that fits.
    pub(crate) fn visit<'i>(
        &'i self,
        [principal, action, resource]: [EntityRef; 3],
        mut visit: impl FnMut(&'i Leaf),
    ) {
        let actions = self.actions.classes(action);
        let resources = self.resources.classes(resource);
        for class in self.principals.classes(principal) {
            let Some(branch) = self.branches.get(*class as usize) else { continue };
            let arms = branch.of(&self.arms);
            if arms.len() <= SCANNED_MAX {
                for arm in arms.iter().filter(|arm| resources.contains(&arm.resource)) {
                    self.visit_arm(arm, actions, &mut visit);
                }
                continue;
            }
            for resource in resources {
                let arm = self.crossings.get(&(*class, *resource));
                if let Some(arm) = arm.and_then(|ix| self.arms.get(*ix as usize)) {
                    self.visit_arm(arm, actions, &mut visit);
                }
            }
        }
    }

    fn visit_arm<'i>(&'i self, arm: &Arm, actions: &[u32], visit: &mut impl FnMut(&'i Leaf)) {
        let leaves = arm.leaves.of(&self.leaves);
        if leaves.len() <= SCANNED_MAX {
            leaves.iter().filter(|leaf| actions.contains(&leaf.action)).for_each(visit);
            return;
        }
        for action in actions {
            if let Ok(ix) = leaves.binary_search_by_key(action, |leaf| leaf.action) {
                leaves.get(ix).into_iter().for_each(&mut *visit);
            }
        }
    }

    /// Asks memory for where the classes of a principal are.
    pub(crate) fn prefetch(&self, principal: EntityRef) {
        self.principals.by_entity.get(principal.ix as usize).into_iter().for_each(prefetch::read);
    }

    pub(crate) fn plain(&self, leaf: &Leaf) -> &[Entry] {
        leaf.plain.of(&self.entries)
    }

    pub(crate) fn wides(&self, leaf: &Leaf) -> &[Wide] {
        leaf.wide.of(&self.wides)
    }

    /// All entries filed there.
    pub(crate) fn all(&self, wide: &Wide) -> &[Entry] {
        wide.all.of(&self.entries)
    }

    /// The entries filed under a value, which it may only seem to equal: see [`Scalar::glance`].
    pub(crate) fn under(&self, wide: &Wide, scalar: &Scalar) -> &[Entry] {
        let hash = self.state.hash_one(scalar);
        let found = wide.by_constant.find(hash, |(constant, _)| constant == scalar);
        found.map_or(&[], |(_, span)| span.of(&self.entries))
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let roles = [&self.principals, &self.actions, &self.resources].map(|role| {
            (role.by_entity.len() + role.by_kind.len()) * size_of::<Span>() + role.classes.len() * 4
        });
        let wides =
            self.wides.iter().map(|it| it.by_constant.allocation_size() + size_of::<Wide>());
        roles.iter().sum::<usize>()
            + wides.sum::<usize>()
            + self.branches.len() * size_of::<Span>()
            + self.arms.len() * size_of::<Arm>()
            + self.crossings.allocation_size()
            + self.leaves.len() * size_of::<Leaf>()
            + self.entries.len() * size_of::<Entry>()
    }
}

/// A class before it has a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Class {
    Any,
    Is(u32),
    Equal(u32),
    Below(u32),
}

type Classes = HashMap<Class, u32, RandomState>;

/// A policy to be filed.
#[derive(Debug)]
pub(crate) struct Filed {
    pub(crate) policy: u32,
    pub(crate) permits: bool,
    pub(crate) scope: Scope,
    pub(crate) tests: Span,
}

/// Files policies.
pub(crate) fn build(
    filed: &[Filed],
    program: &mut Program,
    store: &[Stored],
    uids: &Uids,
    kinds: u32,
) -> Index {
    let mut classes: [Classes; 3] = Default::default();
    let mut rows: Vec<Row> = Vec::with_capacity(filed.len());
    for policy in filed {
        let [principals, actions, resources] = &mut classes;
        let (principal, principal_kind) = side(policy.scope.principal, principals);
        let (resource, resource_kind) = side(policy.scope.resource, resources);
        let Filed { policy: ix, permits, tests, .. } = *policy;
        let own = Row { place: [0; 3], policy: ix, permits, tests, principal_kind, resource_kind };
        let mut file = |class| {
            let place = [principal, resource, class_number(actions, class)];
            rows.push(Row { place, ..own });
        };
        match &policy.scope.action {
            Actions::Any => file(Class::Any),
            Actions::Equal(it) => file(Class::Equal(it.ix)),
            Actions::In(all) => all.iter().for_each(|it| file(Class::Below(it.ix))),
        }
    }
    rows.sort_by_key(|row| (row.place, row.policy));
    let mut steps = Steps::new(program);
    let [principals, actions, resources] = &classes;
    let mut index = Index {
        principals: role(principals, store, uids, kinds),
        actions: role(actions, store, uids, kinds),
        resources: role(resources, store, uids, kinds),
        ..Index::default()
    };
    for (class, branch) in groups(&rows, |row| row.place[0]) {
        let start = number(index.arms.len());
        for (resource, arm) in groups(branch, |row| row.place[1]) {
            let first = number(index.leaves.len());
            for (action, leaf) in groups(arm, |row| row.place[2]) {
                index.add_leaf(action, leaf, &mut steps);
            }
            let len = number(index.leaves.len()) - first;
            index.arms.push(Arm { resource, leaves: Span { start: first, len } });
        }
        index.branches.resize(class as usize + 1, Span::default());
        let len = number(index.arms.len()) - start;
        if let Some(branch) = index.branches.last_mut() {
            *branch = Span { start, len };
        }
        if len as usize > SCANNED_MAX {
            for ix in start..start + len {
                let Some(arm) = index.arms.get(ix as usize) else { continue };
                index.crossings.insert((class, arm.resource), ix);
            }
        }
    }
    index
}

/// Runs of rows with the same key; rows are sorted by it.
fn groups<T>(rows: &[T], key: impl Fn(&T) -> u32 + Copy) -> impl Iterator<Item = (u32, &[T])> {
    rows.chunk_by(move |a, b| key(a) == key(b))
        .filter_map(move |run| Some((key(run.first()?), run)))
}

fn class_number(classes: &mut Classes, class: Class) -> u32 {
    let next = number(classes.len());
    *classes.entry(class).or_insert(next)
}

/// The class of a side, and the type that it asks for besides.
fn side(side: Side, classes: &mut Classes) -> (u32, u32) {
    let (class, kind) = match side {
        Side::Any => (Class::Any, NO_KIND),
        Side::Is(kind) => (Class::Is(kind), NO_KIND),
        Side::Equal(it) => (Class::Equal(it.ix), NO_KIND),
        Side::In(it) => (Class::Below(it.ix), NO_KIND),
        Side::IsIn(kind, it) => (Class::Below(it.ix), kind),
    };
    (class_number(classes, class), kind)
}

/// Lists for each entity and type the classes it is in.
fn role(classes: &Classes, store: &[Stored], uids: &Uids, kinds: u32) -> Role {
    let mut role = Role::default();
    let add = |list: &mut Vec<u32>, class| list.extend(classes.get(&class));
    add(&mut role.classes, Class::Any);
    role.any = Span { start: 0, len: number(role.classes.len()) };
    for kind in 0..kinds {
        let start = number(role.classes.len());
        add(&mut role.classes, Class::Any);
        add(&mut role.classes, Class::Is(kind));
        let len = number(role.classes.len()) - start;
        role.by_kind.push(Span { start, len });
    }
    // Entities that are in the same classes share a list: few lists stay in the cache.
    let mut lists: HashMap<Box<[u32]>, Span, RandomState> = HashMap::default();
    for (ix, kind) in uids.kinds().enumerate() {
        let of_kind = role.by_kind.get(kind as usize).copied().unwrap_or_default();
        let start = role.classes.len();
        role.classes
            .extend_from_within(of_kind.start as usize..(of_kind.start + of_kind.len) as usize);
        let own = role.classes.len();
        let entity = number(ix);
        add(&mut role.classes, Class::Equal(entity));
        add(&mut role.classes, Class::Below(entity));
        for above in store.get(ix).map_or(&[][..], |stored| &stored.ancestors) {
            add(&mut role.classes, Class::Below(*above));
        }
        let len = number(role.classes.len() - start);
        if role.classes.len() == own {
            role.classes.truncate(start);
            role.by_entity.push(of_kind);
        } else {
            let list: Box<[u32]> = role.classes.get(start..).unwrap_or_default().into();
            let span = *lists.entry(list).or_insert(Span { start: number(start), len });
            if span.start as usize != start {
                role.classes.truncate(start);
            }
            role.by_entity.push(span);
        }
    }
    role
}

/// What a policy begins with: a slot, whether it asks first if that has a value, and a constant.
fn lead(row: &Row, program: &Program) -> Option<(SlotIx, bool, u32)> {
    let (slot, guarded, constant) = match row.tests.of(&program.tests) {
        [Test::SlotEqual(slot, constant), ..] => (*slot, false, *constant),
        [Test::SlotHas(asked), Test::SlotEqual(slot, constant), ..] if asked == slot => {
            (*slot, true, *constant)
        }
        _ => return None,
    };
    let scalar = program.scalars.get(constant as usize)?;
    scalar.can_file().then_some((slot, guarded, constant))
}

/// A policy at one of its places.
#[derive(Debug, Clone, Copy)]
struct Row {
    /// Classes of principal, resource and action.
    place: [u32; 3],
    policy: u32,
    permits: bool,
    tests: Span,
    principal_kind: u32,
    resource_kind: u32,
}

impl Row {
    /// The entry, without so many of the tests.
    fn entry(&self, skipped: u32, steps: &mut Steps<'_>) -> Entry {
        let Row { policy, permits, principal_kind, resource_kind, .. } = *self;
        let Span { start, len } = self.tests;
        let start = steps.start(Span { start: start + skipped, len: len - skipped });
        Entry { policy, permits, start, principal_kind, resource_kind }
    }
}

impl Index {
    fn add_leaf(&mut self, action: u32, rows: &[Row], steps: &mut Steps<'_>) {
        let mut wide: BTreeMap<(SlotIx, bool), Vec<(u32, Row)>> = BTreeMap::new();
        for row in rows {
            if let Some((slot, guarded, constant)) = lead(row, steps.program()) {
                wide.entry((slot, guarded)).or_default().push((constant, *row));
            }
        }
        wide.retain(|_, rows| rows.len() >= WIDE_MIN);
        let start = number(self.entries.len());
        for row in rows {
            let lead = lead(row, steps.program());
            if lead.is_none_or(|(slot, guarded, _)| !wide.contains_key(&(slot, guarded))) {
                self.entries.push(row.entry(0, steps));
            }
        }
        let plain = Span { start, len: number(self.entries.len()) - start };
        let first = number(self.wides.len());
        for ((slot, guarded), rows) in wide {
            self.add_wide(slot, guarded, rows, steps);
        }
        let wide = Span { start: first, len: number(self.wides.len()) - first };
        self.leaves.push(Leaf { action, plain, wide });
    }

    fn add_wide(
        &mut self,
        slot: SlotIx,
        guarded: bool,
        rows: Vec<(u32, Row)>,
        steps: &mut Steps<'_>,
    ) {
        let start = number(self.entries.len());
        let all = Span { start, len: number(rows.len()) };
        // Constants that look the same stand together; each entry still makes the comparison if
        // its constant is more than what can be seen.
        let mut by_scalar: HashMap<Scalar, Vec<Row>, RandomState> = HashMap::default();
        for (constant, row) in rows {
            let scalar = steps.program().scalars.get(constant as usize).copied();
            by_scalar.entry(scalar.unwrap_or(Scalar::ABSENT)).or_default().push(row);
        }
        let mut by_constant = HashTable::new();
        for (scalar, run) in by_scalar {
            let clear = scalar.glance(&scalar) == Glance::Equal;
            let skipped = u32::from(guarded) + u32::from(clear);
            let span = Span { start: number(self.entries.len()), len: number(run.len()) };
            self.entries.extend(run.into_iter().map(|row| row.entry(skipped, steps)));
            let state = &self.state;
            let rehash = |(scalar, _): &(Scalar, Span)| state.hash_one(scalar);
            by_constant.insert_unique(state.hash_one(scalar), (scalar, span), rehash);
        }
        self.wides.push(Wide { slot, guarded, all, by_constant });
    }
}
