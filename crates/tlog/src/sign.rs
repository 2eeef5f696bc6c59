//! Keys: the ledger's name, its signing key, and the public key others verify with.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use thiserror::Error;

/// Longest origin, in bytes.
const ORIGIN_BYTES_MAX: usize = 255;
/// C2SP signed notes: the algorithm byte of Ed25519.
const ALGORITHM_ED25519: u8 = 1;
const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";
/// Characters on one line of PEM.
const PEM_LINE: usize = 64;

/// Why a text is not an origin.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OriginError {
    /// The text is empty.
    #[error("origin is empty")]
    Empty,
    /// The text is longer than allowed.
    #[error("origin has {0} bytes, at most {ORIGIN_BYTES_MAX} are allowed")]
    TooLong(usize),
    /// The text holds a character that signed notes cannot carry in a name.
    #[error("origin holds {0:?}, spaces, control characters and `+` are not allowed")]
    Character(char),
}

/// Why a key could not be read or made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// The text has no PEM block of a private key.
    #[error("no `{PEM_BEGIN}` block")]
    Pem,
    /// The text is not valid base64.
    #[error("key is not valid base64")]
    Base64,
    /// The key is not an Ed25519 key in PKCS #8.
    #[error("key is not an Ed25519 key in PKCS #8")]
    Pkcs8,
    /// The text is not `<name>+<key id>+<key>`.
    #[error("verifying key is not of the form `<name>+<8 hex digits>+<base64>`")]
    Form,
    /// The key is for signatures of another kind.
    #[error("key is for signatures of type {found}, expected {expected} (1 ledger, 4 witness)")]
    Algorithm {
        /// Type in the text.
        found: u8,
        /// Type that is needed.
        expected: u8,
    },
    /// The key id does not belong to this name and key.
    #[error("key id is `{found:08x}`, name and key give `{expected:08x}`")]
    Id {
        /// What the text says.
        found: u32,
        /// What name and key give.
        expected: u32,
    },
    /// The name is not an origin.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// No randomness could be had.
    #[error("random number generator failed")]
    Random,
}

/// The name of a ledger, as on the first line of its checkpoints. Cloning shares the text.
///
/// One to 255 bytes without spaces, control characters or `+`.
///
/// ```
/// let origin: tlog::Origin = "ledger.bca.gov.vn/2026".parse()?;
/// assert!("two words".parse::<tlog::Origin>().is_err());
/// # Ok::<(), tlog::OriginError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Origin(Arc<str>);

impl Origin {
    /// The origin as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        if text.is_empty() {
            return Err(OriginError::Empty);
        }
        if text.len() > ORIGIN_BYTES_MAX {
            return Err(OriginError::TooLong(text.len()));
        }
        match text.chars().find(|c| c.is_whitespace() || c.is_control() || *c == '+') {
            Some(c) => Err(OriginError::Character(c)),
            None => Ok(Self(text.into())),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Origin({})", self.0)
    }
}

/// The ledger's Ed25519 signing key. Never shown, not even in debug output.
///
/// ```
/// let origin: tlog::Origin = "ledger.example.vn".parse()?;
/// let (signer, pem) = tlog::Signer::generate(origin.clone())?;
/// let again = tlog::Signer::from_pkcs8_pem(&pem, origin)?;
/// assert_eq!(signer.verifying_key(), again.verifying_key());
/// # Ok::<(), tlog::KeyError>(())
/// ```
pub struct Signer {
    pair: Ed25519KeyPair,
    verifying_key: VerifyingKey,
}

impl Signer {
    /// Reads a key as `openssl genpkey -algorithm ed25519` writes it.
    pub fn from_pkcs8_pem(pem: &str, origin: Origin) -> Result<Self, KeyError> {
        let (_, rest) = pem.split_once(PEM_BEGIN).ok_or(KeyError::Pem)?;
        let (body, _) = rest.split_once(PEM_END).ok_or(KeyError::Pem)?;
        let base64: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        let der = STANDARD.decode(base64).map_err(|_| KeyError::Base64)?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(|_| KeyError::Pkcs8)?;
        Self::new(pair, origin)
    }

