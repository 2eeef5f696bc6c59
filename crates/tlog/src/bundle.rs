//! Proof files of C2SP tlog-proof: an entry's place, its path to the root, and the checkpoint with
//! the signatures of ledger and witnesses. All that is needed to verify offline.
//!
//! ```
//! use tlog::bundle::{Bundle, Policy};
//! use tlog::{Checkpoint, Note, Signer, tree};
//!
//! let leaves = [tree::leaf_hash(b"a"), tree::leaf_hash(b"b"), tree::leaf_hash(b"c")];
//! let origin: tlog::Origin = "ledger.example.vn".parse()?;
//! let (signer, _) = Signer::generate(origin.clone())?;
//! let head = Checkpoint { origin, size: 3, root_hash: tree::root(&leaves) };
//! let checkpoint = Note::sign(&head.to_string(), &signer)?;
//! let path = tree::inclusion_path(&leaves, 1).ok_or("no such leaf")?;
//!
//! let file = Bundle { extra: None, index: 1, path, checkpoint }.to_string();
//! let bundle: Bundle = file.parse()?;
//! let policy = Policy { log: vec![signer.verifying_key()], witnesses: vec![], quorum: 0 };
//! assert_eq!(bundle.verify(b"b", &policy)?.size, 3);
//! assert!(bundle.verify(b"x", &policy).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use crate::cosignature::WitnessKey;
use crate::note::{Checkpoint, NOTE_BYTES_MAX, Note, NoteError};
use crate::proof::{self, Head, MismatchError, PATH_HASHES_MAX};
use crate::sign::{Origin, VerifyingKey};
use crate::tree::{self, Hash};
use crate::witness::{decimal, decode_hash};

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";
/// Longest extra data, in bytes: an entry may go with its proof.
pub const EXTRA_BYTES_MAX: usize = 96 << 10;
/// Longest proof file that is read, in bytes.
pub const BUNDLE_BYTES_MAX: usize =
    NOTE_BYTES_MAX + EXTRA_BYTES_MAX / 3 * 4 + (PATH_HASHES_MAX + 4) * 64;

/// The proof that an entry stands in a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// What came with it. Nothing vouches for it.
    pub extra: Option<Vec<u8>>,
    /// The entry's index.
    pub index: u64,
    /// The hashes that lead from the entry to the root.
    pub path: Vec<Hash>,
    /// The checkpoint with that root.
    pub checkpoint: Note,
}

/// Whom a verifier trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Keys of the ledger; one of them must have signed.
    pub log: Vec<VerifyingKey>,
    /// Witnesses that count.
    pub witnesses: Vec<WitnessKey>,
    /// How many of them must have cosigned. 0 asks for none.
    pub quorum: usize,
}

/// What a proof shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// The ledger.
    pub origin: Origin,
    /// The entry's index.
    pub index: u64,
    /// Size of the tree that the checkpoint vouches for.
    pub size: u64,
    /// Its root hash.
    pub root_hash: Hash,
    /// The key of the ledger that signed.
    pub signed_by: VerifyingKey,
    /// The witnesses that cosigned, and when, in seconds since 1970.
    pub cosigned: Vec<(WitnessKey, u64)>,
}

/// Why a text is not a proof file, or what it says does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BundleError {
    /// Longer than allowed.
    #[error("proof has {0} bytes, at most {BUNDLE_BYTES_MAX} are allowed")]
    TooLong(usize),
    /// A line is not what it has to be.
    #[error("line {line} is not {what} of a proof")]
    Line {
        /// Which, from 1.
        line: usize,
        /// What is expected there.
        what: &'static str,
    },
    /// The checkpoint is not one, or is not signed by the ledger.
    #[error("checkpoint: {0}")]
    Checkpoint(#[from] NoteError),
    /// The checkpoint is that of another ledger.
    #[error("checkpoint is of `{0}`, its key is named otherwise")]
    Origin(Origin),
    /// The path does not lead from the entry to the root.
    #[error("entry {index}: {source}")]
    Path {
        /// The entry's index.
        index: u64,
        /// What is wrong.
        source: MismatchError,
    },
    /// Too few witnesses cosigned.
    #[error("{found} of the trusted witnesses cosigned, {needed} are needed")]
    Quorum {
        /// How many did.
        found: usize,
        /// How many must.
        needed: usize,
    },
}

