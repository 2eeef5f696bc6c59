//! What came of loading or applying a configuration: for who asked, for the status, for the log.

use model::{CertificateDigest, RevisionId, Timestamp};
use thiserror::Error;

use crate::revisions::Origin;
use crate::staging::StagingError;
use crate::{LoadError, Problem};

/// Problems of a rejected configuration that are kept.
const PROBLEMS_KEPT: usize = 20;

/// A configuration that did not come into force.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// When it was loaded.
    pub time: Timestamp,
    /// Why it was loaded.
    pub origin: Origin,
    /// The certificate of the operator who applied it, if one did.
    pub operator: Option<CertificateDigest>,
    /// The first of its problems.
    pub problems: Vec<Problem>,
    /// How many problems there were.
    pub problems_total: usize,
    /// Why it could not be used, where that is no problem of a file.
    pub cause: Option<String>,
}

impl Rejected {
    /// What could not be loaded.
    pub(crate) fn new(time: Timestamp, origin: Origin, error: &LoadError) -> Self {
        let (problems, cause): (&[Problem], _) = match error {
            LoadError::Problems(problems) => (problems, None),
            error => (&[], Some(chain(error))),
        };
        Self {
            time,
            origin,
            operator: None,
            problems: problems.iter().take(PROBLEMS_KEPT).cloned().collect(),
            problems_total: problems.len(),
            cause,
        }
    }

    /// What could not be applied.
    pub(crate) fn of_apply(
        time: Timestamp,
        operator: CertificateDigest,
        error: &ApplyError,
    ) -> Self {
        let origin = Origin::Apply;
        let rejected = match error {
            ApplyError::Load(error) => Self::new(time, origin, error),
            error => Self {
                time,
                origin,
                operator: None,
                problems: Vec::new(),
                problems_total: 0,
                cause: Some(chain(error)),
            },
        };
        Self { operator: Some(operator), ..rejected }
    }
}

/// What came of loading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A new revision is in force.
    InForce {
        /// The revision.
        revision: RevisionId,
        /// How many agreements were added, changed or taken out, where nothing else changed.
        amended: Option<usize>,
        /// What operators should know although nothing is wrong.
        notes: Vec<String>,
    },
    /// The files say what they said before.
    Unchanged,
}

/// What came of an apply whose files are good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The revision, if it is in force now: a dry run only checks.
    pub revision: Option<RevisionId>,
    /// What operators should know although nothing is wrong.
    pub notes: Vec<String>,
    /// How many agreements there are.
    pub agreements: usize,
    /// How many policies there are.
    pub policies: usize,
}

/// Why an apply changed nothing; or, in one case, why it is not known whether it did.
#[derive(Debug, Error)]
pub enum ApplyError {
    /// The files could not be taken.
    #[error(transparent)]
    Staging(#[from] StagingError),
    /// They were read and are no good, or could not be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// An earlier apply is not finished, which a dry run leaves alone.
    #[error("an earlier apply was cut short; the next load (SIGHUP) or apply finishes it")]
    Unfinished,
    /// They could not be put in place. Nothing has changed.
    #[error("{0}")]
    NotCommitted(String),
    /// They were put in place in part. The next load goes on with it.
    #[error("{0}")]
    Unknown(String),
}

/// Tells what came of loading the folder. What comes into force is told as it does.
pub(crate) fn log_reload(outcome: &Result<Outcome, LoadError>) {
    match outcome {
        Ok(Outcome::InForce { .. }) => {}
        Ok(Outcome::Unchanged) => {
            tracing::info!("the configuration says what it said before");
        }
        Err(LoadError::Problems(problems)) => {
            for problem in problems {
                tracing::warn!(%problem, "configuration rejected");
            }
        }
        Err(error) => {
            let error = chain(error);
            tracing::warn!(error, "configuration rejected");
        }
    }
}

/// Tells what came of an apply, and whose it was. The operator has the problems one by one; the
/// log has the first.
pub(crate) fn log_apply(
    operator: CertificateDigest,
    dry_run: bool,
    applied: &Result<Applied, ApplyError>,
) {
    match applied {
        Ok(Applied { revision: Some(revision), .. }) => {
            tracing::info!(%operator, %revision, "applied");
        }
        Ok(Applied { revision: None, .. }) => tracing::info!(%operator, "dry run: good"),
        Err(ApplyError::Load(LoadError::Problems(problems))) if dry_run => {
            tracing::info!(%operator, problems = problems.len(), "dry run: problems");
        }
        Err(ApplyError::Load(LoadError::Problems(problems))) => {
            let first = problems.first().map(ToString::to_string);
            tracing::warn!(%operator, problems = problems.len(), first, "apply rejected");
        }
        Err(error @ ApplyError::NotCommitted(_)) => {
            let error = chain(error);
            tracing::error!(%operator, error, "apply not put in place, nothing has changed");
        }
        Err(error @ ApplyError::Unknown(_)) => {
            let error = chain(error);
            tracing::error!(%operator, error, "apply cut short, the next load goes on with it");
        }
        Err(error) => {
            let error = chain(error);
            tracing::warn!(%operator, dry_run, error, "apply rejected");
        }
    }
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
