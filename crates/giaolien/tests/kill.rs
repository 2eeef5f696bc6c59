//! The gateway is killed at random moments under load, again and again on one ledger: nothing that
//! a caller was told, and nothing that reached a node as an update, is missing afterwards.
//!
//! `KILL_ROUNDS=1000 cargo test -p giaolien --test kill -- --nocapture` makes more rounds, on a new
//! ledger every so many; `KILL_SEED` repeats a run.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails may panic")]
#![allow(clippy::panic, clippy::indexing_slicing, reason = "a test that fails may panic")]
#![allow(clippy::print_stdout, reason = "tests tell what they measured")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use model::Entry;
use support::node::MirrorNode;
use support::{Gateway, Taken, World, node_yaml, until, within};
use testkit::echo::pb::EchoRequest;
use testkit::echo::pb::echo_service_client::EchoServiceClient;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;

const ROUNDS: u32 = 50;
/// So that reading the whole ledger after each round does not take ever longer.
const ROUNDS_PER_LEDGER: u32 = 50;
const CONNECTIONS: usize = 3;
const CALLERS_PER_CONNECTION: usize = 3;
/// A gateway is killed at most this long after the first answer.
const LOAD_MS_MAX: u64 = 400;
/// Every so many rounds the gateway is killed once more while it starts, and recovers.
const KILLED_STARTING_EVERY: u32 = 5;
const START_MS_MAX: u64 = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_by_kills() {
    let mut random = Random::from_environment();
    let rounds = std::env::var("KILL_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let begun = Instant::now();
    let mut made = 0;
    while made < rounds {
        let here = ROUNDS_PER_LEDGER.min(rounds - made);
        kill_one_ledger(&mut random, here).await;
        made += here;
        println!("{made} rounds of {rounds}, {} s", begun.elapsed().as_secs());
    }
}

/// So many rounds on one ledger.
async fn kill_one_ledger(random: &mut Random, rounds: u32) {
    let world = World::new().await;
    let node = MirrorNode::start(&world.authority).await;
    world.write("registry/nodes.yaml", node_yaml(node.address));
    let mut answers = 0;
    for round in 0..rounds {
        if round % KILLED_STARTING_EVERY == 0 {
            kill_while_starting(&world, random.below(START_MS_MAX)).await;
        }
        let told = load_and_kill(&world, random.below(LOAD_MS_MAX)).await;
        answers += told.answers.len();
        check_after_kill(&world, &node, &told);
    }
    assert!(answers > 20 * rounds as usize, "{answers} answers are no load");
    check_at_the_end(&world, answers, rounds).await;
}

/// What callers were told before the gateway was killed.
#[derive(Default)]
struct Told {
    answers: Vec<Taken>,
    /// Calls of which the head of the answer came, and no more.
    heads: Vec<String>,
}

/// What callers write down as it comes.
#[derive(Clone, Default)]
struct Notes {
    answers: Arc<Mutex<Vec<MetadataMap>>>,
    heads: Arc<Mutex<Vec<String>>>,
}

/// Starts a gateway, lets it carry calls, kills it; returns what its callers took away.
async fn load_and_kill(world: &World, after_ms: u64) -> Told {
    let gateway = start(world);
    let notes = Notes::default();
    let mut callers = Vec::new();
    for _ in 0..CONNECTIONS {
        let client = world.client(&gateway).await;
        for number in 0..CALLERS_PER_CONNECTION {
            let caller = call_until_cut(client.clone(), number % 2 == 0, notes.clone());
            callers.push(tokio::spawn(caller));
        }
    }
    until("the first call is answered", || !notes.answers.lock().unwrap().is_empty()).await;
    let moment = Instant::now() + Duration::from_millis(after_ms);
    tokio::time::sleep_until(moment.into()).await;
    gateway.kill();
    for caller in callers {
        within(caller).await.unwrap();
    }
    let answers = std::mem::take(&mut *notes.answers.lock().unwrap());
    let heads = std::mem::take(&mut *notes.heads.lock().unwrap());
    let taken = |metadata: &MetadataMap| Taken::from(metadata, &world.key);
    Told { answers: answers.iter().map(taken).collect(), heads }
}

fn start(world: &World) -> Gateway {
    let mut gateway = world.start();
    gateway.announce("torn write cleared");
    gateway
}

/// Calls until there is no gateway any more, and keeps the metadata of every answer.
async fn call_until_cut(mut client: EchoServiceClient<Channel>, updates: bool, notes: Notes) {
    loop {
        let request = EchoRequest { payload: vec![1; 100], ..EchoRequest::default() };
        let answer = match updates {
            true => client.change(request).await,
            false => client.unary(request).await,
        };
        match answer {
            Ok(response) => notes.answers.lock().unwrap().push(response.into_parts().0),
            Err(status) => {
                // The connection is gone; a refusal of the gateway would be another matter.
                assert!(status.details().is_empty(), "{status:?}");
                let head = status.metadata().get("exchange-id");
                let head = head.map(|exchange| exchange.to_str().unwrap().to_owned());
                return notes.heads.lock().unwrap().extend(head);
            }
        }
    }
}

async fn kill_while_starting(world: &World, after_ms: u64) {
    let mut gateway = Gateway::spawn(world.command());
    gateway.announce("torn write cleared");
    tokio::time::sleep(Duration::from_millis(after_ms)).await;
    gateway.kill();
}

/// The gateway is started once more, which recovers the ledger, and stopped: now the ledger is
/// whole and has all that was told.
fn check_after_kill(world: &World, node: &MirrorNode, told: &Told) {
    start(world).stop();
    let ledger = world.ledger();
    told.answers.iter().for_each(|taken| ledger.check(taken));
    for exchange in &told.heads {
        assert!(ledger.is_admitted(exchange), "the head of {exchange} came without evidence");
    }
    for exchange in node.updates.lock().unwrap().drain(..) {
        assert!(ledger.admitted_update(&exchange), "{exchange} reached the node without evidence");
    }
}

async fn check_at_the_end(world: &World, answers: usize, rounds: u32) {
    let ran = world.audit_verify();
    assert_eq!(ran.code, 0, "{ran:?}");
    let ledger = world.ledger();
    println!(
        "{answers} answers, {} entries in {} segments",
        ledger.verified.entries, ledger.verified.segments
    );
    let segments = ledger.verified.segments;
    assert!(segments > u64::from(rounds) / 10, "the ledger moved on to other segments");
    ledger.check_ends();
    let opened = ledger.count(|entry| matches!(entry, Entry::Opened(_)));
    assert!(opened >= 2 * rounds as usize, "every start leaves an entry: {opened}");
}

/// SplitMix64: enough to choose moments.
struct Random(u64);

impl Random {
    /// From `KILL_SEED`, or from the time; printed, so that a run can be repeated.
    fn from_environment() -> Self {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
        let seed = std::env::var("KILL_SEED").map_or_else(|_| now(), |seed| seed.parse().unwrap());
        println!("KILL_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