impl Bundle {
    /// Checks that the entry, as the ledger holds it, stands at its index under a checkpoint that
    /// those whom the policy trusts have signed.
    pub fn verify(&self, entry: &[u8], policy: &Policy) -> Result<Proven, BundleError> {
        self.verify_leaf(&tree::leaf_hash(entry), policy)
    }

    /// The same for an entry of which only the leaf hash is known.
    pub fn verify_leaf(&self, leaf: &Hash, policy: &Policy) -> Result<Proven, BundleError> {
        let signers = self.checkpoint.signers(&policy.log)?;
        let checkpoint: Checkpoint = self.checkpoint.text().parse()?;
        let Checkpoint { origin, size, root_hash } = checkpoint;
        let signed_by = signers.into_iter().find(|key| *key.origin() == origin);
        let signed_by = signed_by.ok_or_else(|| BundleError::Origin(origin.clone()))?.clone();
        let (index, head) = (self.index, Head { size, root_hash });
        proof::verify_inclusion(leaf, index, &head, &self.path)
            .map_err(|source| BundleError::Path { index, source })?;
        let cosigned = self.cosigned(&policy.witnesses)?;
        if cosigned.len() < policy.quorum {
            return Err(BundleError::Quorum { found: cosigned.len(), needed: policy.quorum });
        }
        Ok(Proven { origin, index, size, root_hash, signed_by, cosigned })
    }

    /// Those of the witnesses that cosigned; a key that is named twice counts once.
    fn cosigned(&self, witnesses: &[WitnessKey]) -> Result<Vec<(WitnessKey, u64)>, NoteError> {
        let mut cosigned: Vec<(WitnessKey, u64)> = Vec::new();
        for witness in witnesses {
            match witness.verify(&self.checkpoint) {
                Ok(_) if cosigned.iter().any(|(known, _)| known.public() == witness.public()) => {}
                Ok(time) => cosigned.push((witness.clone(), time)),
                Err(NoteError::UnknownKey(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(cosigned)
    }
}

impl fmt::Display for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", STANDARD.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.path.iter().try_for_each(|hash| writeln!(f, "{}", STANDARD.encode(hash)))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for Bundle {
    type Err = BundleError;

    fn from_str(file: &str) -> Result<Self, BundleError> {
        if file.len() > BUNDLE_BYTES_MAX {
            return Err(BundleError::TooLong(file.len()));
        }
        let wrong = |line, what| BundleError::Line { line, what };
        let (head, checkpoint) =
            file.split_once("\n\n").ok_or(wrong(1, "the head and a checkpoint"))?;
        let mut lines = (1..).zip(head.split('\n')).peekable();
        if lines.next().is_none_or(|(_, line)| line != FIRST_LINE) {
            return Err(wrong(1, "the first line"));
        }
        let extra = lines.next_if(|(_, line)| line.starts_with("extra "));
        let extra = match extra.and_then(|(_, line)| line.strip_prefix("extra ")) {
            Some(encoded) => {
                let decoded = STANDARD.decode(encoded).map_err(|_| wrong(2, "the extra data"))?;
                let short = Some(decoded).filter(|extra| extra.len() <= EXTRA_BYTES_MAX);
                Some(short.ok_or(wrong(2, "the extra data"))?)
            }
            None => None,
        };
        let (number, line) = lines.next().ok_or(wrong(2, "the index"))?;
        let index = line.strip_prefix("index ").and_then(decimal);
        let index = index.ok_or(wrong(number, "the index"))?;
        let path = lines
            .take(PATH_HASHES_MAX + 1)
            .map(|(number, line)| decode_hash(line).ok_or(wrong(number, "a hash")))
            .collect::<Result<Vec<_>, _>>()?;
        match path.len() <= PATH_HASHES_MAX {
            true => Ok(Self { extra, index, path, checkpoint: checkpoint.parse()? }),
            false => Err(wrong(PATH_HASHES_MAX + 3, "the end of the path")),
        }
    }
}
