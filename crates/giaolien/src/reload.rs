//! Loads the configuration again when it is time to, and tells what came of it.

use std::convert::Infallible;
use std::sync::Arc;

use control::watch::Watch;
use control::{Counts, Origin, Rejected};
use model::RevisionId;
use tokio::signal::unix::Signal;

use crate::assemble::Running;

impl Running {
    /// What the folder holds, if the gateway could not use it and serves what was before.
    pub(crate) fn stale(&self) -> Option<Rejected> {
        self.revisions.standing().stale().cloned()
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
            () = running.in_force.notified() => {
                watch_named(running, watch.as_mut()).await;
                continue;
            }
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
    let loaded = tokio::task::spawn_blocking(move || revisions.reload(origin).is_ok()).await;
    // What came of it is told and known to the revisions, unless it came to no end.
    if let Err(error) = loaded {
        tracing::error!(%error, "loading the configuration broke off");
    }
}

/// Looks at the files that the revision in force names outside of the folder.
async fn watch_named(running: &Arc<Running>, watch: Option<&mut Watch>) {
    let Some(watch) = watch else { return };
    let revisions = running.revisions.clone();
    match tokio::task::spawn_blocking(move || revisions.named_files()).await {
        Ok(named) => watch.also(named),
        Err(error) => tracing::error!(%error, "files outside of the folder are not watched"),
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
