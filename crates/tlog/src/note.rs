//! C2SP signed notes, and checkpoints, which are signed notes about a tree.
//!
//! ```
//! use tlog::note::{Checkpoint, Note};
//!
//! let origin: tlog::Origin = "ledger.example.vn".parse()?;
//! let (signer, _pem) = tlog::Signer::generate(origin.clone())?;
//! let checkpoint = Checkpoint { origin, size: 0, root_hash: tlog::tree::empty_root() };
//! let note = Note::sign(&checkpoint.to_string(), &signer)?;
//!
//! let read: Note = note.to_string().parse()?;
//! read.verify(&signer.verifying_key())?;
//! assert_eq!(read.text().parse::<Checkpoint>()?, checkpoint);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use crate::sign::{Origin, Signer, VerifyingKey};
use crate::tree::Hash;

/// Longest note that is read, in bytes.
pub const NOTE_BYTES_MAX: usize = 64 << 10;
/// Signatures that are read, at most.
const SIGNATURES_MAX: usize = 32;
const SIGNATURE_PREFIX: &str = "\u{2014} ";

/// Why a text is not a note or checkpoint, or its signature does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NoteError {
    /// Longer than allowed.
    #[error("note has {0} bytes, at most {NOTE_BYTES_MAX} are allowed")]
    TooLong(usize),
    /// The text to sign does not end in a line break, or holds control characters.
    #[error("text of the note holds control characters or does not end with a line break")]
    Text,
    /// No blank line divides text and signatures.
    #[error("no blank line before the signatures")]
    NoSignatures,
    /// A signature line is not of the form `— <name> <base64>`.
    #[error("signature line {0} is not of the form `\u{2014} <name> <base64>`")]
    SignatureLine(usize),
    /// No signature is by the key given.
    #[error("no signature by key `{0}`")]
    UnknownKey(String),
    /// No signature is by any of the keys given.
    #[error("no signature by a key that is known")]
    NoKnownKey,
    /// More signatures than a note may have.
    #[error("note has {SIGNATURES_MAX} signatures, no more are allowed")]
    TooManySignatures,
    /// The signature by the key given does not hold.
    #[error("signature does not match")]
    Signature,
    /// The text is not a checkpoint.
    #[error("line {line} is not {what} of a checkpoint")]
    Checkpoint {
        /// Line of the text, from 1.
        line: usize,
        /// What is expected there.
        what: &'static str,
    },
}

/// A text and signatures over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// A line below a note: who signed, with which key, and the signature as its kind writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    /// Name of the key.
    pub name: Origin,
    /// Key id.
    pub key_id: u32,
    /// The signature; for cosignatures their time, too.
    pub bytes: Vec<u8>,
}

impl Note {
    /// Signs a text, which must end with a line break.
    pub fn sign(text: &str, signer: &Signer) -> Result<Self, NoteError> {
        check_text(text)?;
        let mut note = Self { text: text.to_owned(), signatures: Vec::new() };
        note.add_signature(signer)?;
        Ok(note)
    }

    /// Signs with one more key.
    pub fn add_signature(&mut self, signer: &Signer) -> Result<(), NoteError> {
        self.add(NoteSignature {
            name: signer.origin().clone(),
            key_id: signer.key_id(),
            bytes: signer.sign(self.text.as_bytes()).to_vec(),
        })
    }

    /// Adds a signature, in the place of one by the same key. It is not checked.
    pub fn add(&mut self, signature: NoteSignature) -> Result<(), NoteError> {
        let same = |s: &NoteSignature| s.key_id == signature.key_id && s.name == signature.name;
        self.signatures.retain(|known| !same(known));
        if self.signatures.len() >= SIGNATURES_MAX {
            return Err(NoteError::TooManySignatures);
        }
        self.signatures.push(signature);
        Ok(())
    }

