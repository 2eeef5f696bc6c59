//! The witnesses of a ledger: each new checkpoint is brought to all of them, the newest only, at
//! most once a second; what a quorum cosigned is kept and then published.
//!
//! Nothing here can hold up a call. What is not cosigned in time shows in [`Standing`].

use std::io;
use std::sync::Arc;
use std::time::Duration;

use audit::{CosignedLog, Log, ReadError};
use model::{Clock, Timestamp};
use parking_lot::Mutex;
use thiserror::Error;
use tlog::{Checkpoint, Note, Prefix, WitnessKey};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::client::{Client, ClientError};
use crate::signed::Signed;
use crate::submit::{Asked, Outcome};

/// Between two rounds.
const ROUND_EVERY: Duration = Duration::from_secs(1);
/// Longest pause of a witness that did not cosign; the first is a round, and each doubles.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// What a gateway that starts gets to have its last entries cosigned, however old they are.
const START_TIME: Duration = Duration::from_secs(10);

/// Who cosigns a ledger.
#[derive(Clone, Debug)]
pub struct WitnessesSettings {
    /// The witnesses.
    pub witnesses: Vec<WitnessSettings>,
    /// How many of them must cosign a checkpoint.
    pub quorum: usize,
    /// How long entries may go without that.
    pub unwitnessed_max: Duration,
}

/// A witness.
#[derive(Clone, Debug)]
pub struct WitnessSettings {
    /// Where it listens.
    pub prefix: Prefix,
    /// Its public key.
    pub key: WitnessKey,
    /// Who vouches for its certificate, in DER, where it is reached by TLS.
    pub authorities: Vec<Vec<u8>>,
}

/// Why checkpoints cannot be brought to witnesses.
#[derive(Debug, Error)]
pub enum WitnessesError {
    /// No client for one of them.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// What was cosigned before cannot be read.
    #[error("cosigned checkpoints: {0}")]
    Kept(#[from] io::Error),
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] ReadError),
}

/// How a ledger stands with its witnesses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Size of the newest checkpoint that the quorum cosigned.
    pub size: u64,
    /// For how long the oldest entry beyond has waited; zero if there is none.
    pub unwitnessed: Duration,
    /// Whether that is too long.
    pub overdue: bool,
    /// What is wrong, witness by witness.
    pub troubles: Vec<String>,
}

/// The witnesses of a ledger that is being written.
pub struct Witnesses {
    signed: Signed,
    quorum: usize,
    unwitnessed_max: Duration,
    started: Instant,
    clock: Arc<dyn Clock>,
    log: Arc<Mutex<CosignedLog>>,
    state: Mutex<State>,
    /// Taken by the one task that asks.
    asked: tokio::sync::Mutex<Vec<Turn>>,
}

struct State {
    /// The newest checkpoint that the quorum cosigned.
    cosigned: Option<(Note, Checkpoint)>,
    /// When the oldest entry that is not cosigned was written, or seen.
    since: Option<Timestamp>,
    /// Of each witness, in their order.
    troubles: Vec<Option<String>>,
    /// Why cosigned checkpoints cannot be kept.
    unkept: Option<String>,
}

/// A witness and when it is asked again.
struct Turn {
    place: usize,
    asked: Asked,
    pause: Duration,
    not_before: Instant,
}

/// A checkpoint on its way through the witnesses.
struct Round {
    note: Note,
    checkpoint: Checkpoint,
    begun: Timestamp,
    /// How many have cosigned it.
    count: usize,
}

