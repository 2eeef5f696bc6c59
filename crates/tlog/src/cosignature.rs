//! Cosignatures of C2SP tlog-cosignature, the Ed25519 kind: a witness says that it saw a ledger
//! grow to a checkpoint, and when.
//!
//! ```
//! use tlog::{Checkpoint, Cosigner, Note, Signer};
//!
//! let origin: tlog::Origin = "ledger.example.vn".parse()?;
//! let (signer, _) = Signer::generate(origin.clone())?;
//! let head = Checkpoint { origin, size: 0, root_hash: tlog::tree::empty_root() };
//! let mut note = Note::sign(&head.to_string(), &signer)?;
//!
//! let (witness, _) = Cosigner::generate("witness.example.vn".parse()?)?;
//! note.add(witness.cosign(note.text(), 1_795_000_000))?;
//! assert_eq!(witness.key().verify(&note)?, 1_795_000_000);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::str::FromStr;

use crate::note::{Note, NoteError, NoteSignature};
use crate::sign::{self, KeyError, Origin, Signer, VerifyingKey};

/// C2SP signed notes: the algorithm byte of timestamped Ed25519 cosignatures.
const ALGORITHM_COSIGNATURE: u8 = 4;
/// Latest time that a cosignature can have.
const TIME_MAX: u64 = i64::MAX as u64;

/// A witness's private key. Never shown, not even in debug output.
///
/// The key must serve no other purpose: what a cosignature signs does not name the witness.
#[derive(Debug)]
pub struct Cosigner(Signer);

impl Cosigner {
    /// Reads a key as `openssl genpkey -algorithm ed25519` writes it.
    pub fn from_pkcs8_pem(pem: &str, name: Origin) -> Result<Self, KeyError> {
        Signer::from_pkcs8_pem(pem, name).map(Self)
    }

    /// Makes a new key; also returns it as PEM, for the file it is to live in.
    pub fn generate(name: Origin) -> Result<(Self, String), KeyError> {
        let (signer, pem) = Signer::generate(name)?;
        Ok((Self(signer), pem))
    }

    /// The public half.
    pub fn key(&self) -> WitnessKey {
        WitnessKey::new(self.0.origin().clone(), *self.0.verifying_key().public())
    }

    /// Cosigns the text of a checkpoint. `time` is in seconds since 1970.
    ///
    /// Only [`Witness`](crate::witness::Witness) knows whether that may be done.
    pub fn cosign(&self, text: &str, time: u64) -> NoteSignature {
        let time = time.min(TIME_MAX);
        let mut bytes = time.to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.0.sign(message(text, time).as_bytes()));
        let WitnessKey { key, key_id } = self.key();
        NoteSignature { name: key.origin().clone(), key_id, bytes }
    }
}

fn message(text: &str, time: u64) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

/// A witness's public key, written as a C2SP verifier key line of type 4.
///
/// ```
/// let (witness, _) = tlog::Cosigner::generate("witness.example.vn".parse()?)?;
/// let line = witness.key().to_string();
/// assert_eq!(line.parse::<tlog::WitnessKey>()?, witness.key());
/// // A ledger's key is something else.
/// assert!(line.parse::<tlog::VerifyingKey>().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct WitnessKey {
    key: VerifyingKey,
    key_id: u32,
}

impl WitnessKey {
    /// The key of a witness.
    pub fn new(name: Origin, public: [u8; 32]) -> Self {
        let key_id = sign::key_id(&name, ALGORITHM_COSIGNATURE, &public);
        Self { key: VerifyingKey::new(name, public), key_id }
    }

    /// The name of the witness.
    pub fn name(&self) -> &Origin {
        self.key.origin()
    }

    /// Key id as in C2SP signed notes.
    pub fn key_id(&self) -> u32 {
        self.key_id
    }

    /// The 32 bytes of the key.
    pub fn public(&self) -> &[u8; 32] {
        self.key.public()
    }

    /// Checks that the witness cosigned a checkpoint; says when, in seconds since 1970. Signatures
    /// by other keys are passed over.
    pub fn verify(&self, checkpoint: &Note) -> Result<u64, NoteError> {
        let mut latest = None;
        for signature in checkpoint.by_key(self.name(), self.key_id) {
            let (time, bytes) = signature.bytes.split_first_chunk().ok_or(NoteError::Signature)?;
            let time = u64::from_be_bytes(*time);
            let signed = message(checkpoint.text(), time);
            if time > TIME_MAX || !self.key.verify(signed.as_bytes(), bytes) {
                return Err(NoteError::Signature);
            }
            latest = latest.max(Some(time));
        }
        latest.ok_or_else(|| NoteError::UnknownKey(self.to_string()))
    }
}

impl fmt::Display for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&sign::key_line(self.name(), ALGORITHM_COSIGNATURE, self.public()))
    }
}

impl fmt::Debug for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WitnessKey({self})")
    }
}

impl FromStr for WitnessKey {
    type Err = KeyError;

    fn from_str(line: &str) -> Result<Self, KeyError> {
        let (name, public) = sign::parse_key_line(line, ALGORITHM_COSIGNATURE)?;
        Ok(Self::new(name, public))
    }
}
