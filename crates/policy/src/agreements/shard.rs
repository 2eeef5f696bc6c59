//! A part of the agreements: an open table of slots, and long runs kept aside.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use model::AgreementId;

use crate::agreements::slot::{Key, Slot};
use crate::registry::{Ix, Table};

/// Slots of one consumer and service that stand in the table; more are kept aside, by purpose.
const RUN_SLOTS_MAX: usize = 16;
/// Agreements of one consumer and service for the same purpose, whatever their validity.
pub(crate) const ALIKE_MAX: usize = 1_024;

/// Too many agreements that differ in their methods or validity alone: the last of them.
#[derive(Debug)]
pub(crate) struct TooManyAlike(pub(crate) AgreementId);

/// Cloning shares what is in it.
#[derive(Clone, Debug, Default)]
pub(super) struct Shard {
    /// An open table with linear probing that does not wrap: the last slot is free.
    slots: Arc<[Option<Slot>]>,
    /// How many of the slots hashes lead to.
    starts: usize,
    aside: Option<Arc<Table<Key, Arc<Aside>>>>,
}

/// A long run, by purpose.
type Aside = BTreeMap<Ix, Box<[Slot]>>;

/// Where the slots of a consumer and service begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lead<'a> {
    key: Key,
    slots: &'a [Option<Slot>],
    aside: Option<&'a Table<Key, Arc<Aside>>>,
}

impl<'a> Lead<'a> {
    /// Leads to nothing.
    pub(crate) const NOWHERE: Self = Self { key: Key::NONE, slots: &[], aside: None };

    /// Whether there is anything to follow. To know it, memory is asked for the first slot.
    pub(crate) fn leads_anywhere(&self) -> bool {
        self.slots.first().is_some_and(Option::is_some) | self.aside.is_some()
    }

    /// The first slot that `fits`; those for another purpose may be passed over.
    pub(crate) fn find(&self, purpose: Ix, fits: impl Fn(&Slot) -> bool) -> Option<&'a Slot> {
        for slot in self.slots.iter().map_while(Option::as_ref) {
            if slot.key == self.key && fits(slot) {
                return Some(slot);
            }
        }
        let aside = self.aside?.get(&self.key)?.get(&purpose)?;
        aside.iter().find(|slot| fits(slot))
    }

    /// All slots of the consumer and service; of one purpose alone where that is cheap to tell.
    pub(super) fn run(self, purpose: Option<Ix>) -> impl Iterator<Item = &'a Slot> {
        let near = self.slots.iter().map_while(Option::as_ref);
        let near = near.filter(move |slot| slot.key == self.key);
        let aside = self.aside.and_then(|aside| aside.get(&self.key));
        near.chain(aside.into_iter().flat_map(move |aside| {
            let (first, last) = purpose.map_or((Ix::MIN, Ix::MAX), |only| (only, only));
            aside.range(first..=last).flat_map(|(_, slots)| slots)
        }))
    }
}

impl Shard {
    pub(super) fn build(mut slots: Vec<Slot>) -> Result<Self, TooManyAlike> {
        slots.sort_by(|a, b| (a.key, a.order()).cmp(&(b.key, b.order())));
        let mut plan = Plan::default();
        let mut slots = slots.into_iter().peekable();
        while let Some(first) = slots.next() {
            let key = first.key;
            let mut run = vec![first];
            while let Some(next) = slots.next_if(|slot| slot.key == key) {
                run.push(next);
            }
            plan.add(key, run)?;
        }
        Ok(plan.finish())
    }

