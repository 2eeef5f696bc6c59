//! Where agreements are, by their ids.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use model::AgreementId;

use crate::agreements::slot::Key;
use crate::registry::{ConsumerIx, Ix};

/// Where some agreements are.
#[derive(Clone, Debug, Default)]
pub(super) struct Ids(HashTable<Whereabouts>);

/// The key of an agreement whose id has this hash.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whereabouts {
    hash: u32,
    consumer: Ix,
    service: Ix,
}

impl Whereabouts {
    pub(super) fn new(id: &AgreementId, key: Key) -> Self {
        let ConsumerIx(consumer) = key.consumer();
        Self { hash: short(hash(id.as_str())), consumer, service: key.service() }
    }

    fn key(&self) -> Key {
        Key::new(ConsumerIx(self.consumer), self.service)
    }

    /// The place in a table. The bits that chose the table are mixed, or all ids in it would
    /// look alike.
    fn place(&self) -> u64 {
        place(self.hash)
    }
}

impl Ids {
    pub(super) fn build(ids: Vec<Whereabouts>) -> Self {
        let mut table = HashTable::with_capacity(ids.len());
        for at in ids {
            table.insert_unique(at.place(), at, Whereabouts::place);
        }
        Self(table)
    }

    /// The key of the agreement with this id, if `is_there` says that it has it.
    pub(super) fn find(&self, id: &str, is_there: impl Fn(Key) -> bool) -> Option<Key> {
        let short = short(hash(id));
        let is_it = |at: &Whereabouts| at.hash == short && is_there(at.key());
        self.0.find(place(short), is_it).map(Whereabouts::key)
    }

    pub(super) fn insert(&mut self, at: Whereabouts) {
        self.0.insert_unique(at.place(), at, Whereabouts::place);
    }

    /// Takes one such out. Two that are alike here are alike in everything.
    pub(super) fn remove(&mut self, gone: Whereabouts) {
        let is_it = |at: &Whereabouts| at.hash == gone.hash && at.key() == gone.key();
        if let Ok(found) = self.0.find_entry(gone.place(), is_it) {
            found.remove();
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.0.allocation_size()
    }
}

/// The hash of an id, which chooses the table.
pub(super) fn hash(id: &str) -> u64 {
    FixedState::default().hash_one(id)
}

/// What is kept of a hash.
fn short(hash: u64) -> u32 {
    u32::try_from(hash >> 32).unwrap_or_default()
}

fn place(short: u32) -> u64 {
    u64::from(short).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
