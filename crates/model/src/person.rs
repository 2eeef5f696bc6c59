//! Persons as the ledger knows them: a pseudonym under the key of a period, never a number.
//!
//! Without the key nobody can tell whom a pseudonym stands for, nor whether two pseudonyms of
//! different periods stand for one person; with it, trying all numbers is easy. So the key is what
//! protects, and destroying the key of a period makes its links unrecoverable.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::id::hexadecimal;
use crate::{IdError, Period};

/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// Bytes of a block of SHA-256.
const BLOCK_BYTES: usize = 64;
/// Longest number of a person, in bytes.
const NUMBER_BYTES_MAX: usize = 32;
/// Digits of a Vietnamese personal number (số định danh cá nhân).
const VIETNAMESE_DIGITS: usize = 12;
/// Tells this use of a key apart from any other.
const DOMAIN: &str = "giaolien/pseudonym/v1";

/// What stands for a person in the ledger: 16 bytes, of no meaning without the period's key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pseudonym(pub [u8; 16]);

impl fmt::Display for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Pseudonym {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        hexadecimal(text).map(Self)
    }
}

/// A person in an entry: the pseudonym, and the period whose key made it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject {
    /// The pseudonym.
    pub pseudonym: Pseudonym,
    /// The period.
    pub period: Period,
}

/// Why a text is not a person's number. None of these repeats the number.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PersonNumberError {
    /// The country is not two capital letters.
    #[error("expected a country of two capital letters such as `VN`")]
    Country,
    /// The kind of number is not a short word.
    #[error("expected a kind of number of 1 to 32 small letters or `-`, such as `personal`")]
    Kind,
    /// The number has another shape.
    #[error("expected a number of 1 to 32 capital letters and digits")]
    Number,
    /// A Vietnamese personal number has another shape.
    #[error("expected a personal number of {VIETNAMESE_DIGITS} digits, found {0} characters")]
    Vietnamese(usize),
}

/// A number that identifies a person: country, kind of number, number. Showing it shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct PersonNumber {
    country: Box<str>,
    kind: Box<str>,
    number: Zeroizing<String>,
}

impl PersonNumber {
    /// The country of numbers that are given without one.
    pub const VIETNAM: &str = "VN";
    /// The kind of numbers that are given without one: số định danh cá nhân.
    pub const PERSONAL: &str = "personal";

    /// The kind of what names a person, or perhaps something else, and is no personal number.
    pub const OTHER: &str = "other";

    /// The person whom the text of a field names: a personal number by itself, anything else as
    /// [`PersonNumber::other`]. `None` for what could be read as a personal number and is not
    /// written as one, such as with blanks between its digits: nobody would find it again.
    pub fn of_field(text: &str) -> Option<Self> {
        if let Ok(personal) = Self::new(Self::VIETNAM, Self::PERSONAL, text) {
            return Some(personal);
        }
        let digits = text.chars().filter(|sign| sign.is_numeric()).count();
        let is_like_one = digits == VIETNAMESE_DIGITS && !text.chars().any(char::is_alphabetic);
        (!is_like_one).then(|| Self::other(text))
    }

    /// What any other text names: by itself if it has the shape of a number, else by the first
    /// half of its SHA-256 in capital hexadecimal digits.
    pub fn other(text: &str) -> Self {
        if let Ok(other) = Self::new(Self::VIETNAM, Self::OTHER, text) {
            return other;
        }
        let [first, _] = halves(Sha256::digest(text).into());
        let number = first.iter().map(|byte| format!("{byte:02X}")).collect::<String>();
        let (country, kind) = (Self::VIETNAM.into(), Self::OTHER.into());
        Self { country, kind, number: Zeroizing::new(number) }
    }