impl Witnesses {
    /// Begins where `cosigned.log` of the ledger ends. Nobody is asked before [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// Fails if that file or the ledger cannot be read, or a witness cannot be asked at all.
    pub fn open(
        log: &Log,
        signed: Signed,
        settings: WitnessesSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, WitnessesError> {
        let kept = CosignedLog::open(log)?;
        let WitnessesSettings { witnesses, quorum, unwitnessed_max } = settings;
        let last = kept.last().and_then(|note| Some((note.clone(), note.text().parse().ok()?)));
        let last: Option<(Note, Checkpoint)> = last;
        let (now, mut turns, mut count) = (Instant::now(), Vec::new(), 0);
        for (place, WitnessSettings { prefix, key, authorities }) in
            witnesses.into_iter().enumerate()
        {
            let client = Client::new(prefix, &authorities)?;
            let cosigned = last.as_ref().filter(|(note, _)| key.verify(note).is_ok());
            let seen = cosigned.map_or(0, |(_, checkpoint)| checkpoint.size);
            count += usize::from(cosigned.is_some());
            let asked = Asked { client, key, seen };
            turns.push(Turn { place, asked, pause: ROUND_EVERY, not_before: now });
        }
        // Under another quorum than it was made with, it may not be enough.
        let cosigned = last.filter(|_| count >= quorum);
        let size = cosigned.as_ref().map_or(0, |(_, checkpoint)| checkpoint.size);
        let since = audit::written_after(log, size)?;
        let troubles = vec![None; turns.len()];
        Ok(Self {
            signed,
            quorum,
            unwitnessed_max,
            started: now,
            clock,
            log: Arc::new(Mutex::new(kept)),
            state: Mutex::new(State { cosigned, since, troubles, unkept: None }),
            asked: tokio::sync::Mutex::new(turns),
        })
    }

    /// The newest checkpoint that the quorum cosigned and whose tiles are all there.
    pub fn newest(&self) -> Option<Note> {
        let state = self.state.lock();
        let (note, checkpoint) = state.cosigned.as_ref()?;
        (checkpoint.size <= self.signed.tiles().size()).then(|| note.clone())
    }

    /// How the ledger stands with its witnesses.
    pub fn standing(&self) -> Standing {
        let state = self.state.lock();
        let now = self.clock.now().as_micros();
        let waited = state.since.map(|since| now.saturating_sub(since.as_micros()));
        let unwitnessed = Duration::from_micros(waited.unwrap_or_default());
        let grace = self.unwitnessed_max.min(START_TIME);
        let overdue = unwitnessed > self.unwitnessed_max && self.started.elapsed() >= grace;
        let troubles = state.unkept.iter().chain(state.troubles.iter().flatten());
        Standing {
            size: state.cosigned.as_ref().map_or(0, |(_, checkpoint)| checkpoint.size),
            unwitnessed,
            overdue,
            troubles: troubles.cloned().collect(),
        }
    }

    /// Brings checkpoints to the witnesses for as long as it is polled.
    pub async fn run(self: Arc<Self>) {
        let mut turns = self.asked.lock().await;
        let mut tick = tokio::time::interval(ROUND_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut last, mut overdue) = (None, false);
        loop {
            tick.tick().await;
            last = self.round(&mut turns, last).await;
            let standing = self.standing();
            if standing.overdue != overdue {
                overdue = standing.overdue;
                let (seconds, troubles) = (standing.unwitnessed.as_secs(), standing.troubles);
                match overdue {
                    true => tracing::warn!(seconds, ?troubles, "entries go unwitnessed too long"),
                    false => tracing::info!("entries are witnessed again"),
                }
            }
        }
    }

    /// Brings the newest checkpoint to those that have not cosigned it. `last` is that of the round
    /// before, which may still lack some.
    async fn round(&self, turns: &mut [Turn], last: Option<Round>) -> Option<Round> {
        let (note, checkpoint) = self.signed.read()?;
        let mut round = match last.filter(|last| last.checkpoint == checkpoint) {
            Some(last) => last,
            None if self.covers(checkpoint.size) => return None,
            None => Round { note, checkpoint, begun: self.clock.now(), count: 0 },
        };
        if !self.covers(round.checkpoint.size) {
            self.state.lock().since.get_or_insert(round.begun);
        }
        let now = Instant::now();
        let mut asking = JoinSet::new();
        for turn in turns.iter().filter(|turn| turn.not_before <= now) {
            let Turn { place, asked, .. } = turn;
            if asked.key.verify(&round.note).is_ok() {
                continue;
            }
            let (place, mut asked, tiles) = (*place, asked.clone(), self.signed.tiles().clone());
            let (note, checkpoint) = (round.note.clone(), round.checkpoint.clone());
            asking.spawn(async move {
                let outcome = asked.cosign(&tiles, &note, &checkpoint).await;
                (place, asked.seen, outcome)
            });
        }
        while let Some(answered) = asking.join_next().await {
            match answered {
                Ok((place, seen, outcome)) => {
                    let Some(turn) = turns.get_mut(place) else { continue };
                    turn.asked.seen = seen;
                    self.settle(turn, outcome, &mut round).await;
                }
                Err(error) => tracing::error!(%error, "a witness could not be asked"),
            }
        }
        Some(round).filter(|round| round.count < turns.len())
    }

    fn covers(&self, size: u64) -> bool {
        let state = self.state.lock();
        state.cosigned.as_ref().is_some_and(|(_, cosigned)| cosigned.size >= size)
    }

    /// Takes in what a witness answered.
    async fn settle(&self, turn: &mut Turn, outcome: Outcome, round: &mut Round) {
        let name = turn.asked.key.name().clone();
        let forked = matches!(outcome, Outcome::Forked(_));
        let trouble = match outcome {
            Outcome::Cosigned(signature) => round.note.add(signature).err().map(|e| e.to_string()),
            Outcome::Forked(why) | Outcome::Refused(why) | Outcome::Away(why) => Some(why),
        };
        let told = trouble.as_ref().map(|why| format!("{name}: {why}"));
        let before = {
            let mut state = self.state.lock();
            let place = state.troubles.get_mut(turn.place);
            place.and_then(|place| std::mem::replace(place, told.clone()))
        };
        let Some(why) = trouble else {
            if before.is_some() {
                tracing::info!(witness = %name, "a witness cosigns again");
            }
            round.count += 1;
            turn.pause = ROUND_EVERY;
            if round.count >= self.quorum {
                self.keep(round).await;
            }
            return;
        };
        match before == told {
            // Said already.
            true => {}
            false if forked => {
                tracing::error!(witness = %name, why, "a witness refuses this ledger's history");
            }
            false => tracing::warn!(witness = %name, why, "a witness does not cosign"),
        }
        turn.not_before = Instant::now() + turn.pause;
        turn.pause = (turn.pause * 2).min(PAUSE_MAX);
    }

    /// Keeps a checkpoint that has its quorum, then publishes it.
    async fn keep(&self, round: &Round) {
        let (log, note) = (self.log.clone(), round.note.clone());
        let kept = tokio::task::spawn_blocking(move || log.lock().append(&note)).await;
        let kept = kept.unwrap_or_else(|error| Err(io::Error::other(error)));
        let mut state = self.state.lock();
        match kept {
            Ok(()) => {
                state.cosigned = Some((round.note.clone(), round.checkpoint.clone()));
                state.unkept = None;
                // What came after the round began waits since then at the most.
                let newest = self.signed.read().map_or(0, |(_, newest)| newest.size);
                state.since = (newest > round.checkpoint.size).then_some(round.begun);
            }
            Err(error) => {
                let told = format!("cosigned checkpoints cannot be kept: {error}");
                if state.unkept.replace(told).is_none() {
                    tracing::error!(%error, "a cosigned checkpoint cannot be kept");
                }
            }
        }
    }
}
