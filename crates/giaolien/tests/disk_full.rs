//! The disk of the ledger fills up: calls are refused, nothing acknowledged is lost, and calls go
//! through again once there is space, without a restart.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails may panic")]
#![allow(clippy::panic, clippy::indexing_slicing, reason = "a test that fails may panic")]
#![allow(clippy::print_stdout, reason = "tests tell what they measured")]

mod support;

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::Ordering;

use model::{Entry, Reason};
use support::{Gateway, Ledger, Taken, World, error_info, gateway_yaml, text, within};
use testkit::echo::pb::EchoRequest;
use testkit::echo::pb::echo_service_client::EchoServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Status};

/// Room for one segment beyond the three that the gateway makes as it starts.
const DISK_BYTES: u32 = 1 << 20;
const BALLAST_BYTES: u32 = 448 << 10;
/// More calls than the disk can hold, by far.
const CALLS_MAX: usize = 20_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_calls_until_there_is_space() {
    let world = World::new().await;
    let disk = world.folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    world.write("gateway.yaml", gateway_yaml(&disk.join("ledger")));
    let mut gateway = Gateway::start(on_small_disk(&disk, &world.command()));
    gateway.announce("no space to prepare a segment");
    gateway.announce("no space for the ledger, refusing calls until there is");
    gateway.announce("entry not written");
    gateway.announce("checkpoint not written");
    let disk = Held::open(&gateway, &disk);
    let mut client = world.client(&gateway).await;

    let (mut taken, refused) = fill(&world, &mut client).await;
    println!("{} calls filled the disk", taken.len());
    check_refused(&refused);
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
    gateway.stop();
    check_ledger(&world, &disk, &taken);
}

/// Calls until one is refused; returns what was answered, and the refusal.
async fn fill(world: &World, client: &mut EchoServiceClient<Channel>) -> (Vec<Taken>, Status) {
    let mut taken = Vec::new();
    for _ in 0..CALLS_MAX {
        match call(world, client).await {
            Ok(answer) => taken.push(answer),
            Err(refused) => return (taken, refused),
        }
    }
    panic!("{CALLS_MAX} calls did not fill the disk");
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

fn check_ledger(world: &World, disk: &Held, taken: &[Taken]) {
    let ledger = Ledger::read(&disk.path().join("ledger"), &world.key).unwrap();
    taken.iter().for_each(|taken| ledger.check(taken));
    let admitted = ledger.count(|entry| matches!(entry, Entry::Admitted(_)));
    assert!(admitted >= taken.len());
    assert!(ledger.verified.checkpoint_size > 0);
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
         (sysctl kernel.unprivileged_userns_clone=1) or root, and `unshare` (apt-get install \
         util-linux). Tried {ways:?}:\n{}",
        causes.concat()
    );
}
