//! Who may use the admin API. Every method of it must appear here.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test that fails may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use control::admin::{self, Doors, Operators};
use control::{Config, Loader, Origin, Plane, Revisions};
use model::{Action, CertificateDigest, Operator, RevisionId, Timestamp};
use policy::Snapshot;
use tempfile::TempDir;
use testkit::{Authority, Issued, Profile, StoppedClock};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};
use tonic::{Code, Status};
use wire::generated::admin::admin_service_client::AdminServiceClient;
use wire::generated::admin::apply_request::{Begin, End, File, Part};
use wire::generated::admin::{
    ApplyRequest, ApplyResponse, ExportRequest, ExportResponse, GetStatusRequest,
    GetStatusResponse, LedgerEntry, ListExpiredRequest, ListExpiredResponse, Origin as Told,
    ReloadMode, RemoveExpiredRequest, RemoveExpiredResponse, SearchActsRequest, SearchActsResponse,
    SearchRequest, SearchResponse,
};

/// When it is, for the admin API: in November 2026.
const NOW_SECS: u64 = 1_795_000_000;
/// As many as the admin API takes at once.
const CONNECTIONS_MAX: usize = 32;

const MEMBERS: &str = "members: [{id: G01, name: Bộ Công an}]\n";

/// Writes a small configuration.
fn write_configuration(folder: &Path, authority: &Authority) {
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
    let server = authority.issue("gateway", Profile::Server).unwrap();
    write("ca.crt", &authority.certificate_pem());
    write("gateway.crt", &server.certificate_pem);
    write("gateway.key", &server.key_pem);
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    write("ledger.key", &key.serialize_pem());
    fs::create_dir(folder.join("registry")).unwrap();
    write("registry/members.yaml", MEMBERS);
    write(
        "gateway.yaml",
        "listen: 127.0.0.1:0\n\
         tls: { certificate: gateway.crt, key: gateway.key, client_authorities: [ca.crt] }\n\
         upstream: { certificate: gateway.crt, key: gateway.key }\n\
         ledger: { directory: ledger, origin: test, key: ledger.key }\n\
         reload: on_change\n",
    );
}

fn digest(issued: &Issued) -> CertificateDigest {
    wire::certificate::parse(&issued.certificate_der).unwrap().digest
}

/// An admin API and those who might call it.
struct World {
    authority: Authority,
    operator: Issued,
    clock: Arc<StoppedClock>,
    revoked: Arc<AtomicBool>,
    /// Whether the operator is not listed any more.
    removed: Arc<AtomicBool>,
    address: SocketAddr,
    folder: TempDir,
    revisions: Arc<Revisions>,
    /// Whether the gateway can use configurations.
    usable: Arc<AtomicBool>,
    /// What came to the ledger.
    recorded: Arc<Mutex<Vec<(Operator, Action, RevisionId)>>>,
}

/// Doors to a ledger that takes everything, and finds nothing but who asked.
fn doors(
    get_status: Arc<admin::GetStatus>,
    revisions: Arc<Revisions>,
    recorded: Arc<Mutex<Vec<(Operator, Action, RevisionId)>>>,
) -> Doors {
    Doors {
        get_status,
        revisions,
        search: Arc::new(|request, operator| {
            let periods = vec![operator.certificate.to_string(), request.why];
            Ok(SearchResponse { periods, ..Default::default() })
        }),
        search_acts: Arc::new(|request, operator| {
            let entry = format!("{} {}", operator.certificate, request.why).into_bytes();
            let entries = vec![LedgerEntry { index: 7, entry }];
            Ok(SearchActsResponse { entries, ..Default::default() })
        }),
        list_expired: Arc::new(|_request, _operator| Ok(ListExpiredResponse::default())),
        remove_expired: Arc::new(|request, _operator| {
            Ok(RemoveExpiredResponse { recorded: request.number + 1 })
        }),
        export: Arc::new(|request, _operator| {
            let part = |index| {
                let entries = vec![LedgerEntry { index, entry: vec![1] }];
                Ok(ExportResponse { entries, ..Default::default() })
            };
            Ok(Box::new((0..request.count).map(part)))
        }),
        record: Arc::new(move |operator, action, revision| {
            recorded.lock().unwrap().push((operator.clone(), action, revision));
            Ok(())
        }),
    }
}

