//! Calls that are declined: each with its reason, to the caller and in the ledger.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(missing_docs, unreachable_pub)]

mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use http::Method;
use model::{Entry, Reason};
use policy::Source;
use policy::source::{Purpose, Quota, State};
use support::{World, agreement, error_info, raw, reasons, receipt_entry, within};
use testkit::echo::pb::EchoRequest;
use testkit::{Authority, Profile};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

/// Calls under a changed revision and expects a refusal, told to the caller and recorded.
async fn check(change: impl FnOnce(&mut Source), code: Code, reason: Reason) -> Status {
    let world = World::with(change, |_| {}).await;
    let request = EchoRequest::default();
    let status = within(world.client().await.unary(request)).await.unwrap_err();
    assert_eq!(status.code(), code, "{status:?}");
    let (told, metadata) = error_info(&status);
    assert_eq!(told, reason.name());
    assert_eq!(metadata["revision"], "1");
    let Entry::Refused(refused) = receipt_entry(status.metadata(), &world.key) else {
        panic!("a receipt of something else")
    };
    assert_eq!(refused.reason, reason);
    assert_eq!(world.echo.seen.calls.load(Ordering::SeqCst), 0);
    assert_eq!(world.entries().await, [Entry::Refused(refused)]);
    status
}

#[tokio::test]
async fn no_agreement() {
    let status =
        check(|source| source.agreements.clear(), Code::PermissionDenied, Reason::AgreementMissing)
            .await;
    let details = status.get_error_details_vec();
    let languages: Vec<String> = details
        .into_iter()
        .filter_map(|detail| match detail {
            tonic_types::ErrorDetail::LocalizedMessage(said) => {
                Some(format!("{}: {}", said.locale, said.message))
            }
            _ => None,
        })
        .collect();
    assert!(languages[0].starts_with("vi: không có thỏa thuận nào"), "{languages:?}");
    assert!(languages[1].starts_with("en: no agreement allows"), "{languages:?}");
}

#[tokio::test]
async fn agreements_out_of_force() {
    let denied = Code::PermissionDenied;
    let suspended = |source: &mut Source| source.agreements[0].state = State::Suspended;
    let status = check(suspended, denied, Reason::AgreementSuspended).await;
    let (_, metadata) = error_info(&status);
    assert_eq!(metadata["agreement"], "echo-for-H26");
    assert_eq!(metadata["legal_basis"], "Nghị định 278/2025/NĐ-CP");
    let not_yet = |source: &mut Source| {
        source.agreements[0].valid_from = support::NOW.after(Duration::from_secs(1));
    };
    check(not_yet, denied, Reason::AgreementNotYetValid).await;
    let expired = |source: &mut Source| source.agreements[0].valid_until = support::NOW;
    check(expired, denied, Reason::AgreementExpired).await;
}

#[tokio::test]
async fn a_purpose_must_be_stated_where_there_are_several() {
    let several = |source: &mut Source| {
        let code = "benefits".parse().unwrap();
        source.purposes.push(Purpose { code, name: "Trợ cấp".into() });
        source.agreements[0].purposes.push("benefits".parse().unwrap());
    };
    check(several, Code::InvalidArgument, Reason::PurposeMissing).await;
}

#[tokio::test]
async fn certificates_that_are_revoked_or_unregistered() {
    let unregistered = |source: &mut Source| source.systems[0].certificates.clear();
    let code = Code::Unauthenticated;
    check(unregistered, code, Reason::CertificateUnregistered).await;

    let world = World::start().await;
    let mut client = world.client().await;
    within(client.unary(EchoRequest::default())).await.unwrap();
    let revoked = wire::certificate::parse(&world.system.certificate_der).unwrap().serial;
    world.put_in_force(|source| source.revoked.push(revoked));
    // The connection is open; the next call on it is refused.
    let status = within(client.unary(EchoRequest::default())).await.unwrap_err();
    assert_eq!(error_info(&status).0, "CERTIFICATE_REVOKED");
}

