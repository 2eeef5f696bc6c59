//! Receipts held against checkpoints: of a published ledger, and in proof files.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails may panic")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use support::public::{WitnessProcess, address, get};
use support::{Gateway, Ran, World, copy_folder, giaolien, text, until, within};
use testkit::echo::pb::EchoRequest;
use tlog::{Bundle, Cosigner, Signer};

const DOOR: &str = "the published ledger";
const WITNESS: &str = "giamsat.example.vn";

/// Makes calls and keeps the receipt of the last one.
async fn call(world: &World, gateway: &Gateway, times: usize, file: &str) -> PathBuf {
    let mut client = world.client(gateway).await;
    let path = world.folder.path().join(file);
    for _ in 0..times {
        let answer = within(client.unary(EchoRequest::default())).await.unwrap();
        let receipt = answer.metadata().get_bin("exchange-receipt-bin").unwrap();
        fs::write(&path, receipt.to_bytes().unwrap()).unwrap();
    }
    path
}

fn verify(world: &World, receipt: &Path, more: &[&str]) -> Ran {
    let key = world.config_file("pki/ledger.pub");
    giaolien(&[&["receipt", "verify", text(receipt), "--key", text(&key)], more].concat())
}

fn configure(world: &World, ledger: &str) {
    let yaml = support::gateway_yaml(&world.ledger_folder());
    let publish = "  publish: {listen: '127.0.0.1:0'}\n";
    world.write("gateway.yaml", yaml.replace("limits:\n", &format!("{publish}{ledger}limits:\n")));
}

/// Waits until the published checkpoint covers so many entries.
async fn covered(gateway: &Gateway, size: u64) -> String {
    let door = address(gateway, DOOR);
    let read = || {
        let note = get(&door, "/checkpoint").text();
        note.lines().nth(1).and_then(|line| line.parse::<u64>().ok()).unwrap_or(0)
    };
    until("the checkpoint covers the calls", || read() >= size).await;
    format!("http://{door}")
}