    /// A number of any country and kind.
    ///
    /// # Errors
    ///
    /// Fails if a part has another shape; a Vietnamese personal number has twelve digits.
    pub fn new(country: &str, kind: &str, number: &str) -> Result<Self, PersonNumberError> {
        if country.len() != 2 || !country.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(PersonNumberError::Country);
        }
        let in_kind = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
        if !is_short(kind) || !kind.bytes().all(in_kind) {
            return Err(PersonNumberError::Kind);
        }
        let in_number = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
        if (country, kind) == (Self::VIETNAM, Self::PERSONAL) {
            let digits = number.bytes().filter(u8::is_ascii_digit).count();
            if digits != VIETNAMESE_DIGITS || number.len() != VIETNAMESE_DIGITS {
                return Err(PersonNumberError::Vietnamese(number.chars().count()));
            }
        } else if !is_short(number) || !number.bytes().all(in_number) {
            return Err(PersonNumberError::Number);
        }
        let number = Zeroizing::new(number.to_owned());
        Ok(Self { country: country.into(), kind: kind.into(), number })
    }
}

fn is_short(text: &str) -> bool {
    (1..=NUMBER_BYTES_MAX).contains(&text.len())
}

/// For telling persons apart in memory; a hash says no more of a number than its hasher lets it.
impl Hash for PersonNumber {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.country, &self.kind, self.number.as_str()).hash(state);
    }
}

impl fmt::Debug for PersonNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PersonNumber(not shown)")
    }
}

/// Why a text is not a key. Neither repeats the text.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PseudonymKeyError {
    /// Not the right number of hexadecimal digits.
    #[error("expected {} hexadecimal digits", 2 * KEY_BYTES)]
    Digits,
    /// All bytes are the same, as in a placeholder.
    #[error("expected a random key")]
    NotRandom,
}

/// The key of one period. Showing it shows nothing; its memory is cleared when it goes.
#[derive(Clone, PartialEq, Eq)]
pub struct PseudonymKey(Arc<Zeroizing<[u8; KEY_BYTES]>>);

impl PseudonymKey {
    /// Reads a key of 64 hexadecimal digits, as `openssl rand -hex 32` makes one; white space
    /// around it does not count.
    ///
    /// # Errors
    ///
    /// Fails if it is no such key.
    pub fn from_hex(text: &str) -> Result<Self, PseudonymKeyError> {
        let bytes = hexadecimal::<KEY_BYTES>(text.trim());
        let bytes = Zeroizing::new(bytes.map_err(|_| PseudonymKeyError::Digits)?);
        let first = bytes.first().copied();
        if bytes.iter().all(|byte| Some(*byte) == first) {
            return Err(PseudonymKeyError::NotRandom);
        }
        Ok(Self(Arc::new(bytes)))
    }

    /// What stands for a person under this key: HMAC-SHA-256, the first 16 bytes.
    ///
    /// ```
    /// use model::{PersonNumber, PseudonymKey};
    ///
    /// let key = |digits: &str| PseudonymKey::from_hex(&digits.repeat(16)).unwrap();
    /// let person = PersonNumber::new("VN", "personal", "900000000017").unwrap();
    /// assert_eq!(key("01ab").pseudonym(&person), key("01ab").pseudonym(&person));
    /// assert_ne!(key("01ab").pseudonym(&person), key("01ac").pseudonym(&person));
    /// ```
    pub fn pseudonym(&self, person: &PersonNumber) -> Pseudonym {
        let PersonNumber { country, kind, number } = person;
        // The parts hold no line break, so that no two persons give one text.
        let parts = [DOMAIN, country, kind, number];
        // A key shorter than a block is filled with zeros (RFC 2104).
        let mut block = Zeroizing::new([0; BLOCK_BYTES]);
        block.iter_mut().zip(self.0.iter()).for_each(|(to, from)| *to = *from);
        let mut mac = Hmac::<Sha256>::new((&*block).into());
        for part in parts {
            mac.update(part.as_bytes());
            mac.update(b"\n");
        }
        let hash: [u8; 32] = mac.finalize().into_bytes().into();
        let [pseudonym, _] = halves(hash);
        Pseudonym(pseudonym)
    }
}

fn halves(hash: [u8; 32]) -> [[u8; 16]; 2] {
    let mut halves = [[0; 16]; 2];
    for (to, from) in halves.iter_mut().flatten().zip(hash) {
        *to = from;
    }
    halves
}

impl fmt::Debug for PseudonymKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PseudonymKey(not shown)")
    }
}

/// The keys that there are, by period.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pseudonyms(Vec<(Period, PseudonymKey)>);

