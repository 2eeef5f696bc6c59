//! Stock clients that nobody here wrote call through the gateway as if it were the provider:
//! Python's grpcio, which is the C core, and grpclib, which shares no code with it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails may panic")]
#![allow(clippy::panic, clippy::indexing_slicing, reason = "a test that fails may panic")]
#![allow(clippy::print_stdout, reason = "tests tell what they measured")]

mod support;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;

use model::{
    Action, AdminAction, CertificateDigest, Entry, Finished, LedgerRead, Operator, Reading, Reason,
    Receipt, RevisionId, Timestamp,
};
use support::node::MirrorNode;
use support::python::Python;
use support::{Gateway, Ledger, World, giaolien, node_yaml, text, until};

/// Run on their own, since the node's counts are looked at after each.
const CANCEL: &str = "cancel";
const MIRRORED: &str = "metadata_there_and_back";
const OTHERS: [&str; 11] = [
    "unary",
    "server_stream",
    "client_stream",
    "bidi_stream",
    "deadline_of_client",
    "deadline_of_gateway",
    "metadata_to_node",
    "refusal",
    "status_of_node",
    "large_message",
    "concurrent",
];
/// grpclib has none.
const COMPRESSION: &str = "compression";
const CONCURRENT_CALLS: usize = 200;

/// The gateway allows `ServerStream` less time than the clients do. A stream, since a unary call
/// would be ended by the node's library at the same moment.
const ROUTES: &str = "\
routes:
  - service: testkit.echo.v1.EchoService
    method: ServerStream
    deadline_max: 2s
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpcio() {
    let others = [OTHERS.as_slice(), &[COMPRESSION]].concat();
    let (ledger, receipts) = check("with_grpcio.py", &others).await;
    let compressed = finished(&ledger, receipts[COMPRESSION][0].index);
    assert!(compressed.request.bytes < 64 << 10, "{compressed:?} of 1 MiB of zeros");
    assert!(compressed.response.bytes < 64 << 10, "{compressed:?} of 1 MiB of zeros");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpclib() {
    check("with_grpclib.py", &OTHERS).await;
}

type Receipts = HashMap<String, Vec<Receipt>>;

/// Runs every case of a script; returns the ledger and the receipts that the script left.
async fn check(script: &'static str, others: &[&'static str]) -> (Ledger, Receipts) {
    let world = World::new().await;
    world.write("routes.yaml", ROUTES);
    let told = tempfile::tempdir().unwrap();
    let gateway_yaml = fs::read_to_string(world.config_file("gateway.yaml")).unwrap();
    let events = told.path().join("events.jsonl");
    let receivers =
        format!("events: {{directory: {0}/kept, file: {0}/events.jsonl}}\n", text(told.path()));
    world.write("gateway.yaml", receivers + &gateway_yaml);
    let scripts = Scripts::new(&world).await;
    let gateway = world.start();

    scripts.run(script, &gateway, &[CANCEL]).await;
    let seen = &world.echo.seen;
    until("the node sees the caller cancel", || seen.cancelled.load(Ordering::SeqCst) == 1).await;
    assert_eq!(seen.calls.load(Ordering::SeqCst), 1);
    scripts.run(script, &gateway, others).await;
    let mirror = MirrorNode::start(&world.authority).await;
    world.write("registry/nodes.yaml", node_yaml(mirror.address));
    gateway.signal("HUP");
    gateway.wait_for_log("revision in force");
    scripts.run(script, &gateway, &[MIRRORED]).await;
    gateway.stop();

    let (ledger, receipts) = (world.ledger(), scripts.receipts(&world));
    check_evidence(&ledger, &receipts);
    scripts.check_events(&events, &ledger).await;
    (ledger, receipts)
}

/// What the clients took away stands in the ledger, and so does how their calls ended.
fn check_evidence(ledger: &Ledger, receipts: &Receipts) {
    receipts.values().flatten().for_each(|receipt| ledger.check_receipt(receipt));
    assert_eq!(receipts["concurrent"].len(), CONCURRENT_CALLS);
    let refused = &ledger.entries[usize::try_from(receipts["refusal"][0].index).unwrap()];
    let Entry::Refused(refused) = refused else { panic!("{refused:?}") };
    assert_eq!(refused.reason, Reason::MethodUnknown);
    let streamed = finished(ledger, receipts["bidi_stream"][0].index);
    assert_eq!((streamed.request.messages, streamed.response.messages), (10, 10));
    let large = finished(ledger, receipts["large_message"][0].index);
    assert!(large.request.bytes.min(large.response.bytes) > 8 << 20, "{large:?}");
    let cut = finished(ledger, receipts["deadline_of_gateway"][0].index);
    assert_eq!(cut.reason, Some(Reason::DeadlineExceeded));
    let cancelled = |entry: &Entry| matches!(entry, Entry::Finished(call) if call.reason == Some(Reason::Cancelled));
    assert!(ledger.count(cancelled) >= 1);
}

