//! Reading the ledger: through a gateway, which records it, and in a copy.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails may panic")]
#![allow(clippy::panic, reason = "a test that fails may panic")]

mod support;

use std::fs;
use std::path::PathBuf;

use audit::{Log, Options};
use model::{
    Action, Admitted, Code, Effect, Entry, ExchangeId, Finished, LedgerRead, PersonNumber,
    PseudonymKey, Pseudonyms, Reading, RevisionId, Timestamp, Traffic,
};
use serde_json::Value;
use support::{Gateway, Ran, World, giaolien, text, within};
use testkit::Profile;
use testkit::echo::pb::EchoRequest;
use tlog::Signer;

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const NUMBER: &str = "900000000017";
const PSEUDONYMS: &str = "  pseudonyms: [{period: '2026', key: pki/2026.key}]\n";

/// A world whose gateway can be searched; `keys` are the lines of its pseudonyms.
async fn world(keys: &str) -> World {
    let world = World::new().await;
    for name in ["operator", "stranger"] {
        let issued = world.authority.issue(name, Profile::Client).unwrap();
        world.write(&format!("pki/{name}.crt"), &issued.certificate_pem);
        world.write(&format!("pki/{name}.key"), &issued.key_pem);
    }
    world.write("pki/2026.key", KEY);
    configure(&world, keys);
    world
}

fn configure(world: &World, keys: &str) {
    let ledger = support::gateway_yaml(&world.ledger_folder());
    let index = world.folder.path().join("index");
    let more = format!("  index: {}\n{keys}limits:\n", index.display());
    let admin = "admin: {listen: '127.0.0.1:0', operators: [{file: pki/operator.crt}]}\n";
    world.write("gateway.yaml", ledger.replace("limits:\n", &more) + admin);
}

/// Writes the ledger of a call about a person, as it was before the gateway started.
fn write_a_call_about_a_person(world: &World) -> ExchangeId {
    let pem = fs::read_to_string(world.config_file("pki/ledger.key")).unwrap();
    let origin: tlog::Origin = "ledger.test".parse().unwrap();
    let signer = Signer::from_pkcs8_pem(&pem, origin.clone()).unwrap();
    let mut options = Options::new(world.ledger_folder(), origin, signer.into());
    options.segment_bytes = 128 << 10;
    let (log, _) = Log::open(options).unwrap();
    let time = Timestamp::from_secs(1_780_000_000);
    let exchange = ExchangeId::new(time, [7; 10]);
    let keys = vec![("2026".parse().unwrap(), PseudonymKey::from_hex(KEY).unwrap())];
    let person = PersonNumber::new("VN", "personal", NUMBER).unwrap();
    let admitted = Entry::Admitted(Admitted {
        exchange,
        time,
        certificate: model::CertificateDigest([1; 32]),
        system: "commune".parse().unwrap(),
        member: "H26.12".parse().unwrap(),
        node: "population".parse().unwrap(),
        method: "/vn.population.v1.PopulationService/LookUpPerson".into(),
        effect: Effect::Query,
        agreement: "population-for-communes".parse().unwrap(),
        purpose: "residence".parse().unwrap(),
        dossier: Some("000.00.26.H26-261121-0001".into()),
        procedure: None,
        revision: RevisionId(1),
        source: "192.0.2.7".parse().unwrap(),
        shadow_node: None,
        subject: Pseudonyms::new(keys).subjects(&person).pop(),
        fields: vec!["citizen.full_name".into(), "citizen.birth_date".into()],
    });
    let append = |entry: &Entry| {
        let ticket = log.append(&wire::evidence::encode_entry(entry)).unwrap();
        ticket.wait().unwrap().index()
    };
    let admitted = append(&admitted);
    let (reason, traffic) = (None, Traffic::default());
    append(&Entry::Finished(Finished {
        exchange,
        admitted,
        time,
        code: Code::Ok,
        reason,
        request: traffic,
        response: traffic,
        request_masked: None,
        response_masked: None,
    }));
    log.close().unwrap();
    exchange
}

