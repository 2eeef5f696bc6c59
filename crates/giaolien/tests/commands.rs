//! The command line as scripts and operators meet it: output, exit codes, signals.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails may panic")]
#![allow(clippy::panic, clippy::indexing_slicing, reason = "a test that fails may panic")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use expect_test::{Expect, expect};
use model::{Entry, Reason, Timestamp};
use serde_json::{Value, json};
use support::{AGREEMENT, Gateway, Ran, Taken, World, error_info, giaolien, text, until, within};
use testkit::echo::SERVICE;
use testkit::echo::pb::EchoRequest;
use tlog::Signer;

#[test]
fn the_help_of_every_command_shows_an_example() {
    let mut commands = Vec::new();
    walk(&mut Vec::new(), &mut commands);
    assert!(commands.len() >= 5, "{commands:?}");
    for (command, help) in &commands {
        assert!(help.contains("\nExample"), "no example in the help of `{command}`:\n{help}");
        assert!(help.contains(&format!("  giaolien {command}")), "`{command}`:\n{help}");
    }
}

/// Collects every command that has no commands below it, with its help.
fn walk(path: &mut Vec<String>, commands: &mut Vec<(String, String)>) {
    let mut arguments: Vec<&str> = path.iter().map(String::as_str).collect();
    arguments.push("--help");
    let ran = giaolien(&arguments);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{arguments:?}");
    let Some((_, below)) = ran.stdout.split_once("\nCommands:\n") else {
        return commands.push((path.join(" "), ran.stdout));
    };
    let section = below.split("\n\n").next().unwrap();
    let indented = section.lines().filter(|line| line.starts_with("  ") && &line[2..3] != " ");
    let names = indented.filter_map(|line| line.split_whitespace().next());
    for name in names.filter(|name| *name != "help") {
        path.push(name.to_owned());
        walk(path, commands);
        path.pop();
    }
}

