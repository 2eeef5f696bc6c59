//! What a revision says beside agreements: policies and obligations, and that every call sees
//! one revision whole.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(missing_docs, unreachable_pub)]

mod support;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use model::{Entry, Reason, RevisionId};
use policy::source::{RouteRule, Split, State, SubjectBudget};
use policy::{Snapshot, Source};
use support::metrics::count;
use support::{World, agreement, contract, error_info, node, policies, reasons, rule, within};
use testkit::Profile;
use testkit::echo::EchoNode;
use testkit::echo::pb::EchoRequest;
use tonic::{Code, Request, Status};

async fn refused(world: &World, request: Request<EchoRequest>) -> Status {
    within(world.client().await.unary(request)).await.unwrap_err()
}

fn plain() -> Request<EchoRequest> {
    Request::new(EchoRequest::default())
}

fn saying(key: &'static str, value: &str) -> Request<EchoRequest> {
    let mut request = plain();
    request.metadata_mut().insert(key, value.parse().unwrap());
    request
}

#[tokio::test]
async fn a_policy_forbids_what_an_agreement_allows() {
    let guarded = |source: &mut Source| {
        source.policies = Some(policies(
            r#"@id("needs-dossier") forbid(principal, action == Action::"query", resource)
               unless { context has dossier };
               @id("no-full-file") forbid(principal, action, resource)
               when { context has fields && context.fields.contains("full_file") };"#,
        ));
    };
    let world = World::with(guarded, |_| {}).await;
    let status = refused(&world, plain()).await;
    assert_eq!(status.code(), Code::PermissionDenied);
    let (reason, _) = error_info(&status);
    assert_eq!(reason, "POLICY_FORBIDS");
    assert!(status.message().contains("needs-dossier"), "{status:?}");
    let mut client = world.client().await;
    let answer = within(client.unary(saying("exchange-dossier", "H26-1"))).await.unwrap();
    assert_eq!(answer.into_inner().metadata["exchange-dossier"], "H26-1");

    let fields = |names: &str| {
        let mut request = saying("exchange-dossier", "H26-1");
        request.metadata_mut().insert("exchange-fields", names.parse().unwrap());
        request
    };
    let answer = within(client.unary(fields("name, birth_date"))).await.unwrap();
    assert_eq!(answer.into_inner().metadata["exchange-fields"], "name, birth_date");
    let status = refused(&world, fields("name,full_file")).await;
    assert!(status.message().contains("no-full-file"), "{status:?}");
    assert_eq!(reasons(&world.entries().await), [Reason::PolicyForbids; 2]);
}

#[tokio::test]
async fn a_policy_that_errs_is_counted_and_passed_over() {
    let guarded = |source: &mut Source| {
        source.policies = Some(policies(
            r#"@id("errs-without-dossier") forbid(principal, action, resource)
               when { context.dossier == "forged" };"#,
        ));
    };
    let counted = || count("gw_policy_errors_total{policy=errs-without-dossier}");
    let world = World::with(guarded, |_| {}).await;
    let mut client = world.client().await;
    for _ in 0..3 {
        within(client.unary(plain())).await.unwrap();
    }
    within(client.unary(saying("exchange-dossier", "H26-1"))).await.unwrap();
    assert_eq!(counted(), 3);
}

/// A contract in which only requests of `Change` say whom they are about.
const CONTRACT: &str = r#"
syntax = "proto3";
package testkit.echo.v1;
import "giaolien/annotations/v1/annotations.proto";
service EchoService {
  rpc Unary(Plain) returns (Plain);
  rpc Change(EchoRequest) returns (Plain);
  rpc ServerStream(Plain) returns (stream Plain);
  rpc ClientStream(stream Plain) returns (Plain);
  rpc BidiStream(stream Plain) returns (stream Plain);
}
message Plain { bytes payload = 1; }
message EchoRequest { bytes payload = 1 [(giaolien.annotations.v1.subject) = true]; }
"#;

#[tokio::test]
async fn an_obligation_that_the_gateway_cannot_meet_refuses_the_call() {
    let counted = |source: &mut Source| {
        source.contract = Some(contract(CONTRACT));
        let budget = SubjectBudget { hour_max: Some(50), day_max: None };
        source.agreements[0].subjects = Some(budget);
    };
    let world = World::with(counted, |_| {}).await;
    // Of requests that may be about anybody nobody can be counted.
    let status = refused(&world, plain()).await;
    assert_eq!(status.code(), Code::FailedPrecondition);
    let (reason, metadata) = error_info(&status);
    assert_eq!((reason.as_str(), &*metadata["obligation"]), ("OBLIGATION_UNMET", "subjects"));
    assert_eq!(metadata["agreement"], "echo-for-H26");
    assert_eq!(world.echo.seen.calls.load(Ordering::SeqCst), 0);
    within(world.client().await.change(plain())).await.unwrap();
    let [Entry::Refused(refused), ..] = &*world.entries().await else { panic!("not refused") };
    assert_eq!(refused.reason, Reason::ObligationUnmet);
}

