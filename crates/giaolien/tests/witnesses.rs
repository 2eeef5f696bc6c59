//! A gateway and the witnesses of its ledger, all of them processes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails may panic")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use support::public::{WitnessProcess, address, get};
use support::{Gateway, World, copy_folder, giaolien, text, until, within};
use testkit::echo::pb::EchoRequest;
use tlog::{Checkpoint, Cosigner, Note, WitnessKey};

const NAME: &str = "giamsat.example.vn";

/// Makes a witness's key, and the file with its public half.
fn make_key(folder: &Path, name: &str) -> WitnessKey {
    let (cosigner, pem) = Cosigner::generate(name.parse().unwrap()).unwrap();
    fs::write(folder.join(format!("{name}.key")), pem).unwrap();
    fs::write(folder.join(format!("{name}.pub")), cosigner.key().to_string()).unwrap();
    cosigner.key()
}

fn witness(world: &World, name: &str, listen: &str) -> WitnessProcess {
    let ledger = world.config_file("pki/ledger.pub");
    WitnessProcess::start(world.folder.path(), name, listen, &[ledger])
}

fn configure(world: &World, witnesses: &[(&str, &str)], more: &str) {
    let mut ledger = "  publish: {listen: '127.0.0.1:0'}\n  witnesses:\n".to_owned();
    for (name, address) in witnesses {
        let key = world.folder.path().join(format!("{name}.pub"));
        ledger += &format!("    - {{url: 'http://{address}', key: {}}}\n", key.display());
    }
    let yaml = support::gateway_yaml(&world.ledger_folder());
    let yaml = yaml.replace("limits:\n", &format!("{ledger}{more}limits:\n"));
    world.write("gateway.yaml", format!("{yaml}metrics: {{listen: '127.0.0.1:0'}}\n"));
}

async fn call(world: &World, gateway: &Gateway, times: usize) {
    let mut client = world.client(gateway).await;
    for _ in 0..times {
        within(client.unary(EchoRequest::default())).await.unwrap();
    }
}

/// The published checkpoint, if there is one.
fn published(gateway: &Gateway) -> Option<(Note, Checkpoint)> {
    let answer = get(&address(gateway, "the published ledger"), "/checkpoint");
    let note: Note = (answer.status == 200).then(|| answer.text())?.parse().unwrap();
    let checkpoint = note.text().parse().unwrap();
    Some((note, checkpoint))
}

/// Waits for a published checkpoint over so many entries, with these cosignatures and no others.
async fn cosigned(gateway: &Gateway, size: u64, keys: &[&WitnessKey]) -> u64 {
    let covers = |found: &Option<(Note, Checkpoint)>| {
        found.as_ref().is_some_and(|(_, checkpoint)| checkpoint.size >= size)
    };
    until("a cosigned checkpoint is published", || covers(&published(gateway))).await;
    let (note, checkpoint) = published(gateway).unwrap();
    for key in keys {
        key.verify(&note).unwrap();
    }
    assert_eq!(note.signatures().len(), 1 + keys.len());
    checkpoint.size
}

fn ready(gateway: &Gateway) -> (u16, String) {
    let answer = get(&address(gateway, "metrics"), "/readyz");
    (answer.status, answer.text())
}

