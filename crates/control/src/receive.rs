//! The method `Apply`: from a stream of files to a revision in force, or to what is wrong.

use std::sync::Arc;
use std::time::Duration;

use model::{Action, CertificateDigest, Operator};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tonic::{Status, Streaming};
use wire::generated::admin::apply_request::{Begin, Part};
use wire::generated::admin::{ApplyRequest, ApplyResponse};

use crate::LoadError;
use crate::admin::Record;
use crate::outcome::{Applied, ApplyError, chain};
use crate::revisions::Revisions;
use crate::staging::StagingError;
use crate::status::{count, problem};

/// Messages that wait to be written to disk.
const MESSAGES_WAITING_MAX: usize = 16;
/// Longest silence of a caller that has more to send.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Whose turn it is: one apply at a time.
pub(crate) struct Turns(Arc<Semaphore>);

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

/// The right to apply, until it is dropped.
pub(crate) struct Turn {
    _permit: OwnedSemaphorePermit,
}

impl Turns {
    /// Takes the turn, unless another apply is under way.
    pub(crate) fn take(&self) -> Result<Turn, Status> {
        let permit = Arc::clone(&self.0).try_acquire_owned();
        let busy = |_| Status::aborted("another apply is under way; try again when it is over");
        permit.map(|permit| Turn { _permit: permit }).map_err(busy)
    }
}

/// What comes from the caller, on its way to the disk.
enum Message {
    File(String),
    Chunk(Vec<u8>),
    /// There is no more. Without it the caller went away.
    End,
}

/// What an apply is done with, and for whom.
pub(crate) struct Work {
    pub(crate) revisions: Arc<Revisions>,
    pub(crate) record: Arc<Record>,
    pub(crate) operator: Operator,
}

impl Work {
    /// Records that the operator put a revision in force, if so.
    fn record(&self, applied: &Result<Applied, ApplyError>) -> Result<(), String> {
        let Ok(Applied { revision: Some(revision), .. }) = applied else { return Ok(()) };
        (self.record)(&self.operator, Action::Apply, *revision).inspect_err(|cause| {
            tracing::error!(%revision, cause, "applied, but the ledger did not take the entry");
        })
    }
}

/// Receives files and applies them.
pub(crate) async fn apply(
    mut stream: Streaming<ApplyRequest>,
    work: Work,
    turn: Turn,
) -> Result<ApplyResponse, Status> {
    let Some(Part::Begin(Begin { dry_run })) = next(&mut stream).await? else {
        return Err(Status::invalid_argument("found no `begin`, expected it first"));
    };
    let (sender, receiver) = mpsc::channel(MESSAGES_WAITING_MAX);
    let current = Arc::clone(&work.revisions);
    // The turn ends with the work, which goes on when the caller is gone.
    let work = spawn_blocking(move || {
        let _turn = turn;
        let certificate = work.operator.certificate;
        let applied = take_in(&work.revisions, receiver, certificate, dry_run);
        work.revisions.conclude(certificate, dry_run, &applied);
        let recorded = work.record(&applied);
        (applied, recorded)
    });
    let sent = forward(&mut stream, sender).await;
    let (applied, recorded) =
        work.await.map_err(|_| Status::internal("the apply came to no end"))?;
    sent?;
    recorded.map_err(|cause| {
        Status::internal(format!("in force, but the ledger did not take the entry of it: {cause}"))
    })?;
    answer(applied, current.current().revision().0)
}

/// Passes messages on as the disk takes them. When the work ends early, it says why.
async fn forward(
    stream: &mut Streaming<ApplyRequest>,
    sender: mpsc::Sender<Message>,
) -> Result<(), Status> {
    loop {
        let message = match next(stream).await? {
            Some(Part::File(file)) => Message::File(file.path),
            Some(Part::Chunk(bytes)) => Message::Chunk(bytes),
            Some(Part::Begin(_)) => {
                return Err(Status::invalid_argument("found a second `begin`, expected files"));
            }
            Some(Part::End(_)) => Message::End,
            // A call that was broken off ends like one that is over, so that only `end` counts.
            None => return Err(Status::cancelled("the stream ended without `end`")),
        };
        let last = matches!(message, Message::End);
        if sender.send(message).await.is_err() || last {
            return Ok(());
        }
    }
}