impl World {
    async fn new() -> Self {
        let authority = Authority::new("Test CA").unwrap();
        let operator = authority.issue("operator", Profile::Client).unwrap();
        let clock = Arc::new(StoppedClock::at(Timestamp::from_secs(NOW_SECS)));
        let revoked = Arc::new(AtomicBool::new(false));
        let removed = Arc::new(AtomicBool::new(false));
        let usable = Arc::new(AtomicBool::new(true));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let operators = Operators {
            is_listed: Box::new({
                let (removed, digest) = (removed.clone(), digest(&operator));
                move |asked| asked == digest && !removed.load(Ordering::SeqCst)
            }),
            is_revoked: Box::new({
                let (revoked, digest) = (revoked.clone(), digest(&operator));
                move |asked| asked.digest == digest && revoked.load(Ordering::SeqCst)
            }),
            clock: clock.clone(),
        };
        let folder = tempfile::tempdir().unwrap();
        write_configuration(folder.path(), &authority);
        let (loader, config) = Loader::load(folder.path(), RevisionId(7)).unwrap();
        let Config { gateway, snapshot, .. } = config;
        let gateway = Arc::new(gateway);
        let plane = plane(snapshot, clock.clone(), usable.clone());
        let revisions = Arc::new(Revisions::new(loader, gateway.clone(), plane));
        let get_status =
            Arc::new(|| GetStatusResponse { calls_in_flight: 3, ..Default::default() });
        let recorded = Arc::new(Mutex::new(Vec::new()));
        let doors = doors(get_status, revisions.clone(), recorded.clone());
        tokio::spawn(async move {
            admin::serve(listener, &gateway.tls, operators, doors, std::future::pending()).await
        });
        Self {
            authority,
            operator,
            clock,
            revoked,
            removed,
            address,
            folder,
            revisions,
            usable,
            recorded,
        }
    }

    /// A client with a certificate; it connects with its first call.
    fn client(&self, issued: &Issued) -> AdminServiceClient<Channel> {
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(self.authority.certificate_pem()))
            .identity(Identity::from_pem(&issued.certificate_pem, &issued.key_pem))
            .domain_name("localhost");
        let endpoint = Channel::from_shared(format!("https://{}", self.address)).unwrap();
        AdminServiceClient::new(endpoint.tls_config(tls).unwrap().connect_lazy())
    }
}

fn plane(snapshot: Snapshot, clock: Arc<StoppedClock>, usable: Arc<AtomicBool>) -> Plane {
    let live = Arc::new(Mutex::new(Arc::new(snapshot)));
    let current = Box::new({
        let live = live.clone();
        move || live.lock().unwrap().clone()
    });
    let prepare = Box::new(move |config: Config| {
        if !usable.load(Ordering::SeqCst) {
            return Err("keys of another kind".to_owned());
        }
        let live = live.clone();
        let snapshot = Arc::new(config.snapshot);
        let activation: control::Activation = Box::new(move || *live.lock().unwrap() = snapshot);
        Ok(activation)
    });
    Plane { current, prepare, clock }
}

async fn get_status(client: &mut AdminServiceClient<Channel>) -> Result<u64, Status> {
    let answer = client.get_status(GetStatusRequest {}).await?;
    Ok(answer.into_inner().revision)
}

#[tokio::test]
async fn only_a_listed_certificate_gets_in() {
    let world = World::new().await;
    let system = world.authority.issue("commune", Profile::Client).unwrap();
    let stranger = Authority::new("Other CA").unwrap().issue("operator", Profile::Client).unwrap();
    assert_eq!(get_status(&mut world.client(&world.operator)).await.unwrap(), 7);
    let refused = get_status(&mut world.client(&system)).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(get_status(&mut world.client(&stranger)).await.is_err());
}

#[tokio::test]
async fn a_certificate_that_no_longer_counts_is_refused_on_an_open_connection() {
    let world = World::new().await;
    let mut client = world.client(&world.operator);
    get_status(&mut client).await.unwrap();
    world.revoked.store(true, Ordering::SeqCst);
    let refused = get_status(&mut client).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(refused.message(), "this certificate is revoked");

    world.revoked.store(false, Ordering::SeqCst);
    get_status(&mut client).await.unwrap();
    world.removed.store(true, Ordering::SeqCst);
    let refused = get_status(&mut client).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().starts_with("this certificate is not an operator's"), "{refused}");

    world.removed.store(false, Ordering::SeqCst);
    get_status(&mut client).await.unwrap();
    world.clock.advance(Duration::from_hours(24 * 366 * 30));
    let refused = get_status(&mut client).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(refused.message(), "this certificate is outside its validity");
}

