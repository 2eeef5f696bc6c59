//! Data as it comes in: identifiers, values and entities that own their text.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use cedar_policy::{EntityId, EntityTypeName, EntityUid};

use crate::{Decimal, IpNet};

/// Which entity: its type and its id within the type.
///
/// ```
/// let uid: cedar::Uid = r#"Gov::Office::"hà nội \"1\"""#.parse()?;
/// assert_eq!((&*uid.kind, &*uid.id), ("Gov::Office", "hà nội \"1\""));
/// assert_eq!(uid.to_string().parse::<cedar::Uid>()?, uid);
/// # Ok::<(), cedar::UidError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid {
    /// Full name of the type, with its namespaces.
    pub kind: Box<str>,
    /// The id, as it is, without escapes.
    pub id: Box<str>,
}

/// A text that names no entity.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is no entity, expected `Type::\"id\"`: {cause}")]
pub struct UidError {
    text: String,
    cause: String,
}

impl Uid {
    /// The entity `id` of the type `kind`.
    pub fn new(kind: impl Into<Box<str>>, id: impl Into<Box<str>>) -> Self {
        Self { kind: kind.into(), id: id.into() }
    }

    pub(crate) fn of_reference(uid: &EntityUid) -> Self {
        Self::new(uid.type_name().to_string(), uid.id().unescaped())
    }

    pub(crate) fn to_reference(&self) -> Result<EntityUid, UidError> {
        let kind = EntityTypeName::from_str(&self.kind)
            .map_err(|error| UidError { text: self.to_string(), cause: error.to_string() })?;
        Ok(EntityUid::from_type_name_and_id(kind, EntityId::new(&*self.id)))
    }
}

impl FromStr for Uid {
    type Err = UidError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uid = EntityUid::from_str(text)
            .map_err(|error| UidError { text: text.to_owned(), cause: error.to_string() })?;
        Ok(Self::of_reference(&uid))
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::\"{}\"", self.kind, self.id.escape_debug())
    }
}

/// A value that owns everything it is made of.
///
/// ```
/// use cedar::Datum;
/// let ports = Datum::Set(vec![Datum::Long(80), Datum::Long(443)]);
/// # assert!(matches!(ports, Datum::Set(_)));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum Datum {
    /// True or false.
    Bool(bool),
    /// A signed integer.
    Long(i64),
    /// A string.
    String(Box<str>),
    /// A reference to an entity, which need not exist.
    Entity(Uid),
    /// A set; the same value more than once counts once.
    Set(Vec<Datum>),
    /// A record.
    Record(BTreeMap<Box<str>, Datum>),
    /// A decimal with four digits after the point.
    Decimal(Decimal),
    /// A moment, in milliseconds since 1970-01-01T00:00:00Z.
    Datetime(i64),
    /// A length of time in milliseconds.
    Duration(i64),
    /// An address or a range of addresses.
    Ip(IpNet),
}

/// An entity with what policies may ask about it.
///
/// ```
/// use cedar::{Datum, Entity, Uid};
/// let mut an = Entity::new(Uid::new("User", "an"));
/// an.parents.push(Uid::new("Group", "clerks"));
/// an.attributes.insert("level".into(), Datum::Long(3));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Entity {
    /// Which entity.
    pub uid: Uid,
    /// What it is directly in.
    pub parents: Vec<Uid>,
    /// `entity.name`.
    pub attributes: BTreeMap<Box<str>, Datum>,
    /// `entity.getTag("name")`.
    pub tags: BTreeMap<Box<str>, Datum>,
}

impl Entity {
    /// An entity in nothing, without attributes and tags.
    pub fn new(uid: Uid) -> Self {
        Self { uid, parents: Vec::new(), attributes: BTreeMap::new(), tags: BTreeMap::new() }
    }
}
