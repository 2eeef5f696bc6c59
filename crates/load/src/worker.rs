//! A worker: one thread with its own runtime and its share of the connections.

use std::sync::{Arc, mpsc};
use std::time::Instant;

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::connect::{self, ConnectError, Connection};
use crate::error::LoadError;
use crate::lane::{self, Shared};
use crate::pace::{Turns, Window};
use crate::prepared::Prepared;
use crate::tally::{Tally, UNSTARTED};

/// The start signal: when, and the worker's share of the calls.
pub(crate) struct Go {
    pub(crate) window: Window,
    pub(crate) turns: Turns,
}

/// What a worker tells the one who started it.
pub(crate) enum News {
    /// First tries to connect are over; how many worked, and what the first failure was.
    Connected { connections: usize, failure: Option<String> },
    /// It has no call left to wait for.
    Finished,
}

/// Tells that the worker has finished when it goes, also by an error, so that nobody waits for it.
struct Farewell<'a>(&'a mpsc::Sender<News>);

impl Drop for Farewell<'_> {
    fn drop(&mut self) {
        let _ = self.0.send(News::Finished);
    }
}

/// Connects, waits for the start signal, makes its calls, and returns what it counted.
/// Without a start signal it ends at once.
pub(crate) fn run(
    prepared: Arc<Prepared>,
    connections: usize,
    news: &mpsc::Sender<News>,
    go: oneshot::Receiver<Go>,
) -> Result<Tally, LoadError> {
    let farewell = Farewell(news);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let shared = runtime.block_on(async {
        let tried = connect_all(&prepared, connections).await;
        let failure = tried.iter().find_map(|one| one.as_ref().err().map(ToString::to_string));
        let connected = tried.iter().filter(|one| one.is_ok()).count();
        // Whoever started us is gone if this fails, and then so is the start signal.
        let _ = news.send(News::Connected { connections: connected, failure });
        let go = go.await.ok()?;
        let shared = Arc::new(Shared::new(Arc::clone(&prepared), go.window, go.turns));
        load(&shared, tried).await;
        Some(shared)
    });
    drop(farewell);
    // Calls still under way are dropped with the runtime, and count themselves as unfinished.
    drop(runtime);
    let Some(shared) = shared else { return Ok(Tally::default()) };
    let now = Instant::now();
    let mut tally = shared.tally();
    for turn in shared.turns.unused(now) {
        tally.given_up(UNSTARTED, &turn, now);
    }
    Ok(std::mem::take(&mut *tally))
}

async fn connect_all(
    prepared: &Arc<Prepared>,
    connections: usize,
) -> Vec<Result<Connection, ConnectError>> {
    let mut tries = JoinSet::new();
    for _ in 0..connections {
        let prepared = Arc::clone(prepared);
        tries.spawn(async move { connect::connect(&prepared).await });
    }
    tries.join_all().await
}

/// Runs the lanes until none has a call left, at most until the drain is over.
async fn load(shared: &Arc<Shared>, tried: Vec<Result<Connection, ConnectError>>) {
    let released = Arc::clone(shared);
    let release = tokio::spawn(async move {
        if let Turns::Open(schedule) = &released.turns {
            schedule.release().await;
        }
    });
    if let Turns::Closed { window, .. } = &shared.turns {
        // An open loop's streams wait for the schedule, so they are there before its first call.
        tokio::time::sleep_until(window.start.into()).await;
    }
    let mut lanes = JoinSet::new();
    for tried in tried {
        let connection = shared.tried(tried);
        lanes.spawn(lane::run(Arc::clone(shared), connection));
    }
    // Timed out or not, what is still under way is dropped with the runtime.
    let _ = tokio::time::timeout_at(shared.window.drained.into(), async {
        while lanes.join_next().await.is_some() {}
    })
    .await;
    release.abort();
}
