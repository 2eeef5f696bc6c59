//! `giaolien explain`: why calls would be, and were, decided so.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails may panic")]

mod support;

use std::fs;

use serde_json::{Value, json};
use support::{AGREEMENT, Ran, Taken, World, giaolien, text, within};
use testkit::echo::SERVICE;
use testkit::echo::pb::EchoRequest;

const POLICIES: &str = "\
// What is changed is changed for a case.
@id(\"updates-need-a-dossier\")
forbid (principal, action == Action::\"update\", resource)
unless { context has dossier };

@id(\"errs\")
forbid (principal, action, resource) when { context.weekday + 9223372036854775807 > 0 };
";
const ROUTES: &str = "\
routes:
  - service: testkit.echo.v1.EchoService
    method: Unary
    retries_max: 2
    splits: [{node: other, share: 12.5%}]
";

/// A world with policies, a split and a second agreement that nearly fits.
async fn world() -> World {
    let world = World::new().await;
    let nodes = fs::read_to_string(world.config_file("registry/nodes.yaml")).unwrap();
    let other =
        "  - {id: other, name: Other, provider: G01, endpoints: ['127.0.0.1:9'], services: []}\n";
    world.write("registry/nodes.yaml", nodes + other);
    let purposes = "purposes: [{code: statistics, name: Thống kê}]\n";
    world.write("registry/purposes.yaml", purposes);
    world.write("policies/rails.cedar", POLICIES);
    world.write("routes.yaml", ROUTES);
    let second = AGREEMENT
        .replace("echo-for-H26", "echo-for-statistics")
        .replace("[residence]", "[statistics]")
        .replace("state: active", "state: suspended");
    world.write("agreements/second.yaml", second);
    world
}

fn explain(world: &World, arguments: &[&str]) -> Ran {
    giaolien(&[&["explain", "--config", text(&world.config())], arguments].concat())
}

/// Explains a call of the system given by hand, as JSON.
fn by_hand(world: &World, method: &str, code: i32, arguments: &[&str]) -> Value {
    let method = format!("/{SERVICE}/{method}");
    let call = ["--system", "commune", "--method", &method, "--format", "json"];
    let ran = explain(world, &[&call, arguments].concat());
    assert_eq!((ran.code, ran.stderr.as_str()), (code, ""));
    serde_json::from_str(&ran.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_by_hand_is_explained() {
    let world = world().await;
    let allowed = by_hand(&world, "Unary", 0, &["--purpose", "residence"]);
    assert_eq!(allowed["decision"]["agreement"], "echo-for-H26");
    assert!(allowed["agreement_text"].as_str().unwrap().contains("principal in Member::\"H26\""));
    let shares =
        json!([{"node": "other", "share_percent": 12.5}, {"node": "echo", "share_percent": 87.5}]);
    assert_eq!(
        (&allowed["route"]["nodes"], &allowed["route"]["retries_max"]),
        (&shares, &json!(2))
    );
    assert_eq!(allowed["policies_erring"][0]["id"], "errs");
    let near: Vec<_> =
        allowed["candidates"].as_array().unwrap().iter().map(|it| &it["missing"]).collect();
    assert_eq!(near, [&json!([]), &json!(["PURPOSE", "AGREEMENT_SUSPENDED"])]);

    let forbidden = by_hand(&world, "Change", 2, &["--purpose", "residence"]);
    assert_eq!(forbidden["decision"]["reason"], "POLICY_FORBIDS");
    let policy = &forbidden["policies"][0];
    assert_eq!((&policy["file"], &policy["line"]), (&json!("policies/rails.cedar"), &json!(2)));
    assert_eq!(forbidden["changes"][0]["change"], "dossier");
    let other = by_hand(&world, "Change", 2, &["--purpose", "statistics"]);
    let both = (&other["changes"][0]["change"], &other["changes"][0]["value"]);
    assert_eq!(both, (&json!("purpose_and_dossier"), &json!("residence")));
    by_hand(&world, "Change", 0, &["--dossier", "000.00.26.H26-261121-0001"]);

    let other = by_hand(&world, "Unary", 2, &["--purpose", "statistics"]);
    assert_eq!(other["changes"][0]["value"], "residence");
    let late = by_hand(
        &world,
        "Unary",
        2,
        &["--agreement", "echo-for-H26", "--at", "2050-01-01T00:00:00Z"],
    );
    assert_eq!(late["decision"]["reason"], "AGREEMENT_EXPIRED");
    let unknown = by_hand(&world, "Unry", 2, &[]);
    assert_eq!(unknown["decision"]["reason"], "METHOD_UNKNOWN");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_read_it_in_their_language() {
    let world = world().await;
    let method = format!("/{SERVICE}/Change");
    let call = ["--system", "commune", "--method", &method];
    let tell = |arguments: &[&str]| {
        let ran = explain(&world, &[&call, arguments].concat());
        assert_eq!((ran.code, ran.stderr.as_str()), (2, ""));
        ran.stdout
    };
    let english = tell(&["--lang", "en"]);
    let vietnamese = tell(&["--lang", "vi"]);
    for line in [
        "decision    refused: POLICY_FORBIDS\n",
        "policies    `updates-need-a-dossier` forbids, policies/rails.cedar:2\n",
        "to change   state a dossier (`exchange-dossier`)\n",
        "            passed over",
    ] {
        let line = line.trim_start_matches("            passed");
        assert!(english.contains(line), "no `{line}` in\n{english}");
    }
    for line in [
        "quyết định  bị từ chối: POLICY_FORBIDS\n",
        "chính sách  `updates-need-a-dossier` cấm, policies/rails.cedar:2\n",
        "cần đổi     nêu mã hồ sơ (`exchange-dossier`)\n",
    ] {
        assert!(vietnamese.contains(line), "no `{line}` in\n{vietnamese}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorded_call_is_explained_and_compared_with_the_folder() {
    let world = world().await;
    world.write("routes.yaml", "routes: []\n");
    let mut gateway = world.start();
    gateway.announce("policy errs and is passed over");
    let mut client = world.client(&gateway).await;
    let answered = within(client.unary(EchoRequest::default())).await.unwrap();
    let answered = Taken::from(answered.metadata(), &world.key).exchange;
    let refused = within(client.change(EchoRequest::default())).await.unwrap_err();
    let refused = Taken::from(refused.metadata(), &world.key).exchange;
    gateway.stop();
    let ledger = world.ledger_folder();
    let recorded = |exchange: &str, code: i32| {
        let call = ["--ledger", text(&ledger), "--exchange", exchange, "--format", "json"];
        let ran = explain(&world, &call);
        assert_eq!((ran.code, ran.stderr.as_str()), (code, ""));
        serde_json::from_str::<Value>(&ran.stdout).unwrap()
    };
    let told = recorded(&answered, 0);
    assert_eq!(
        (&told["recorded"]["ended"]["status"], &told["system"]),
        (&json!("OK"), &json!("commune"))
    );
    assert_eq!(told["decided_as_recorded"], true);
    let told = recorded(&refused, 2);
    assert_eq!(
        (&told["recorded"]["reason"], &told["policies"][0]["id"]),
        (&json!("POLICY_FORBIDS"), &json!("updates-need-a-dossier"))
    );
    assert_eq!(
        (&told["decided_as_recorded"], &told["changed_since"]),
        (&json!(true), &Value::Null)
    );

    assert!(told["agreement_text"].as_str().unwrap().contains("Member::\"H26\""), "{told}");
    assert_eq!(told["governing"], "echo-for-H26");
    assert_eq!(told["not_recorded"], json!(["token", "fields", "metadata"]));
    assert_eq!(told["recorded"]["shadow_node"], Value::Null);
    let english =
        explain(&world, &["--ledger", text(&ledger), "--exchange", &refused, "--lang", "en"]);
    assert!(english.stdout.contains("no file is newer than that revision"), "{english:?}");

    // The folder is changed a while after that revision.
    world.write("policies/rails.cedar", "");
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(60);
    let file = fs::File::options().write(true).open(world.config_file("policies/rails.cedar"));
    file.unwrap().set_modified(later).unwrap();
    let told = recorded(&refused, 2);
    assert_eq!(
        (&told["decided_as_recorded"], &told["decision"]["allowed"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(told["changed_since"]["file"], "policies/rails.cedar");
    let english =
        explain(&world, &["--ledger", text(&ledger), "--exchange", &refused, "--lang", "en"]);
    let changed = "the folder has changed since that revision, last `policies/rails.cedar`";
    assert!(english.stdout.contains(changed), "{english:?}");

    // The system is taken out of the registry: the record is still told.
    let members = fs::read_to_string(world.config_file("registry/members.yaml")).unwrap();
    world.write("registry/members.yaml", members.replace("id: commune", "id: another"));
    let told = recorded(&refused, 2);
    assert_eq!(
        (&told["recorded"]["reason"], &told["system_gone"]),
        (&json!("POLICY_FORBIDS"), &json!("commune"))
    );
    assert_eq!(told["decided_as_recorded"], Value::Null);
    let english =
        explain(&world, &["--ledger", text(&ledger), "--exchange", &refused, "--lang", "en"]);
    assert!(english.stdout.contains("system `commune` is no longer registered"), "{english:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_explained_is_said() {
    let world = world().await;
    let method = format!("/{SERVICE}/Unary");
    let check = |arguments: &[&str], stderr: &str| {
        let ran = explain(&world, arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
        assert!(ran.stderr.starts_with(stderr), "{ran:?}");
    };
    let misspelt =
        "error: found system `comune`, expected a registered one; did you mean `commune`?";
    check(&["--system", "comune", "--method", &method], misspelt);
    let malformed = "error: found method `Unary`, expected `/package.Service/Method`";
    check(&["--system", "commune", "--method", "Unary"], malformed);
    check(&["--system", "commune"], "error: the following required arguments were not provided");
    check(&["--system", "commune", "--method", &method, "--purpose", "a b"], "error: --purpose: ");
    let gateway = world.start();
    gateway.stop();
    let ledger = world.ledger_folder();
    let nobody = "019a8f3e-5d2c-7c3e-9d55-0b1f7a6e2c11";
    check(&["--ledger", text(&ledger), "--exchange", nobody], "error: no call `019a8f3e-");
    world.write("registry/nodes.yaml", "nodes: [");
    check(&["--system", "commune", "--method", &method], "registry/nodes.yaml:2:1: ");
}
