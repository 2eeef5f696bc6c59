//! What an engine knows of its entities: attributes, tags and everything they are in.

use std::collections::BTreeMap;

use crate::data::{Datum, Entity};
use crate::names::{Naming, number};
use crate::value::{Held, Key};
use crate::{CompileError, EntityRef};

/// How many pairs of an entity and one that it is in are kept in all.
const ANCESTORS_MAX: usize = 1 << 26;
/// Up to this many attributes are searched one after the other.
const SCANNED_MAX: usize = 8;

/// One entity. Those that are only mentioned are not present and have nothing.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    pub(crate) present: bool,
    /// Sorted by key.
    pub(crate) attributes: Box<[(Key, Held)]>,
    /// Sorted by name.
    pub(crate) tags: Box<[(Box<str>, Held)]>,
    /// Sorted; without the entity itself.
    pub(crate) ancestors: Box<[u32]>,
}

impl Stored {
    pub(crate) fn attribute(&self, key: Key) -> Option<&Held> {
        find(&self.attributes, key)
    }

    pub(crate) fn tag(&self, name: &str) -> Option<&Held> {
        let ix = self.tags.binary_search_by(|(tag, _)| (**tag).cmp(name)).ok()?;
        self.tags.get(ix).map(|(_, value)| value)
    }

    pub(crate) fn is_below(&self, ix: u32) -> bool {
        if self.ancestors.len() <= SCANNED_MAX {
            self.ancestors.contains(&ix)
        } else {
            self.ancestors.binary_search(&ix).is_ok()
        }
    }
}

/// The value under a key in attributes sorted by key.
pub(crate) fn find(attributes: &[(Key, Held)], key: Key) -> Option<&Held> {
    if attributes.len() <= SCANNED_MAX {
        return attributes.iter().find(|(it, _)| *it == key).map(|(_, value)| value);
    }
    let ix = attributes.binary_search_by_key(&key, |(it, _)| *it).ok()?;
    attributes.get(ix).map(|(_, value)| value)
}

/// The value with its names by number.
pub(crate) fn hold(datum: &Datum, naming: &mut Naming<'_>) -> Held {
    match datum {
        Datum::Bool(it) => Held::Bool(*it),
        Datum::Long(it) => Held::Long(*it),
        Datum::String(it) => Held::Str(it.clone()),
        Datum::Entity(it) => Held::Entity(naming.entity(&it.kind, &it.id)),
        Datum::Set(it) => Held::set(it.iter().map(|member| hold(member, naming)).collect()),
        Datum::Record(it) => Held::Record(hold_all(it, naming)),
        Datum::Decimal(it) => Held::Decimal(*it),
        Datum::Datetime(it) => Held::Datetime(*it),
        Datum::Duration(it) => Held::Duration(*it),
        Datum::Ip(it) => Held::Ip(*it),
    }
}

/// Attributes as they are kept.
pub(crate) fn hold_all(
    attributes: &BTreeMap<Box<str>, Datum>,
    naming: &mut Naming<'_>,
) -> Box<[(Key, Held)]> {
    let held = attributes.iter().map(|(name, value)| {
        let key = naming.key(name);
        (key, hold(value, naming))
    });
    let mut held: Vec<_> = held.collect();
    held.sort_unstable_by_key(|(key, _)| *key);
    held.into()
}

/// Keeps entities by number; every entity that one of them mentions has a place.
pub(crate) fn keep(
    entities: &[Entity],
    naming: &mut Naming<'_>,
) -> Result<Vec<Stored>, CompileError> {
    let mut places = Vec::with_capacity(entities.len());
    for entity in entities {
        places.push(naming.entity(&entity.uid.kind, &entity.uid.id));
    }
    let mut kept: Vec<(EntityRef, Stored, Vec<u32>)> = Vec::with_capacity(entities.len());
    for (entity, place) in entities.iter().zip(places) {
        let parents = entity.parents.iter().map(|uid| naming.entity(&uid.kind, &uid.id).ix);
        let parents = parents.collect();
        let tags = entity.tags.iter().map(|(name, value)| (name.clone(), hold(value, naming)));
        let tags = tags.collect();
        let attributes = hold_all(&entity.attributes, naming);
        let stored = Stored { present: true, attributes, tags, ancestors: Box::default() };
        kept.push((place, stored, parents));
    }
    let count = naming.own.uids.len() as usize;
    let mut store: Vec<Stored> = Vec::new();
    store.resize_with(count, Stored::default);
    let mut parents: Vec<Vec<u32>> = vec![Vec::new(); count];
    for ((place, stored, above), entity) in kept.into_iter().zip(entities) {
        let ix = place.ix as usize;
        let (Some(slot), Some(direct)) = (store.get_mut(ix), parents.get_mut(ix)) else { continue };
        if slot.present {
            return Err(CompileError::Duplicate { entity: entity.uid.to_string() });
        }
        *slot = stored;
        *direct = above;
    }
    for (stored, ancestors) in store.iter_mut().zip(closure(&parents, entities, naming)?) {
        stored.ancestors = ancestors.into();
    }
    Ok(store)
}

/// Everything above each entity, given what is directly above.
fn closure(
    parents: &[Vec<u32>],
    entities: &[Entity],
    naming: &mut Naming<'_>,
) -> Result<Vec<Vec<u32>>, CompileError> {
    let mut done: Vec<Option<Vec<u32>>> = vec![None; parents.len()];
    let mut open = vec![false; parents.len()];
    let mut total = 0_usize;
    for start in 0..number(parents.len()) {
        let mut path = vec![(start, 0_usize)];
        while let Some((ix, next)) = path.last_mut() {
            let at = *ix as usize;
            if done.get(at).is_none_or(Option::is_some) {
                path.pop();
                continue;
            }
            let above = parents.get(at).map_or(&[][..], Vec::as_slice);
            if let Some(parent) = above.get(*next) {
                *next += 1;
                let parent = *parent;
                if let Some(it) = open.get_mut(at) {
                    *it = true;
                }
                if open.get(parent as usize).is_some_and(|open| *open) {
                    let entity = entities.iter().find(|entity| {
                        naming.entity(&entity.uid.kind, &entity.uid.id).ix == parent
                    });
                    let entity = entity.map(|it| it.uid.to_string()).unwrap_or_default();
                    return Err(CompileError::Cycle { entity });
                }
                path.push((parent, 0));
                continue;
            }
            let mut ancestors = above.to_vec();
            for parent in above {
                let further = done.get(*parent as usize).and_then(Option::as_deref);
                ancestors.extend_from_slice(further.unwrap_or_default());
            }
            ancestors.sort_unstable();
            ancestors.dedup();
            total += ancestors.len();
            if total > ANCESTORS_MAX {
                return Err(CompileError::TooMany { what: "ancestors", max: ANCESTORS_MAX });
            }
            if let (Some(it), Some(open)) = (done.get_mut(at), open.get_mut(at)) {
                (*it, *open) = (Some(ancestors), false);
            }
            path.pop();
        }
    }
    Ok(done.into_iter().map(Option::unwrap_or_default).collect())
}