/// Copies a folder and all below it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if path.is_dir() { copy(&path, &to) } else { fs::copy(&path, &to).map(drop).unwrap() }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_tells_what_a_new_contract_changes() {
    const ECHO: &str = "protos/testkit/echo/v1/echo.proto";
    let world = World::new().await;
    let contract = fs::read_to_string("../testkit/proto/testkit/echo/v1/echo.proto").unwrap();
    world.write(ECHO, &contract);
    let (config, before) = (world.config(), world.config().with_file_name("before"));
    copy(&config, &before);
    let check = |arguments: &[&str]| {
        let ran = giaolien(&[["check", text(&config)].as_slice(), arguments].concat());
        (ran.code, ran.stdout, ran.stderr)
    };
    let (code, same, errors) = check(&["--against", text(&before)]);
    assert_eq!((code, errors.as_str()), (0, ""));
    assert_eq!(same.lines().count(), 1, "{same}");

    world.write(ECHO, contract.replace("uint32 index = 2", "uint32 index = 9"));
    assert_eq!(check(&[]).1, same);
    let (code, changed, _) = check(&["--against", text(&before)]);
    let note = "note: contract: breaks `testkit.echo.v1.EchoResponse.index`: its number is 9 \
                instead of 2; concerns agreement `echo-for-H26`\n";
    assert_eq!((code, changed), (0, format!("{same}{note}")));
    let (_, json, _) = check(&["--against", text(&before), "--format", "json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["notes"].as_array().map(Vec::len), Some(1));

    fs::remove_file(before.join("gateway.yaml")).unwrap();
    let (code, _, errors) = check(&["--against", text(&before)]);
    assert_eq!(code, 2);
    assert!(errors.contains("load `"), "{errors}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_says_what_is_good_and_every_problem() {
    let world = World::new().await;
    let config = world.config();
    let check = |arguments: &[&str], expected: &Expect| {
        let Ran { code, stdout, stderr } =
            giaolien(&[["check", text(&config)].as_slice(), arguments].concat());
        let all = format!("{stdout}--\n{stderr}--\nexits with {code}\n");
        expected.assert_eq(&shown(&world, &all));
    };
    let expected = expect![[r#"
        good: 0 classes, 3 members, 1 system, 1 node, 1 purpose, 0 zones, 1 agreement, 0 policies, 0 routes
        --
        --
        exits with 0
    "#]];
    check(&[], &expected);
    let expected = expect![[r#"
        {"problems":[],"counts":{"classes":0,"members":3,"systems":1,"nodes":1,"purposes":1,"zones":0,"agreements":1,"policies":0,"routes":0},"notes":[]}
        --
        --
        exits with 0
    "#]];
    check(&["--format", "json"], &expected);

    world.write("agreements/echo.yaml", AGREEMENT.replace("node: echo", "node: ecko"));
    let gateway = fs::read_to_string(world.config_file("gateway.yaml")).unwrap();
    world.write("gateway.yaml", gateway.replace("workers: 2", "worker: 2"));
    let expected = expect![[r#"
        agreements/echo.yaml:4:11: found `ecko`, expected a registered node; did you mean `echo`?
        gateway.yaml:2:1: found unknown key `worker`, expected `listen`, `workers`, `tls`, `upstream`, `ledger`, `admin`, `metrics`, `events`, `tokens`, `utc_offset`, `reload` or `limits`; did you mean `workers`?
        --
        2 problems
        --
        exits with 1
    "#]];
    check(&[], &expected);
    let expected = expect![[r#"
        {"problems":[{"file":"agreements/echo.yaml","line":4,"column":11,"found":"`ecko`","expected":"a registered node","hint":"did you mean `echo`?"},{"file":"gateway.yaml","line":2,"column":1,"found":"unknown key `worker`","expected":"`listen`, `workers`, `tls`, `upstream`, `ledger`, `admin`, `metrics`, `events`, `tokens`, `utc_offset`, `reload` or `limits`","hint":"did you mean `workers`?"}]}
        --
        --
        exits with 1
    "#]];
    check(&["--format", "json"], &expected);

    fs::remove_file(world.config_file("gateway.yaml")).unwrap();
    fs::remove_dir_all(world.config_file("registry")).unwrap();
    let expected = expect![[r#"
        agreements/echo.yaml:3:24: found `H26`, expected a registered member
        agreements/echo.yaml:4:11: found `ecko`, expected a registered node
        agreements/echo.yaml:7:16: found `residence`, expected a registered purpose
        gateway.yaml:1:1: found no such file, expected `gateway.yaml`
        registry:1:1: found no such folder, expected the folder `registry`
        --
        5 problems
        --
        exits with 1
    "#]];
    check(&[], &expected);
    fs::remove_dir_all(&config).unwrap();
    let expected = expect![[r#"
        --
        error: cannot read `WORLD/config`: No such file or directory (os error 2)
        --
        exits with 2
    "#]];
    check(&[], &expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn run_refuses_what_it_cannot_serve() {
    let world = World::new().await;
    let run = || giaolien(&["run", "--config", text(&world.config())]);
    let gateway = world.start();
    let second = run();
    gateway.stop();
    assert_eq!((second.code, second.stdout.as_str()), (1, ""));
    let told = "ledger `WORLD/ledger` is being written by another process\n";
    assert!(shown(&world, &second.stderr).ends_with(told), "{second:?}");

    world.write("registry/nodes.yaml", "nodes: [");
    let broken = run();
    assert_eq!((broken.code, broken.stdout.as_str()), (1, ""));
    expect![[r#"
        registry/nodes.yaml:2:1: found malformed YAML (while parsing a node, did not find expected node content), expected YAML 1.2
    "#]].assert_eq(&shown(&world, &broken.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audit_verify_names_the_changed_byte() {
    let world = World::new().await;
    some_calls(&world).await;
    let good = world.audit_verify();
    assert_eq!((good.code, good.stderr.as_str()), (0, ""));
    assert!(good.stdout.starts_with("whole: "), "{good:?}");

    let file = |name: &str| world.ledger_folder().join(name);
    let segment = file("segment-0000000000.log");
    let bytes = fs::read(&segment).unwrap();
    // The first frame follows the header of the segment, and tells its own length.
    let frame = 4096;
    let length = u32::from_le_bytes(*bytes[frame + 12..].first_chunk().unwrap()) as usize;
    let padding = frame + length - 1;
    assert_eq!(bytes[padding], 0, "the first frame has padding");
    let places = [
        ("the origin in the header", &segment, 100),
        ("the header of a frame", &segment, frame + 20),
        ("an entry", &segment, frame + 96 + 10),
        ("the padding of a frame", &segment, padding),
        ("the zeros after the last frame", &segment, bytes.len() - 1),
        ("a segment not in use yet", &file("segment-0000000001.log"), 5000),
        ("the checkpoint", &file("checkpoint"), 20),
    ];
    for (place, path, offset) in places {
        flip(path, offset);
        let ran = world.audit_verify();
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{place}: {ran:?}");
        let named = format!("`{}` is damaged at byte {offset}: ", path.display());
        assert!(ran.stderr.contains(&named), "{place}: expected {named}, got {}", ran.stderr);
        flip(path, offset);
    }
    assert_eq!(world.audit_verify().code, 0, "all is as it was");
}

fn flip(path: &Path, offset: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[offset] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audit_verify_says_what_it_cannot_verify() {
    let world = World::new().await;
    let check = |arguments: &[&str], code: i32, stderr: &str| {
        let ran = giaolien(&[["audit", "verify"].as_slice(), arguments].concat());
        assert!(shown(&world, &ran.stderr).starts_with(stderr), "{ran:?}");
        assert_eq!((ran.code, ran.stdout.as_str()), (code, ""));
    };
    let nowhere = world.folder.path().join("nowhere");
    let no_folder = "error: cannot read `WORLD/nowhere`: No such file or directory (os error 2)\n";
    check(&[text(&nowhere)], 2, no_folder);
    check(&[text(&world.config())], 2, "error: `WORLD/config` holds no ledger\n");
    some_calls(&world).await;
    let (ledger, other) = (world.ledger_folder(), other_key(&world));
    let no_key = "error: read public key `WORLD/nowhere`; name it with --key: No such file";
    check(&[text(&ledger), "--key", text(&nowhere)], 2, no_key);
    let wrong_key = "not whole: checkpoint is not signed with the key `other.test+";
    check(&[text(&ledger), "--key", text(&other)], 1, wrong_key);
    fs::remove_file(ledger.join("checkpoint")).unwrap();
    check(&[text(&ledger)], 1, "not whole: `WORLD/ledger/checkpoint` is missing\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receipt_verify_checks_bytes_and_base64_offline() {
    let world = World::new().await;
    let taken = some_calls(&world).await.pop().unwrap();
    let bytes = wire::evidence::encode_receipt(&taken.receipt);
    world.write("pki/raw.receipt", &bytes);
    world.write("pki/base64.receipt", STANDARD.encode(&bytes));
    let mut tampered = taken.receipt.clone();
    tampered.time = Timestamp::from_micros(tampered.time.as_micros() + 1);
    world.write("pki/tampered.receipt", wire::evidence::encode_receipt(&tampered));
    world.write("pki/cut.receipt", &bytes[..bytes.len() - 1]);
    let verify = |file: &str, key: Option<&Path>| {
        let file = world.config_file(file);
        let key = key.map(|key| ["--key", text(key)]);
        let arguments = ["receipt", "verify", text(&file)];
        giaolien(&[arguments.as_slice(), key.as_ref().map_or(&[], |key| key)].concat())
    };
    // Without --key the public key beside the receipt counts.
    for file in ["pki/raw.receipt", "pki/base64.receipt"] {
        let ran = verify(file, None);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
        let told = format!("valid: entry {} of ledger.test\n", taken.receipt.index);
        assert!(ran.stdout.starts_with(&told), "{ran:?}");
        assert!(ran.stdout.contains(&taken.exchange), "{ran:?}");
    }
    let check = |file: &str, key: Option<&Path>, stderr: &str| {
        let ran = verify(file, key);
        assert!(shown(&world, &ran.stderr).starts_with(stderr), "{ran:?}");
        // What could not be looked at is no verdict.
        let code = if stderr.starts_with("error: ") { 2 } else { 1 };
        assert_eq!((ran.code, ran.stdout.as_str()), (code, ""));
    };
    let (raw, other) = ("pki/raw.receipt", other_key(&world));
    check(raw, Some(&other), "not valid: receipt is signed with key `");
    check(raw, Some(&world.config_file("pki/ca.crt")), "error: public key `WORLD/config/pki/ca");
    check("pki/tampered.receipt", None, "not valid: signature does not match: ");
    check("pki/cut.receipt", None, "not valid: not a receipt: ");
    check("pki/ca.crt", None, "not valid: not a receipt: ");
    check("pki/none.receipt", None, "error: read `WORLD/config/pki/none.receipt`: No such file");
    check("gateway.yaml", None, "error: read public key `WORLD/config/ledger.pub`; name it with");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_counts_what_it_called() {
    const CALLS: usize = 200;
    let world = World::new().await;
    let gateway = world.start();
    let load = |method: &str| {
        let (address, method) = (gateway.address().to_string(), format!("/{SERVICE}/{method}"));
        let [ca, cert, key] = ["ca.crt", "commune.crt", "commune.key"]
            .map(|name| text(&world.config_file(&format!("pki/{name}"))).to_owned());
        let mut arguments = vec!["load", &address, &method];
        arguments.extend(["--ca", &ca, "--cert", &cert, "--key", &key]);
        arguments.extend("--server-name localhost --connections 2 --streams 2".split(' '));
        arguments.extend("--metadata exchange-purpose=residence --warm-up 0s".split(' '));
        arguments.extend("--duration 60s --calls 200 --format json".split(' '));
        let ran = giaolien(&arguments);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
        serde_json::from_str::<Value>(&ran.stdout).unwrap()
    };
    let report = load("Unary");
    assert_eq!((&report["mode"], &report["connections_opened"]), (&"closed".into(), &2.into()));
    assert_eq!((&report["calls"], &report["calls_ok"]), (&CALLS.into(), &CALLS.into()));
    assert_eq!((&report["messages_received"], &report["failures"]), (&CALLS.into(), &json!([])));
    assert_eq!(
        report["statuses"],
        json!([{"code": 0, "name": "OK", "calls": CALLS, "example": null}])
    );
    assert!(report["latency_us_p99"].as_f64().unwrap() > 0.0);
    let refused = load("Unregistered");
    assert_eq!((&refused["calls"], &refused["calls_ok"]), (&CALLS.into(), &0.into()));
    assert_eq!(refused["statuses"][0]["name"], "UNIMPLEMENTED");
    gateway.stop();
    let ledger = world.ledger();
    assert_eq!(ledger.count(|entry| matches!(entry, Entry::Admitted(_))), CALLS);
    assert_eq!(ledger.count(|entry| matches!(entry, Entry::Finished(_))), CALLS);
    assert_eq!(ledger.count(|entry| is_refused(entry, Reason::MethodUnknown)), CALLS);
}

fn is_refused(entry: &Entry, reason: Reason) -> bool {
    matches!(entry, Entry::Refused(refused) if refused.reason == reason)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_binds_the_next_call_and_a_broken_one_changes_nothing() {
    let world = World::new().await;
    let mut gateway = world.start();
    gateway.announce("configuration rejected");
    let mut client = world.client(&gateway).await;
    within(client.unary(EchoRequest::default())).await.unwrap();

    world.write("agreements/echo.yaml", AGREEMENT.replace("state: active", "state: suspended"));
    reload(&gateway, "revision in force").await;
    let refused = within(client.unary(EchoRequest::default())).await.unwrap_err();
    let (reason, metadata) = error_info(&refused);
    assert_eq!(reason, "AGREEMENT_SUSPENDED");
    assert_eq!(metadata["agreement"], "echo-for-H26");
    let suspended = &metadata["revision"];

    // Broken in one file, and no longer suspended in another: neither counts.
    world.write("agreements/echo.yaml", AGREEMENT);
    world.write("registry/more.yaml", "members: [{id: H29}]\n");
    reload(&gateway, "configuration rejected").await;
    let refused = within(client.unary(EchoRequest::default())).await.unwrap_err();
    let (reason, metadata) = error_info(&refused);
    assert_eq!((reason.as_str(), &metadata["revision"]), ("AGREEMENT_SUSPENDED", suspended));

    fs::remove_file(world.config_file("registry/more.yaml")).unwrap();
    reload(&gateway, "revision in force").await;
    within(client.unary(EchoRequest::default())).await.unwrap();

    // Several in a second: their numbers grow all the same.
    for _ in 0..3 {
        reload(&gateway, "revision in force").await;
    }
    let lines = [gateway.logged("serving"), gateway.logged("revision in force")].concat();
    let number = |line: &Value| line["revision"].as_str().unwrap().parse::<u64>().unwrap();
    let revisions: Vec<_> = lines.iter().map(number).collect();
    assert_eq!(revisions.len(), 6);
    assert!(revisions.is_sorted_by(|one, next| one < next), "{revisions:?}");
    gateway.stop();
}

/// Has the gateway load its configuration again, and waits until it says what came of it.
async fn reload(gateway: &Gateway, outcome: &str) {
    let before = gateway.logged(outcome).len();
    gateway.signal("HUP");
    until(outcome, || gateway.logged(outcome).len() > before).await;
}

/// Makes a ledger with some calls in it.
async fn some_calls(world: &World) -> Vec<Taken> {
    let gateway = world.start();
    let mut client = world.client(&gateway).await;
    let mut taken = Vec::new();
    for _ in 0..3 {
        let response = within(client.change(EchoRequest::default())).await.unwrap();
        taken.push(Taken::from(response.metadata(), &world.key));
    }
    gateway.stop();
    taken
}

/// The public key of another ledger.
fn other_key(world: &World) -> PathBuf {
    let (signer, _) = Signer::generate("other.test".parse().unwrap()).unwrap();
    world.write("pki/other.pub", signer.verifying_key().to_string());
    world.config_file("pki/other.pub")
}

/// Output without what differs from run to run.
fn shown(world: &World, output: &str) -> String {
    output.replace(text(world.folder.path()), "WORLD")
}
