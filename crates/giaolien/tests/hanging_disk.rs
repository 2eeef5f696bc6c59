//! The disk of the ledger hangs: calls get an answer within their bound, nothing is let through
//! without evidence, nobody spins, and once the disk goes on so does the gateway.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails may panic")]
#![allow(clippy::panic, clippy::indexing_slicing, reason = "a test that fails may panic")]
#![allow(clippy::print_stdout, reason = "tests tell what they measured")]

mod support;

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use model::Reason;
use support::node::MirrorNode;
use support::{Gateway, Taken, World, error_info, node_yaml, within};
use testkit::echo::pb::EchoRequest;
use tonic::{Code, Status};

/// How long the sync of one batch takes.
const HANG: Duration = Duration::from_secs(9);
/// How long a call may take: the gateway waits five seconds for the disk.
const ANSWER_MAX: Duration = Duration::from_secs(7);
const CALLS: usize = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_answered_while_the_disk_hangs() {
    let world = World::new().await;
    let node = MirrorNode::start(&world.authority).await;
    world.write("registry/nodes.yaml", node_yaml(node.address));
    let gateway = world.start();
    let client = world.client(&gateway).await;
    let mut taken = Vec::new();
    for _ in 0..3 {
        let response = within(client.clone().change(EchoRequest::default())).await.unwrap();
        taken.push(Taken::from(response.metadata(), &world.key));
    }
    let Some(tracer) = Tracer::attach(&gateway) else { return };
    let reached = node.updates.lock().unwrap().len();
    let begun = Instant::now();
    let calls: Vec<_> = (0..CALLS)
        .map(|number| {
            let mut client = client.clone();
            tokio::spawn(async move {
                let request = EchoRequest::default();
                let answer = match number % 2 {
                    0 => client.change(request).await,
                    _ => client.unary(request).await,
                };
                (answer.map(|_| ()), begun.elapsed())
            })
        })
        .collect();
    // Everybody sleeps meanwhile.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = cpu_ticks(gateway.pid());
    tokio::time::sleep(Duration::from_secs(2)).await;
    let spent = cpu_ticks(gateway.pid()) - before;
    for call in calls {
        let (answer, took) = within(call).await.unwrap();
        check_refused(&answer.unwrap_err());
        assert!(took < ANSWER_MAX, "{took:?}");
    }
    assert!(begun.elapsed() < HANG, "the disk did not hang");
    assert_eq!(node.updates.lock().unwrap().len(), reached, "an update without evidence");
    println!("{CALLS} calls refused, {spent} hundredths of a second of CPU in two seconds");
    assert!(spent <= 40, "{spent} hundredths of a second of CPU in two seconds of waiting");

    tokio::time::sleep(HANG.saturating_sub(begun.elapsed())).await;
    tracer.detach();
    for _ in 0..20 {
        let response = within(client.clone().change(EchoRequest::default())).await.unwrap();
        taken.push(Taken::from(response.metadata(), &world.key));
    }
    gateway.stop();
    let ledger = world.ledger();
    taken.iter().for_each(|taken| ledger.check(taken));
    ledger.check_ends();
}

fn check_refused(status: &Status) {
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert_eq!(error_info(status).0, Reason::LedgerUnavailable.name());
    assert!(!status.metadata().contains_key("exchange-receipt-bin"), "a receipt of nothing");
}

/// `strace`, which lets the first sync of a batch hang.
struct Tracer(Child);

impl Tracer {
    /// Nothing where this machine does not allow it.
    fn attach(gateway: &Gateway) -> Option<Self> {
        let pid = gateway.pid().to_string();
        let hang = format!("inject=fdatasync:delay_enter={}:when=1", HANG.as_micros());
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", &hang]);
        strace.args(["-p", &pid]).stderr(Stdio::piped());
        let mut tracer = match strace.spawn() {
            Ok(child) => Self(child),
            Err(error) => {
                println!("left out: run `strace` (apt-get install strace): {error}");
                return None;
            }
        };
        while !is_traced(gateway.pid()) {
            if tracer.0.try_wait().unwrap().is_some() {
                println!("left out: `strace` may not attach (root, or kernel.yama.ptrace_scope=0)");
                return None;
            }
            thread::sleep(Duration::from_millis(5));
        }
        Some(tracer)
    }

    fn detach(mut self) {
        // Asked to, it lets go of the gateway; killed, it might leave it stopped.
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        self.0.wait().unwrap();
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Whether all threads of a process are traced.
fn is_traced(pid: u32) -> bool {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks.flatten().all(|task| {
        let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
        !status.contains("TracerPid:\t0")
    })
}

/// CPU time of a process, in hundredths of a second.
fn cpu_ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}
