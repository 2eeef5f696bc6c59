//! Sets and records: what is in them, whether they are equal, and those that conditions make.

use std::cmp::Ordering;

use crate::EntityRef;
use crate::eval::Run;
use crate::program::Truth;
use crate::store::find;
use crate::value::{Held, Key, Record, RecordForm, Set, SetForm, Value};

/// From this many members on a set is searched rather than scanned.
const SCANNED_MAX: usize = 8;

/// Sets and records that conditions make on the way.
#[derive(Debug, Default)]
pub(crate) struct Scratch<'a> {
    pub(crate) members: Vec<Value<'a>>,
    pub(crate) attributes: Vec<(Key, Value<'a>)>,
    pub(crate) pending: Vec<Value<'a>>,
}

impl<'a> Scratch<'a> {
    /// Forgets what one condition made.
    pub(crate) fn clear(&mut self) {
        self.members.clear();
        self.attributes.clear();
        self.pending.clear();
    }

    /// The same memory, for values of another lifetime; it is empty.
    pub(crate) fn renewed<'b>(mut self) -> Scratch<'b> {
        self.clear();
        // Collecting a vector's own iterator keeps its allocation.
        Scratch {
            members: self.members.into_iter().map_while(|_| None).collect(),
            attributes: self.attributes.into_iter().map_while(|_| None).collect(),
            pending: self.pending.into_iter().map_while(|_| None).collect(),
        }
    }
}

