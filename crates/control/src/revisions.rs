//! Which revision is in force, and how the next one comes: by a signal, by a change of the
//! folder, or applied through the admin API.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{Clock, RevisionId, Timestamp};
use policy::Snapshot;
use thiserror::Error;

use crate::apply::{self, ReplaceError};
use crate::inputs::Roots;
use crate::loader::Candidate;
use crate::staging::{Staging, StagingError};
use crate::{Config, LoadError, Loader, Problem, Reload, Reloaded};

/// Problems of a rejected configuration that are kept.
const PROBLEMS_KEPT: usize = 20;
const MICROS_PER_SEC: u64 = 1_000_000;

/// What puts a configuration in force, once it is certain that it will be.
pub type Activation = Box<dyn FnOnce() + Send>;

/// What revisions need of the gateway.
pub struct Plane {
    /// The snapshot in force.
    pub current: Box<dyn Fn() -> Arc<Snapshot> + Send + Sync>,
    /// Makes ready what a configuration needs, or says why it cannot be used.
    pub prepare: Box<dyn Fn(Config) -> Result<Activation, String> + Send + Sync>,
    /// Tells when revisions came, and numbers them.
    pub clock: Arc<dyn Clock>,
}

/// What makes the gateway load a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The gateway started.
    Start,
    /// The process got SIGHUP.
    Signal,
    /// The folder changed.
    Change,
    /// An operator applied it.
    Apply,
}

/// How things stand with revisions.
#[derive(Clone, Debug)]
pub struct Standing {
    /// When the revision came into force.
    pub since: Timestamp,
    /// What brought it.
    pub origin: Origin,
    /// When the folder is loaded by itself.
    pub reload: Reload,
    /// The last configuration that did not come into force.
    pub rejected: Option<Rejected>,
}

/// A configuration that did not come into force.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// When it was loaded.
    pub time: Timestamp,
    /// Why it was loaded.
    pub origin: Origin,
    /// The first of its problems.
    pub problems: Vec<Problem>,
    /// How many problems there were.
    pub problems_total: usize,
    /// Why it could not be used, where that is no problem of a file.
    pub cause: Option<String>,
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
    /// They could not be put in place. Nothing has changed.
    #[error("{0}")]
    NotCommitted(String),
    /// They were put in place in part. The next load goes on with it.
    #[error("{0}")]
    Unknown(String),
}

/// The revisions of one configuration folder, one after the other.
pub struct Revisions {
    plane: Plane,
    /// Held while files are read or replaced. Never taken while `standing` is held.
    loader: Mutex<Loader>,
    standing: Mutex<Standing>,
}

impl Revisions {
    /// Begins with the configuration that `loader` read and that is in force.
    pub fn new(loader: Loader, reload: Reload, plane: Plane) -> Self {
        let since = plane.clock.now();
        let standing = Standing { since, origin: Origin::Start, reload, rejected: None };
        Self { plane, loader: Mutex::new(loader), standing: Mutex::new(standing) }
    }

    /// How things stand. Waits for nothing.
    pub fn standing(&self) -> Standing {
        lock(&self.standing).clone()
    }

    /// The snapshot in force.
    pub fn current(&self) -> Arc<Snapshot> {
        (self.plane.current)()
    }

    /// The files outside the parts of the folder that configuration reads: what to look at for
    /// changes beside the folder. Waits while files are being read.
    pub fn named_files(&self) -> Vec<PathBuf> {
        lock(&self.loader).named_files()
    }

    /// Loads the folder, and puts it in force if it is good. Reads files: not for a thread that
    /// has to answer meanwhile.
    ///
    /// # Errors
    ///
    /// Returns every problem found, or what could not be read or used. The revision in force
    /// stays.
    pub fn reload(&self, origin: Origin) -> Result<Outcome, LoadError> {
        let outcome = self.reload_unrecorded(origin);
        if let Err(error) = &outcome {
            self.reject(origin, error);
        }
        outcome
    }