fn check(ran: &Ran, code: i32, expected: &str) {
    assert_eq!(ran.code, code, "{ran:?}");
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert!(said.contains(expected), "`{expected}` in {ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_is_found_in_the_published_ledger_or_proves_that_it_was_changed() {
    let world = World::new().await;
    configure(&world, "");
    let gateway = world.start();
    call(&world, &gateway, 2, "before.receipt").await;
    let honest = covered(&gateway, 5).await;
    gateway.stop();
    let copy = world.folder.path().join("copy");
    copy_folder(&world.ledger_folder(), &copy);

    let gateway = world.start();
    let receipt = call(&world, &gateway, 300, "call.receipt").await;
    let url = covered(&gateway, 606).await;
    check(&verify(&world, &receipt, &[]), 0, "no checkpoint was looked at");
    check(&verify(&world, &receipt, &["--ledger", &url]), 0, "in the tree of");
    // A proof file from the ledger's folder says the same.
    let ledger = world.ledger_folder();
    let index = wire::evidence::decode_receipt(&fs::read(&receipt).unwrap()).unwrap().index;
    let proof = world.folder.path().join("call.proof");
    let arguments = ["audit", "proof", text(&ledger), "--out", text(&proof)];
    let made = giaolien(&[&arguments[..], &["--index", &index.to_string()]].concat());
    assert_eq!(made.code, 0, "{made:?}");
    check(&verify(&world, &receipt, &["--proof", text(&proof)]), 0, "in the tree of");
    check(&verify(&world, &proof, &[]), 0, "in the tree of");
    gateway.stop();
    // Nobody there is no verdict.
    check(&verify(&world, &receipt, &["--ledger", &url]), 2, "cannot connect to");
    check(&verify(&world, &receipt, &["--ledger", &honest]), 2, "cannot connect to");
    check(&verify(&world, &receipt, &["--ledger", "https://localhost:1"]), 2, "authorities");

    // Another history from the fifth entry on, signed with the same key.
    fs::remove_dir_all(&ledger).unwrap();
    fs::rename(&copy, &ledger).unwrap();
    let gateway = world.start();
    let url = covered(&gateway, 6).await;
    check(&verify(&world, &receipt, &["--ledger", &url]), 2, "not yet entry");
    call(&world, &gateway, 302, "other.receipt").await;
    let url = covered(&gateway, 608).await;
    check(&verify(&world, &receipt, &["--ledger", &url]), 1, "evidence of tampering");
    let before = world.folder.path().join("before.receipt");
    check(&verify(&world, &before, &["--ledger", &url]), 0, "in the tree of");
    let arguments = ["audit", "proof", text(&ledger), "--out", text(&proof)];
    let made = giaolien(&[&arguments[..], &["--index", &index.to_string()]].concat());
    assert_eq!(made.code, 0, "{made:?}");
    check(&verify(&world, &receipt, &["--proof", text(&proof)]), 1, "evidence of tampering");
    check(&verify(&world, &before, &["--proof", text(&proof)]), 1, "the proof is of entry");
    // Without its entry the proof shows nothing, and contradicts nothing.
    let bundle: Bundle = fs::read_to_string(&proof).unwrap().parse().unwrap();
    fs::write(&proof, Bundle { extra: None, ..bundle }.to_string()).unwrap();
    check(&verify(&world, &receipt, &["--proof", text(&proof)]), 1, "does not lead from the entry");
    gateway.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn witnesses_and_keys_that_are_asked_for_must_have_signed() {
    let world = World::new().await;
    let folder = world.folder.path();
    let (cosigner, pem) = Cosigner::generate(WITNESS.parse().unwrap()).unwrap();
    let public = [WITNESS, "other"].map(|name| folder.join(format!("{name}.pub")));
    fs::write(folder.join(format!("{WITNESS}.key")), pem).unwrap();
    fs::write(&public[0], cosigner.key().to_string()).unwrap();
    let (other, _) = Cosigner::generate("other.example.vn".parse().unwrap()).unwrap();
    fs::write(&public[1], other.key().to_string()).unwrap();
    let ledger_key = world.config_file("pki/ledger.pub");
    let witness = WitnessProcess::start(folder, WITNESS, "127.0.0.1:0", &[ledger_key]);
    let key = public[0].display();
    configure(
        &world,
        &format!("  witnesses: [{{url: 'http://{}', key: {key}}}]\n", witness.address),
    );
    let gateway = world.start();
    let receipt = call(&world, &gateway, 2, "call.receipt").await;
    let url = covered(&gateway, 5).await;
    let [known, unknown] = public.each_ref().map(|path| text(path));
    let against = |witness| verify(&world, &receipt, &["--ledger", &url, "--witness", witness]);
    check(&against(known), 0, &format!("cosigned by {}", cosigner.key()));
    check(&against(unknown), 1, "not witnessed by other.example.vn");
    check(&verify(&world, &receipt, &["--witness", known]), 2, "expected --proof or --ledger");
    let exchange = wire::evidence::decode_receipt(&fs::read(&receipt).unwrap()).unwrap();
    let model::Entry::Admitted(call) = wire::evidence::decode_entry(&exchange.entry).unwrap()
    else {
        unreachable!("a receipt is for an admission")
    };
    let (ledger, proof) = (world.ledger_folder(), folder.join("call.proof"));
    let made = giaolien(&[
        "audit",
        "proof",
        text(&ledger),
        "--exchange",
        &call.exchange.to_string(),
        "--out",
        text(&proof),
    ]);
    check(&made, 0, "1 signatures beside the ledger's");
    let against =
        |witness| verify(&world, &receipt, &["--proof", text(&proof), "--witness", witness]);
    check(&against(known), 0, &format!("cosigned by {}", cosigner.key()));
    check(&against(unknown), 1, "0 of the trusted witnesses cosigned, 1 are needed");
    // Another key says nothing about this checkpoint.
    let (stranger, _) = Signer::generate("ledger.test".parse().unwrap()).unwrap();
    fs::write(&public[1], stranger.verifying_key().to_string()).unwrap();
    let arguments = ["receipt", "verify", text(&receipt), "--key", unknown, "--ledger", &url];
    check(&giaolien(&arguments), 1, "not valid");
    gateway.stop();
}