/// The next part; `None` at the end.
async fn next(stream: &mut Streaming<ApplyRequest>) -> Result<Option<Part>, Status> {
    let silent = |_| Status::deadline_exceeded("nothing came for 30 s");
    match timeout(SILENCE_MAX, stream.message()).await.map_err(silent)?? {
        Some(ApplyRequest { part: Some(part) }) => Ok(Some(part)),
        Some(ApplyRequest { part: None }) => {
            Err(Status::invalid_argument("found an empty message, expected a part"))
        }
        None => Ok(None),
    }
}

/// Writes the files and applies them. On a thread that may wait.
fn take_in(
    revisions: &Revisions,
    mut messages: mpsc::Receiver<Message>,
    operator: CertificateDigest,
    dry_run: bool,
) -> Result<Applied, ApplyError> {
    let mut staging = revisions.stage(dry_run)?;
    loop {
        match messages.blocking_recv() {
            Some(Message::File(path)) => staging.file(&path)?,
            Some(Message::Chunk(bytes)) => staging.chunk(&bytes)?,
            Some(Message::End) => return revisions.apply(&staging, operator, dry_run),
            None => return Err(StagingError::Abandoned.into()),
        }
    }
}

fn answer(applied: Result<Applied, ApplyError>, current: u64) -> Result<ApplyResponse, Status> {
    let error = match applied {
        Ok(applied) => {
            return Ok(ApplyResponse {
                applied: applied.revision.is_some(),
                revision: applied.revision.map_or(current, |revision| revision.0),
                problems: Vec::new(),
                notes: applied.notes,
                agreements: count(applied.agreements),
                policies: count(applied.policies),
            });
        }
        Err(ApplyError::Load(LoadError::Problems(problems))) => {
            let problems = problems.iter().map(problem).collect();
            return Ok(ApplyResponse { revision: current, problems, ..Default::default() });
        }
        Err(error) => error,
    };
    let text = chain(&error);
    Err(match error {
        ApplyError::Staging(StagingError::Path { .. } | StagingError::Order { .. }) => {
            Status::invalid_argument(text)
        }
        ApplyError::Staging(StagingError::TooMuch(_)) => Status::resource_exhausted(text),
        ApplyError::Staging(StagingError::Abandoned) => Status::cancelled(text),
        ApplyError::Unfinished | ApplyError::Load(LoadError::Unusable(_)) => {
            Status::failed_precondition(text)
        }
        ApplyError::Staging(StagingError::Unwritten(_))
        | ApplyError::Load(_)
        | ApplyError::NotCommitted(_) => Status::internal(text),
        ApplyError::Unknown(_) => Status::unknown(text),
    })
}

#[cfg(test)]
mod tests {
    use std::io;

    use tonic::Code;

    use super::*;

    /// Callers try again, or look, or change something, by the code alone.
    #[test]
    fn what_failed_is_told_apart_by_its_code() {
        let check = |error: ApplyError, code: Code, message: &str| {
            let status = answer(Err(error), 7).unwrap_err();
            assert_eq!((status.code(), status.message()), (code, message));
        };
        let in_part = "cannot replace all files, the next load goes on with it: no space";
        check(ApplyError::Unknown(in_part.to_owned()), Code::Unknown, in_part);
        let nothing = "cannot replace the files, nothing has changed: no space";
        check(ApplyError::NotCommitted(nothing.to_owned()), Code::Internal, nothing);
        let unusable = LoadError::Unusable("keys".to_owned()).into();
        let message = "the configuration cannot be used: keys";
        check(unusable, Code::FailedPrecondition, message);
        let unwritten = StagingError::Unwritten(io::Error::other("no space")).into();
        let message = "cannot write the files beside the configuration: no space";
        check(unwritten, Code::Internal, message);
    }
}