    fn reload_unrecorded(&self, origin: Origin) -> Result<Outcome, LoadError> {
        let mut loader = lock(&self.loader);
        apply::finish(loader.folder())?;
        let current = self.current();
        let roots = Roots::new(loader.folder());
        let candidate = loader.candidate(&roots, &current, self.next(current.revision()))?;
        // A file may have been touched, or have changed and changed back.
        if origin == Origin::Change && candidate.reloaded.amended == Some(0) {
            return Ok(Outcome::Unchanged);
        }
        let Candidate { reloaded: Reloaded { config, amended }, memory } = candidate;
        let (revision, notes) = (config.snapshot.revision(), config.notes.clone());
        let activation = self.prepare(config)?;
        loader.remember(memory);
        self.activate(activation, origin);
        Ok(Outcome::InForce { revision, amended, notes })
    }

    /// Begins to receive files that are to take the place of those in force. The caller sees to it
    /// that there is one of these at a time.
    pub(crate) fn stage(&self) -> Result<Staging, ApplyError> {
        let loader = lock(&self.loader);
        apply::finish(loader.folder())?;
        Ok(Staging::begin(loader.folder())?)
    }

    /// Checks the files that were received. Unless this is a dry run, they take the place of those
    /// in force if they are good.
    pub(crate) fn apply(&self, staging: &Staging, dry_run: bool) -> Result<Applied, ApplyError> {
        let applied = self.apply_unrecorded(staging, dry_run);
        if let Err(ApplyError::Load(error)) = &applied
            && !dry_run
        {
            self.reject(Origin::Apply, error);
        }
        applied
    }

    fn apply_unrecorded(&self, staging: &Staging, dry_run: bool) -> Result<Applied, ApplyError> {
        let mut loader = lock(&self.loader);
        let folder = loader.folder().to_owned();
        let current = self.current();
        let roots = Roots::staged(&folder, staging.root());
        let candidate = loader.candidate(&roots, &current, self.next(current.revision()))?;
        let Candidate { reloaded: Reloaded { config, .. }, memory } = candidate;
        let revision = config.snapshot.revision();
        let applied = Applied {
            revision: (!dry_run).then_some(revision),
            notes: config.notes.clone(),
            agreements: config.counts.agreements,
            policies: config.counts.policies,
        };
        let activation = self.prepare(config)?;
        if dry_run {
            return Ok(applied);
        }
        replace(&folder)?;
        loader.remember(memory);
        self.activate(activation, Origin::Apply);
        Ok(applied)
    }

    fn prepare(&self, config: Config) -> Result<Activation, LoadError> {
        (self.plane.prepare)(config).map_err(LoadError::Unusable)
    }

    fn activate(&self, activation: Activation, origin: Origin) {
        activation();
        let mut standing = lock(&self.standing);
        (standing.since, standing.origin) = (self.plane.clock.now(), origin);
    }

    fn reject(&self, origin: Origin, error: &LoadError) {
        let (problems, cause): (&[Problem], _) = match error {
            LoadError::Problems(problems) => (problems, None),
            error => (&[], Some(chain(error))),
        };
        lock(&self.standing).rejected = Some(Rejected {
            time: self.plane.clock.now(),
            origin,
            problems: problems.iter().take(PROBLEMS_KEPT).cloned().collect(),
            problems_total: problems.len(),
            cause,
        });
    }

    /// The number of the revision after `previous`: the second it comes in, or one more than
    /// `previous` where two come in one second or the clock was set back.
    fn next(&self, previous: RevisionId) -> RevisionId {
        let now = RevisionId(self.plane.clock.now().as_micros() / MICROS_PER_SEC);
        now.max(RevisionId(previous.0.saturating_add(1)))
    }
}

fn replace(folder: &Path) -> Result<(), ApplyError> {
    apply::replace(folder).map_err(|error| match error {
        ReplaceError::NotCommitted(_) => ApplyError::NotCommitted(chain(&error)),
        ReplaceError::Unknown(_) => ApplyError::Unknown(chain(&error)),
    })
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// What a thread that panicked left behind is whole: it is replaced by single assignments.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
