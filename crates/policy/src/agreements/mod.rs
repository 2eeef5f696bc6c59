//! The agreements of a revision, found by consumer, service and purpose at a cost that does not
//! grow with their number, in shards that revisions share.
//!
//! A shard is an open table of slots, one for each agreement and purpose, one cache line each.
//! Slots of one consumer and service stand in one run, in the order of agreement ids. A run that
//! would be long is kept aside, by purpose. To change agreements, their shards are copied.

mod ids;
mod shard;
mod slot;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use model::AgreementId;

use crate::registry::{ConsumerIx, Ix};

use ids::{Ids, Whereabouts};
use shard::{Shard, scale};

pub(crate) use shard::{ALIKE_MAX, Lead, TooManyAlike};
pub(crate) use slot::{Compiled, Key, Slot};

/// Agreements in a shard, about: what is copied to change one.
const SHARD_AGREEMENTS: usize = 1_000;
/// How many times as many may be in a shard before all are put into more shards.
const SHARD_GROWTH_MAX: usize = 4;

/// All agreements of a revision.
#[derive(Clone, Debug, Default)]
pub(crate) struct Agreements {
    shards: Box<[Shard]>,
    ids: Box<[Arc<Ids>]>,
    /// For each consumer a bit for each service, modulo 64, that it may have an agreement on.
    reach: Arc<[u64]>,
    count: usize,
    /// Bytes of all that the agreements say, counted once where they say the same.
    clauses_bytes: usize,
}

/// What becomes of an agreement: its new form, or nothing. Each id occurs once in a list.
pub(crate) type Edit = (AgreementId, Option<Compiled>);

/// The edits of one shard.
#[derive(Default)]
struct Edits {
    gone: HashSet<(Key, AgreementId)>,
    new: Vec<Slot>,
}

impl Agreements {
    /// Puts agreements in their places. Each id occurs once; there are so many `consumers`.
    pub(crate) fn build(
        agreements: Vec<Compiled>,
        consumers: usize,
        clauses_bytes: usize,
    ) -> Result<Self, TooManyAlike> {
        let count = agreements.len();
        let shards = count / SHARD_AGREEMENTS + 1;
        let mut ids: Vec<Vec<Whereabouts>> = vec![Vec::new(); shards];
        let mut slots: Vec<Vec<Slot>> = Vec::new();
        slots.resize_with(shards, Vec::new);
        let mut reach = vec![0; consumers];
        for agreement in agreements {
            let (key, id) = (agreement.key, &agreement.agreement.id);
            if let Some(ids) = ids.get_mut(scale(ids::hash(id.as_str()), shards)) {
                ids.push(Whereabouts::new(id, key));
            }
            mark(&mut reach, key);
            if let Some(slots) = slots.get_mut(scale(key.hash(), shards)) {
                slots.extend(agreement.slots());
            }
        }
        let shards: Result<Box<[_]>, _> = slots.into_iter().map(Shard::build).collect();
        let ids = ids.into_iter().map(|ids| Arc::new(Ids::build(ids))).collect();
        Ok(Self { shards: shards?, ids, reach: reach.into(), count, clauses_bytes })
    }

    /// Changes some. Each shard that is touched is copied once.
    pub(crate) fn amend(
        &mut self,
        edits: Vec<Edit>,
        clauses_bytes: usize,
    ) -> Result<(), TooManyAlike> {
        let mut by_shard: BTreeMap<usize, Edits> = BTreeMap::new();
        let mut reach = None;
        for (id, put) in edits {
            let at = scale(ids::hash(id.as_str()), self.ids.len());
            let before = self.key_of(id.as_str());
            let Some(ids) = self.ids.get_mut(at) else { continue };
            if let Some(key) = before {
                Arc::make_mut(ids).remove(Whereabouts::new(&id, key));
                let edits = by_shard.entry(scale(key.hash(), self.shards.len())).or_default();
                edits.gone.insert((key, id.clone()));
                self.count -= 1;
            }
            if let Some(agreement) = put {
                let key = agreement.key;
                Arc::make_mut(ids).insert(Whereabouts::new(&id, key));
                if !self.reaches(key.consumer(), key.service()) {
                    mark(reach.get_or_insert_with(|| self.reach.to_vec()), key);
                }
                let edits = by_shard.entry(scale(key.hash(), self.shards.len())).or_default();
                edits.new.extend(agreement.slots());
                self.count += 1;
            }
        }
        if let Some(reach) = reach {
            self.reach = reach.into();
        }
        for (at, edits) in by_shard {
            if let Some(shard) = self.shards.get_mut(at) {
                *shard = shard.edited(&edits.gone, edits.new)?;
            }
        }
        self.clauses_bytes += clauses_bytes;
        self.spread()
    }