#[tokio::test]
async fn a_certificate_that_runs_out_on_an_open_connection() {
    let world = World::start().await;
    let mut client = world.client().await;
    within(client.unary(EchoRequest::default())).await.unwrap();
    world.clock.advance(Duration::from_secs(20 * 365 * 86_400));
    let status = within(client.unary(EchoRequest::default())).await.unwrap_err();
    assert_eq!(error_info(&status).0, "CERTIFICATE_EXPIRED");
}

#[tokio::test]
async fn certificates_that_tls_does_not_take() {
    let world = World::start().await;
    let expired = world.authority.issue("old", Profile::ExpiredClient).unwrap();
    let stranger = Authority::new("Other CA").unwrap().issue("commune", Profile::Client).unwrap();
    for issued in [&expired, &stranger] {
        // In TLS 1.3 the client learns of the refusal when it first reads.
        let refused = match world.try_channel(issued).await {
            Err(_) => true,
            Ok(channel) => {
                let mut client =
                    testkit::echo::pb::echo_service_client::EchoServiceClient::new(channel);
                within(client.unary(EchoRequest::default())).await.is_err()
            }
        };
        assert!(refused);
    }
    assert_eq!(world.echo.seen.calls.load(Ordering::SeqCst), 0);
    let seen = reasons(&world.entries().await);
    assert!(seen.contains(&Reason::CertificateExpired), "{seen:?}");
    assert!(seen.contains(&Reason::CertificateUntrusted), "{seen:?}");
}