/// Revision `number`: its agreement bears its number, and its calls go to `echo` if it is even,
/// to `other` if it is odd, and need a dossier that its policy names.
fn numbered(world: &World, other: &EchoNode, number: u64) -> Source {
    let mut source = world.revision();
    source.revision = RevisionId(number);
    source.agreements = vec![agreement(&format!("a-{number}"))];
    source.nodes.push(node("other", &world.authority, other.address));
    if number % 2 == 1 {
        let node = "other".parse().unwrap();
        let split = Split { node, member: None, zone: None, header: None, share: None };
        source.routes = vec![RouteRule { splits: vec![split], ..rule() }];
    }
    source.policies = Some(policies(&format!(
        r#"@id("p-{number}") forbid(principal, action, resource)
           unless {{ context.agreement.id == "a-{number}" }};"#
    )));
    source
}

/// Whether everything that the entry names belongs to the revision that it names.
fn is_of_one_revision(entry: &model::Admitted) -> bool {
    let number = entry.revision.0;
    let node = if number % 2 == 1 { "other" } else { "echo" };
    entry.agreement.as_str() == format!("a-{number}") && entry.node.as_str() == node
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_under_changing_revisions_each_see_one_whole() {
    let world = World::start().await;
    let issued = world.authority.issue("other", Profile::Server).unwrap();
    let other = EchoNode::start(&world.authority, &issued).await.unwrap();
    world.live.replace(Snapshot::compile(numbered(&world, &other, 2)).unwrap());

    let over = Arc::new(AtomicBool::new(false));
    let mut callers = Vec::new();
    for _ in 0..8 {
        let (mut client, over) = (world.client().await, over.clone());
        callers.push(tokio::spawn(async move {
            let (mut calls, mut refused) = (0, 0);
            while !over.load(Ordering::SeqCst) {
                match client.unary(plain()).await {
                    Ok(_) => calls += 1,
                    Err(status) => {
                        assert_eq!(error_info(&status).0, "AGREEMENT_SUSPENDED");
                        refused += 1;
                    }
                }
            }
            (calls, refused)
        }));
    }
    let mut client = world.client().await;
    for number in 3..203 {
        let mut source = numbered(&world, &other, number);
        let suspended = number % 50 == 0;
        if suspended {
            source.agreements[0].state = State::Suspended;
        }
        world.live.replace(Snapshot::compile(source).unwrap());
        // The next call on an open connection, however many others are under way.
        for _ in 0..5 {
            match (within(client.unary(plain())).await, suspended) {
                (Ok(answer), false) => {
                    let seen = answer.into_inner().metadata;
                    assert_eq!(seen["exchange-agreement"], format!("a-{number}"));
                }
                (Err(status), true) => assert_eq!(error_info(&status).0, "AGREEMENT_SUSPENDED"),
                (answered, _) => panic!("revision {number}: {answered:?}"),
            }
        }
    }
    let mut revoked = numbered(&world, &other, 204);
    revoked.revoked.push(wire::certificate::parse(&world.system.certificate_der).unwrap().serial);
    over.store(true, Ordering::SeqCst);
    let mut answered = 0;
    for caller in callers {
        answered += tokio::time::timeout(Duration::from_secs(30), caller).await.unwrap().unwrap().0;
    }
    world.live.replace(Snapshot::compile(revoked).unwrap());
    let status = within(client.unary(plain())).await.unwrap_err();
    assert_eq!(error_info(&status).0, "CERTIFICATE_REVOKED");

    let entries = world.entries().await;
    let admitted: Vec<_> = entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Admitted(admitted) => Some(admitted),
            _ => None,
        })
        .collect();
    let mixed: Vec<_> = admitted.iter().filter(|entry| !is_of_one_revision(entry)).collect();
    assert!(mixed.is_empty(), "{mixed:?}");
    let mut revisions: HashSet<_> = admitted.iter().map(|entry| entry.revision.0).collect();
    revisions.remove(&2);
    assert_eq!(revisions.len(), 196, "every revision but the four suspended ones decided");
    assert!(answered > 1_000, "{answered} calls beside");
    let odd = reasons(&entries)
        .into_iter()
        .find(|reason| !matches!(reason, Reason::AgreementSuspended | Reason::CertificateRevoked));
    assert_eq!(odd, None);
}
