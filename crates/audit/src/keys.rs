//! Keys that sealed segments are encrypted with: one key-encryption key by id, a data key for
//! each segment.
//!
//! Rotation: add a key under a new id and name it for sealing; keep the old ones for as long as
//! segments sealed with them are to be read. Destroying a key makes its segments' entries
//! unreadable; their hashes stay in the clear, so that the ledger's tree can still be followed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

/// Longest id of a key, in bytes.
pub(crate) const KEY_ID_BYTES_MAX: usize = 64;
pub(crate) const WRAP_NONCE_BYTES: usize = NONCE_LEN;
pub(crate) const DATA_KEY_BYTES: usize = 32;
/// What AES-256-GCM adds to a text.
pub(crate) const TAG_BYTES: usize = 16;
pub(crate) const WRAPPED_BYTES: usize = DATA_KEY_BYTES + TAG_BYTES;
/// Bound to a wrapped data key, so that it opens nothing else.
const WRAP_CONTEXT: &[u8] = b"giaolien sealed segment v1\0";

/// Why a key for sealing could not be taken or made. Never shows the key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeysError {
    /// The id cannot be written into a header.
    #[error(
        "key id `{0}` is not possible, choose 1 to {KEY_ID_BYTES_MAX} of `a-z`, `0-9`, `-`, `.`, `_`"
    )]
    Id(String),
    /// There is a key under this id.
    #[error("key id `{0}` is given twice, give each key an id of its own")]
    Twice(String),
    /// The text is not a key.
    #[error("key `{0}` is not 32 bytes in base64 on one line")]
    Text(String),
    /// No randomness could be had.
    #[error("random number generator failed")]
    Random,
}

/// A ring of key-encryption keys, by id. Cloning shares the keys; debug output shows the ids.
///
/// ```
/// let mut keys = audit::Keys::default();
/// keys.add("2026-a", &audit::Keys::generate()?)?;
/// assert!(keys.add("2026-b", "no key").is_err());
/// assert_eq!(format!("{keys:?}"), r#"Keys["2026-a"]"#);
/// # Ok::<(), audit::KeysError>(())
/// ```
#[derive(Clone, Default)]
pub struct Keys(BTreeMap<Arc<str>, Arc<LessSafeKey>>);

impl Keys {
    /// A new key as text: 32 random bytes in base64, as [`add`](Self::add) takes it.
    pub fn generate() -> Result<String, KeysError> {
        Ok(format!("{}\n", STANDARD.encode(random::<DATA_KEY_BYTES>()?)))
    }

    /// Adds a key from its text under an id.
    pub fn add(&mut self, id: &str, text: &str) -> Result<(), KeysError> {
        if !is_key_id(id) {
            return Err(KeysError::Id(id.to_owned()));
        }
        if self.0.contains_key(id) {
            return Err(KeysError::Twice(id.to_owned()));
        }
        let bytes = STANDARD.decode(text.trim()).unwrap_or_default();
        let key = UnboundKey::new(&AES_256_GCM, &bytes);
        let key = key.map_err(|_| KeysError::Text(id.to_owned()))?;
        self.0.insert(id.into(), Arc::new(LessSafeKey::new(key)));
        Ok(())
    }

    /// The ids, in order.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(|id| &**id)
    }

    /// A data key as a sealed segment's header holds it, or why it stays shut.
    pub(crate) fn open(&self, wrapped: &Wrapped, segment: u64) -> Result<DataKey, Shut> {
        let id = || wrapped.key_id.clone();
        let key = self.0.get(&*wrapped.key_id).ok_or_else(|| Shut::NoKey(id()))?;
        let mut bytes = wrapped.bytes;
        let nonce = Nonce::assume_unique_for_key(wrapped.nonce);
        let context = Aad::from(wrap_context(&wrapped.key_id, segment));
        let opened = key.open_in_place(nonce, context, &mut bytes);
        let data_key = opened.ok().and_then(|data_key| DataKey::new(data_key));
        data_key.ok_or_else(|| Shut::WrongKey(id()))
    }

    /// Wraps a data key for a segment's header; `None` if there is no key under this id.
    pub(crate) fn wrap(&self, id: &str, segment: u64, fresh: &Fresh) -> Option<Wrapped> {
        let key = self.0.get(id)?;
        let nonce = Nonce::assume_unique_for_key(fresh.wrap_nonce);
        let mut bytes = fresh.data_key.to_vec();
        let context = Aad::from(wrap_context(id, segment));
        key.seal_in_place_append_tag(nonce, context, &mut bytes).ok()?;
        let bytes = bytes.try_into().ok()?;
        Some(Wrapped { key_id: id.to_owned(), nonce: fresh.wrap_nonce, bytes })
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")?;
        f.debug_list().entries(self.ids()).finish()
    }
}