impl<'a> Run<'a, '_> {
    pub(crate) fn is_in(&self, value: Value<'a>, above: Value<'a>) -> Truth {
        let Value::Entity(entity) = value else { return Truth::Error };
        match above {
            Value::Entity(above) => self.is_below(entity, above).into(),
            Value::Set(Set(SetForm::Held(members))) if members.len() > SCANNED_MAX => {
                // Sorted by type first, all are entities if the first and the last are.
                let ends = (members.first(), members.last());
                let (Some(Held::Entity(_)), Some(Held::Entity(_))) = ends else {
                    return Truth::Error;
                };
                let above = self.stored(entity).map_or(&[][..], |it| &it.ancestors);
                let is_member = |ix: u32| members.binary_search_by_key(&ix, held_entity).is_ok();
                (is_member(entity.ix) || above.iter().any(|ix| is_member(*ix))).into()
            }
            Value::Set(set) => {
                // All members must be entities, also those after the one that decides.
                let mut found = false;
                for ix in 0..self.len(set) {
                    let Some(Value::Entity(above)) = self.member(set, ix) else {
                        return Truth::Error;
                    };
                    found = found || self.is_below(entity, above);
                }
                found.into()
            }
            _ => Truth::Error,
        }
    }

    fn is_below(&self, entity: EntityRef, above: EntityRef) -> bool {
        entity == above || self.stored(entity).is_some_and(|it| it.is_below(above.ix))
    }

    pub(crate) fn attribute(&self, record: Record<'a>, key: Key) -> Option<Value<'a>> {
        let given = match record.0 {
            RecordForm::Held(attributes) => return find(attributes, key).map(Held::view),
            RecordForm::Given(attributes) => attributes,
            RecordForm::Scratch(..) => self.made(record),
        };
        given.iter().find(|(it, _)| *it == key).map(|(_, value)| *value)
    }

    fn made(&self, record: Record<'a>) -> &[(Key, Value<'a>)] {
        match record.0 {
            RecordForm::Scratch(first, len) => {
                self.scratch.attributes.get(first..first + len).unwrap_or_default()
            }
            RecordForm::Given(attributes) => attributes,
            RecordForm::Held(_) => &[],
        }
    }

    fn width(&self, record: Record<'a>) -> usize {
        match record.0 {
            RecordForm::Held(attributes) => attributes.len(),
            RecordForm::Given(attributes) => attributes.len(),
            RecordForm::Scratch(_, len) => len,
        }
    }

    pub(crate) fn len(&self, set: Set<'a>) -> usize {
        match set.0 {
            SetForm::Held(members) => members.len(),
            SetForm::Given(members) => members.len(),
            SetForm::Scratch(_, len) => len,
        }
    }

    pub(crate) fn member(&self, set: Set<'a>, ix: usize) -> Option<Value<'a>> {
        match set.0 {
            SetForm::Held(members) => members.get(ix).map(Held::view),
            SetForm::Given(members) => members.get(ix).copied(),
            SetForm::Scratch(first, _) => self.scratch.members.get(first + ix).copied(),
        }
    }

    pub(crate) fn contains(&self, set: Value<'a>, value: Value<'a>) -> Truth {
        match set {
            Value::Set(set) => self.has_member(set, Some(value)).into(),
            _ => Truth::Error,
        }
    }

    pub(crate) fn has_member(&self, set: Set<'a>, value: Option<Value<'a>>) -> bool {
        let Some(value) = value else { return false };
        if let SetForm::Held(members) = set.0
            && let Some(found) = search(members, value)
        {
            return found;
        }
        // Sets of requests and those that conditions make are small and in no order.
        (0..self.len(set)).any(|ix| self.member(set, ix).is_some_and(|it| self.equal(it, value)))
    }

    /// Whether all members of `part` are in `set`.
    pub(crate) fn covers(&self, set: Set<'a>, part: Set<'a>) -> bool {
        // Sets that are kept have each member once.
        if matches!(part.0, SetForm::Held(_)) && self.len(part) > self.len(set) {
            return false;
        }
        (0..self.len(part)).all(|ix| self.has_member(set, self.member(part, ix)))
    }

    /// Whether any member is in both sets. Sets that are kept can be searched, so the members
    /// looked for are those of the other.
    pub(crate) fn meets(&self, left: Set<'a>, right: Set<'a>) -> bool {
        let (sought, set) = match (left.0, right.0) {
            (SetForm::Held(a), SetForm::Held(b)) if a.len() < b.len() => (left, right),
            (SetForm::Held(_), _) => (right, left),
            _ => (left, right),
        };
        (0..self.len(sought)).any(|ix| self.has_member(set, self.member(sought, ix)))
    }

    /// Equality by value; values of different types are not equal.
    pub(crate) fn equal(&self, left: Value<'a>, right: Value<'a>) -> bool {
        match (left, right) {
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Long(a), Value::Long(b)) => a == b,
            (Value::Str(a), Value::Str(b)) => a == b,
            (Value::Entity(a), Value::Entity(b)) => a == b,
            (Value::Decimal(a), Value::Decimal(b)) => a == b,
            (Value::Datetime(a), Value::Datetime(b)) => a == b,
            (Value::Duration(a), Value::Duration(b)) => a == b,
            (Value::Ip(a), Value::Ip(b)) => a == b,
            (Value::Set(a), Value::Set(b)) => match (a.0, b.0) {
                (SetForm::Held(a), SetForm::Held(b)) => a == b,
                _ => self.covers(a, b) && self.covers(b, a),
            },
            (Value::Record(a), Value::Record(b)) => self.same_record(a, b),
            _ => false,
        }
    }

    fn same_record(&self, left: Record<'a>, right: Record<'a>) -> bool {
        if self.width(left) != self.width(right) {
            return false;
        }
        match left.0 {
            RecordForm::Held(attributes) => attributes.iter().all(|(key, value)| {
                self.attribute(right, *key).is_some_and(|it| self.equal(value.view(), it))
            }),
            _ => self.made(left).iter().all(|(key, value)| {
                self.attribute(right, *key).is_some_and(|it| self.equal(*value, it))
            }),
        }
    }
}

fn held_entity(held: &Held) -> u32 {
    match held {
        Held::Entity(it) => it.ix,
        _ => u32::MAX,
    }
}

/// Whether sorted members hold a value; `None` for a value whose own members are in no order,
/// which cannot be searched for.
fn search(members: &[Held], value: Value<'_>) -> Option<bool> {
    let searchable = match value {
        Value::Set(set) => matches!(set.0, SetForm::Held(_)),
        Value::Record(record) => matches!(record.0, RecordForm::Held(_)),
        _ => true,
    };
    if !searchable {
        return None;
    }
    if members.len() <= 4 {
        return Some(members.iter().any(|held| held.order(value) == Ordering::Equal));
    }
    Some(members.binary_search_by(|held| held.order(value)).is_ok())
}
