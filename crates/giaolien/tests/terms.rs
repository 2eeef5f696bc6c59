//! The life of segments under a running gateway: sealed under a key that is exchanged, archived,
//! searched, removed after their term by an operator's word, and verified all the way.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails may panic")]
#![allow(clippy::panic, reason = "a test that fails may panic")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use model::Entry;
use serde_json::Value;
use support::{Gateway, Ran, World, giaolien, text, until, within};
use testkit::Profile;
use testkit::echo::pb::EchoRequest;

const KEYS: [(&str, &str); 2] = [
    ("a", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n"),
    ("b", "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=\n"),
];

/// A world whose ledger is sealed, archived and kept as `retention` says.
async fn world(seal_with: &str, retention: &str) -> World {
    let world = World::new().await;
    let operator = world.authority.issue("operator", Profile::Client).unwrap();
    world.write("pki/operator.crt", &operator.certificate_pem);
    world.write("pki/operator.key", &operator.key_pem);
    for (id, key) in KEYS {
        world.write(&format!("pki/{id}.key"), key);
    }
    fs::create_dir(archive(&world)).unwrap();
    configure(&world, seal_with, retention);
    world
}

fn archive(world: &World) -> PathBuf {
    world.folder.path().join("archive")
}

fn configure(world: &World, seal_with: &str, retention: &str) {
    let ledger = support::gateway_yaml(&world.ledger_folder());
    let index = world.folder.path().join("index");
    let more = format!(
        "  index: {}\n  sealing:\n    seal_with: {seal_with}\n    keys: [{{id: a, file: pki/a.key}}, \
         {{id: b, file: pki/b.key}}]\n  archive: {{directory: {}, after: 1s}}\n  retention: \
         {{{retention}}}\nlimits:\n",
        index.display(),
        archive(world).display()
    );
    let admin = "admin: {listen: '127.0.0.1:0', operators: [{file: pki/operator.crt}]}\n";
    world.write("gateway.yaml", ledger.replace("limits:\n", &more) + admin);
}

/// Calls until `segments` more have been sealed or archived.
async fn fill(world: &World, gateway: &Gateway, segments: usize) {
    let before = closed(&world.ledger_folder());
    let mut client = world.client(gateway).await;
    let begun = std::time::Instant::now();
    while closed(&world.ledger_folder()) < before + segments {
        assert!(begun.elapsed() < support::PATIENCE, "segments are not sealed");
        for _ in 0..20 {
            within(client.unary(EchoRequest::default())).await.unwrap();
        }
    }
}

fn names(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).unwrap();
    files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

fn with_suffix(folder: &Path, suffix: &str) -> usize {
    names(folder).iter().filter(|name| name.ends_with(suffix)).count()
}

fn closed(ledger: &Path) -> usize {
    [".sealed", ".archived", ".gone"].iter().map(|suffix| with_suffix(ledger, suffix)).sum()
}

fn ask(world: &World, gateway: &Gateway, command: &[&str]) -> Ran {
    gateway.wait_for_log("listening");
    let lines = gateway.logged("listening");
    let line = lines.iter().find(|line| line["what"] == "the admin API").unwrap();
    let admin = line["address"].as_str().unwrap();
    let config = world.config();
    giaolien(
        &[
            command,
            &[
                "--config",
                text(&config),
                "--admin",
                admin,
                "--cert",
                text(&world.config_file("pki/operator.crt")),
                "--key",
                text(&world.config_file("pki/operator.key")),
                "--ca",
                text(&world.config_file("pki/ca.crt")),
                "--server-name",
                "localhost",
            ],
        ]
        .concat(),
    )
}

/// Verifies by what the configuration names.
fn verify(world: &World) -> Ran {
    let key = world.config_file("pki/ledger.pub");
    giaolien(&["audit", "verify", "--config", text(&world.config()), "--key", text(&key)])
}

fn json(ran: &Ran) -> Vec<Value> {
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

const SEARCH: [&str; 8] =
    ["audit", "search", "--reason", "inspection", "--format", "json", "--limit", "100000"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_lives_through_sealing_archive_and_removal() {
    let short = "default: 2s, services: [{service: other.Service, term: 3650d}]";
    let world = world("a", short).await;
    let gateway = world.start();
    fill(&world, &gateway, 3).await;
    gateway.stop();
    // The key is exchanged at a restart; what was sealed with the old one is still read.
    configure(&world, "b", short);
    let gateway = world.start();
    fill(&world, &gateway, 3).await;
    let status = ask(&world, &gateway, &["status"]);
    assert!(status.stdout.contains("sealed"), "{status:?}");
    let archived = archive(&world);
    until("segments are archived", || with_suffix(&archived, ".sealed") >= 3).await;
    gateway.kill();

    let verified = verify(&world);
    assert_eq!(verified.code, 0, "{}", verified.stderr);
    assert!(verified.stdout.contains("segments are sealed"), "{}", verified.stdout);
    let gateway = world.start();
    let found = json(&ask(&world, &gateway, &SEARCH));
    let (first, last) = (&found[found.len() - 1], &found[0]);
    let exchange = first["exchange"].as_str().unwrap();
    assert!(first["entry"].as_u64().unwrap() < 10 && last["entry"].as_u64().unwrap() > 100);

    // Without keys and archive it says what it could not read.
    let (ledger, key) = (world.ledger_folder(), world.config_file("pki/ledger.pub"));
    let alone = giaolien(&["audit", "verify", text(&ledger), "--key", text(&key)]);
    assert_eq!(alone.code, 2, "{alone:?}");
    assert!(alone.stderr.contains("in none of the archives given"), "{}", alone.stderr);
    let given = |keys: &[&str]| {
        let mut all = vec!["audit", "verify", text(&ledger), "--archive", text(&archived)];
        keys.iter().for_each(|key| all.extend(["--sealing-key", key]));
        giaolien(&all)
    };
    let files = KEYS
        .map(|(id, _)| format!("{id}={}", world.config_file(&format!("pki/{id}.key")).display()));
    let shut = given(&[&files[1]]);
    assert_eq!(shut.code, 2, "{shut:?}");
    assert!(shut.stderr.contains("key `a` was not given"), "{}", shut.stderr);
    assert_eq!(given(&[&files[0], &files[1]]).code, 0);
    let copy = ["audit", "search", "--ledger", text(&ledger), "--format", "json"];
    let holes = giaolien(&[&copy[..], &["--archive", text(&archived)]].concat());
    assert_eq!(holes.code, 1, "{holes:?}");
    assert!(holes.stderr.contains("not searched: entries from 0"), "{}", holes.stderr);

    // Removed by an operator's word only, with a record.
    let due = ask(&world, &gateway, &["audit", "expire"]);
    assert!(due.code == 0 && due.stdout.starts_with("due: segment 0"), "{due:?}");
    assert_eq!(with_suffix(&ledger, ".gone"), 0);
    let why = ["audit", "expire", "--remove", "--why", "term over, 12/2036", "--segment", "0"];
    let removed = ask(&world, &gateway, &why);
    assert!(removed.code == 0 && removed.stdout.starts_with("removed: segment 0"), "{removed:?}");
    assert_eq!(with_suffix(&ledger, ".gone"), 1);
    let again = ask(&world, &gateway, &why);
    assert!(again.code == 0 && again.stdout.is_empty(), "{again:?}");
    let left = ask(&world, &gateway, &SEARCH);
    assert!(left.stderr.contains("were removed after their term"), "{}", left.stderr);
    let left = json(&left);
    assert!(left.len() < found.len() && left.iter().all(|line| line["exchange"] != *exchange));

    // Auditors look at what operators did, and leave a trace of that too.
    let acts = ["audit", "acts", "--reason", "review", "--format", "json"];
    let removals = json(&ask(&world, &gateway, &[&acts[..], &["--kind", "remove"]].concat()));
    assert_eq!((removals.len(), &removals[0]["why"]), (1, &"term over, 12/2036".into()));
    assert_eq!(removals[0]["operator"]["name"], "operator");
    let readings = json(&ask(&world, &gateway, &[&acts[..], &["--kind", "read"]].concat()));
    assert_eq!(readings[0]["criteria"], "kind=remove");
    assert!(readings.len() >= 3, "each page is a reading: {readings:?}");
    let nobody = [&acts[..], &["--operator", "nobody"]].concat();
    assert!(json(&ask(&world, &gateway, &nobody)).is_empty());
    exported(&world, &gateway);
    gateway.kill();
    let verified = verify(&world);
    assert_eq!(verified.code, 0, "{}", verified.stderr);
    assert!(verified.stdout.contains("removed after their term"), "{}", verified.stdout);

    // An index made anew passes over what was removed.
    fs::remove_dir_all(world.folder.path().join("index")).unwrap();
    let gateway = world.start();
    assert!(json(&ask(&world, &gateway, &SEARCH)).len() >= left.len());
    gateway.stop();
    tampered(&world, &archived);
}

/// Exports of the gateway are recorded and not verified; those of a folder the other way round.
fn exported(world: &World, gateway: &Gateway) {
    let asked = ["audit", "export", "--reason", "report", "--first", "1500", "--last", "1999"];
    let lines = json(&ask(world, gateway, &asked));
    let (last, rows) = lines.split_last().unwrap();
    assert_eq!((&last["kind"], &last["verified"]), (&"export".into(), &false.into()));
    assert!(!rows.is_empty() && last["rows"] == rows.len());
    let acts = ["audit", "acts", "--reason", "review", "--format", "json", "--limit", "1"];
    let told = json(&ask(world, gateway, &acts));
    assert_eq!(
        (&told[0]["reading"], &told[0]["criteria"]),
        (&"export".into(), &"entries=1500..2000".into())
    );
    let (ledger, archive) = (world.ledger_folder(), archive(world));
    let out = world.folder.path().join("entries.parquet");
    let keys = KEYS
        .map(|(id, _)| format!("{id}={}", world.config_file(&format!("pki/{id}.key")).display()));
    let of = ["audit", "export", text(&ledger), "--archive", text(&archive)];
    let parquet = [&of[..], &["--format", "parquet", "--out", text(&out)]].concat();
    assert_eq!(giaolien(&parquet).code, 2, "without keys");
    assert!(!out.exists());
    let opened = ["--sealing-key", &keys[0], "--sealing-key", &keys[1]];
    let ran = giaolien(&[&parquet[..], &opened].concat());
    assert!(ran.code == 0 && ran.stderr.contains("all of it verified"), "{ran:?}");
    assert!(fs::read(&out).unwrap().ends_with(b"PAR1"));
}

/// A changed byte of the archive is found and named.
fn tampered(world: &World, archive: &Path) {
    let mut files = names(archive);
    files.sort();
    let path = archive.join(&files[0]);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    let verified = verify(world);
    assert_eq!(verified.code, 1, "{verified:?}");
    let place = format!("at byte {middle}");
    assert!(
        verified.stderr.contains(&place) && verified.stderr.contains(&files[0]),
        "{verified:?}"
    );
}

/// What is about a service with a longer term keeps its segment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_with_a_term_of_its_own_is_kept_as_long() {
    let long = "default: 1s, services: [{service: testkit.echo.v1.EchoService, term: 3650d}]";
    let world = world("a", long).await;
    let gateway = world.start();
    fill(&world, &gateway, 2).await;
    let archived = archive(&world);
    until("a segment is archived", || with_suffix(&archived, ".sealed") >= 1).await;
    let due = ask(&world, &gateway, &["audit", "expire"]);
    assert_eq!((due.code, due.stdout.as_str()), (0, ""), "{due:?}");
    let refused = ask(&world, &gateway, &["audit", "expire", "--remove", "--why", " "]);
    assert_eq!(refused.code, 0, "nothing is due: {refused:?}");
    let metrics = world.ledger_folder();
    assert_eq!(with_suffix(&metrics, ".gone"), 0);
    gateway.stop();
}

/// Killed while it seals and archives, again and again: nothing that was told is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_while_segments_are_sealed_and_archived_lose_nothing() {
    let world = world("a", "default: 3650d").await;
    let mut receipts = Vec::new();
    for round in 0..6_u64 {
        let mut gateway = world.start();
        gateway.announce("torn write cleared");
        let mut client = world.client(&gateway).await;
        let end = std::time::Instant::now() + std::time::Duration::from_millis(700 + 130 * round);
        while std::time::Instant::now() < end {
            let answer = within(client.unary(EchoRequest::default())).await.unwrap();
            receipts.push(support::Taken::from(answer.metadata(), &world.key).exchange);
        }
        gateway.kill();
    }
    world.start().stop();
    let verified = verify(&world);
    assert_eq!(verified.code, 0, "{}", verified.stderr);
    assert!(closed(&world.ledger_folder()) > 0, "nothing was sealed");
    let found = control::whereabouts(&world.config()).unwrap();
    let mut source = audit::Source::folder(found.directory);
    source.archives.extend(found.archive);
    found.keys.iter().for_each(|key| source.keys.add(&key.id, &key.text).unwrap());
    let admitted: std::collections::HashSet<String> = audit::records(&source, 0)
        .unwrap()
        .filter_map(|record| match wire::evidence::decode_entry(&record.unwrap().entry).unwrap() {
            Entry::Admitted(call) => Some(call.exchange.to_string()),
            _ => None,
        })
        .collect();
    assert!(receipts.iter().all(|exchange| admitted.contains(exchange)));
}
