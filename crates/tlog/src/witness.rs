//! A witness as in C2SP tlog-witness: cosigns a checkpoint only if it extends the last one it
//! cosigned for that ledger. Network and storage are the caller's.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use crate::cosignature::{Cosigner, WitnessKey};
use crate::note::{Checkpoint, NOTE_BYTES_MAX, Note, NoteError, NoteSignature};
use crate::proof::{self, Head, PATH_HASHES_MAX};
use crate::sign::{Origin, VerifyingKey};
use crate::tree::{self, Hash};

/// Hashes of a consistency proof in a request, at most.
const PROOF_LINES_MAX: usize = 63;
/// Longest request that is read, in bytes: old size, proof, and a note.
pub const REQUEST_BYTES_MAX: usize = NOTE_BYTES_MAX + (PATH_HASHES_MAX + 1) * 64;
/// Content type of an answer with a tree size.
const TYPE_SIZE: &str = "text/x.tlog.size";
const TYPE_TEXT: &str = "text/plain; charset=utf-8";

/// A checkpoint to be cosigned, and the proof that it extends an older one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// Size of the last checkpoint that the witness cosigned, as far as the sender knows.
    pub old_size: u64,
    /// The consistency proof from there.
    pub proof: Vec<Hash>,
    /// The new checkpoint.
    pub checkpoint: Note,
}

/// Why a text is not a request to cosign.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// Longer than allowed.
    #[error("request has {0} bytes, at most {REQUEST_BYTES_MAX} are allowed")]
    TooLong(usize),
    /// The bytes are not UTF-8.
    #[error("request is not text")]
    NotText,
    /// The first line does not tell the old size.
    #[error("line 1 is not `old <size>`")]
    OldSize,
    /// A line is not a hash.
    #[error("line {0} is not a hash in base64")]
    Hash(usize),
    /// More hashes than a proof can have.
    #[error("consistency proof has more than {PROOF_LINES_MAX} hashes")]
    TooManyHashes,
    /// No blank line before the checkpoint.
    #[error("no blank line before the checkpoint")]
    NoCheckpoint,
    /// The checkpoint is not a note.
    #[error("checkpoint: {0}")]
    Note(#[from] NoteError),
}

impl AddCheckpoint {
    /// Reads the body of a request.
    pub fn from_bytes(body: &[u8]) -> Result<Self, RequestError> {
        if body.len() > REQUEST_BYTES_MAX {
            return Err(RequestError::TooLong(body.len()));
        }
        std::str::from_utf8(body).map_err(|_| RequestError::NotText)?.parse()
    }
}

impl fmt::Display for AddCheckpoint {
    /// The body of the request.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old_size)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{}", STANDARD.encode(hash)))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for AddCheckpoint {
    type Err = RequestError;

    fn from_str(body: &str) -> Result<Self, RequestError> {
        if body.len() > REQUEST_BYTES_MAX {
            return Err(RequestError::TooLong(body.len()));
        }
        let (head, checkpoint) = body.split_once("\n\n").ok_or(RequestError::NoCheckpoint)?;
        let mut lines = head.split('\n');
        let old_size = lines.next().and_then(|line| line.strip_prefix("old "));
        let old_size = old_size.and_then(decimal).ok_or(RequestError::OldSize)?;
        let mut proof = Vec::new();
        for (number, line) in (2..).zip(lines) {
            if proof.len() >= PROOF_LINES_MAX {
                return Err(RequestError::TooManyHashes);
            }
            proof.push(decode_hash(line).ok_or(RequestError::Hash(number))?);
        }
        Ok(Self { old_size, proof, checkpoint: checkpoint.parse()? })
    }
}

/// A number without sign or leading zeros.
pub(crate) fn decimal(digits: &str) -> Option<u64> {
    digits.parse::<u64>().ok().filter(|number| number.to_string() == digits)
}

/// A hash in base64.
pub(crate) fn decode_hash(line: &str) -> Option<Hash> {
    (line.len() == 44).then(|| STANDARD.decode(line).ok()?.try_into().ok()).flatten()
}