fn ask(world: &World, gateway: &Gateway, who: &str, command: &[&str]) -> Ran {
    gateway.wait_for_log("listening");
    let lines = gateway.logged("listening");
    let line = lines.iter().find(|line| line["what"] == "the admin API").unwrap();
    let admin = line["address"].as_str().unwrap();
    let pki = |name: String| text(&world.config_file(&format!("pki/{name}"))).to_owned();
    let (cert, key) = (pki(format!("{who}.crt")), pki(format!("{who}.key")));
    let ca = pki("ca.crt".to_owned());
    let door = ["--admin", admin, "--cert", &cert, "--key", &key, "--ca", &ca];
    giaolien(&[command, &door, &["--server-name", "localhost"]].concat())
}

fn json(ran: &Ran) -> Vec<Value> {
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn readings(world: &World) -> Vec<LedgerRead> {
    let entries = world.ledger().entries.into_iter();
    entries
        .filter_map(|entry| match entry {
            Entry::LedgerRead(read) => Some(read),
            _ => None,
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_searches_and_the_ledger_says_so() {
    let world = world(PSEUDONYMS).await;
    let gateway = world.start();
    let mut client = world.client(&gateway).await;
    for _ in 0..3 {
        within(client.unary(EchoRequest::default())).await.unwrap();
    }
    let search = ["audit", "search", "--reason", "inspection 12/2026", "--format", "json"];
    let receipts = world.folder.path().join("receipts");
    let filters = ["--member", "H26.12", "--receipts", text(&receipts)];
    let found = json(&ask(&world, &gateway, "operator", &[&search[..], &filters].concat()));
    assert_eq!(found.len(), 3);
    let indices: Vec<_> = found.iter().map(|line| line["entry"].as_u64().unwrap()).collect();
    assert!(indices.is_sorted_by(|a, b| a > b), "{indices:?}");
    assert_eq!(
        (&found[0]["decided"], &found[0]["purpose"]),
        (&"admitted".into(), &"residence".into())
    );
    assert_eq!(found[0]["finished"]["code"], "OK");
    // Each receipt is one that anybody can check.
    let key = world.config_file("pki/ledger.pub");
    for line in &found {
        let [receipt, proof] = ["receipt", "proof"].map(|extension| {
            receipts.join(format!("{}.{extension}", line["exchange"].as_str().unwrap()))
        });
        let alone = ["receipt", "verify", text(&receipt), "--key", text(&key)];
        let together = [&alone[..], &["--proof", text(&proof)]].concat();
        let proof = ["receipt", "verify", text(&proof), "--key", text(&key)];
        for command in [&alone[..], &together, &proof] {
            let ran = giaolien(command);
            assert_eq!(ran.code, 0, "{}", ran.stderr);
        }
    }
    let nothing = ask(&world, &gateway, "operator", &[&search[..], &["--member", "G09"]].concat());
    assert_eq!((nothing.code, nothing.stdout.as_str()), (0, ""));

    let refused = ask(&world, &gateway, "stranger", &search);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("not an operator's"), "{}", refused.stderr);
    let unsaid = ask(&world, &gateway, "operator", &["audit", "search", "--reason", " "]);
    assert_eq!(unsaid.code, 1);
    assert!(unsaid.stderr.contains("expected why the ledger is read"), "{}", unsaid.stderr);
    assert_eq!(giaolien(&["audit", "search", "--admin", "x"]).code, 2);

    let read = readings(&world);
    let told: Vec<_> =
        read.iter().map(|read| (&*read.criteria, &*read.why, read.results)).collect();
    let why = "inspection 12/2026";
    assert_eq!(told, [("member=H26.12", why, 3), ("member=G09", why, 0)]);
    assert!(read.iter().all(|read| read.operator.name.as_deref() == Some("operator")));
    gateway.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_is_found_by_the_number_which_is_kept_nowhere() {
    let world = world(PSEUDONYMS).await;
    let exchange = write_a_call_about_a_person(&world);
    let gateway = world.start();
    let subject = |number| ["audit", "subject", number, "--reason", "request", "--format", "json"];
    let found = json(&ask(&world, &gateway, "operator", &subject(NUMBER)));
    let [line] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(line["exchange"], exchange.to_string());
    assert_eq!(line["fields"][0], "citizen.full_name");
    assert_eq!(json(&ask(&world, &gateway, "operator", &subject("900000000018"))).len(), 0);
    let wrong = ask(&world, &gateway, "operator", &subject("9000"));
    assert_eq!(wrong.code, 1);
    assert!(wrong.stderr.contains("12 digits") && !wrong.stderr.contains("9000"), "{wrong:?}");

    let read = readings(&world);
    assert_eq!(read.len(), 2);
    assert_eq!((read[0].reading, read[0].results), (Reading::Subject, 1));
    assert!(read[0].criteria.starts_with("subject=2026:"), "{}", read[0].criteria);
    let log = format!("{:?}", gateway.lines());
    assert!(!log.contains(NUMBER) && !log.contains(KEY), "{log}");
    gateway.stop();
    for name in ["ledger", "index"] {
        for file in fs::read_dir(world.folder.path().join(name)).unwrap() {
            let bytes = fs::read(file.unwrap().path()).unwrap();
            let found = bytes.windows(NUMBER.len()).any(|window| window == NUMBER.as_bytes());
            assert!(!found, "the number is in the {name}");
        }
    }

    // Without the key of the period nobody finds the person; all else is as it was.
    fs::remove_file(world.config_file("pki/2026.key")).unwrap();
    configure(&world, "");
    let gateway = world.start();
    let lost = ask(&world, &gateway, "operator", &subject(NUMBER));
    assert_eq!((lost.code, lost.stdout.as_str()), (1, ""));
    let search = ["audit", "search", "--reason", "inspection", "--format", "json"];
    assert_eq!(json(&ask(&world, &gateway, "operator", &search)).len(), 1);
    gateway.stop();
    let key = world.config_file("pki/ledger.pub");
    let ledger = world.ledger_folder();
    let ran = giaolien(&["audit", "verify", text(&ledger), "--key", text(&key)]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_auditor_searches_a_copy() {
    let world = world("").await;
    let exchange = write_a_call_about_a_person(&world).to_string();
    let copy = world.ledger_folder();
    let (index, entries) =
        ["own-index", "entries"].map(|name| world.folder.path().join(name)).into();
    let search = |more: &[&str]| {
        giaolien(
            &[&["audit", "search", "--ledger", text(&copy), "--format", "json"], more].concat(),
        )
    };
    let kept = ["--index", text(&index), "--receipts", text(&entries)];
    for more in [&[][..], &kept, &kept, &["--exchange", &exchange], &["--from", "2026-01-01"]] {
        let ran = search(more);
        assert_eq!(json(&ran).len(), 1, "{more:?}");
        assert!(ran.stderr.contains("not recorded"), "{}", ran.stderr);
    }
    assert_eq!(json(&search(&["--until", "2026-01-01"])).len(), 0);
    assert!(index.join("index.sqlite").is_file());
    let ran = search(&kept);
    assert!(ran.stderr.contains("a copy cannot sign receipts"), "{}", ran.stderr);
    let (proof, key) =
        (entries.join(format!("{exchange}.proof")), world.config_file("pki/ledger.pub"));
    let ran = giaolien(&["receipt", "verify", text(&proof), "--key", text(&key)]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains(&format!("call {exchange} admitted")), "{}", ran.stdout);
    assert_eq!(fs::read_dir(&entries).unwrap().count(), 1, "no receipt");
    let empty: PathBuf = world.folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let ran = giaolien(&["audit", "search", "--ledger", text(&empty)]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("expected a ledger"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_operator_applies_is_in_the_ledger() {
    let world = world("").await;
    let gateway = world.start();
    let draft = world.folder.path().join("draft");
    for name in ["registry/members.yaml", "registry/nodes.yaml", "agreements/echo.yaml"] {
        let to = draft.join(name);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(world.config_file(name), to).unwrap();
    }
    let ran = ask(&world, &gateway, "operator", &["apply", text(&draft)]);
    assert_eq!(ran.code, 0, "{} {}", ran.stdout, ran.stderr);
    let entries = world.ledger().entries;
    let applied: Vec<_> = entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::AdminAction(done) => Some(done),
            _ => None,
        })
        .collect();
    let [done] = applied.as_slice() else { panic!("{applied:?}") };
    assert_eq!(done.action, Action::Apply);
    assert!(ran.stdout.contains(&format!("revision {} in force", done.revision)), "{}", ran.stdout);
    assert_eq!(done.operator.name.as_deref(), Some("operator"));
    gateway.stop();
}