/// How the call that was admitted at `index` ended.
fn finished(ledger: &Ledger, index: u64) -> &Finished {
    let ends = ledger.entries.iter().filter_map(|entry| match entry {
        Entry::Finished(call) => Some(call),
        _ => None,
    });
    ends.into_iter().find(|call| call.admitted == index).expect("an end of the call")
}

/// The scripts, ready to run, and a folder for what they leave.
struct Scripts {
    python: Python,
    stubs: tempfile::TempDir,
    out: tempfile::TempDir,
    pki: String,
}

impl Scripts {
    async fn new(world: &World) -> Self {
        let pki = text(&world.config_file("pki")).to_owned();
        let ready = || {
            let python = Python::ready();
            let (stubs, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            python.generate_stubs(stubs.path());
            Self { python, stubs, out, pki }
        };
        tokio::task::spawn_blocking(ready).await.unwrap()
    }

    /// Runs cases of a script, which have to end well.
    async fn run(&self, script: &str, gateway: &Gateway, cases: &[&str]) {
        let mut command = self.python.script(script, self.stubs.path());
        command.args(["--address", &gateway.address().to_string(), "--pki", &self.pki]);
        command.args(["--out", text(self.out.path())]).args(cases);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        print!("{stdout}");
        assert!(output.status.success(), "{script} {cases:?}:\n{stdout}{stderr}");
        let done: String = cases.iter().map(|case| format!("ok {case}\n")).collect();
        assert_eq!(stdout, done);
    }

    /// Every refusal and start is an event, as a schema that others wrote has it.
    async fn check_events(&self, events: &Path, ledger: &Ledger) {
        let counts = self.read_events(events).await;
        assert_eq!(counts["6003"], ledger.count(|entry| matches!(entry, Entry::Refused(_))));
        assert_eq!(counts["6002"], ledger.count(|entry| matches!(entry, Entry::Opened(_))));
        // What operators do, who do not call in these tests.
        let others = self.out.path().join("others.jsonl");
        fs::write(&others, operators_events()).unwrap();
        let counts = self.read_events(&others).await;
        assert_eq!((counts["6003"], counts["6005"]), (1, 1));
    }

    /// How many events of each class a file has.
    async fn read_events(&self, file: &Path) -> HashMap<String, usize> {
        let mut command = self.python.script("ocsf_events.py", self.stubs.path());
        command.arg(file);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{stderr}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The receipts that the scripts left, by case, verified one by one with the command.
    fn receipts(&self, world: &World) -> Receipts {
        let key = world.config_file("pki/ledger.pub");
        let mut receipts = Receipts::new();
        for file in fs::read_dir(self.out.path()).unwrap() {
            let path = file.unwrap().path();
            let ran = giaolien(&["receipt", "verify", text(&path), "--key", text(&key)]);
            assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{}", path.display());
            let bytes = fs::read(&path).unwrap();
            let (case, _number) =
                path.file_stem().unwrap().to_str().unwrap().split_once('-').unwrap();
            let receipt = wire::evidence::decode_receipt(&bytes).unwrap();
            receipts.entry(case.to_owned()).or_default().push(receipt);
        }
        receipts
    }
}

/// The events of an operator who reads the ledger and puts a configuration in force.
fn operators_events() -> String {
    let operator =
        Operator { certificate: CertificateDigest([7; 32]), name: Some("Vận hành".into()) };
    let time = Timestamp::from_secs(1_795_000_000);
    let read = Entry::LedgerRead(LedgerRead {
        time,
        operator: operator.clone(),
        reading: Reading::Subject,
        criteria: "subject 2026:0011".into(),
        why: "khiếu nại 12/2026".into(),
        results: 3,
    });
    let (action, revision) = (Action::Apply, RevisionId(1_795_000_000));
    let applied = Entry::AdminAction(AdminAction { time, operator, action, revision });
    let source = events::Source { origin: "ledger.test".to_owned(), version: "1".to_owned() };
    let lines = (0..)
        .zip([read, applied])
        .map(|(index, entry)| format!("{}\n", events::event(&source, index, &entry).unwrap().body));
    lines.collect()
}