    /// Puts all into more shards if they have become too many for those there are.
    fn spread(&mut self) -> Result<(), TooManyAlike> {
        let needed = self.count / SHARD_AGREEMENTS + 1;
        if needed <= self.shards.len() * SHARD_GROWTH_MAX {
            return Ok(());
        }
        let mut slots: Vec<Vec<Slot>> = Vec::new();
        slots.resize_with(needed, Vec::new);
        let mut ids: Vec<Vec<Whereabouts>> = vec![Vec::new(); needed];
        let mut seen: HashSet<&str> = HashSet::new();
        for slot in self.slots() {
            if let Some(slots) = slots.get_mut(scale(slot.key.hash(), needed)) {
                slots.push(slot.clone());
            }
            let id = &slot.agreement.id;
            let ids = ids.get_mut(scale(ids::hash(id.as_str()), needed));
            if let Some(ids) = ids.filter(|_| seen.insert(id.as_str())) {
                ids.push(Whereabouts::new(id, slot.key));
            }
        }
        let shards: Result<Box<[_]>, _> = slots.into_iter().map(Shard::build).collect();
        self.shards = shards?;
        self.ids = ids.into_iter().map(|ids| Arc::new(Ids::build(ids))).collect();
        Ok(())
    }

    /// Every slot, in no order.
    pub(crate) fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.shards.iter().flat_map(Shard::all)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Whether the consumer may have an agreement on the service: false only if it has none.
    pub(crate) fn reaches(&self, ConsumerIx(consumer): ConsumerIx, service: Ix) -> bool {
        let reach = usize::try_from(consumer).ok().and_then(|at| self.reach.get(at));
        reach.is_some_and(|reach| reach >> (service % 64) & 1 == 1)
    }

    /// The slots of a consumer and service, in the order of agreement ids within each purpose;
    /// of one purpose alone where that is cheap to tell.
    pub(crate) fn run(&self, key: Key, purpose: Option<Ix>) -> impl Iterator<Item = &Slot> {
        self.lead(key).run(purpose)
    }

    /// Where the slots of a consumer and service begin.
    pub(crate) fn lead(&self, key: Key) -> Lead<'_> {
        let shard = self.shards.get(scale(key.hash(), self.shards.len()));
        shard.map_or(Lead::NOWHERE, |shard| shard.lead(key))
    }

    /// The slots of an agreement, one for each purpose; none if there is no such agreement.
    pub(crate) fn find(&self, id: &str) -> Vec<&Slot> {
        let Some(key) = self.key_of(id) else { return Vec::new() };
        self.run(key, None).filter(|slot| slot.agreement.id.as_str() == id).collect()
    }

    fn key_of(&self, id: &str) -> Option<Key> {
        let ids = self.ids.get(scale(ids::hash(id), self.ids.len()))?;
        ids.find(id, |key| self.run(key, None).any(|slot| slot.agreement.id.as_str() == id))
    }

    /// Bytes on the heap, about; what agreements share is counted once.
    pub(crate) fn memory_bytes(&self) -> usize {
        let slots: usize = self.shards.iter().map(Shard::memory_bytes).sum();
        let ids: usize = self.ids.iter().map(|ids| ids.memory_bytes()).sum();
        // An id of 24 bytes behind its two counters, as the allocator rounds it.
        slots + ids + self.reach.len() * 8 + self.count * 48 + self.clauses_bytes
    }
}

fn mark(reach: &mut [u64], key: Key) {
    let ConsumerIx(consumer) = key.consumer();
    if let Some(reach) = usize::try_from(consumer).ok().and_then(|at| reach.get_mut(at)) {
        *reach |= 1 << (key.service() % 64);
    }
}
