//! The agreements of a revision, found by consumer, service and purpose at a cost that does not
//! grow with their number, in shards that revisions share.
//!
//! A shard is an open table of slots, one for each agreement and purpose, one cache line each.
//! Slots of one consumer and service stand in one run, in the order of agreement ids. A run that
//! would be long is kept aside, by purpose. To change one agreement, its shard is copied.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use model::{AgreementId, Timestamp};

use crate::agreement::Agreement;
use crate::registry::{ConsumerIx, Ix, Table};
use crate::source::State;

/// Agreements in a shard, about: what is copied to change one.
const SHARD_AGREEMENTS: usize = 1_000;
/// Slots of one consumer and service that stand in the table; more are kept aside, by purpose.
const RUN_SLOTS_MAX: usize = 16;
/// Agreements of one consumer and service for the same purpose, whatever their validity.
pub(crate) const ALIKE_MAX: usize = 1_024;
/// Methods of a service that a slot tells apart; beyond them the clauses decide.
const MASK_BITS: Ix = 64;

/// Consumer and service of an agreement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key(u64);

impl Key {
    pub(crate) fn new(ConsumerIx(consumer): ConsumerIx, service: Ix) -> Self {
        Self(u64::from(consumer) << 32 | u64::from(service))
    }

    pub(crate) fn consumer(self) -> ConsumerIx {
        ConsumerIx(Ix::try_from(self.0 >> 32).unwrap_or(Ix::MAX))
    }

    pub(crate) fn service(self) -> Ix {
        Ix::try_from(self.0 & u64::from(Ix::MAX)).unwrap_or(Ix::MAX)
    }

    /// A number whose high bits choose the shard and whose low bits the slot.
    fn hash(self) -> u64 {
        let product = u128::from(self.0 ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93;
        let folded = product >> 64 ^ product;
        u64::try_from(folded & u128::from(u64::MAX)).unwrap_or_default()
    }
}

/// One agreement for one of its purposes. One cache line.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(crate) struct Slot {
    pub(crate) key: Key,
    pub(crate) purpose: Ix,
    pub(crate) state: State,
    pub(crate) valid_from: Timestamp,
    pub(crate) valid_until: Timestamp,
    /// Whether the service has too many methods for `methods`, so that the clauses decide.
    wide: bool,
    /// The methods it covers, by their place in the service.
    methods: u64,
    pub(crate) agreement: Agreement,
}

const _: () = assert!(size_of::<Option<Slot>>() == 64, "a slot is one cache line");

/// What the compiler makes of an agreement.
#[derive(Clone, Debug)]
pub(crate) struct Compiled {
    pub(crate) key: Key,
    pub(crate) purposes: Vec<Ix>,
    pub(crate) state: State,
    pub(crate) valid_from: Timestamp,
    pub(crate) valid_until: Timestamp,
    pub(crate) agreement: Agreement,
}

impl Compiled {
    /// Its slots; `first_method` is where the methods of its service begin.
    fn slots(self, first_method: Ix) -> impl Iterator<Item = Slot> {
        let named = self.agreement.clauses.methods.as_deref();
        let mask = named.map_or(Some(u64::MAX), |methods| mask(methods, first_method));
        let (wide, methods) = (mask.is_none(), mask.unwrap_or_default());
        let Self { key, purposes, state, valid_from, valid_until, agreement } = self;
        purposes.into_iter().map(move |purpose| Slot {
            key,
            purpose,
            state,
            valid_from,
            valid_until,
            wide,
            methods,
            agreement: agreement.clone(),
        })
    }
}

/// One bit for each method of the service; `None` where there are too many.
fn mask(methods: &[Ix], first: Ix) -> Option<u64> {
    let bit = |method: &Ix| {
        method.checked_sub(first).filter(|place| *place < MASK_BITS).map(|place| 1_u64 << place)
    };
    methods.iter().map(bit).try_fold(0, |mask, bit| Some(mask | bit?))
}

impl Slot {
    /// Whether it covers a method, which stands at `place` in its service.
    pub(crate) fn covers(&self, method: Ix, place: Ix) -> bool {
        // All methods are all of the service, however many.
        if !self.wide {
            return self.methods == u64::MAX || place < MASK_BITS && self.methods >> place & 1 == 1;
        }
        let named = self.agreement.clauses.methods.as_ref();
        named.is_some_and(|methods| methods.binary_search(&method).is_ok())
    }
}

/// All agreements of a revision.
#[derive(Clone, Debug, Default)]
pub(crate) struct Agreements {
    shards: Box<[Shard]>,
    ids: Box<[Arc<Ids>]>,
    /// For each consumer a bit for each service, modulo 64, that it may have an agreement on.
    reach: Arc<[u64]>,
    count: usize,
}

/// Cloning shares what is in it.
#[derive(Clone, Debug, Default)]
struct Shard {
    /// An open table with linear probing that does not wrap: the last slot is free.
    slots: Arc<[Option<Slot>]>,
    /// How many of the slots hashes lead to.
    starts: usize,
    aside: Option<Arc<Table<Key, Aside>>>,
}