fn unwitnessed_seconds(gateway: &Gateway) -> f64 {
    let metrics = get(&address(gateway, "metrics"), "/metrics").text();
    let line = metrics.lines().find(|line| line.starts_with("gw_ledger_unwitnessed_seconds "));
    line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_grows_under_a_witness_that_comes_and_goes() {
    let world = World::new().await;
    let folder = world.folder.path();
    let key = make_key(folder, NAME);
    let first = witness(&world, NAME, "127.0.0.1:0");
    let listen = first.address.clone();
    configure(&world, &[(NAME, &listen)], "  unwitnessed_max: 2s\n");
    let mut gateway = world.start();
    gateway.announce("a witness does not cosign");
    gateway.announce("entries go unwitnessed too long");
    call(&world, &gateway, 3).await;
    let size = cosigned(&gateway, 7, &[&key]).await;
    assert_eq!(ready(&gateway).0, 200);
    until("all is witnessed", || unwitnessed_seconds(&gateway) == 0.0).await;

    // Away: calls go on, readiness does not, and what is published stays.
    drop(first);
    call(&world, &gateway, 3).await;
    until("the gateway is not ready", || ready(&gateway).0 == 503).await;
    let (_, why) = ready(&gateway);
    assert!(why.contains("not cosigned by enough witnesses") && why.contains(NAME), "{why}");
    assert!(unwitnessed_seconds(&gateway) > 2.0);
    call(&world, &gateway, 1).await;
    assert_eq!(published(&gateway).unwrap().1.size, size);

    let again = witness(&world, NAME, &listen);
    cosigned(&gateway, size + 8, &[&key]).await;
    until("the gateway is ready", || ready(&gateway).0 == 200).await;
    gateway.wait_for_log("a witness cosigns again");
    gateway.wait_for_log("entries are witnessed again");
    gateway.stop();

    // What was cosigned is kept, and published by the next start before anybody is asked.
    drop(again);
    let mut gateway = world.start();
    gateway.announce("a witness does not cosign");
    cosigned(&gateway, size + 8, &[&key]).await;
    gateway.stop();
    verify(&world, &key);
}

/// An auditor asks for the cosignature.
fn verify(world: &World, key: &WitnessKey) {
    let folder = world.folder.path();
    let ledger = world.ledger_folder();
    let verify = |witness: &PathBuf| {
        giaolien(&["audit", "verify", text(&ledger), "--witness", text(witness)])
    };
    let whole = verify(&folder.join(format!("{NAME}.pub")));
    assert_eq!(whole.code, 0, "{whole:?}");
    assert!(whole.stdout.contains(&format!("cosigned by {key}")), "{whole:?}");
    make_key(folder, "other.example.vn");
    let other = verify(&folder.join("other.example.vn.pub"));
    assert_eq!(other.code, 1, "{other:?}");
    assert!(other.stderr.contains("no checkpoint is cosigned by other.example.vn"), "{other:?}");
    // Not the ledger's own, though a witness signed it.
    let path = ledger.join("cosigned.log");
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    bytes[at] ^= 1;
    fs::write(&path, bytes).unwrap();
    let changed = verify(&folder.join(format!("{NAME}.pub")));
    assert_eq!(changed.code, 1, "{changed:?}");
    assert!(changed.stderr.contains("cosigned.log` is damaged at byte 0"), "{changed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_copy_that_is_put_back_is_refused() {
    let world = World::new().await;
    let key = make_key(world.folder.path(), NAME);
    let witness = witness(&world, NAME, "127.0.0.1:0");
    configure(&world, &[(NAME, &witness.address)], "");
    let gateway = world.start();
    call(&world, &gateway, 2).await;
    cosigned(&gateway, 5, &[&key]).await;
    gateway.stop();
    let copy = world.folder.path().join("copy");
    copy_folder(&world.ledger_folder(), &copy);
    let gateway = world.start();
    call(&world, &gateway, 5).await;
    let size = cosigned(&gateway, 16, &[&key]).await;
    gateway.stop();

    fs::remove_dir_all(world.ledger_folder()).unwrap();
    fs::rename(&copy, world.ledger_folder()).unwrap();
    let mut gateway = world.start();
    let refuses = "a witness refuses this ledger's history";
    gateway.announce(refuses);
    until("the witness refuses", || !gateway.logged(refuses).is_empty()).await;
    // Longer than what the witness saw, it is another history still.
    call(&world, &gateway, 10).await;
    let beginning = "what it has cosigned is not the beginning of this ledger";
    let told = |line: &serde_json::Value| line["why"].as_str().unwrap().contains(beginning);
    until("the fork is named", || gateway.logged(refuses).iter().any(told)).await;
    assert!(published(&gateway).unwrap().1.size < size, "nothing new is published");
    gateway.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_witnesses_is_enough_where_the_quorum_is_one() {
    const OTHER: &str = "other.example.vn";
    let world = World::new().await;
    let folder = world.folder.path();
    let keys = [NAME, OTHER].map(|name| make_key(folder, name));
    let first = witness(&world, NAME, "127.0.0.1:0");
    let second = witness(&world, OTHER, "127.0.0.1:0");
    let addresses = [(NAME, first.address.as_str()), (OTHER, second.address.as_str())];
    configure(&world, &addresses, "  witness_quorum: 1\n");
    let listen = second.address.clone();
    drop(second);
    let mut gateway = world.start();
    gateway.announce("a witness does not cosign");
    call(&world, &gateway, 1).await;
    let size = cosigned(&gateway, 3, &[&keys[0]]).await;
    assert_eq!(ready(&gateway).0, 200);
    // The other one comes, and finds the same checkpoint.
    let _second = witness(&world, OTHER, &listen);
    until("both have cosigned", || published(&gateway).unwrap().0.signatures().len() == 3).await;
    cosigned(&gateway, size, &[&keys[0], &keys[1]]).await;
    gateway.stop();
}