pub(crate) fn is_key_id(id: &str) -> bool {
    let is_usual = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-._".contains(&c);
    (1..=KEY_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(is_usual)
}

fn wrap_context(id: &str, segment: u64) -> Vec<u8> {
    [WRAP_CONTEXT, id.as_bytes(), &segment.to_le_bytes()].concat()
}

/// Random bytes for one segment. Given as an argument, so that tests can fix them.
pub(crate) struct Fresh {
    pub(crate) data_key: [u8; DATA_KEY_BYTES],
    pub(crate) wrap_nonce: [u8; WRAP_NONCE_BYTES],
}

impl Fresh {
    /// New ones from the machine; never used for a second segment, nor for a second attempt.
    pub(crate) fn random() -> Result<Self, KeysError> {
        Ok(Self { data_key: random()?, wrap_nonce: random()? })
    }
}

fn random<const N: usize>() -> Result<[u8; N], KeysError> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| KeysError::Random)?;
    Ok(bytes)
}

/// A data key under a key-encryption key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrapped {
    pub(crate) key_id: String,
    pub(crate) nonce: [u8; WRAP_NONCE_BYTES],
    pub(crate) bytes: [u8; WRAPPED_BYTES],
}

/// Why a sealed segment cannot be opened with the keys given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shut {
    /// The key with this id is not among them.
    NoKey(String),
    /// There is one under this id, and it is another.
    WrongKey(String),
}

impl fmt::Display for Shut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKey(id) => write!(f, "key `{id}` was not given"),
            Self::WrongKey(id) => write!(f, "the key given as `{id}` is not the one it needs"),
        }
    }
}

/// The key of one segment's blocks.
#[derive(Debug)]
pub(crate) struct DataKey(LessSafeKey);

impl DataKey {
    pub(crate) fn new(bytes: &[u8]) -> Option<Self> {
        Some(Self(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).ok()?)))
    }

    /// Encrypts a block in its place; false if the library refuses.
    pub(crate) fn seal(&self, nonce: BlockNonce, context: &[u8], block: &mut Vec<u8>) -> bool {
        let nonce = Nonce::assume_unique_for_key(nonce.bytes());
        self.0.seal_in_place_append_tag(nonce, Aad::from(context), block).is_ok()
    }

    /// Decrypts a block in its place; `None` if it is not what was encrypted.
    pub(crate) fn open<'a>(
        &self,
        nonce: BlockNonce,
        context: &[u8],
        block: &'a mut [u8],
    ) -> Option<&'a [u8]> {
        let nonce = Nonce::assume_unique_for_key(nonce.bytes());
        self.0.open_in_place(nonce, Aad::from(context), block).ok().map(|text| &*text)
    }
}

/// What makes a block's nonce. A data key belongs to one attempt at one segment, so none comes
/// twice.
#[derive(Clone, Copy)]
pub(crate) struct BlockNonce {
    pub(crate) segment: u64,
    pub(crate) block: u32,
}

impl BlockNonce {
    fn bytes(self) -> [u8; NONCE_LEN] {
        let mut bytes = [0; NONCE_LEN];
        let parts = self.segment.to_le_bytes().into_iter().chain(self.block.to_le_bytes());
        bytes.iter_mut().zip(parts).for_each(|(place, byte)| *place = byte);
        bytes
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

    use super::*;

    fn keys(id: &str, byte: u8) -> Keys {
        let mut keys = Keys::default();
        keys.add(id, &STANDARD.encode([byte; 32])).unwrap();
        keys
    }

    #[test]
    fn a_wrapped_key_opens_for_its_segment_and_key_only() {
        let fresh = Fresh { data_key: [1; 32], wrap_nonce: [2; 12] };
        let wrapped = keys("a", 7).wrap("a", 5, &fresh).unwrap();
        assert!(keys("a", 7).open(&wrapped, 5).is_ok());
        let shut = |keys: Keys, segment| keys.open(&wrapped, segment).unwrap_err();
        assert_eq!(shut(keys("a", 7), 6), Shut::WrongKey("a".into()));
        assert_eq!(shut(keys("a", 8), 5), Shut::WrongKey("a".into()));
        assert_eq!(shut(keys("b", 7), 5), Shut::NoKey("a".into()));
        assert_eq!(keys("a", 7).wrap("b", 5, &fresh), None);
    }

    #[test]
    fn what_is_not_a_key_is_refused_and_not_shown() {
        let mut keys = keys("a", 7);
        let text = STANDARD.encode([1; 31]);
        assert_eq!(keys.add("b", &text), Err(KeysError::Text("b".into())));
        assert_eq!(keys.add("", &text), Err(KeysError::Id(String::new())));
        assert_eq!(keys.add("A b", &text), Err(KeysError::Id("A b".into())));
        assert_eq!(keys.add("a", &text), Err(KeysError::Twice("a".into())));
        let made = Keys::generate().unwrap();
        keys.add("b", &made).unwrap();
        assert!(!format!("{keys:?}").contains(made.trim()));
    }

    #[test]
    fn a_block_opens_in_its_place_only() {
        let key = DataKey::new(&[3; 32]).unwrap();
        let nonce = BlockNonce { segment: 4, block: 1 };
        let mut block = b"entries".to_vec();
        assert!(key.seal(nonce, b"header", &mut block));
        assert_eq!(key.open(nonce, b"header", &mut block.clone()), Some(&b"entries"[..]));
        let elsewhere = [BlockNonce { block: 2, ..nonce }, BlockNonce { segment: 5, ..nonce }];
        for nonce in elsewhere {
            assert_eq!(key.open(nonce, b"header", &mut block.clone()), None);
        }
        assert_eq!(key.open(nonce, b"other", &mut block.clone()), None);
    }
}
