//! Values at a glance: a few words that mostly tell whether two values are equal.

use std::net::IpAddr;

use crate::value::{Held, Value};
use crate::{EntityRef, IpNet};

const ABSENT: u32 = 0;
const BOOL: u32 = 1;
const LONG: u32 = 2;
const STRING: u32 = 3;
const ENTITY: u32 = 4;
const DECIMAL: u32 = 5;
const DATETIME: u32 = 6;
const DURATION: u32 = 7;
const IPV4: u32 = 8;
const IPV6: u32 = 9;
const OTHER: u32 = 10;
const KIND: u32 = 15;
/// The words do not hold the whole value.
const PARTIAL: u32 = 16;
/// Where the length of a string, or of a prefix, begins.
const LEN_SHIFT: u32 = 5;
/// How much of a string the words hold: its first and its last bytes.
const WORD: usize = 8;

/// A value's type, with the length of a string or a prefix, and two words of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Scalar {
    shape: u32,
    head: u64,
    tail: u64,
}

/// What two values at a glance say of their equality.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Glance {
    Equal,
    Unequal,
    /// As far as can be seen they are equal.
    Unclear,
}

impl Scalar {
    /// No value: the attribute is not there.
    pub(crate) const ABSENT: Scalar = Scalar { shape: ABSENT, head: 0, tail: 0 };

    pub(crate) fn of(value: &Value<'_>) -> Self {
        match value {
            Value::Bool(it) => Self::word(BOOL, u64::from(*it)),
            Value::Long(it) => Self::word(LONG, it.cast_unsigned()),
            Value::Str(it) => Self::string(it.as_bytes()),
            Value::Entity(it) => Self::entity(*it),
            Value::Decimal(it) => Self::word(DECIMAL, it.ten_thousandths.cast_unsigned()),
            Value::Datetime(it) => Self::word(DATETIME, it.cast_unsigned()),
            Value::Duration(it) => Self::word(DURATION, it.cast_unsigned()),
            Value::Ip(it) => Self::address(*it),
            Value::Set(_) | Value::Record(_) => Self::word(OTHER | PARTIAL, 0),
        }
    }

    /// As of the value that is held, which need not be copied for it.
    pub(crate) fn of_held(held: &Held) -> Self {
        match held {
            Held::Bool(it) => Self::word(BOOL, u64::from(*it)),
            Held::Long(it) => Self::word(LONG, it.cast_unsigned()),
            Held::Str(it) => Self::string(it.as_bytes()),
            Held::Entity(it) => Self::entity(*it),
            other => Self::of(&other.view()),
        }
    }

    fn word(shape: u32, head: u64) -> Self {
        Self { shape, head, tail: 0 }
    }

    fn entity(entity: EntityRef) -> Self {
        Self { shape: ENTITY, head: u64::from(entity.ix), tail: u64::from(entity.kind) }
    }

    fn address(net: IpNet) -> Self {
        let prefix = u32::from(net.prefix()) << LEN_SHIFT;
        match net.address() {
            IpAddr::V4(it) => {
                Self { shape: IPV4 | prefix, head: u64::from(u32::from(it)), tail: 0 }
            }
            IpAddr::V6(it) => {
                let [a, b, c, d, e, f, g, h, rest @ ..] = it.octets();
                let head = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
                Self { shape: IPV6 | prefix, head, tail: u64::from_be_bytes(rest) }
            }
        }
    }

    /// Whether all addresses of a range are in the other; `None` if one is no address.
    pub(crate) fn is_in_range(&self, other: &Self) -> Option<bool> {
        let bits = match (self.shape & KIND, other.shape & KIND) {
            (IPV4, IPV4) => 32,
            (IPV6, IPV6) => 128,
            (IPV4 | IPV6, IPV4 | IPV6) => return Some(false),
            _ => return None,
        };
        // A range is in one that is not narrower if both begin alike.
        let (own, prefix) = (self.shape >> LEN_SHIFT, other.shape >> LEN_SHIFT);
        let differ = self.number() ^ other.number();
        Some(prefix <= own && differ.checked_shr(bits - prefix).unwrap_or(0) == 0)
    }

    fn number(&self) -> u128 {
        match self.shape & KIND {
            IPV4 => u128::from(self.head),
            _ => (u128::from(self.head) << 64) | u128::from(self.tail),
        }
    }

    fn string(bytes: &[u8]) -> Self {
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX) << LEN_SHIFT;
        let partial = if bytes.len() > 2 * WORD { PARTIAL } else { 0 };
        let (head, tail) = match (bytes.first_chunk::<WORD>(), bytes.last_chunk::<WORD>()) {
            (Some(head), Some(tail)) => (u64::from_le_bytes(*head), u64::from_le_bytes(*tail)),
            // Shorter than a word.
            _ => (bytes.iter().fold(0, |word, byte| (word << 8) | u64::from(*byte)), 0),
        };
        Self { shape: STRING | partial | len, head, tail }
    }

    pub(crate) fn glance(&self, other: &Self) -> Glance {
        if self != other {
            Glance::Unequal
        } else if self.shape & PARTIAL == 0 {
            Glance::Equal
        } else {
            Glance::Unclear
        }
    }

    pub(crate) fn is_absent(&self) -> bool {
        self.shape == ABSENT
    }

    /// Whether policies can be filed by the value: not by sets and records.
    pub(crate) fn can_file(&self) -> bool {
        !matches!(self.shape & KIND, ABSENT | OTHER)
    }

    pub(crate) fn boolean(&self) -> Option<bool> {
        (self.shape == BOOL).then_some(self.head != 0)
    }

    /// Numbers of two values that can be compared.
    pub(crate) fn numbers(&self, other: &Self) -> Option<(i64, i64)> {
        let comparable = matches!(self.shape, LONG | DATETIME | DURATION);
        let numbers = (self.head.cast_signed(), other.head.cast_signed());
        (comparable && self.shape == other.shape).then_some(numbers)
    }
}