/// A long run, by purpose.
type Aside = BTreeMap<Ix, Box<[Slot]>>;

/// Where agreements are, by id.
#[derive(Clone, Debug, Default)]
struct Ids(HashTable<Whereabouts>);

/// The key of an agreement whose id has this hash.
#[derive(Clone, Copy, Debug)]
struct Whereabouts {
    hash: u32,
    consumer: Ix,
    service: Ix,
}

impl Whereabouts {
    fn key(&self) -> Key {
        Key::new(ConsumerIx(self.consumer), self.service)
    }
}

/// Too many agreements that differ in their methods or validity alone: the last of them.
pub(crate) struct TooManyAlike(pub(crate) AgreementId);

impl Agreements {
    /// Puts agreements in their places. Each id occurs once. `first_method` tells where the
    /// methods of a service begin; `consumers` is how many consumers there are.
    pub(crate) fn build(
        agreements: Vec<Compiled>,
        consumers: usize,
        first_method: impl Fn(Ix) -> Ix,
    ) -> Result<Self, TooManyAlike> {
        let count = agreements.len();
        let shards = (count / SHARD_AGREEMENTS).next_power_of_two();
        let mut ids: Vec<Vec<Whereabouts>> = vec![Vec::new(); shards];
        let mut slots: Vec<Vec<Slot>> = Vec::new();
        slots.resize_with(shards, Vec::new);
        let mut reach = vec![0; consumers];
        for agreement in agreements {
            let (key, hash) = (agreement.key, hash(&agreement.agreement.id));
            if let Some(ids) = ids.get_mut(shard_of(hash, shards)) {
                ids.push(whereabouts(key, hash));
            }
            mark(&mut reach, key);
            if let Some(slots) = slots.get_mut(shard_of(key.hash(), shards)) {
                slots.extend(agreement.slots(first_method(key.service())));
            }
        }
        let shards: Result<Box<[_]>, _> = slots.into_iter().map(Shard::build).collect();
        let ids = ids.into_iter().map(|ids| Arc::new(Ids::build(ids))).collect();
        Ok(Self { shards: shards?, ids, reach: reach.into(), count })
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
        let hash = key.hash();
        match self.shards.get(shard_of(hash, self.shards.len())) {
            Some(shard) => Lead { key, slots: shard.from(hash), aside: shard.aside.as_deref() },
            None => Lead { key, slots: &[], aside: None },
        }
    }

    /// The slots of an agreement, one for each purpose; none if there is no such agreement.
    pub(crate) fn find(&self, id: &str) -> Vec<&Slot> {
        let Some(key) = self.key_of(id) else { return Vec::new() };
        self.run(key, None).filter(|slot| slot.agreement.id.as_str() == id).collect()
    }

    fn key_of(&self, id: &str) -> Option<Key> {
        let hash = hash_text(id);
        let ids = self.ids.get(shard_of(hash, self.ids.len()))?;
        let is_it = |at: &Whereabouts| {
            at.hash == short(hash)
                && self.run(at.key(), None).any(|slot| slot.agreement.id.as_str() == id)
        };
        ids.0.find(place(short(hash)), is_it).map(Whereabouts::key)
    }

    /// The agreements with `agreement` in the place of the one with its id, or beside them.
    pub(crate) fn put(
        &mut self,
        agreement: Compiled,
        first_method: Ix,
    ) -> Result<(), TooManyAlike> {
        self.remove(&agreement.agreement.id.clone());
        let (key, hash) = (agreement.key, hash(&agreement.agreement.id));
        if !self.reaches(key.consumer(), key.service()) {
            let mut reach = self.reach.to_vec();
            mark(&mut reach, key);
            self.reach = reach.into();
        }
        if self.shards.is_empty() {
            (self.shards, self.ids) = (Box::new([Shard::default()]), Box::new([Arc::default()]));
        }
        let at = shard_of(key.hash(), self.shards.len());
        if let Some(shard) = self.shards.get_mut(at) {
            let slots = shard.all().cloned().chain(agreement.slots(first_method)).collect();
            *shard = Shard::build(slots)?;
        }
        let at = shard_of(hash, self.ids.len());
        if let Some(ids) = self.ids.get_mut(at) {
            let at = whereabouts(key, hash);
            Arc::make_mut(ids).0.insert_unique(rehash(&at), at, rehash);
        }
        self.count += 1;
        Ok(())
    }

    /// Takes an agreement out; whether there was one.
    pub(crate) fn remove(&mut self, id: &AgreementId) -> bool {
        let Some(key) = self.key_of(id.as_str()) else { return false };
        let at = shard_of(key.hash(), self.shards.len());
        if let Some(shard) = self.shards.get_mut(at) {
            let others = shard.all().filter(|slot| slot.agreement.id != *id).cloned().collect();
            // Fewer than before are never too many.
            if let Ok(built) = Shard::build(others) {
                *shard = built;
            }
        }
        let hash = hash(id);
        let at = shard_of(hash, self.ids.len());
        if let Some(ids) = self.ids.get_mut(at) {
            let is_it = |at: &Whereabouts| at.hash == short(hash) && at.key() == key;
            if let Ok(found) = Arc::make_mut(ids).0.find_entry(place(short(hash)), is_it) {
                found.remove();
            }
        }
        self.count -= 1;
        true
    }

