//! The disk of the ledger fills up: calls are refused, nothing acknowledged is lost, and calls go
//! through again once there is space, without a restart.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails may panic")]
#![allow(clippy::panic, clippy::indexing_slicing, reason = "a test that fails may panic")]
#![allow(clippy::print_stdout, reason = "tests tell what they measured")]

mod support;

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::Ordering;

use model::{Entry, Reason};
use support::{
    Gateway, Ledger, Taken, World, error_info, gateway_yaml, node_yaml, text, until, within,
};
use testkit::echo::pb::EchoRequest;
use testkit::echo::pb::echo_service_client::EchoServiceClient;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status};

/// Room for one segment beyond the three that the gateway makes as it starts.
const DISK_BYTES: u32 = 1 << 20;
const BALLAST_BYTES: u32 = 448 << 10;
const SEGMENTS: u64 = 4;
/// Calls from one look at the ledger to the next; they fill a small part of a segment.
const CALLS_PER_LOOK: usize = 20;
/// More calls than the disk can hold, by far.
const CALLS_MAX: usize = 20_000;
/// As many as a connection takes at once.
const HELD_PER_CONNECTION: usize = 200;
/// More than a segment can hold.
const HELD_MAX: usize = 1000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_calls_until_there_is_space() {
    let world = World::new().await;
    let yaml = node_yaml(world.echo.address);
    let (update, query) = ("ClientStream, effect: update", "ClientStream, effect: query");
    world.write("registry/nodes.yaml", yaml.replace(update, query));
    let (gateway, disk) = start_on_small_disk(&world);
    let mut client = world.client(&gateway).await;

    let mut taken = reach_last_segment(&world, &disk, &mut client).await;
    let held = hold_queries(&world, &gateway).await;
    println!("{} calls and {} held queries filled the disk", taken.len(), held.len());
    gateway.wait_for_log("no space for the ledger, refusing calls until there is");
    let reached = world.echo.seen.calls.load(Ordering::SeqCst);
    for _ in 0..20 {
        check_refused(&within(client.unary(EchoRequest::default())).await.unwrap_err());
        check_refused(&within(client.change(EchoRequest::default())).await.unwrap_err());
    }
    assert_eq!(world.echo.seen.calls.load(Ordering::SeqCst), reached, "no call without evidence");
    check_ledger(&world, &disk, &taken);

    fs::remove_file(disk.path().join("ballast")).unwrap();
    gateway.wait_for_log("the ledger has space again");
    for _ in 0..50 {
        taken.push(call(&world, &mut client).await.unwrap());
    }
    // Of the held queries the last had a place in the ledger and lost it to one of these calls.
    let mut lost = Vec::new();
    for query in held {
        match query.let_go(&world).await {
            Ok(answer) => taken.push(answer),
            Err(refused) => {
                check_refused(&refused);
                let exchange = refused.metadata().get("exchange-id").unwrap();
                lost.push(exchange.to_str().unwrap().to_owned());
            }
        }
    }
    println!("{} held queries lost their place", lost.len());
    assert!(!lost.is_empty(), "the disk was full between two calls");
    gateway.stop();
    let ledger = check_ledger(&world, &disk, &taken);
    for exchange in lost {
        assert!(ledger.refused(&exchange), "{exchange} left nothing in the ledger");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_stops_well_on_a_full_disk() {
    let world = World::new().await;
    let (mut gateway, disk) = start_on_small_disk(&world);
    gateway.announce("no space for the last checkpoint, the next start writes it");
    let mut client = world.client(&gateway).await;
    let mut taken = vec![call(&world, &mut client).await.unwrap()];
    // With everything covered nothing is written but what follows.
    let covered = || {
        let verified = disk.ledger(&world).verified;
        verified.checkpoint_size == verified.entries
    };
    until("a checkpoint covers all", covered).await;
    disk.fill();
    taken.push(call(&world, &mut client).await.unwrap());
    gateway.stop();
    let ledger = check_ledger(&world, &disk, &taken);
    assert!(ledger.verified.checkpoint_size < ledger.verified.entries, "there was space");
}

/// A gateway whose ledger is on a small disk of its own.
fn start_on_small_disk(world: &World) -> (Gateway, Held) {
    let disk = world.folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    world.write("gateway.yaml", gateway_yaml(&disk.join("ledger")));
    let mut gateway = Gateway::start(on_small_disk(&disk, &world.command()));
    gateway.announce("no space to prepare a segment");
    gateway.announce("no space for the ledger, refusing calls until there is");
    gateway.announce("entry not written");
    gateway.announce("checkpoint not written");
    gateway.announce("tiles not written, they are made again when needed");
    let disk = Held::open(&gateway, &disk);
    (gateway, disk)
}

/// Calls until the last segment that the disk can hold is in use.
async fn reach_last_segment(
    world: &World,
    disk: &Held,
    client: &mut EchoServiceClient<Channel>,
) -> Vec<Taken> {
    let mut taken = Vec::new();
    while disk.ledger(world).verified.segments < SEGMENTS {
        assert!(taken.len() < CALLS_MAX, "{CALLS_MAX} calls did not fill the disk");
        for _ in 0..CALLS_PER_LOOK {
            taken.push(call(world, client).await.unwrap());
        }
    }
    taken
}

/// Makes queries, which the node does not answer yet, until the ledger refuses one. Nothing else
/// is written meanwhile, so what the disk has no space for is one of them.
async fn hold_queries(world: &World, gateway: &Gateway) -> Vec<HeldQuery> {
    let mut client = world.client(gateway).await;
    let mut held = Vec::new();
    while held.len() < HELD_MAX {
        if held.len() % HELD_PER_CONNECTION == 0 {
            client = world.client(gateway).await;
        }
        let calls = || world.echo.seen.calls.load(Ordering::SeqCst);
        let before = calls();
        let query = HeldQuery::start(client.clone());
        let passed = || calls() > before || query.answer.is_finished();
        until("a query is refused or has reached the node", passed).await;
        if query.answer.is_finished() {
            check_refused(&query.let_go(world).await.err().expect("a refusal"));
            return held;
        }
        held.push(query);
    }
    panic!("{HELD_MAX} queries did not fill the disk");
}

/// A query that the node answers when it is let go.
struct HeldQuery {
    requests: mpsc::Sender<EchoRequest>,
    answer: JoinHandle<Result<tonic::metadata::MetadataMap, Status>>,
}

impl HeldQuery {
    fn start(mut client: EchoServiceClient<Channel>) -> Self {
        let (requests, stream) = mpsc::channel(1);
        let answer = tokio::spawn(async move {
            let response = client.client_stream(ReceiverStream::new(stream)).await?;
            Ok(response.into_parts().0)
        });
        Self { requests, answer }
    }

    /// Ends the request, upon which the node answers.
    async fn let_go(self, world: &World) -> Result<Taken, Status> {
        drop(self.requests);
        let metadata = within(self.answer).await.unwrap()?;
        Ok(Taken::from(&metadata, &world.key))
    }
}

async fn call(world: &World, client: &mut EchoServiceClient<Channel>) -> Result<Taken, Status> {
    let response = within(client.change(EchoRequest::default())).await?;
    Ok(Taken::from(response.metadata(), &world.key))
}

fn check_refused(status: &Status) {
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert_eq!(error_info(status).0, Reason::LedgerUnavailable.name());
    assert!(!status.metadata().contains_key("exchange-receipt-bin"), "a receipt of nothing");
}

fn check_ledger(world: &World, disk: &Held, taken: &[Taken]) -> Ledger {
    let ledger = disk.ledger(world);
    ledger.check_ends();
    taken.iter().for_each(|taken| ledger.check(taken));
    let admitted = ledger.count(|entry| matches!(entry, Entry::Admitted(_)));
    assert!(admitted >= taken.len());
    assert!(ledger.verified.checkpoint_size > 0);
    ledger
}

/// A folder that only the gateway sees, held open so that it outlives the gateway.
struct Held(File);

impl Held {
    fn open(gateway: &Gateway, disk: &Path) -> Self {
        let root = format!("/proc/{}/root", gateway.pid());
        Self(File::open(format!("{root}{}", text(disk))).unwrap())
    }

    fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }

    fn ledger(&self, world: &World) -> Ledger {
        Ledger::read(&self.path().join("ledger"), &world.key).unwrap()
    }

    /// Takes all space that there is.
    fn fill(&self) {
        let mut file = File::create(self.path().join("filler")).unwrap();
        let error = std::iter::repeat_with(|| file.write_all(&[0; 4096])).find_map(Result::err);
        assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::StorageFull));
    }
}