    /// The signatures, in order.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// The text, line break at the end included. Not to be trusted before [`Note::verify`].
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Checks that the key signed the text. Signatures by other keys are passed over.
    pub fn verify(&self, key: &VerifyingKey) -> Result<(), NoteError> {
        let mut signatures = self.by_key(key.origin(), key.key_id()).peekable();
        if signatures.peek().is_none() {
            return Err(NoteError::UnknownKey(key.to_string()));
        }
        match signatures.all(|s| key.verify(self.text.as_bytes(), &s.bytes)) {
            true => Ok(()),
            false => Err(NoteError::Signature),
        }
    }

    /// Those of some keys that signed the text, in the order of the keys. Fails if none did, or
    /// if a signature by one of them does not hold.
    pub fn signers<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k VerifyingKey>,
    ) -> Result<Vec<&'k VerifyingKey>, NoteError> {
        let mut signers = Vec::new();
        for key in keys {
            match self.verify(key) {
                Ok(()) => signers.push(key),
                Err(NoteError::UnknownKey(_)) => {}
                Err(error) => return Err(error),
            }
        }
        match signers.is_empty() {
            true => Err(NoteError::NoKnownKey),
            false => Ok(signers),
        }
    }

    pub(crate) fn by_key<'a>(
        &'a self,
        name: &'a Origin,
        key_id: u32,
    ) -> impl Iterator<Item = &'a NoteSignature> {
        self.signatures.iter().filter(move |s| s.key_id == key_id && s.name == *name)
    }
}

fn check_text(text: &str) -> Result<(), NoteError> {
    if text.len() > NOTE_BYTES_MAX {
        return Err(NoteError::TooLong(text.len()));
    }
    let bad = |c: char| (c as u32) < 0x20 && c != '\n';
    match text.ends_with('\n') && !text.contains(bad) {
        true => Ok(()),
        false => Err(NoteError::Text),
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

impl fmt::Display for NoteSignature {
    /// The line, without the line break at its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.key_id.to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.bytes);
        write!(f, "{SIGNATURE_PREFIX}{} {}", self.name, STANDARD.encode(bytes))
    }
}

impl FromStr for NoteSignature {
    type Err = NoteError;

    /// Reads a line, without the line break at its end.
    fn from_str(line: &str) -> Result<Self, NoteError> {
        let short = line.len() <= NOTE_BYTES_MAX;
        short.then(|| signature(line)).flatten().ok_or(NoteError::SignatureLine(1))
    }
}

impl FromStr for Note {
    type Err = NoteError;

    fn from_str(note: &str) -> Result<Self, NoteError> {
        check_text(note)?;
        let (text, lines) = note
            .rfind("\n\n")
            .and_then(|blank| note.split_at_checked(blank + 1))
            .ok_or(NoteError::NoSignatures)?;
        let signatures = lines
            .lines()
            .enumerate()
            .skip(1)
            .take(SIGNATURES_MAX + 1)
            .map(|(number, line)| signature(line).ok_or(NoteError::SignatureLine(number)))
            .collect::<Result<Vec<_>, _>>()?;
        match signatures.len() {
            0 => Err(NoteError::NoSignatures),
            1..=SIGNATURES_MAX => Ok(Self { text: text.to_owned(), signatures }),
            _ => Err(NoteError::SignatureLine(SIGNATURES_MAX + 1)),
        }
    }
}

fn signature(line: &str) -> Option<NoteSignature> {
    let (name, encoded) = line.strip_prefix(SIGNATURE_PREFIX)?.split_once(' ')?;
    let name = name.parse().ok()?;
    let bytes = STANDARD.decode(encoded).ok()?;
    let (key_id, bytes) = bytes.split_first_chunk()?;
    let key_id = u32::from_be_bytes(*key_id);
    (!bytes.is_empty()).then(|| NoteSignature { name, key_id, bytes: bytes.to_vec() })
}

/// The state of a ledger's tree: what a checkpoint note says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Name of the ledger.
    pub origin: Origin,
    /// Number of entries.
    pub size: u64,
    /// Root hash over them.
    pub root_hash: Hash,
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, STANDARD.encode(self.root_hash))
    }
}