    /// Bytes on the heap, about. What several agreements share is counted with each of them.
    pub(crate) fn memory_bytes(&self) -> usize {
        let slots: usize = self.shards.iter().map(|shard| shard.memory_bytes()).sum();
        let ids: usize = self.ids.iter().map(|ids| ids.0.allocation_size()).sum();
        // An id of 24 bytes behind its two counters, as the allocator rounds it.
        slots + ids + self.reach.len() * 8 + self.count * 48
    }
}

/// Where the slots of a consumer and service begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lead<'a> {
    key: Key,
    slots: &'a [Option<Slot>],
    aside: Option<&'a Table<Key, Aside>>,
}

impl<'a> Lead<'a> {
    /// Leads to nothing.
    pub(crate) const NOWHERE: Self = Self { key: Key(u64::MAX), slots: &[], aside: None };

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

    fn run(self, purpose: Option<Ix>) -> impl Iterator<Item = &'a Slot> {
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
    fn build(mut slots: Vec<Slot>) -> Result<Self, TooManyAlike> {
        slots.sort_by(|a, b| {
            (a.key, &a.agreement.id, a.purpose).cmp(&(b.key, &b.agreement.id, b.purpose))
        });
        let mut table: Vec<Option<Slot>> = Vec::new();
        let starts = starts(slots.len());
        table.resize_with(starts, || None);
        let mut kept_aside = Table::default();
        let mut slots = slots.into_iter().peekable();
        while let Some(first) = slots.next() {
            let key = first.key;
            let mut run = vec![first];
            while let Some(next) = slots.next_if(|slot| slot.key == key) {
                run.push(next);
            }
            match run.len() <= RUN_SLOTS_MAX {
                true => run.into_iter().for_each(|slot| insert(&mut table, starts, slot)),
                false => drop(kept_aside.insert(key, aside(run)?)),
            }
        }
        // Behind the last slot a free one ends its run.
        if table.last().is_some_and(Option::is_some) {
            table.push(None);
        }
        let aside = (!kept_aside.is_empty()).then(|| Arc::new(kept_aside));
        Ok(Self { slots: table.into(), starts, aside })
    }

    /// The slots from where those with this hash begin.
    fn from(&self, hash: u64) -> &[Option<Slot>] {
        self.slots.get(start(hash, self.starts)..).unwrap_or_default()
    }

    fn all(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().flatten().chain(self.all_aside())
    }

    fn all_aside(&self) -> impl Iterator<Item = &Slot> {
        let aside = self.aside.iter().flat_map(|aside| aside.values());
        aside.flat_map(|runs| runs.values().flatten())
    }

    fn memory_bytes(&self) -> usize {
        size_of::<Self>() + (self.slots.len() + self.all_aside().count()) * size_of::<Slot>()
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

/// The shard of a hash.
fn shard_of(hash: u64, shards: usize) -> usize {
    scale(hash, shards)
}

/// Maps the range of `u64` onto the numbers below `length`.
fn scale(hash: u64, length: usize) -> usize {
    let length = u64::try_from(length).unwrap_or(u64::MAX);
    let scaled = (u128::from(hash) * u128::from(length)) >> 64;
    usize::try_from(scaled).unwrap_or_default()
}

impl Ids {
    fn build(ids: Vec<Whereabouts>) -> Self {
        let mut table = HashTable::with_capacity(ids.len());
        for at in ids {
            table.insert_unique(rehash(&at), at, rehash);
        }
        Self(table)
    }
}

fn whereabouts(key: Key, hash: u64) -> Whereabouts {
    let ConsumerIx(consumer) = key.consumer();
    Whereabouts { hash: short(hash), consumer, service: key.service() }
}

fn hash(id: &AgreementId) -> u64 {
    hash_text(id.as_str())
}

/// The hash of an id, which chooses the shard of ids.
fn hash_text(id: &str) -> u64 {
    FixedState::default().hash_one(id)
}

/// What is kept of a hash.
fn short(hash: u64) -> u32 {
    u32::try_from(hash >> 32).unwrap_or_default()
}

/// The place in a table of ids, from what is kept; the bits that chose the shard are mixed, or
/// all ids of a shard would look alike.
fn rehash(at: &Whereabouts) -> u64 {
    place(at.hash)
}

fn place(short: u32) -> u64 {
    u64::from(short).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn mark(reach: &mut [u64], key: Key) {
    let ConsumerIx(consumer) = key.consumer();
    if let Some(reach) = usize::try_from(consumer).ok().and_then(|at| reach.get_mut(at)) {
        *reach |= 1 << (key.service() % 64);
    }
}