    /// Makes a new key; also returns it as PEM, for the file it is to live in.
    pub fn generate(origin: Origin) -> Result<(Self, String), KeyError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| KeyError::Random)?;
        let der = pair.to_pkcs8v1().map_err(|_| KeyError::Pkcs8)?;
        let mut pem = format!("{PEM_BEGIN}\n");
        for (position, character) in STANDARD.encode(der.as_ref()).chars().enumerate() {
            if position > 0 && position % PEM_LINE == 0 {
                pem.push('\n');
            }
            pem.push(character);
        }
        pem.push_str(&format!("\n{PEM_END}\n"));
        Ok((Self::new(pair, origin)?, pem))
    }

    fn new(pair: Ed25519KeyPair, origin: Origin) -> Result<Self, KeyError> {
        let public = pair.public_key().as_ref().try_into().map_err(|_| KeyError::Pkcs8)?;
        Ok(Self { pair, verifying_key: VerifyingKey::new(origin, public) })
    }

    /// The name this key signs under.
    pub fn origin(&self) -> &Origin {
        &self.verifying_key.origin
    }

    /// Key id as in C2SP signed notes.
    pub fn key_id(&self) -> u32 {
        self.verifying_key.key_id
    }

    /// The public half.
    pub fn verifying_key(&self) -> VerifyingKey {
        self.verifying_key.clone()
    }

    /// The signature of a message, which must say itself what it is: nothing else tells signatures
    /// for one purpose from those for another.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.pair.sign(message).as_ref());
        signature
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.verifying_key)
    }
}

/// The public key of a ledger, written as a C2SP verifier key line.
///
/// ```
/// let line = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
/// let key: tlog::VerifyingKey = line.parse()?;
/// assert_eq!(key.key_id(), 0xc74f20a3);
/// assert_eq!(key.to_string(), line);
/// # Ok::<(), tlog::KeyError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct VerifyingKey {
    origin: Origin,
    public: [u8; 32],
    key_id: u32,
}

impl VerifyingKey {
    /// The key of an owner.
    pub fn new(origin: Origin, public: [u8; 32]) -> Self {
        let key_id = key_id(&origin, ALGORITHM_ED25519, &public);
        Self { origin, public, key_id }
    }

    /// The name of the ledger that signs with it.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Key id as in C2SP signed notes.
    pub fn key_id(&self) -> u32 {
        self.key_id
    }

    /// The 32 bytes of the key.
    pub fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// Whether the key signed the message.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.public).verify(message, signature).is_ok()
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&key_line(&self.origin, ALGORITHM_ED25519, &self.public))
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({self})")
    }
}

impl FromStr for VerifyingKey {
    type Err = KeyError;

    fn from_str(line: &str) -> Result<Self, KeyError> {
        let (origin, public) = parse_key_line(line, ALGORITHM_ED25519)?;
        Ok(Self::new(origin, public))
    }
}

/// Key id as C2SP recommends: the first bytes of a digest of name, algorithm and key.
pub(crate) fn key_id(name: &Origin, algorithm: u8, public: &[u8; 32]) -> u32 {
    let digest = Sha256::new()
        .chain_update(name.as_str())
        .chain_update([b'\n', algorithm])
        .chain_update(public)
        .finalize();
    digest.first_chunk().map_or(0, |id| u32::from_be_bytes(*id))
}

/// A verifier key line.
pub(crate) fn key_line(name: &Origin, algorithm: u8, public: &[u8; 32]) -> String {
    let mut key = vec![algorithm];
    key.extend_from_slice(public);
    format!("{name}+{:08x}+{}", key_id(name, algorithm, public), STANDARD.encode(key))
}

/// Name and key of a verifier key line for this algorithm.
pub(crate) fn parse_key_line(line: &str, algorithm: u8) -> Result<(Origin, [u8; 32]), KeyError> {
    let (name, rest) = line.trim().split_once('+').ok_or(KeyError::Form)?;
    let (id, key) = rest.split_once('+').ok_or(KeyError::Form)?;
    let found = Some(id).filter(|id| id.len() == 8 && !id.starts_with('+'));
    let found = found.and_then(|id| u32::from_str_radix(id, 16).ok()).ok_or(KeyError::Form)?;
    let key = STANDARD.decode(key).map_err(|_| KeyError::Base64)?;
    let public = match key.split_first() {
        Some((kind, public)) if *kind == algorithm => {
            public.try_into().map_err(|_| KeyError::Form)?
        }
        Some((kind, _)) => return Err(KeyError::Algorithm { found: *kind, expected: algorithm }),
        None => return Err(KeyError::Form),
    };
    let name = name.parse()?;
    let expected = key_id(&name, algorithm, &public);
    match found == expected {
        true => Ok((name, public)),
        false => Err(KeyError::Id { found, expected }),
    }
}