/// Time passes only while everybody waits.
#[tokio::test(start_paused = true)]
async fn silent_connections_keep_nobody_out_for_long() {
    let world = World::new().await;
    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        silent.push(TcpStream::connect(world.address).await.unwrap());
    }
    let begun = Instant::now();
    get_status(&mut world.client(&world.operator)).await.unwrap();
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_secs(10), "connections are not bounded: {waited:?}");
    assert!(waited < Duration::from_mins(1), "{waited:?}");
}

fn begin(dry_run: bool) -> Part {
    Part::Begin(Begin { dry_run })
}

/// The parts of a file, in chunks of two bytes.
fn file(path: &str, text: &str) -> Vec<Part> {
    let mut parts = vec![Part::File(File { path: path.to_owned() })];
    parts.extend(text.as_bytes().chunks(2).map(|chunk| Part::Chunk(chunk.to_vec())));
    parts
}

async fn send(
    client: &mut AdminServiceClient<Channel>,
    mut parts: Vec<Part>,
) -> Result<ApplyResponse, Status> {
    parts.push(Part::End(End {}));
    let requests: Vec<_> =
        parts.into_iter().map(|part| ApplyRequest { part: Some(part) }).collect();
    Ok(client.apply(tokio_stream::iter(requests)).await?.into_inner())
}

/// Applies files, after `begin`.
async fn apply(world: &World, dry_run: bool, files: &[(&str, &str)]) -> ApplyResponse {
    let mut parts = vec![begin(dry_run)];
    parts.extend(files.iter().flat_map(|(path, text)| file(path, text)));
    send(&mut world.client(&world.operator), parts).await.unwrap()
}

/// Every file below a folder, hidden ones too.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            let below = files(&path).into_iter();
            found.extend(below.map(|(below, text)| (format!("{name}/{below}"), text)));
        } else {
            found.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
    found
}

const MORE: &str = "members: [{id: G01, name: Bộ Công an}, {id: G09, name: Bộ Nội vụ}]\n";
const PURPOSES: &str = "purposes: [{code: appointment, name: Bổ nhiệm}]\n";

#[tokio::test]
async fn only_operators_apply() {
    let world = World::new().await;
    let before = files(world.folder.path());
    let system = world.authority.issue("commune", Profile::Client).unwrap();
    let stranger = Authority::new("Other CA").unwrap().issue("operator", Profile::Client).unwrap();
    let parts = || [vec![begin(false)], file("registry/members.yaml", MORE)].concat();
    let refused = send(&mut world.client(&system), parts()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(send(&mut world.client(&stranger), parts()).await.is_err());
    world.revoked.store(true, Ordering::SeqCst);
    let refused = send(&mut world.client(&world.operator), parts()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(files(world.folder.path()), before);
    assert_eq!(world.revisions.current().revision(), RevisionId(7));
}

#[tokio::test]
async fn good_files_take_the_place_of_those_before() {
    let world = World::new().await;
    let new = [("registry/a/members.yaml", MORE), ("registry/purposes.yaml", PURPOSES)];
    let answer = apply(&world, false, &new).await;
    assert_eq!((answer.applied, answer.revision), (true, NOW_SECS));
    assert!(answer.problems.is_empty());
    assert_eq!(world.revisions.current().revision(), RevisionId(NOW_SECS));
    let files = files(world.folder.path());
    let expected = ["registry/a/members.yaml", "registry/purposes.yaml"];
    let registry: Vec<&str> =
        files.keys().map(String::as_str).filter(|name| name.starts_with("registry")).collect();
    assert_eq!(registry, expected);
    assert_eq!(files.get(".previous/registry/members.yaml").unwrap(), MEMBERS);
    assert!(!files.keys().any(|name| name.starts_with(".staged") || name == ".applying"));

    let mut client = world.client(&world.operator);
    let status = client.get_status(GetStatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.revision, status.calls_in_flight), (NOW_SECS, 3));
    assert_eq!((status.origin(), status.reload_mode()), (Told::Apply, ReloadMode::OnChange));
    assert_eq!(status.in_force_time_us, NOW_SECS * 1_000_000);
    assert!(status.rejected.is_none());
    // What was applied is what is remembered: nothing has changed since.
    let again = world.revisions.reload(Origin::Change).unwrap();
    assert_eq!(again, control::Outcome::Unchanged);
}

#[tokio::test]
async fn files_with_problems_change_nothing() {
    let world = World::new().await;
    let before = files(world.folder.path());
    let bad = [("registry/members.yaml", "members: [{id: G9, name: x}]\n")];
    let answer = apply(&world, false, &bad).await;
    assert_eq!((answer.applied, answer.revision), (false, 7));
    let [problem] = answer.problems.as_slice() else { panic!("{answer:?}") };
    let place = (problem.file.as_str(), problem.line, problem.column);
    assert_eq!(place, ("registry/members.yaml", 1, 16));
    assert_eq!(files(world.folder.path()), before);
    assert_eq!(world.revisions.current().revision(), RevisionId(7));

    let mut client = world.client(&world.operator);
    let status = client.get_status(GetStatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.revision, status.origin()), (7, Told::Start));
    assert!(status.rejected.is_none(), "nothing is wrong with the folder");
    let rejected = status.apply_rejected.unwrap();
    assert_eq!((rejected.origin(), rejected.problems_total), (Told::Apply, 1));
    assert_eq!(rejected.operator, digest(&world.operator).to_string());
    assert_eq!(rejected.problems, answer.problems);
}