/// What a witness keeps for each ledger: the last head that it cosigned.
///
/// The one promise of a witness rests on this: a state that is set back, by a restored backup for
/// instance, lets it cosign two histories.
pub trait States {
    /// Why the state could not be read or written.
    type Error: fmt::Display;

    /// The last head cosigned, or `None` if there was none.
    fn load(&self, origin: &Origin) -> Result<Option<Head>, Self::Error>;

    /// Puts `new` in the place of `old`, durably before it returns. False, and nothing changed, if
    /// the state is not `old`. After an error either one may be found.
    fn replace(&self, origin: &Origin, old: Option<&Head>, new: &Head)
    -> Result<bool, Self::Error>;
}

/// What a witness answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The cosignature.
    Cosigned(NoteSignature),
    /// The request is not one.
    Malformed(String),
    /// No key of the ledger signed the checkpoint.
    NotSigned,
    /// The witness does not know the ledger.
    UnknownLog,
    /// The last checkpoint cosigned has this size, or another root at it.
    Conflict(u64),
    /// The proof does not show that the checkpoint extends the last one.
    NotConsistent(String),
    /// The state could not be read or written.
    Unavailable(String),
}

impl Answer {
    /// The status of the answer over HTTP.
    pub fn status(&self) -> u16 {
        match self {
            Self::Cosigned(_) => 200,
            Self::Malformed(_) => 400,
            Self::NotSigned => 403,
            Self::UnknownLog => 404,
            Self::Conflict(_) => 409,
            Self::NotConsistent(_) => 422,
            Self::Unavailable(_) => 503,
        }
    }

    /// Its content type.
    pub fn content_type(&self) -> &'static str {
        match self {
            Self::Conflict(_) => TYPE_SIZE,
            _ => TYPE_TEXT,
        }
    }

    /// Its body.
    pub fn body(&self) -> String {
        match self {
            Self::Cosigned(signature) => format!("{signature}\n"),
            Self::Malformed(why) => format!("request cannot be read: {why}\n"),
            Self::NotSigned => "checkpoint is not signed by a key of its ledger\n".to_owned(),
            Self::UnknownLog => "ledger is not known to this witness\n".to_owned(),
            Self::Conflict(size) => format!("{size}\n"),
            Self::NotConsistent(why) => format!("checkpoint does not extend the last: {why}\n"),
            Self::Unavailable(_) => "state of the witness cannot be used\n".to_owned(),
        }
    }
}

/// A witness: its key, the ledgers it knows, and what it cosigned last.
///
/// ```
/// use std::collections::HashMap;
/// use std::convert::Infallible;
/// use std::sync::Mutex;
///
/// use tlog::witness::{AddCheckpoint, States, Witness};
/// use tlog::{Checkpoint, Cosigner, Head, Note, Origin, Signer, tree};
///
/// #[derive(Default)]
/// struct InMemory(Mutex<HashMap<String, Head>>);
///
/// impl States for InMemory {
///     type Error = Infallible;
///     fn load(&self, origin: &Origin) -> Result<Option<Head>, Infallible> {
///         Ok(self.0.lock().unwrap().get(origin.as_str()).copied())
///     }
///     fn replace(&self, origin: &Origin, old: Option<&Head>, new: &Head)
///         -> Result<bool, Infallible> {
///         let mut heads = self.0.lock().unwrap();
///         let is_old = heads.get(origin.as_str()) == old;
///         if is_old {
///             heads.insert(origin.to_string(), *new);
///         }
///         Ok(is_old)
///     }
/// }
///
/// let origin: Origin = "ledger.example.vn".parse()?;
/// let (signer, _) = Signer::generate(origin.clone())?;
/// let (cosigner, _) = Cosigner::generate("witness.example.vn".parse()?)?;
/// let key = cosigner.key();
/// let witness = Witness::new(cosigner, vec![signer.verifying_key()], InMemory::default());
///
/// let head = Checkpoint { origin, size: 1, root_hash: tree::leaf_hash(b"first") };
/// let mut checkpoint = Note::sign(&head.to_string(), &signer)?;
/// let request = AddCheckpoint { old_size: 0, proof: vec![], checkpoint: checkpoint.clone() };
/// let answer = witness.add_checkpoint(request.to_string().as_bytes(), 1_795_000_000);
/// assert_eq!(answer.status(), 200);
/// // The ledger's side.
/// let cosigned = tlog::witness::cosignatures(&answer.body(), &checkpoint, &[key])?;
/// checkpoint.add(cosigned[0].clone())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Witness<S> {
    cosigner: Cosigner,
    logs: Vec<VerifyingKey>,
    states: S,
}

