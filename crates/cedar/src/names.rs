//! Names by number: entity types, attribute names and entities.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::{EntityRef, Key, Uid};

/// Texts by number, in the order they came.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    list: Vec<Box<str>>,
    table: HashTable<u32>,
    state: RandomState,
}

impl Texts {
    pub(crate) fn len(&self) -> u32 {
        number(self.list.len())
    }

    pub(crate) fn find(&self, text: &str) -> Option<u32> {
        let hash = self.state.hash_one(text);
        self.table.find(hash, |ix| self.text(*ix) == Some(text)).copied()
    }

    pub(crate) fn intern(&mut self, text: &str) -> u32 {
        if let Some(ix) = self.find(text) {
            return ix;
        }
        let ix = self.len();
        self.list.push(text.into());
        let (list, state) = (&self.list, &self.state);
        let rehash = |ix: &u32| list.get(*ix as usize).map_or(0, |it| state.hash_one(&**it));
        self.table.insert_unique(state.hash_one(text), ix, rehash);
        ix
    }

    pub(crate) fn text(&self, ix: u32) -> Option<&str> {
        self.list.get(ix as usize).map(|text| &**text)
    }

    fn heap_bytes(&self) -> usize {
        self.list.iter().map(|text| text.len() + 16).sum::<usize>() + self.table.allocation_size()
    }
}

/// Entities by number.
#[derive(Debug, Default)]
pub(crate) struct Uids {
    list: Vec<(u32, Box<str>)>,
    table: HashTable<u32>,
    state: RandomState,
}

impl Uids {
    pub(crate) fn len(&self) -> u32 {
        number(self.list.len())
    }

    pub(crate) fn find(&self, kind: u32, id: &str) -> Option<u32> {
        let same =
            |ix: &u32| self.list.get(*ix as usize).is_some_and(|it| it.0 == kind && &*it.1 == id);
        self.table.find(self.state.hash_one((kind, id)), same).copied()
    }

    fn intern(&mut self, kind: u32, id: &str) -> u32 {
        if let Some(ix) = self.find(kind, id) {
            return ix;
        }
        let ix = self.len();
        self.list.push((kind, id.into()));
        let (list, state) = (&self.list, &self.state);
        let rehash =
            |ix: &u32| list.get(*ix as usize).map_or(0, |it| state.hash_one((it.0, &*it.1)));
        self.table.insert_unique(state.hash_one((kind, id)), ix, rehash);
        ix
    }

    /// The type of each entity, in order.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = u32> {
        self.list.iter().map(|(kind, _)| *kind)
    }
}

/// All names of an engine, or those that a request adds to an engine's.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) kinds: Texts,
    pub(crate) keys: Texts,
    pub(crate) uids: Uids,
}

impl Names {
    pub(crate) fn entity(&self, kind: &str, id: &str) -> Option<EntityRef> {
        let kind = self.kinds.find(kind)?;
        Some(EntityRef { ix: self.uids.find(kind, id)?, kind })
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let uids = self.uids.list.iter().map(|(_, id)| id.len() + 24).sum::<usize>();
        let tables = self.uids.table.allocation_size();
        self.kinds.heap_bytes() + self.keys.heap_bytes() + uids + tables
    }
}

/// Gives names their numbers: those of `base` keep theirs, others are numbered after them.
pub(crate) struct Naming<'n> {
    pub(crate) base: Option<&'n Names>,
    pub(crate) own: &'n mut Names,
}

impl Naming<'_> {
    pub(crate) fn kind(&mut self, name: &str) -> u32 {
        match self.base {
            None => self.own.kinds.intern(name),
            Some(base) => match base.kinds.find(name) {
                Some(kind) => kind,
                None => base.kinds.len() + self.own.kinds.intern(name),
            },
        }
    }

    pub(crate) fn key(&mut self, name: &str) -> Key {
        Key(match self.base {
            None => self.own.keys.intern(name),
            Some(base) => match base.keys.find(name) {
                Some(key) => key,
                None => base.keys.len() + self.own.keys.intern(name),
            },
        })
    }

    pub(crate) fn entity(&mut self, kind: &str, id: &str) -> EntityRef {
        let kind = self.kind(kind);
        let ix = match self.base {
            None => self.own.uids.intern(kind, id),
            Some(base) => match base.uids.find(kind, id) {
                Some(ix) => ix,
                None => base.uids.len() + self.own.uids.intern(kind, id),
            },
        };
        EntityRef { ix, kind }
    }
}

/// Names by number, in both an engine and what a request adds to it.
#[derive(Clone, Copy)]
pub(crate) struct Spelling<'n> {
    pub(crate) base: &'n Names,
    pub(crate) own: Option<&'n Names>,
}

impl Spelling<'_> {
    pub(crate) fn uid(&self, entity: EntityRef) -> Option<Uid> {
        let entry = match entity.ix.checked_sub(self.base.uids.len()) {
            None => self.base.uids.list.get(entity.ix as usize),
            Some(ix) => self.own?.uids.list.get(ix as usize),
        };
        let kind = match entity.kind.checked_sub(self.base.kinds.len()) {
            None => self.base.kinds.text(entity.kind),
            Some(ix) => self.own?.kinds.text(ix),
        };
        Some(Uid::new(kind?, entry?.1.clone()))
    }

    pub(crate) fn key(&self, key: Key) -> Option<&str> {
        match key.0.checked_sub(self.base.keys.len()) {
            None => self.base.keys.text(key.0),
            Some(ix) => self.own?.keys.text(ix),
        }
    }
}

/// A position as a number; what is counted here is bounded far below.
pub(crate) fn number(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}