/// What an operator could not apply has changed no file, and hides no folder that is broken.
#[tokio::test]
async fn a_broken_folder_is_told_of_after_a_bad_apply() {
    let world = World::new().await;
    let stale = || world.revisions.standing().stale().map(|rejected| rejected.origin);
    let members = world.folder.path().join("registry/members.yaml");
    let bad = [("registry/members.yaml", "members: [{id: G9, name: x}]\n")];
    apply(&world, false, &bad).await;
    assert_eq!(stale(), None);

    fs::write(&members, "members: [").unwrap();
    assert!(world.revisions.reload(Origin::Change).is_err());
    apply(&world, false, &bad).await;
    assert_eq!(stale(), Some(Origin::Change));
    let standing = world.revisions.standing();
    let file = |of: &Option<control::Rejected>| of.as_ref().unwrap().problems[0].found.clone();
    assert_ne!(file(&standing.rejected), file(&standing.apply_rejected));

    fs::write(&members, MEMBERS).unwrap();
    assert_eq!(world.revisions.reload(Origin::Change).unwrap(), control::Outcome::Unchanged);
    assert_eq!(stale(), None);
    fs::write(&members, "members: [").unwrap();
    assert!(world.revisions.reload(Origin::Change).is_err());
    assert_eq!(stale(), Some(Origin::Change));
    assert!(apply(&world, false, &[("registry/members.yaml", MORE)]).await.applied);
    assert_eq!(stale(), None);
}

#[tokio::test]
async fn an_apply_that_cannot_be_put_in_place_changes_nothing() {
    let world = World::new().await;
    // Where the list of new parts is to be written there is a folder.
    let in_the_way = world.folder.path().join(".applying.tmp");
    fs::create_dir(&in_the_way).unwrap();
    let before = files(world.folder.path());
    let parts = || [vec![begin(false)], file("registry/members.yaml", MORE)].concat();
    let mut client = world.client(&world.operator);
    let failed = send(&mut client, parts()).await.unwrap_err();
    assert_eq!(failed.code(), Code::Internal);
    assert!(failed.message().contains("nothing has changed"), "{failed}");
    assert_eq!(files(world.folder.path()), before);
    assert_eq!(world.revisions.current().revision(), RevisionId(7));
    let standing = world.revisions.standing();
    assert!(standing.stale().is_none());
    let rejected = standing.apply_rejected.unwrap();
    assert_eq!(rejected.operator, Some(digest(&world.operator)));
    assert!(rejected.cause.unwrap().contains("nothing has changed"));
    fs::remove_dir(&in_the_way).unwrap();
    assert!(send(&mut client, parts()).await.unwrap().applied);
    assert_eq!(world.revisions.standing().operator, Some(digest(&world.operator)));
}

