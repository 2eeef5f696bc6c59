//! How a revision comes into force: by a change of the folder, or applied by an operator.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails may panic")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use support::{AGREEMENT, Gateway, Ran, World, error_info, giaolien, text, until, within};
use testkit::Profile;
use testkit::echo::pb::EchoRequest;
use tonic::Code;

const POLICY: &str = "\
@id(\"no-updates\")
forbid (principal, action == Action::\"update\", resource);
";

/// A world whose gateway has an admin API and metrics, with `more` in its gateway.yaml.
async fn world(more: &str) -> World {
    let world = World::new().await;
    for name in ["operator", "stranger"] {
        let issued = world.authority.issue(name, Profile::Client).unwrap();
        world.write(&format!("pki/{name}.crt"), &issued.certificate_pem);
        world.write(&format!("pki/{name}.key"), &issued.key_pem);
    }
    let gateway = fs::read_to_string(world.config_file("gateway.yaml")).unwrap();
    let admin = "admin: {listen: '127.0.0.1:0', operators: [{file: pki/operator.crt}]}\n";
    world.write(
        "gateway.yaml",
        format!("{gateway}{admin}metrics: {{listen: '127.0.0.1:0'}}\n{more}"),
    );
    world
}

/// Where one of the gateway's other doors is.
fn address(gateway: &Gateway, what: &str) -> String {
    gateway.wait_for_log("listening");
    let lines = gateway.logged("listening");
    let line = lines.iter().find(|line| line["what"] == what).unwrap();
    line["address"].as_str().unwrap().to_owned()
}

/// Runs a command on the admin API, with somebody's certificate.
fn ask(world: &World, gateway: &Gateway, who: &str, command: &[&str]) -> Ran {
    let admin = address(gateway, "the admin API");
    let pki = |name: String| text(&world.config_file(&format!("pki/{name}"))).to_owned();
    let (cert, key) = (pki(format!("{who}.crt")), pki(format!("{who}.key")));
    let ca = pki("ca.crt".to_owned());
    let door = ["--admin", &admin, "--cert", &cert, "--key", &key, "--ca", &ca];
    giaolien(&[command, &door, &["--server-name", "localhost"]].concat())
}

fn status(world: &World, gateway: &Gateway) -> Value {
    let ran = ask(world, gateway, "operator", &["status", "--format", "json"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    serde_json::from_str(&ran.stdout).unwrap()
}

/// What probes read.
async fn ready(gateway: &Gateway) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let mut tcp = tokio::net::TcpStream::connect(address(gateway, "metrics")).await.unwrap();
    tcp.write_all(b"GET /readyz HTTP/1.1\r\nhost: probe\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    answer
}

async fn more(gateway: &Gateway, message: &str, before: usize) {
    until(message, || gateway.logged(message).len() > before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_folder_comes_into_force_by_itself_if_it_is_good() {
    let world = world("reload: on_change\n").await;
    let mut gateway = world.start();
    gateway.announce("configuration rejected");
    let mut client = world.client(&gateway).await;
    within(client.unary(EchoRequest::default())).await.unwrap();
    let begun = status(&world, &gateway);
    assert_eq!((&begun["origin"], &begun["rejected"]), (&json!("start"), &Value::Null));
    assert_eq!((&begun["reload"], &begun["agreements"]), (&json!("on_change"), &json!(1)));

    world.write("policies/rails.cedar", "forbid (principal, action, resouce);\n");
    more(&gateway, "configuration rejected", 0).await;
    within(client.change(EchoRequest::default())).await.unwrap();
    let rejected = status(&world, &gateway);
    assert_eq!(rejected["revision"], begun["revision"]);
    assert_eq!(rejected["rejected"]["origin"], "change");
    assert_eq!(rejected["rejected"]["problems"][0]["file"], "policies/rails.cedar");
    assert!(
        ready(&gateway).await.contains("was rejected: problems 1, first policies/rails.cedar:1:")
    );

    world.write("policies/rails.cedar", POLICY);
    more(&gateway, "revision in force", 0).await;
    let refused = within(client.change(EchoRequest::default())).await.unwrap_err();
    let (reason, facts) = error_info(&refused);
    assert_eq!((reason.as_str(), facts["policies"].as_str()), ("POLICY_FORBIDS", "no-updates"));
    within(client.unary(EchoRequest::default())).await.unwrap();
    let changed = status(&world, &gateway);
    assert_eq!((&changed["origin"], &changed["policies"]), (&json!("change"), &json!(1)));
    assert!(changed["revision"].as_u64() > begun["revision"].as_u64());
    assert!(!ready(&gateway).await.contains("rejected"));
    gateway.stop();
}

/// A copy of the parts of the configuration that are applied, to edit.
fn draft(world: &World) -> PathBuf {
    let draft = world.folder.path().join("draft");
    for name in ["registry/members.yaml", "registry/nodes.yaml", "agreements/echo.yaml"] {
        let to = draft.join(name);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        // Registered by digest: a folder that is applied brings no files of keys.
        let text = fs::read_to_string(world.config_file(name)).unwrap();
        fs::write(to, text).unwrap();
    }
    draft
}

fn write(draft: &Path, name: &str, text: &str) {
    fs::create_dir_all(draft.join(name).parent().unwrap()).unwrap();
    fs::write(draft.join(name), text).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_applies_a_folder_whole_or_not_at_all() {
    let world = world("").await;
    let mut gateway = world.start();
    gateway.announce("apply rejected");
    let mut client = world.client(&gateway).await;
    let draft = draft(&world);
    let gateway_ref = &gateway;
    let apply = |who: &str, more: &[&str]| {
        ask(&world, gateway_ref, who, &[&["apply", text(&draft)], more].concat())
    };
    let before = status(&world, &gateway)["revision"].clone();

    write(&draft, "agreements/echo.yaml", &AGREEMENT.replace("node: echo", "node: ecko"));
    let bad = apply("operator", &[]);
    let problem = "agreements/echo.yaml:4:11: found `ecko`, expected a registered node; \
                   did you mean `echo`?\n";
    assert_eq!((bad.code, bad.stdout.as_str()), (1, problem), "{bad:?}");
    assert_eq!(bad.stderr, format!("1 problem; revision {before} stays\n"));

    write(&draft, "agreements/echo.yaml", &AGREEMENT.replace("state: active", "state: suspended"));
    write(&draft, "policies/rails.cedar", POLICY);
    let dry = apply("operator", &["--dry-run"]);
    assert_eq!((dry.code, dry.stderr.as_str()), (0, ""));
    let told = format!("good: 1 agreement, 1 policy; revision {before} stays\n");
    assert_eq!(dry.stdout, told);
    within(client.change(EchoRequest::default())).await.unwrap();
    let stranger = apply("stranger", &[]);
    assert_eq!((stranger.code, stranger.stdout.as_str()), (1, ""));
    assert!(stranger.stderr.contains("not an operator's"), "{stranger:?}");
    assert_eq!(status(&world, &gateway)["revision"], before, "nothing has changed so far");

    let good = apply("operator", &[]);
    assert_eq!((good.code, good.stderr.as_str()), (0, ""));
    let after = status(&world, &gateway);
    let told = format!("revision {} in force: 1 agreement, 1 policy\n", after["revision"]);
    assert_eq!(good.stdout, told);
    assert_eq!(after["origin"], "apply");
    assert_eq!(after["operator"], gateway.wait_for_log("applied")["operator"]);
    assert_eq!(after["apply_rejected"]["operator"], after["operator"]);
    assert_eq!(after["rejected"], Value::Null);
    let refused = within(client.unary(EchoRequest::default())).await.unwrap_err();
    assert_eq!(error_info(&refused).0, "AGREEMENT_SUSPENDED");
    let applied = fs::read_to_string(world.config_file("policies/rails.cedar")).unwrap();
    assert_eq!(applied, POLICY);
    gateway.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_not_there_is_not_reached() {
    let world = world("").await;
    let pki = |name: &str| text(&world.config_file(&format!("pki/{name}"))).to_owned();
    let (cert, key, ca) = (pki("operator.crt"), pki("operator.key"), pki("ca.crt"));
    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let door = ["--admin", &free.to_string(), "--cert", &cert, "--key", &key, "--ca", &ca];
    for command in [&["status"][..], &["apply", text(&world.config())]] {
        let ran = giaolien(&[command, &door].concat());
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
        assert!(ran.stderr.starts_with("error: cannot reach the admin API on "), "{ran:?}");
    }
    let bad = giaolien(&["status"]);
    assert_eq!(bad.code, 1, "{bad:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_does_not_hold_is_refused_once_issuers_are_configured() {
    let world = world("").await;
    let mut gateway = world.start();
    gateway.announce("configuration rejected");
    let mut client = world.client(&gateway).await;
    let request = || {
        let mut request = tonic::Request::new(EchoRequest::default());
        request.metadata_mut().insert("authorization", "Bearer a.b.c".parse().unwrap());
        request
    };
    within(client.unary(request())).await.unwrap();

    let yaml = fs::read_to_string(world.config_file("gateway.yaml")).unwrap();
    let tokens = "tokens: [{issuer: id.test, audience: gw, keys: pki/keys.json}]\n";
    world.write("gateway.yaml", format!("{yaml}{tokens}"));
    let key = |usage: &str| {
        format!(
            r#"{{"keys": [{{"kty": "OKP", "crv": "Ed25519", "kid": "1", "use": "{usage}",
                "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}}]}}"#
        )
    };
    world.write("pki/keys.json", key("enc"));
    let check = giaolien(&["check", text(&world.config())]);
    assert_eq!(check.code, 1, "{check:?}");
    assert!(check.stdout.contains("issuer `id.test` has 0 keys"), "{check:?}");
    gateway.signal("HUP");
    more(&gateway, "configuration rejected", 0).await;
    within(client.unary(request())).await.unwrap();

    world.write("pki/keys.json", key("sig"));
    gateway.signal("HUP");
    more(&gateway, "revision in force", 0).await;
    let refused = within(client.unary(request())).await.unwrap_err();
    assert_eq!(
        (refused.code(), error_info(&refused).0.as_str()),
        (Code::Unauthenticated, "TOKEN_INVALID")
    );
    within(client.unary(EchoRequest::default())).await.unwrap();
    gateway.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_who_is_no_longer_listed_is_out_with_the_next_revision() {
    let world = world("").await;
    let mut gateway = world.start();
    gateway.announce("settings changed that need a restart");
    status(&world, &gateway);
    let yaml = fs::read_to_string(world.config_file("gateway.yaml")).unwrap();
    let yaml = yaml.replace("file: pki/operator.crt", "file: pki/stranger.crt");
    world.write("gateway.yaml", format!("{yaml}reload: on_change\n"));
    gateway.signal("HUP");
    more(&gateway, "revision in force", 0).await;
    let out = ask(&world, &gateway, "operator", &["status"]);
    assert_eq!((out.code, out.stdout.as_str()), (1, ""), "{out:?}");
    assert!(out.stderr.contains("not an operator's"), "{out:?}");
    let told = ask(&world, &gateway, "stranger", &["status"]);
    assert_eq!((told.code, told.stderr.as_str()), (0, ""));
    assert!(told.stdout.contains("changed, needs a restart: reload\n"), "{told:?}");
    gateway.stop();
}

/// `status --config` is for when something is wrong with the folder.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_finds_the_gateway_of_a_broken_folder() {
    let world = world("").await;
    let gateway = world.start();
    let admin = address(&gateway, "the admin API");
    let yaml = fs::read_to_string(world.config_file("gateway.yaml")).unwrap();
    let yaml =
        yaml.replace("admin: {listen: '127.0.0.1:0'", &format!("admin: {{listen: '{admin}'"));
    world.write("gateway.yaml", format!("{yaml}reload: never\n"));
    world.write("registry/members.yaml", "members: [");
    let ran = giaolien(&["status", "--config", text(&world.config()), "--format", "json"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    world.write("gateway.yaml", yaml.replace(&admin, "somewhere"));
    let ran = giaolien(&["status", "--config", text(&world.config())]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
    gateway.stop();
}

/// The answer to an apply gets lost: whoever runs it again or gives up has to look first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_apply_whose_answer_is_lost_is_not_taken_for_one_that_never_came() {
    let world = world("").await;
    let gateway = world.start();
    let draft = draft(&world);
    let admin = address(&gateway, "the admin API");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let lossy = listener.local_addr().unwrap().to_string();
    let previous = world.config_file(".previous/registry");
    let losing = tokio::spawn(async move {
        let (mut near, _) = listener.accept().await.unwrap();
        let mut far = tokio::net::TcpStream::connect(admin).await.unwrap();
        lose_what_follows(&mut near, &mut far, &previous).await;
    });
    let pki = |name: &str| text(&world.config_file(&format!("pki/{name}"))).to_owned();
    let (cert, key, ca) = (pki("operator.crt"), pki("operator.key"), pki("ca.crt"));
    let command = ["apply".to_owned(), text(&draft).to_owned(), "--admin".to_owned(), lossy];
    let ran = tokio::task::spawn_blocking(move || {
        let door = ["--cert", &cert, "--key", &key, "--ca", &ca, "--server-name", "localhost"];
        let command: Vec<&str> = command.iter().map(String::as_str).chain(door).collect();
        giaolien(&command)
    });
    let ran = ran.await.unwrap();
    assert_eq!((ran.code, ran.stdout.as_str()), (3, ""), "{ran:?}");
    assert!(ran.stderr.contains("it is not known whether the files are in force"), "{ran:?}");
    losing.await.unwrap();
    assert_eq!(status(&world, &gateway)["origin"], "apply");
    gateway.stop();
}

/// Passes bytes both ways until `sign` is there; what would go to `near` then is lost.
async fn lose_what_follows(
    near: &mut tokio::net::TcpStream,
    far: &mut tokio::net::TcpStream,
    sign: &Path,
) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let (mut up, mut down) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        tokio::select! {
            read = near.read(&mut up) => match read.unwrap() {
                0 => return,
                length => far.write_all(&up[..length]).await.unwrap(),
            },
            read = far.read(&mut down) => match read.unwrap() {
                length if length == 0 || sign.exists() => return,
                length => near.write_all(&down[..length]).await.unwrap(),
            },
        }
    }
}

/// An apply keeps watching what gateway.yaml names outside of the folder, and a reload watches
/// what it names newly.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_a_later_revision_names_are_watched() {
    let world = world("reload: on_change\n").await;
    let mut gateway = world.start();
    gateway.announce("configuration rejected");
    let keys = world.folder.path().join("elsewhere.json");
    let key = r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "1", "use": "sig",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    fs::write(&keys, key).unwrap();
    let yaml = fs::read_to_string(world.config_file("gateway.yaml")).unwrap();
    let tokens = format!("tokens: [{{issuer: id.test, audience: gw, keys: '{}'}}]\n", text(&keys));
    world.write("gateway.yaml", format!("{yaml}{tokens}"));
    more(&gateway, "revision in force", 0).await;
    // The new name is looked at once more, since the file may have changed meanwhile.
    more(&gateway, "the configuration says what it said before", 0).await;
    fs::write(&keys, "none").unwrap();
    more(&gateway, "configuration rejected", 0).await;
    gateway.stop();
}
