//! Loads the configuration again when it is time to, and tells what came of it.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use control::watch::Watch;
use control::{Counts, LoadError, Origin, Outcome, Rejected};
use model::{Clock, RevisionId, SystemClock, Timestamp};
use tokio::signal::unix::Signal;

use crate::assemble::Running;

/// When the folder was last known to say what is in force.
#[derive(Debug, Default)]
pub(crate) struct LastGood(AtomicU64);

impl LastGood {
    /// The configuration that the gateway starts with.
    pub(crate) fn now() -> Self {
        Self(AtomicU64::new(SystemClock.now().as_micros()))
    }

    fn renew(&self) {
        self.0.store(SystemClock.now().as_micros(), Ordering::Relaxed);
    }

    fn get(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::Relaxed))
    }
}

impl Running {
    /// What the folder holds, if the gateway could not use it and serves what was before.
    pub(crate) fn stale(&self) -> Option<Rejected> {
        let standing = self.revisions.standing();
        let good = self.last_good.get().max(standing.since);
        // What an operator wanted to apply and could not has changed no file.
        let of_folder =
            |rejected: &Rejected| rejected.origin != Origin::Apply && rejected.time > good;
        standing.rejected.filter(of_folder)
    }
}

/// Loads the folder at each SIGHUP and, if it is watched, after each change. Does not end.
pub(crate) async fn whenever(
    running: &Arc<Running>,
    mut hang_up: Signal,
    mut watch: Option<Watch>,
) -> Infallible {
    loop {
        let origin = tokio::select! {
            _ = hang_up.recv() => Origin::Signal,
            () = changed(&mut watch) => Origin::Change,
        };
        load(running, origin).await;
    }
}

/// Waits for a change; without a watch for ever.
async fn changed(watch: &mut Option<Watch>) {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}

/// Loads the folder on a thread that may wait; calls go on meanwhile.
async fn load(running: &Arc<Running>, origin: Origin) {
    let revisions = running.revisions.clone();
    let loaded = tokio::task::spawn_blocking(move || revisions.reload(origin)).await;
    match loaded {
        Ok(Ok(outcome)) => {
            running.last_good.renew();
            if outcome == Outcome::Unchanged {
                tracing::info!("the configuration says what it said before");
            }
        }
        Ok(Err(error)) => reject(&error),
        Err(error) => tracing::error!(%error, "loading the configuration broke off"),
    }
}

/// Tells that a revision came into force, by whichever way.
pub(crate) fn in_force(revision: RevisionId, counts: &Counts, notes: &[String]) {
    let Counts { agreements, policies, .. } = counts;
    tracing::info!(%revision, agreements, policies, "revision in force");
    tell(notes);
}

/// Tells what operators should know although nothing is wrong.
pub(crate) fn tell(notes: &[String]) {
    notes.iter().for_each(|note| tracing::info!(note, "note on the configuration"));
}

fn reject(error: &LoadError) {
    match error {
        LoadError::Problems(problems) => {
            for problem in problems {
                tracing::warn!(%problem, "configuration rejected");
            }
        }
        error => {
            let error = causes(error);
            tracing::warn!(error, "configuration rejected");
        }
    }
}

/// An error with its causes.
fn causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
