//! Which revision is in force, and how the next one comes: by a signal, by a change of the
//! folder, or applied through the admin API.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{CertificateDigest, Clock, RevisionId, Timestamp};
use policy::Snapshot;

use crate::apply::{self, ReplaceError};
use crate::inputs::Roots;
use crate::loader::Candidate;
use crate::outcome::{self, Applied, ApplyError, Outcome, Rejected, chain};
use crate::staging::Staging;
use crate::{Config, Gateway, LoadError, Loader, Reload, Reloaded};

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
    /// The certificate of the operator who applied it, if one did.
    pub operator: Option<CertificateDigest>,
    /// When the folder is loaded by itself.
    pub reload: Reload,
    /// The settings that gateway.yaml has otherwise than the gateway runs with.
    pub needs_restart: Vec<&'static str>,
    /// The last content of the folder that did not come into force.
    pub rejected: Option<Rejected>,
    /// Whether the folder still holds that, as far as is known.
    pub is_stale: bool,
    /// The last apply that did not come into force.
    pub apply_rejected: Option<Rejected>,
}

impl Standing {
    /// What the folder holds, if the gateway could not use it and serves what was before.
    pub fn stale(&self) -> Option<&Rejected> {
        self.rejected.as_ref().filter(|_| self.is_stale)
    }
}

/// The revisions of one configuration folder, one after the other.
pub struct Revisions {
    plane: Plane,
    running: Arc<Gateway>,
    /// Held while files are read or replaced. Never taken while `standing` is held.
    loader: Mutex<Loader>,
    standing: Mutex<Standing>,
}

impl Revisions {
    /// Begins with the configuration that `loader` read and that is in force. `running` are the
    /// settings that the gateway runs with until it ends.
    pub fn new(loader: Loader, running: Arc<Gateway>, plane: Plane) -> Self {
        let standing = Standing {
            since: plane.clock.now(),
            origin: Origin::Start,
            operator: None,
            reload: running.reload,
            needs_restart: Vec::new(),
            rejected: None,
            is_stale: false,
            apply_rejected: None,
        };
        Self { plane, running, loader: Mutex::new(loader), standing: Mutex::new(standing) }
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
        match &outcome {
            Ok(_) => lock(&self.standing).is_stale = false,
            Err(error) => {
                let rejected = Rejected::new(self.plane.clock.now(), origin, error);
                let mut standing = lock(&self.standing);
                (standing.rejected, standing.is_stale) = (Some(rejected), true);
            }
        }
        outcome::log_reload(&outcome);
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
        let revision = config.snapshot.revision();
        let (needs_restart, notes) = self.compared(&config);
        let activation = self.prepare(config)?;
        loader.remember(memory);
        activation();
        self.note(origin, None, needs_restart);
        Ok(Outcome::InForce { revision, amended, notes })
    }

    /// Begins to receive files that are to take the place of those in force. The caller sees to it
    /// that there is one of these at a time.
    pub(crate) fn stage(&self, dry_run: bool) -> Result<Staging, ApplyError> {
        let folder = lock(&self.loader).folder().to_owned();
        if apply::is_unfinished(&folder) {
            // It would have to be finished first, and a dry run changes nothing.
            if dry_run {
                return Err(ApplyError::Unfinished);
            }
            tracing::warn!("an apply that was cut short is finished before the next one");
            match self.reload(Origin::Apply) {
                Err(error) if apply::is_unfinished(&folder) => return Err(error.into()),
                // What became of it is logged and known to `standing`; it is replaced anyway.
                Ok(_) | Err(_) => {}
            }
        }
        // Nobody else may begin to finish one now.
        let _loader = lock(&self.loader);
        Ok(Staging::begin(&folder)?)
    }

    /// Checks the files that were received. Unless this is a dry run, they take the place of those
    /// in force if they are good.
    pub(crate) fn apply(
        &self,
        staging: &Staging,
        operator: CertificateDigest,
        dry_run: bool,
    ) -> Result<Applied, ApplyError> {
        let mut loader = lock(&self.loader);
        let folder = loader.folder().to_owned();
        let current = self.current();
        let roots = Roots::staged(&folder, staging.root());
        let candidate = loader.candidate(&roots, &current, self.next(current.revision()))?;
        let Candidate { reloaded: Reloaded { config, .. }, memory } = candidate;
        let revision = config.snapshot.revision();
        let (needs_restart, notes) = self.compared(&config);
        let applied = Applied {
            revision: (!dry_run).then_some(revision),
            notes,
            agreements: config.counts.agreements,
            policies: config.counts.policies,
        };
        let activation = self.prepare(config)?;
        if dry_run {
            return Ok(applied);
        }
        replace(&folder)?;
        loader.remember(memory);
        activation();
        self.note(Origin::Apply, Some(operator), needs_restart);
        Ok(applied)
    }

    /// Records and logs what came of an apply, whoever learns of it besides.
    pub(crate) fn conclude(
        &self,
        operator: CertificateDigest,
        dry_run: bool,
        applied: &Result<Applied, ApplyError>,
    ) {
        outcome::log_apply(operator, dry_run, applied);
        if let Err(error) = applied
            && !dry_run
        {
            let rejected = Rejected::of_apply(self.plane.clock.now(), operator, error);
            let mut standing = lock(&self.standing);
            // The folder holds files of both. The next load tells.
            if matches!(error, ApplyError::Unknown(_)) {
                (standing.rejected, standing.is_stale) = (Some(rejected.clone()), true);
            }
            standing.apply_rejected = Some(rejected);
        }
    }

    /// The settings that need a restart, and all notes with what there is to say of those.
    fn compared(&self, config: &Config) -> (Vec<&'static str>, Vec<String>) {
        let needs_restart = self.running.needs_restart(&config.gateway);
        let mut notes = config.notes.clone();
        if !needs_restart.is_empty() {
            notes.push(format!("changed, needs a restart: {}", needs_restart.join(", ")));
        }
        (needs_restart, notes)
    }

    fn prepare(&self, config: Config) -> Result<Activation, LoadError> {
        (self.plane.prepare)(config).map_err(LoadError::Unusable)
    }

    /// Notes what came into force.
    fn note(
        &self,
        origin: Origin,
        operator: Option<CertificateDigest>,
        needs_restart: Vec<&'static str>,
    ) {
        let mut standing = lock(&self.standing);
        if !needs_restart.is_empty() && standing.needs_restart != needs_restart {
            let settings = needs_restart.join(", ");
            tracing::warn!(settings, "settings changed that need a restart");
        }
        standing.since = self.plane.clock.now();
        (standing.origin, standing.operator) = (origin, operator);
        (standing.needs_restart, standing.is_stale) = (needs_restart, false);
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

/// What a thread that panicked left behind is whole: it is replaced by single assignments.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