impl FromStr for Checkpoint {
    type Err = NoteError;

    /// Reads the text of a note. Extension lines are passed over.
    fn from_str(text: &str) -> Result<Self, NoteError> {
        let wrong = |line, what| NoteError::Checkpoint { line, what };
        let mut lines = text.strip_suffix('\n').ok_or(NoteError::Text)?.split('\n');
        let origin = lines.next().and_then(|line| line.parse().ok());
        let origin = origin.ok_or(wrong(1, "the origin"))?;
        let digits = lines.next().ok_or(wrong(2, "the size"))?;
        let size = digits.parse::<u64>().ok().filter(|size| size.to_string() == digits);
        let size = size.ok_or(wrong(2, "the size"))?;
        let root_hash = lines.next().and_then(|line| STANDARD.decode(line).ok());
        let root_hash = root_hash
            .and_then(|bytes| Hash::try_from(bytes).ok())
            .ok_or(wrong(3, "the root hash"))?;
        match lines.position(str::is_empty) {
            Some(place) => Err(wrong(4 + place, "an extension")),
            None => Ok(Self { origin, size, root_hash }),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "(.|\n|\u{2014} |[A-Za-z0-9+/=]{4}){0,60}") {
            if let Ok(note) = text.parse::<Note>() {
                prop_assert_eq!(note.to_string(), text.clone());
            }
            let _ = text.parse::<Checkpoint>();
            let _ = text.parse::<VerifyingKey>();
        }

        #[test]
        fn a_checkpoint_reads_as_it_was_written(size: u64, root_hash: Hash) {
            let origin: Origin = "ledger.example.vn".parse().unwrap();
            let checkpoint = Checkpoint { origin, size, root_hash };
            prop_assert_eq!(checkpoint.to_string().parse(), Ok(checkpoint));
        }
    }

    #[test]
    fn a_note_with_two_signatures_is_by_both_keys() {
        let origin: Origin = "ledger.example.vn".parse().unwrap();
        let [old, new, other] = [(); 3].map(|()| Signer::generate(origin.clone()).unwrap().0);
        let [old_key, new_key, other_key] = [&old, &new, &other].map(Signer::verifying_key);
        let mut note = Note::sign("text\n", &new).unwrap();
        note.add_signature(&old).unwrap();
        note.add_signature(&old).unwrap();
        let mut note: Note = note.to_string().parse().unwrap();
        assert_eq!(note.signatures().len(), 2);
        let keys = [old_key.clone(), other_key.clone(), new_key.clone()];
        assert_eq!(note.signers(&keys), Ok(vec![&old_key, &new_key]));
        assert_eq!(note.signers([&other_key]), Err(NoteError::NoKnownKey));
        // One bad signature by a known key spoils the note.
        let mut bad = note.signatures().first().unwrap().clone();
        bad.bytes.swap(0, 1);
        note.add(bad).unwrap();
        assert_eq!(note.signers(&keys), Err(NoteError::Signature));
        assert_eq!(note.signers([&old_key]), Ok(vec![&old_key]));
    }

    #[test]
    fn what_is_not_a_checkpoint_is_refused() {
        let check = |text: &str, expected: &str| {
            assert_eq!(text.parse::<Checkpoint>().unwrap_err().to_string(), expected);
        };
        let root = STANDARD.encode([7; 32]);
        check("", "text of the note holds control characters or does not end with a line break");
        check("two words\n", "line 1 is not the origin of a checkpoint");
        check(&format!("name\n01\n{root}\n"), "line 2 is not the size of a checkpoint");
        check(&format!("name\n+1\n{root}\n"), "line 2 is not the size of a checkpoint");
        check("name\n1\nAAAA\n", "line 3 is not the root hash of a checkpoint");
        check(&format!("name\n1\n{root}\n\n"), "line 4 is not an extension of a checkpoint");
    }
}