impl<S: States> Witness<S> {
    /// A witness for the ledgers with these keys; a ledger may have several.
    pub fn new(cosigner: Cosigner, logs: Vec<VerifyingKey>, states: S) -> Self {
        Self { cosigner, logs, states }
    }

    /// The public key of the witness.
    pub fn key(&self) -> WitnessKey {
        self.cosigner.key()
    }

    /// Answers the body of an `add-checkpoint` request. `now` is in seconds since 1970.
    pub fn add_checkpoint(&self, body: &[u8], now: u64) -> Answer {
        match AddCheckpoint::from_bytes(body) {
            Ok(request) => self.decide(&request, now).unwrap_or_else(|refusal| refusal),
            Err(error) => Answer::Malformed(error.to_string()),
        }
    }

    fn decide(&self, request: &AddCheckpoint, now: u64) -> Result<Answer, Answer> {
        let AddCheckpoint { old_size, proof, checkpoint: note } = request;
        let malformed = |error: NoteError| Answer::Malformed(error.to_string());
        let checkpoint: Checkpoint = note.text().parse().map_err(malformed)?;
        let origin = &checkpoint.origin;
        let mut keys = self.logs.iter().filter(|key| key.origin() == origin).peekable();
        if keys.peek().is_none() {
            return Err(Answer::UnknownLog);
        }
        note.signers(keys).map_err(|_| Answer::NotSigned)?;
        let new = Head { size: checkpoint.size, root_hash: checkpoint.root_hash };
        if *old_size > new.size {
            let why = format!("old size {old_size} is larger than that of the checkpoint");
            return Err(Answer::Malformed(why));
        }
        let unavailable = |error: S::Error| Answer::Unavailable(error.to_string());
        let last = self.states.load(origin).map_err(unavailable)?;
        let old = last.unwrap_or(Head { size: 0, root_hash: tree::empty_root() });
        if *old_size != old.size || (old.size == new.size && old.root_hash != new.root_hash) {
            return Err(Answer::Conflict(old.size));
        }
        proof::verify_consistency(&old, &new, proof)
            .map_err(|error| Answer::NotConsistent(error.to_string()))?;
        // Durable before the cosignature exists: if we stop here, the ledger asks again.
        if !self.states.replace(origin, last.as_ref(), &new).map_err(unavailable)? {
            let newer = self.states.load(origin).map_err(unavailable)?;
            return Err(Answer::Conflict(newer.map_or(0, |head| head.size)));
        }
        Ok(Answer::Cosigned(self.cosigner.cosign(note.text(), now)))
    }
}

/// The valid cosignatures over a checkpoint in a witness's answer, by any of these keys. Lines by
/// other keys are passed over.
pub fn cosignatures(
    body: &str,
    checkpoint: &Note,
    keys: &[WitnessKey],
) -> Result<Vec<NoteSignature>, NoteError> {
    if body.len() > NOTE_BYTES_MAX {
        return Err(NoteError::TooLong(body.len()));
    }
    let mut found = Vec::new();
    for (number, line) in (1..).zip(body.lines()) {
        let signature: NoteSignature =
            line.parse().map_err(|_| NoteError::SignatureLine(number))?;
        let by =
            |key: &&WitnessKey| key.key_id() == signature.key_id && *key.name() == signature.name;
        if let Some(key) = keys.iter().find(by) {
            let mut cosigned = checkpoint.clone();
            cosigned.add(signature.clone())?;
            key.verify(&cosigned)?;
            found.push(signature);
        }
    }
    match found.is_empty() {
        true => Err(NoteError::NoKnownKey),
        false => Ok(found),
    }
}
