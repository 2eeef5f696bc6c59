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
    signatures: Vec<Signature>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Signature {
    name: String,
    key_id: u32,
    bytes: Vec<u8>,
}

impl Note {
    /// Signs a text, which must end with a line break.
    pub fn sign(text: &str, signer: &Signer) -> Result<Self, NoteError> {
        check_text(text)?;
        let signature = Signature {
            name: signer.origin().as_str().to_owned(),
            key_id: signer.key_id(),
            bytes: signer.sign(text.as_bytes()).to_vec(),
        };
        Ok(Self { text: text.to_owned(), signatures: vec![signature] })
    }

    /// The text, line break at the end included. Not to be trusted before [`Note::verify`].
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Checks that the key signed the text. Signatures by other keys are passed over.
    pub fn verify(&self, key: &VerifyingKey) -> Result<(), NoteError> {
        let by_key = |s: &&Signature| s.key_id == key.key_id() && s.name == key.origin().as_str();
        let mut signatures = self.signatures.iter().filter(by_key).peekable();
        if signatures.peek().is_none() {
            return Err(NoteError::UnknownKey(key.to_string()));
        }
        match signatures.all(|s| key.verify(self.text.as_bytes(), &s.bytes)) {
            true => Ok(()),
            false => Err(NoteError::Signature),
        }
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
        for signature in &self.signatures {
            let mut bytes = signature.key_id.to_be_bytes().to_vec();
            bytes.extend_from_slice(&signature.bytes);
            writeln!(f, "{SIGNATURE_PREFIX}{} {}", signature.name, STANDARD.encode(bytes))?;
        }
        Ok(())
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

fn signature(line: &str) -> Option<Signature> {
    let (name, encoded) = line.strip_prefix(SIGNATURE_PREFIX)?.split_once(' ')?;
    let name = name.parse::<Origin>().ok()?.to_string();
    let bytes = STANDARD.decode(encoded).ok()?;
    let (key_id, bytes) = bytes.split_first_chunk()?;
    let key_id = u32::from_be_bytes(*key_id);
    (!bytes.is_empty()).then(|| Signature { name, key_id, bytes: bytes.to_vec() })
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