/// `command` in a mount namespace of its own, where `disk` is a small disk with ballast on it.
fn on_small_disk(disk: &Path, command: &Command) -> Command {
    let script = format!(
        "mount -t tmpfs -o size={DISK_BYTES} tmpfs \"$0\" \
         && head -c {BALLAST_BYTES} /dev/zero > \"$0/ballast\" && exec \"$@\""
    );
    let mut inside = namespace();
    inside.args(["sh", "-c", &script]).arg(disk);
    inside.arg(command.get_program()).args(command.get_args());
    inside
}

/// The first way to a mount namespace that this machine allows.
fn namespace() -> Command {
    let ways = [["--user", "--map-root-user", "--mount"].as_slice(), ["--mount"].as_slice()];
    let mut causes = Vec::new();
    for way in ways {
        let mut trial = Command::new("unshare");
        trial.args(way).args(["sh", "-c", "mount -t tmpfs tmpfs /mnt"]);
        match trial.output() {
            Ok(Output { status, .. }) if status.success() => {
                let mut command = Command::new("unshare");
                command.args(way);
                return command;
            }
            Ok(output) => causes.push(String::from_utf8_lossy(&output.stderr).into_owned()),
            Err(error) => causes.push(format!("run `unshare`: {error}\n")),
        }
    }
    panic!(
        "this test needs a small disk of its own, and so either user namespaces \
         (sysctl kernel.unprivileged_userns_clone=1, on some systems also \
         kernel.apparmor_restrict_unprivileged_userns=0) or root, and `unshare` (apt-get install \
         util-linux). Tried {ways:?}:\n{}",
        causes.concat()
    );
}
