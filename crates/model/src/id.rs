//! Identifiers: parsed once at the door, compared cheaply afterwards.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

/// Longest identifier, in bytes. Agency codes (Decision 20/2020/QĐ-TTg) need 35.
const ID_BYTES_MAX: usize = 64;

/// Why a text is not an identifier.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IdError {
    /// The text is empty.
    #[error("identifier is empty")]
    Empty,
    /// The text is longer than allowed.
    #[error("identifier has {0} bytes, at most {ID_BYTES_MAX} are allowed")]
    TooLong(usize),
    /// The text holds a character outside letters, digits, `.`, `_` and `-`.
    #[error("identifier holds {0:?}, only letters, digits, `.`, `_` and `-` are allowed")]
    Character(char),
    /// The text is not the hexadecimal form of a fixed number of bytes.
    #[error("expected {0} hexadecimal digits")]
    Hexadecimal(usize),
}

fn check(text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > ID_BYTES_MAX {
        return Err(IdError::TooLong(text.len()));
    }
    match text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))) {
        Some(c) => Err(IdError::Character(c)),
        None => Ok(()),
    }
}

// All kinds of identifier share one rule; the types keep them from being mistaken for each other.
macro_rules! text_id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        ///
        /// One to 64 ASCII letters, digits, `.`, `_` or `-`. Cloning shares the text.
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                check(text)?;
                Ok(Self(text.into()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    )*};
}

text_id! {
    /// A member: an agency or unit, usually by its agency code, `G09.05`.
    MemberId;
    /// A member's information system, which holds a certificate.
    SystemId;
    /// A provider's database service at the far end.
    NodeId;
    /// An agreement between a provider and a consumer.
    AgreementId;
    /// The code of a purpose for which data may be exchanged.
    PurposeCode;
    /// A class of members, such as `commune`.
    ClassId;
    /// A network zone that calls come from.
    ZoneId;
    /// A period, usually a year, whose pseudonyms share a key.
    Period;
}

/// The number of a configuration revision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RevisionId(pub u64);

impl fmt::Display for RevisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// SHA-256 of a certificate in DER: what a system is recognised by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CertificateDigest(pub [u8; 32]);

impl fmt::Display for CertificateDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for CertificateDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for CertificateDigest {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        hexadecimal(text).map(Self)
    }
}

/// The id of one call: the key to its evidence. A UUID of version 7 (RFC 9562), so that ids sort
/// by time.
///
/// ```
/// use model::{ExchangeId, Timestamp};
/// let id = ExchangeId::new(Timestamp::from_micros(1_790_000_000_000_000), [7; 10]);
/// assert_eq!(id.to_string().parse(), Ok(id));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExchangeId([u8; 16]);

impl ExchangeId {
    /// The id of a call that began at `time`; `random` makes it unique.
    pub fn new(time: crate::Timestamp, random: [u8; 10]) -> Self {
        let millis = (time.as_micros() / 1000).to_be_bytes();
        let [_, _, t0, t1, t2, t3, t4, t5] = millis;
        let [a, b, c, d, e, f, g, h, i, j] = random;
        let (version, variant) = (0x70 | (a & 0x0f), 0x80 | (c & 0x3f));
        Self([t0, t1, t2, t3, t4, t5, version, b, variant, d, e, f, g, h, i, j])
    }

    /// The id as its 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The id that has these 16 bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for ExchangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for ExchangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ExchangeId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        hexadecimal(&text.replace('-', "")).map(Self)
    }
}

pub(crate) fn hexadecimal<const N: usize>(text: &str) -> Result<[u8; N], IdError> {
    let wrong = IdError::Hexadecimal(2 * N);
    if text.len() != 2 * N || !text.is_ascii() {
        return Err(wrong);
    }
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        let digits = text.get(2 * at..2 * at + 2).ok_or(wrong.clone())?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong.clone())?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;

    #[test]
    fn an_agency_code_is_an_id() {
        assert_eq!("G09.05".parse::<MemberId>().unwrap().as_str(), "G09.05");
    }

    #[test]
    fn bad_ids_say_what_is_wrong() {
        assert_eq!("".parse::<SystemId>(), Err(IdError::Empty));
        assert_eq!("a b".parse::<SystemId>(), Err(IdError::Character(' ')));
        assert_eq!("xã".parse::<SystemId>(), Err(IdError::Character('ã')));
        assert_eq!("x".repeat(65).parse::<SystemId>(), Err(IdError::TooLong(65)));
    }

    #[test]
    fn exchange_ids_sort_by_time_and_carry_version_and_variant() {
        let early = ExchangeId::new(Timestamp::from_micros(1_000_000), [0xff; 10]);
        let late = ExchangeId::new(Timestamp::from_micros(1_001_000), [0; 10]);
        assert!(early < late);
        assert_eq!(late.to_string(), "00000000-03e9-7000-8000-000000000000");
        assert_eq!(early.to_string(), "00000000-03e8-7fff-bfff-ffffffffffff");
    }

    #[test]
    fn digests_are_64_hexadecimal_digits() {
        let text = "ab".repeat(32);
        assert_eq!(text.parse::<CertificateDigest>().unwrap().to_string(), text);
        assert_eq!("ab".parse::<CertificateDigest>(), Err(IdError::Hexadecimal(64)));
        assert_eq!("zz".repeat(32).parse::<CertificateDigest>(), Err(IdError::Hexadecimal(64)));
    }
}
