//! Values as programs see them: borrowed, small, and copied freely.

use std::cmp::Ordering;

use crate::{Decimal, IpNet};

/// An entity that an engine, or the request prepared for it, knows by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityRef {
    pub(crate) ix: u32,
    pub(crate) kind: u32,
}

/// The name of an attribute, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub(crate) u32);

/// A value, borrowed from a request, an engine or a workspace.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    /// True or false.
    Bool(bool),
    /// A signed integer.
    Long(i64),
    /// A string.
    Str(&'a str),
    /// A reference to an entity.
    Entity(EntityRef),
    /// A set.
    Set(Set<'a>),
    /// A record.
    Record(Record<'a>),
    /// A decimal.
    Decimal(Decimal),
    /// Milliseconds since 1970-01-01T00:00:00Z.
    Datetime(i64),
    /// Milliseconds.
    Duration(i64),
    /// An address or a range of addresses.
    Ip(IpNet),
}

impl<'a> Value<'a> {
    /// Where a type stands among the others; only the order within a set hangs on it.
    fn rank(&self) -> u8 {
        match self {
            Value::Bool(_) => 0,
            Value::Long(_) => 1,
            Value::Str(_) => 2,
            Value::Entity(_) => 3,
            Value::Set(_) => 4,
            Value::Record(_) => 5,
            Value::Decimal(_) => 6,
            Value::Datetime(_) => 7,
            Value::Duration(_) => 8,
            Value::Ip(_) => 9,
        }
    }

    /// A set of these values, in any order; the same value more than once counts once.
    pub fn set(members: &'a [Value<'a>]) -> Self {
        Value::Set(Set(SetForm::Given(members)))
    }

    /// A record with these attributes, each key once, in any order.
    pub fn record(attributes: &'a [(Key, Value<'a>)]) -> Self {
        Value::Record(Record(RecordForm::Given(attributes)))
    }
}

/// The members of a set.
#[derive(Debug, Clone, Copy)]
pub struct Set<'a>(pub(crate) SetForm<'a>);

#[derive(Debug, Clone, Copy)]
pub(crate) enum SetForm<'a> {
    /// Sorted, each member once.
    Held(&'a [Held]),
    Given(&'a [Value<'a>]),
    /// A range of the workspace's scratch.
    Scratch(usize, usize),
}

/// The attributes of a record.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a>(pub(crate) RecordForm<'a>);

#[derive(Debug, Clone, Copy)]
pub(crate) enum RecordForm<'a> {
    /// Sorted by key.
    Held(&'a [(Key, Held)]),
    Given(&'a [(Key, Value<'a>)]),
    /// A range of the workspace's scratch.
    Scratch(usize, usize),
}

impl<'a> Record<'a> {
    /// The value at a position.
    pub(crate) fn at(&self, place: usize) -> Option<Value<'a>> {
        match self.0 {
            RecordForm::Held(attributes) => attributes.get(place).map(|(_, held)| held.view()),
            RecordForm::Given(attributes) => attributes.get(place).map(|(_, value)| *value),
            RecordForm::Scratch(..) => None,
        }
    }
}

/// A value that owns what it is made of, with every name by number.
#[derive(Debug, Clone)]
pub(crate) enum Held {
    Bool(bool),
    Long(i64),
    Str(Box<str>),
    Entity(EntityRef),
    /// Sorted, each member once.
    Set(Box<[Held]>),
    /// Sorted by key.
    Record(Box<[(Key, Held)]>),
    Decimal(Decimal),
    Datetime(i64),
    Duration(i64),
    Ip(IpNet),
}

impl Held {
    /// A set as sets are kept.
    pub(crate) fn set(mut members: Vec<Held>) -> Self {
        members.sort_unstable();
        members.dedup();
        Held::Set(members.into())
    }

    /// A record as records are kept.
    pub(crate) fn record(mut attributes: Vec<(Key, Held)>) -> Self {
        attributes.sort_unstable_by_key(|(key, _)| *key);
        Held::Record(attributes.into())
    }

    pub(crate) fn view(&self) -> Value<'_> {
        match self {
            Held::Bool(it) => Value::Bool(*it),
            Held::Long(it) => Value::Long(*it),
            Held::Str(it) => Value::Str(it),
            Held::Entity(it) => Value::Entity(*it),
            Held::Set(it) => Value::Set(Set(SetForm::Held(it))),
            Held::Record(it) => Value::Record(Record(RecordForm::Held(it))),
            Held::Decimal(it) => Value::Decimal(*it),
            Held::Datetime(it) => Value::Datetime(*it),
            Held::Duration(it) => Value::Duration(*it),
            Held::Ip(it) => Value::Ip(*it),
        }
    }

    /// How the value stands to another, whose own members must be kept too.
    pub(crate) fn order(&self, other: Value<'_>) -> Ordering {
        match (self.view(), other) {
            (Value::Bool(a), Value::Bool(b)) => a.cmp(&b),
            (Value::Long(a), Value::Long(b))
            | (Value::Datetime(a), Value::Datetime(b))
            | (Value::Duration(a), Value::Duration(b)) => a.cmp(&b),
            (Value::Str(a), Value::Str(b)) => a.cmp(b),
            (Value::Entity(a), Value::Entity(b)) => a.cmp(&b),
            (Value::Set(Set(SetForm::Held(a))), Value::Set(Set(SetForm::Held(b)))) => a.cmp(b),
            (
                Value::Record(Record(RecordForm::Held(a))),
                Value::Record(Record(RecordForm::Held(b))),
            ) => a.cmp(b),
            (Value::Decimal(a), Value::Decimal(b)) => a.cmp(&b),
            (Value::Ip(a), Value::Ip(b)) => a.cmp(&b),
            (this, other) => this.rank().cmp(&other.rank()),
        }
    }
}

impl Ord for Held {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order(other.view())
    }
}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Held {}
