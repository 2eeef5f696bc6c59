//! One checkpoint brought to one witness, as C2SP tlog-witness has it.

use hyper::StatusCode;
use tlog::note::NoteSignature;
use tlog::witness::{AddCheckpoint, cosignatures};
use tlog::{Checkpoint, Note, WitnessKey};

use audit::Tiles;

use crate::client::{Client, Fetched, beginning};

const PATH: &str = "add-checkpoint";
/// Longest answer that is taken: cosignatures, or a size.
const ANSWER_BYTES_MAX: usize = 16 << 10;
/// Requests for one checkpoint, at most: the first may be told that the witness has seen another.
const REQUESTS_MAX: usize = 3;

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The witness's word, found valid.
    Cosigned(NoteSignature),
    /// The witness has seen a history that this ledger does not extend.
    Forked(String),
    /// The witness will not, whatever the checkpoint: it does not know ledger or key.
    Refused(String),
    /// No use was got of it this time.
    Away(String),
}

/// A witness as it is asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) client: Client,
    pub(crate) key: WitnessKey,
    /// Size of the last checkpoint that it cosigned, as far as is known.
    pub(crate) seen: u64,
}

impl Asked {
    /// Asks for a cosignature over a checkpoint of the ledger with these tiles.
    pub(crate) async fn cosign(
        &mut self,
        tiles: &Tiles,
        note: &Note,
        checkpoint: &Checkpoint,
    ) -> Outcome {
        for _ in 0..REQUESTS_MAX {
            if self.seen > checkpoint.size {
                return Outcome::Forked(format!(
                    "it has cosigned {} entries, and this ledger has {}: \
                     was an older copy of it put back?",
                    self.seen, checkpoint.size
                ));
            }
            let answer = match self.ask(tiles, note, checkpoint.size).await {
                Ok(answer) => answer,
                Err(why) => return Outcome::Away(why),
            };
            match self.read(&answer, note, checkpoint) {
                Some(outcome) => return outcome,
                None => continue,
            }
        }
        Outcome::Away("it goes on telling other sizes, is another gateway its client?".to_owned())
    }

    async fn ask(&self, tiles: &Tiles, note: &Note, size: u64) -> Result<Fetched, String> {
        let (tiles, old_size) = (tiles.clone(), self.seen);
        // It reads files, and hashes.
        let proof = tokio::task::spawn_blocking(move || tiles.consistency(old_size, size)).await;
        let proof = proof.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        let request = AddCheckpoint { old_size, proof, checkpoint: note.clone() };
        let answered = self.client.post(PATH, request.to_string(), ANSWER_BYTES_MAX).await;
        answered.map_err(|error| error.to_string())
    }

    /// What an answer says; `None` if it is to be asked again from another size.
    fn read(&mut self, answer: &Fetched, note: &Note, checkpoint: &Checkpoint) -> Option<Outcome> {
        let text = beginning(&answer.body);
        let said = |what: &str| format!("{what} ({}: {text})", answer.status.as_u16());
        Some(match answer.status {
            StatusCode::OK => self.cosigned(&answer.body, note, checkpoint),
            StatusCode::CONFLICT => match text.parse::<u64>() {
                Ok(size) if size == self.seen => Outcome::Forked(format!(
                    "it has cosigned another root hash over the same {size} entries"
                )),
                Ok(size) => {
                    self.seen = size;
                    return None;
                }
                Err(_) => Outcome::Away(said("it tells no size")),
            },
            StatusCode::UNPROCESSABLE_ENTITY => Outcome::Forked(said(
                "what it has cosigned is not the beginning of this ledger: \
                 was an older copy of it put back?",
            )),
            StatusCode::FORBIDDEN => Outcome::Refused(said("it does not know this ledger's key")),
            StatusCode::NOT_FOUND => Outcome::Refused(said("it does not know this ledger")),
            StatusCode::BAD_REQUEST => Outcome::Refused(said("it cannot read the request")),
            _ => Outcome::Away(said("it does not cosign now")),
        })
    }

    fn cosigned(&mut self, body: &[u8], note: &Note, checkpoint: &Checkpoint) -> Outcome {
        let Ok(body) = std::str::from_utf8(body) else {
            return Outcome::Away("its answer is no text".to_owned());
        };
        match cosignatures(body, note, std::slice::from_ref(&self.key)) {
            Ok(signatures) => match signatures.into_iter().next() {
                Some(signature) => {
                    self.seen = checkpoint.size;
                    Outcome::Cosigned(signature)
                }
                None => Outcome::Away("its answer holds no cosignature".to_owned()),
            },
            Err(error) => {
                Outcome::Refused(format!("its cosignature is not by the key given: {error}"))
            }
        }
    }
}