impl Pseudonyms {
    /// The keys of these periods.
    pub fn new(keys: Vec<(Period, PseudonymKey)>) -> Self {
        Self(keys)
    }

    /// Whether there is no key at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key that pseudonyms are made with now: the last.
    pub fn current(&self) -> Option<(&Period, &PseudonymKey)> {
        self.0.last().map(|(period, key)| (period, key))
    }

    /// What a person is in each period that has a key; nothing of periods whose key is gone.
    pub fn subjects(&self, person: &PersonNumber) -> Vec<Subject> {
        let subject = |(period, key): &(Period, PseudonymKey)| Subject {
            pseudonym: key.pseudonym(person),
            period: period.clone(),
        };
        self.0.iter().map(subject).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGITS: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn person(number: &str) -> PersonNumber {
        PersonNumber::new("VN", "personal", number).unwrap()
    }

    /// Computed with `printf … | openssl dgst -sha256 -mac HMAC -macopt hexkey:…`.
    #[test]
    fn a_pseudonym_is_what_other_tools_compute() {
        let key = PseudonymKey::from_hex(&format!("{DIGITS}\n")).unwrap();
        let shown = key.pseudonym(&person("900000000017")).to_string();
        assert_eq!(shown, "527959c360658e072d422449f7337ef8");
        assert_eq!(shown.parse(), Ok(key.pseudonym(&person("900000000017"))));
    }

    #[test]
    fn country_kind_and_number_all_count() {
        let key = PseudonymKey::from_hex(DIGITS).unwrap();
        let of = |country, kind, number| {
            key.pseudonym(&PersonNumber::new(country, kind, number).unwrap())
        };
        let one = of("VN", "personal", "900000000017");
        assert_ne!(one, of("VN", "personal", "900000000018"));
        assert_ne!(one, of("LA", "personal", "900000000017"));
        assert_ne!(one, of("VN", "passport", "900000000017"));
    }

    #[test]
    fn what_a_field_says_leads_to_one_person() {
        assert_eq!(PersonNumber::of_field("900000000017"), Some(person("900000000017")));
        let like =
            ["900 000 000 017", "900000000017\u{200b}", "\u{ff19}00000000017", "9000.0000.0017"];
        assert!(like.iter().all(|text| PersonNumber::of_field(text).is_none()));
        for other in ["DN4010012345678", "HS-202611220001", "bổ nhiệm/17", "x", "9"] {
            assert_eq!(PersonNumber::of_field(other), Some(PersonNumber::other(other)));
        }
        assert_ne!(PersonNumber::other("a-1"), PersonNumber::other("a-2"));
    }

    #[test]
    fn nothing_shows_a_number_or_a_key() {
        let key = PseudonymKey::from_hex(DIGITS).unwrap();
        let keys = Pseudonyms::new(vec![("2026".parse().unwrap(), key)]);
        let shown = format!("{keys:?} {:?}", person("900000000017"));
        assert!(!shown.contains("9000") && !shown.contains("0102"), "{shown}");
        let wrong = PersonNumber::new("VN", "personal", "90000000001x").unwrap_err();
        assert_eq!(
            wrong.to_string(),
            "expected a personal number of 12 digits, found 12 characters"
        );
        let wrong = PseudonymKey::from_hex("abcd").unwrap_err();
        assert_eq!(wrong.to_string(), "expected 64 hexadecimal digits");
        assert_eq!(PseudonymKey::from_hex(&"00".repeat(32)), Err(PseudonymKeyError::NotRandom));
    }

    #[test]
    fn a_period_without_its_key_tells_nothing() {
        let of = |keys: &[&str]| {
            let key = |text: &&str| PseudonymKey::from_hex(&text.repeat(16)).unwrap();
            let periods = ["2025", "2026"].map(|period| period.parse().unwrap());
            let keys = periods.into_iter().zip(keys.iter().map(key));
            Pseudonyms::new(keys.collect()).subjects(&person("900000000017"))
        };
        let both = of(&["01ab", "01ac"]);
        assert_eq!(both.len(), 2);
        assert_ne!(both[0].pseudonym, both[1].pseudonym);
        assert_eq!(of(&["01ab"]), &both[..1]);
    }
}