    /// The shard without the agreements `gone` and with the slots `new`. Runs of other consumers
    /// and services stay as they are.
    pub(super) fn edited(
        &self,
        gone: &HashSet<(Key, AgreementId)>,
        new: Vec<Slot>,
    ) -> Result<Self, TooManyAlike> {
        let edited: BTreeSet<Key> =
            gone.iter().map(|(key, _)| *key).chain(new.iter().map(|slot| slot.key)).collect();
        let mut plan = Plan::default();
        let others = self.slots.iter().flatten().filter(|slot| !edited.contains(&slot.key));
        plan.near.extend(others.cloned());
        for (key, aside) in self.aside.iter().flat_map(|aside| aside.iter()) {
            if !edited.contains(key) {
                plan.aside.insert(*key, aside.clone());
            }
        }
        for key in edited {
            let stays = |slot: &&Slot| !gone.contains(&(key, slot.agreement.id.clone()));
            let kept = self.lead(key).run(None).filter(stays);
            let added = new.iter().filter(|slot| slot.key == key);
            let mut run: Vec<Slot> = kept.chain(added).cloned().collect();
            run.sort_by(|a, b| a.order().cmp(&b.order()));
            plan.add(key, run)?;
        }
        Ok(plan.finish())
    }

    pub(super) fn lead(&self, key: Key) -> Lead<'_> {
        let slots = self.slots.get(start(key.hash(), self.starts)..).unwrap_or_default();
        Lead { key, slots, aside: self.aside.as_deref() }
    }

    /// Every slot.
    pub(super) fn all(&self) -> impl Iterator<Item = &Slot> {
        let aside = self.aside.iter().flat_map(|aside| aside.values());
        self.slots.iter().flatten().chain(aside.flat_map(|runs| runs.values().flatten()))
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let aside = self.aside.iter().flat_map(|aside| aside.values());
        let aside: usize = aside.flat_map(|runs| runs.values()).map(|run| run.len()).sum();
        size_of::<Self>() + (self.slots.len() + aside) * size_of::<Slot>()
    }
}

/// What a shard is made of.
#[derive(Default)]
struct Plan {
    near: Vec<Slot>,
    aside: Table<Key, Arc<Aside>>,
}

impl Plan {
    /// Adds all slots of a consumer and service, in their order.
    fn add(&mut self, key: Key, run: Vec<Slot>) -> Result<(), TooManyAlike> {
        match run.len() <= RUN_SLOTS_MAX {
            true => self.near.extend(run),
            false => drop(self.aside.insert(key, Arc::new(aside(run)?))),
        }
        Ok(())
    }

    fn finish(self) -> Shard {
        let starts = starts(self.near.len());
        let mut table: Vec<Option<Slot>> = Vec::with_capacity(starts + RUN_SLOTS_MAX);
        table.resize_with(starts, || None);
        self.near.into_iter().for_each(|slot| insert(&mut table, starts, slot));
        // Behind the last slot a free one ends its run.
        if table.last().is_some_and(Option::is_some) {
            table.push(None);
        }
        let aside = (!self.aside.is_empty()).then(|| Arc::new(self.aside));
        Shard { slots: table.into(), starts, aside }
    }
}

fn aside(run: Vec<Slot>) -> Result<Aside, TooManyAlike> {
    let mut by_purpose: BTreeMap<Ix, Vec<Slot>> = BTreeMap::new();
    for slot in run {
        let alike = by_purpose.entry(slot.purpose).or_default();
        if alike.len() == ALIKE_MAX {
            return Err(TooManyAlike(slot.agreement.id));
        }
        alike.push(slot);
    }
    Ok(by_purpose.into_iter().map(|(purpose, slots)| (purpose, slots.into())).collect())
}

/// How many slots hashes lead to, so that the table is seven tenths full.
fn starts(slots: usize) -> usize {
    slots * 10 / 7 + 1
}

/// Puts a slot into the first free place from where its hash leads.
fn insert(table: &mut Vec<Option<Slot>>, starts: usize, slot: Slot) {
    let mut run = table.iter_mut().skip(start(slot.key.hash(), starts));
    match run.find(|place| place.is_none()) {
        Some(free) => *free = Some(slot),
        None => table.push(Some(slot)),
    }
}

/// Where the slots of a hash begin, of so many starts.
fn start(hash: u64, starts: usize) -> usize {
    // The low half decides: the high bits have chosen the shard.
    scale(hash << 32, starts)
}

/// Maps the range of `u64` onto the numbers below `length`.
pub(super) fn scale(hash: u64, length: usize) -> usize {
    let length = u64::try_from(length).unwrap_or(u64::MAX);
    let scaled = (u128::from(hash) * u128::from(length)) >> 64;
    usize::try_from(scaled).unwrap_or_default()
}