#[tokio::test]
async fn a_dry_run_leaves_an_apply_that_was_cut_short_alone() {
    let world = World::new().await;
    let write = |name: &str, text: &str| {
        let path = world.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(".staged/registry/members.yaml", MORE);
    write(".applying", "registry");
    fs::create_dir(world.folder.path().join(".replaced")).unwrap();
    let before = files(world.folder.path());
    let parts = |dry_run| [vec![begin(dry_run)], file("registry/members.yaml", MEMBERS)].concat();
    let mut client = world.client(&world.operator);
    let refused = send(&mut client, parts(true)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(files(world.folder.path()), before);
    // What was cut short comes into force before what is applied next.
    let applied = send(&mut client, parts(false)).await.unwrap();
    assert_eq!(applied.revision, NOW_SECS + 1);
    let files = files(world.folder.path());
    assert_eq!(files.get("registry/members.yaml").unwrap(), MEMBERS);
    assert_eq!(files.get(".previous/registry/members.yaml").unwrap(), MORE);
}

#[tokio::test]
async fn settings_that_need_a_restart_are_told_of() {
    let world = World::new().await;
    let path = world.folder.path().join("gateway.yaml");
    let before = fs::read_to_string(&path).unwrap();
    let reloaded = || match world.revisions.reload(Origin::Signal).unwrap() {
        control::Outcome::InForce { notes, .. } => notes,
        control::Outcome::Unchanged => panic!("the folder is always loaded"),
    };
    let more = "workers: 3\nmetrics: {listen: '127.0.0.1:0'}\nutc_offset: +08:00\n";
    fs::write(&path, format!("{before}{more}")).unwrap();
    assert_eq!(reloaded(), ["changed, needs a restart: workers, metrics"]);
    let renewed = world.authority.issue("gateway", Profile::Server).unwrap();
    fs::write(world.folder.path().join("gateway.crt"), renewed.certificate_pem).unwrap();
    fs::write(world.folder.path().join("gateway.key"), renewed.key_pem).unwrap();
    fs::write(&path, &before).unwrap();
    let certificates = ["tls.certificate", "tls.key", "upstream.certificate", "upstream.key"];
    let note = format!("changed, needs a restart: {}", certificates.join(", "));
    assert_eq!(reloaded(), [note]);
    let mut client = world.client(&world.operator);
    let status = client.get_status(GetStatusRequest {}).await.unwrap().into_inner();
    assert_eq!(status.needs_restart, certificates);
}

#[tokio::test]
async fn a_dry_run_only_checks() {
    let world = World::new().await;
    let before = files(world.folder.path());
    let answer = apply(&world, true, &[("registry/members.yaml", MORE)]).await;
    assert_eq!((answer.applied, answer.revision, answer.problems.len()), (false, 7, 0));
    let answer = apply(&world, true, &[("agreements/a.yaml", "x: 1\n")]).await;
    assert_eq!(answer.problems.len(), 2, "{answer:?}");
    assert_eq!(files(world.folder.path()), before);
    assert!(world.revisions.standing().rejected.is_none());
}

#[tokio::test]
async fn a_configuration_that_cannot_be_used_changes_nothing() {
    let world = World::new().await;
    let before = files(world.folder.path());
    world.usable.store(false, Ordering::SeqCst);
    let parts = [vec![begin(false)], file("registry/members.yaml", MORE)].concat();
    let refused = send(&mut world.client(&world.operator), parts).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("keys of another kind"), "{refused}");
    assert_eq!(files(world.folder.path()), before);
    assert!(world.revisions.reload(Origin::Signal).is_err());
    let cause = world.revisions.standing().rejected.unwrap().cause.unwrap();
    assert!(cause.contains("keys of another kind"));
    world.usable.store(true, Ordering::SeqCst);
    world.revisions.reload(Origin::Signal).unwrap();
    assert_eq!(world.revisions.current().revision(), RevisionId(NOW_SECS));
}

#[tokio::test]
async fn what_does_not_belong_is_not_taken() {
    let world = World::new().await;
    let before = files(world.folder.path());
    let mut client = world.client(&world.operator);
    let outside = ["gateway.yaml", "../x.yaml", "/etc/x", "registry/../gateway.key", "pki/x"];
    for path in outside {
        let parts = [vec![begin(false)], file(path, "x")].concat();
        let refused = send(&mut client, parts).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{path}");
    }
    let disorder = [
        vec![],
        file("registry/a.yaml", MORE),
        vec![begin(false), begin(false)],
        vec![begin(false), Part::Chunk(vec![1])],
    ];
    for parts in disorder {
        let refused = send(&mut client, parts).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
    let large = Part::Chunk(vec![b'#'; (64 << 10) + 1]);
    let parts = [vec![begin(false)], file("registry/a.yaml", MORE), vec![large]].concat();
    assert_eq!(send(&mut client, parts).await.unwrap_err().code(), Code::ResourceExhausted);
    assert_eq!(files(world.folder.path()), before);
}

#[tokio::test]
async fn one_apply_at_a_time_and_none_without_its_end() {
    let world = World::new().await;
    let before = files(world.folder.path());
    let (sender, receiver) = mpsc::channel(1);
    let mut first = world.client(&world.operator);
    let under_way = tokio::spawn(async move { first.apply(ReceiverStream::new(receiver)).await });
    for part in [vec![begin(false)], file("registry/members.yaml", MORE)].concat() {
        sender.send(ApplyRequest { part: Some(part) }).await.unwrap();
    }
    // Once the staged file is there, the first apply has its turn.
    while !world.folder.path().join(".staged/registry/members.yaml").exists() {
        tokio::task::yield_now().await;
    }
    let mut client = world.client(&world.operator);
    let busy = send(&mut client, vec![begin(false)]).await.unwrap_err();
    assert_eq!(busy.code(), Code::Aborted);
    // A caller that goes away leaves nothing behind.
    under_way.abort();
    assert!(under_way.await.unwrap_err().is_cancelled());
    while world.folder.path().join(".staged").exists() {
        tokio::task::yield_now().await;
    }
    assert_eq!(files(world.folder.path()), before);
    assert_eq!(world.revisions.current().revision(), RevisionId(7));
    // The turn is given back only after the staged files are gone.
    let applied = loop {
        let parts = [vec![begin(false)], file("registry/members.yaml", MORE)].concat();
        match send(&mut client, parts).await {
            Err(status) if status.code() == Code::Aborted => tokio::task::yield_now().await,
            ended => break ended.unwrap(),
        }
    };
    assert!(applied.applied);
    drop(sender);
}

#[tokio::test]
async fn only_operators_search() {
    let world = World::new().await;
    let request = || SearchRequest { why: "audit 7".to_owned(), ..Default::default() };
    let system = world.authority.issue("commune", Profile::Client).unwrap();
    let refused = world.client(&system).search(request()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let answer = world.client(&world.operator).search(request()).await.unwrap().into_inner();
    assert_eq!(answer.periods, [digest(&world.operator).to_string(), "audit 7".to_owned()]);
    world.revoked.store(true, Ordering::SeqCst);
    let refused = world.client(&world.operator).search(request()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn only_operators_look_at_what_operators_did() {
    let world = World::new().await;
    let request = || SearchActsRequest { why: "review".to_owned(), ..Default::default() };
    let system = world.authority.issue("commune", Profile::Client).unwrap();
    let refused = world.client(&system).search_acts(request()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let answer = world.client(&world.operator).search_acts(request()).await.unwrap().into_inner();
    let expected = format!("{} review", digest(&world.operator)).into_bytes();
    assert_eq!(answer.entries, [LedgerEntry { index: 7, entry: expected }]);
}

#[tokio::test]
async fn only_operators_list_and_remove_what_is_expired() {
    let world = World::new().await;
    let remove = || RemoveExpiredRequest { number: 3, ..Default::default() };
    let system = world.authority.issue("commune", Profile::Client).unwrap();
    let refused = world.client(&system).list_expired(ListExpiredRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let refused = world.client(&system).remove_expired(remove()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    world.client(&world.operator).list_expired(ListExpiredRequest {}).await.unwrap();
    let removed = world.client(&world.operator).remove_expired(remove()).await.unwrap();
    assert_eq!(removed.into_inner().recorded, 4);
}

/// More parts than wait at once come through, in order.
#[tokio::test]
async fn only_operators_export() {
    let world = World::new().await;
    let request = || ExportRequest { count: 20, ..Default::default() };
    let system = world.authority.issue("commune", Profile::Client).unwrap();
    let refused = world.client(&system).export(request()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let mut parts = world.client(&world.operator).export(request()).await.unwrap().into_inner();
    let mut indices = Vec::new();
    while let Some(part) = parts.message().await.unwrap() {
        indices.extend(part.entries.iter().map(|entry| entry.index));
    }
    assert!(indices.into_iter().eq(0..20));
}

#[tokio::test]
async fn what_operators_put_in_force_is_recorded() {
    let world = World::new().await;
    let files = [("registry/members.yaml", MORE)];
    apply(&world, true, &files).await;
    apply(&world, false, &[("registry/members.yaml", "members: 7\n")]).await;
    assert_eq!(*world.recorded.lock().unwrap(), [], "nothing came into force");
    let answer = apply(&world, false, &files).await;
    let recorded = world.recorded.lock().unwrap();
    let [(operator, action, revision)] = recorded.as_slice() else { panic!("{recorded:?}") };
    assert_eq!((*action, revision.0), (Action::Apply, answer.revision));
    assert_eq!(operator.certificate, digest(&world.operator));
    assert_eq!(operator.name.as_deref(), Some("operator"));
}
