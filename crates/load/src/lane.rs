//! A lane: one place for a connection and its streams, refilled when the connection is lost.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::task::JoinSet;

use crate::answer;
use crate::connect::{self, ConnectError, Connection};
use crate::pace::{Loss, Next, Turn, Turns, Window};
use crate::prepared::Prepared;
use crate::tally::{Tally, UNFINISHED};

/// A lane gives up after so many connections in a row on which no call was answered.
const FRUITLESS_MAX: u32 = 8;
/// The first try after a connection that served is made at once. This is the wait before the
/// second; doubled each time, up to a second.
const BACK_OFF_MIN: Duration = Duration::from_millis(20);
const BACK_OFF_MAX: Duration = Duration::from_secs(1);
/// How long to wait for the reason of a lost connection.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// What the lanes of one worker share.
pub(crate) struct Shared {
    pub(crate) prepared: Arc<Prepared>,
    pub(crate) window: Window,
    pub(crate) turns: Turns,
    tally: Mutex<Tally>,
}

impl Shared {
    pub(crate) fn new(prepared: Arc<Prepared>, window: Window, turns: Turns) -> Shared {
        Shared { prepared, window, turns, tally: Mutex::default() }
    }

    /// Never held across an await, and touched by one thread only, so there is no waiting.
    pub(crate) fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a try to connect, and passes on what came of it.
    pub(crate) fn tried(&self, tried: Result<Connection, ConnectError>) -> Option<Connection> {
        let mut tally = self.tally();
        match tried {
            Ok(connection) => {
                tally.connections_opened += 1;
                Some(connection)
            }
            Err(error) => {
                *tally.connects_failed.entry(error.to_string()).or_default() += 1;
                None
            }
        }
    }
}

/// Keeps one connection busy until no turn is left, reconnecting when it is lost.
pub(crate) async fn run(shared: Arc<Shared>, mut connection: Option<Connection>) {
    let mut fruitless = 0;
    let mut back_off = BACK_OFF_MIN;
    loop {
        if let Some(connection) = connection.take() {
            let end = drive(&shared, connection).await;
            let Some(reason) = end.lost else { return };
            *shared.tally().connections_lost.entry(reason).or_default() += 1;
            if end.answered {
                (fruitless, back_off) = (0, BACK_OFF_MIN);
            }
        }
        fruitless += 1;
        if fruitless >= FRUITLESS_MAX {
            shared.tally().connections_abandoned += 1;
            return;
        }
        if fruitless > 1 {
            tokio::time::sleep(back_off).await;
            back_off = (back_off * 2).min(BACK_OFF_MAX);
        }
        if shared.turns.are_over() {
            return;
        }
        connection = shared.tried(connect::connect(&shared.prepared).await);
    }
}

/// How the streams of one connection ended.
struct End {
    /// Why the connection was lost, if it was.
    lost: Option<String>,
    /// Whether any call on it was answered.
    answered: bool,
}

async fn drive(shared: &Arc<Shared>, connection: Connection) -> End {
    let Connection { requests, mut driver, loss } = connection;
    let mut streams = JoinSet::new();
    for _ in 0..shared.prepared.streams {
        streams.spawn(stream(Arc::clone(shared), requests.clone(), Arc::clone(&loss)));
    }
    drop(requests);

    let mut end = End { lost: None, answered: false };
    while let Some(stream) = streams.join_next().await {
        // A stream is never aborted before its lane, and does not panic.
        let Ok(stream) = stream else { continue };
        end.answered |= stream.answered;
        end.lost = end.lost.or(stream.lost);
    }
    if end.lost.is_some() {
        let closed = tokio::time::timeout(CLOSE_WAIT, &mut driver).await;
        if let Ok(Ok(Err(error))) = &closed {
            end.lost = Some(answer::kind_of(error));
        }
        driver.abort();
    }
    end
}

/// One stream after another on one connection, each after its turn has come.
async fn stream(shared: Arc<Shared>, mut requests: SendRequest<Bytes>, loss: Arc<Loss>) -> End {
    let mut answered = false;
    loop {
        if let Err(error) = std::future::poll_fn(|cx| requests.poll_ready(cx)).await {
            return End { lost: Some(answer::kind_of(&error)), answered };
        }
        let turn = match shared.turns.next(&loss).await {
            Next::Call(turn) => turn,
            Next::Over => return End { lost: None, answered },
            Next::Lost => return End { lost: Some("connection closed".to_owned()), answered },
        };
        let response = match answer::send(&shared.prepared, &mut requests) {
            Ok(response) => response,
            Err(error) => {
                shared.turns.hand_back(turn);
                return End { lost: Some(answer::kind_of(&error)), answered };
            }
        };
        let flight = Flight::begin(&shared, turn);
        let answer = answer::receive(&shared.prepared, response).await;
        answered |= matches!(answer.ending, answer::Ending::Status { .. });
        flight.end(answer);
    }
}

/// A call on its way. Dropped before its end, it is counted as unfinished.
struct Flight<'a> {
    shared: &'a Shared,
    turn: Option<Turn>,
}

impl<'a> Flight<'a> {
    fn begin(shared: &'a Shared, turn: Turn) -> Flight<'a> {
        if turn.measured {
            let mut tally = shared.tally();
            tally.body_bytes_sent += shared.prepared.body.len() as u64;
            if let Turns::Open(_) = shared.turns {
                tally.calls_deferred += u64::from(turn.deferred);
                tally.start_delay.record(turn.intended.elapsed());
            }
        }
        Flight { shared, turn: Some(turn) }
    }

    fn end(mut self, answer: answer::Answer) {
        if let Some(turn) = self.turn.take() {
            let now = Instant::now();
            self.shared.tally().ended(&self.shared.window, &turn, now, answer);
        }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        if let Some(turn) = &self.turn {
            self.shared.tally().given_up(UNFINISHED, turn, Instant::now());
        }
    }
}