#[tokio::test]
async fn a_method_that_is_not_registered() {
    let world = World::start().await;
    let request = EchoRequest::default();
    let status = within(world.client().await.unregistered(request)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert_eq!(error_info(&status).0, "METHOD_UNKNOWN");
    assert_eq!(reasons(&world.entries().await), [Reason::MethodUnknown]);
}

#[tokio::test]
async fn a_quota_that_is_used_up() {
    let world = World::with(
        |source| {
            let period = Duration::from_secs(60);
            source.agreements[0].quota = vec![Quota { calls: 3, period, burst: 3 }];
        },
        |_| {},
    )
    .await;
    let mut client = world.client().await;
    for _ in 0..3 {
        within(client.unary(EchoRequest::default())).await.unwrap();
    }
    let status = within(client.unary(EchoRequest::default())).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(error_info(&status).0, "QUOTA_EXHAUSTED");
    let wait = status.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert_eq!(wait, Duration::from_secs(20));
    world.clock.advance(wait);
    within(client.unary(EchoRequest::default())).await.unwrap();
}

#[tokio::test]
async fn more_calls_at_once_than_the_gateway_takes() {
    let world = World::with(|_| {}, |limits| limits.calls_in_flight_max = 1).await;
    let mut client = world.client().await;
    let slow = EchoRequest { delay_ms: 60_000, ..EchoRequest::default() };
    let mut other = client.clone();
    let held = tokio::spawn(async move { other.unary(slow).await });
    support::until("the slow call is in flight", || {
        world.echo.seen.calls.load(Ordering::SeqCst) == 1
    })
    .await;
    let status = within(client.unary(EchoRequest::default())).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(error_info(&status).0, "OVERLOADED");
    held.abort();
    support::until("its place is free", || world.calls_in_flight() == 0).await;
    within(client.unary(EchoRequest::default())).await.unwrap();
}

#[tokio::test]
async fn metadata_that_is_malformed() {
    let world = World::start().await;
    let mut client = world.client().await;
    let cases: [(&'static str, &str); 4] = [
        ("exchange-purpose", "has spaces"),
        ("exchange-agreement", "a/b"),
        ("exchange-dossier", &"x".repeat(129)),
        ("grpc-timeout", "soon"),
    ];
    for (key, value) in cases {
        let mut request = Request::new(EchoRequest::default());
        request.metadata_mut().insert(key, value.parse().unwrap());
        let status = within(client.unary(request)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{key}");
        let (reason, metadata) = error_info(&status);
        assert_eq!((reason.as_str(), metadata["part"].as_str()), ("MALFORMED", key));
    }
    let mut twice = Request::new(EchoRequest::default());
    twice.metadata_mut().append("exchange-purpose", "residence".parse().unwrap());
    twice.metadata_mut().append("exchange-purpose", "benefits".parse().unwrap());
    let status = within(client.unary(twice)).await.unwrap_err();
    assert_eq!(error_info(&status).1["part"], "exchange-purpose");
    assert_eq!(reasons(&world.entries().await), [Reason::Malformed; 5]);
}

#[tokio::test]
async fn requests_that_are_not_grpc() {
    let world = World::start().await;
    let mut requests = raw::connect(&world, &world.system).await;
    let mut json = raw::head(&world, "Unary");
    json.headers_mut().insert("content-type", "application/json".parse().unwrap());
    let mut get = raw::head(&world, "Unary");
    *get.method_mut() = Method::GET;
    let mut nowhere = raw::head(&world, "Unary");
    *nowhere.uri_mut() = format!("https://{}/index.html", world.address()).parse().unwrap();
    for (head, http_status) in [(json, 415), (get, 405), (nowhere, 200)] {
        let (response, _, _) = within(raw::call(&mut requests, head)).await.unwrap();
        assert_eq!(response.status(), http_status);
        assert_eq!(response.headers()["grpc-status"], "3");
    }
    assert_eq!(reasons(&world.entries().await), [Reason::Malformed; 3]);
}

#[tokio::test]
async fn headers_beyond_their_bound() {
    let world = World::start().await;
    let mut requests = raw::connect(&world, &world.system).await;
    let mut head = raw::head(&world, "Unary");
    for number in 0..20 {
        let name = http::HeaderName::try_from(format!("filler-{number}")).unwrap();
        head.headers_mut().insert(name, "x".repeat(1000).parse().unwrap());
    }
    let (response, _, _) = within(raw::call(&mut requests, head)).await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "3");
    let head = raw::head(&world, "Unary");
    let (response, _, _) = within(raw::call(&mut requests, head)).await.unwrap();
    assert!(!response.headers().contains_key("grpc-status"));
    assert_eq!(reasons(&world.entries().await), [Reason::Malformed]);
}

#[tokio::test]
async fn more_connections_than_the_gateway_takes() {
    let world = World::with(|_| {}, |limits| limits.connections_max = 1).await;
    let mut first = raw::connect(&world, &world.system).await;
    assert!(world.try_channel(&world.system).await.is_err());
    within(raw::call(&mut first, raw::head(&world, "Unary"))).await.unwrap();
    assert!(reasons(&world.entries().await).contains(&Reason::Overloaded));
}

#[tokio::test]
async fn strangers_cannot_fill_the_ledger() {
    let world = World::with(|source| source.systems[0].certificates.clear(), |_| {}).await;
    let mut client = world.client().await;
    for _ in 0..100 {
        let status = within(client.unary(EchoRequest::default())).await.unwrap_err();
        assert_eq!(error_info(&status).0, "CERTIFICATE_UNREGISTERED");
    }
    let entries = world.entries().await;
    let counted: u64 = entries
        .iter()
        .map(|entry| match entry {
            Entry::Refused(refused) => 1 + refused.suppressed,
            other => panic!("{other:?}"),
        })
        .sum();
    assert_eq!(counted, 100);
    assert!(entries.len() < 30, "{} entries", entries.len());
}

#[tokio::test]
async fn a_named_agreement_governs() {
    let world = World::with(|source| source.agreements.push(agreement("second")), |_| {}).await;
    let mut client = world.client().await;
    let mut named = Request::new(EchoRequest::default());
    named.metadata_mut().insert("exchange-agreement", "second".parse().unwrap());
    let response = within(client.unary(named)).await.unwrap();
    assert_eq!(response.into_inner().metadata["exchange-agreement"], "second");
    let mut unknown = Request::new(EchoRequest::default());
    unknown.metadata_mut().insert("exchange-agreement", "third".parse().unwrap());
    let status = within(client.unary(unknown)).await.unwrap_err();
    assert_eq!(error_info(&status).0, "AGREEMENT_NOT_APPLICABLE");
}
