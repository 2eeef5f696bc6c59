//! Calls that go through: every streaming kind, and everything that must pass unchanged.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(missing_docs, unreachable_pub)]

mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use model::{Code, Effect, Entry};
use support::{World, raw, receipt_entry, within};
use testkit::echo::pb::EchoRequest;
use tokio_stream::StreamExt;
use tonic::codec::CompressionEncoding;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Request, Status};

fn say(payload: &[u8]) -> EchoRequest {
    EchoRequest { payload: payload.to_vec(), ..EchoRequest::default() }
}

#[tokio::test]
async fn a_unary_call_is_answered_with_a_receipt_of_its_admission() {
    let world = World::start().await;
    let mut client = world.client().await;
    let response = within(client.unary(say("Nguyễn".as_bytes()))).await.unwrap();
    let exchange = response.metadata().get("exchange-id").unwrap().to_str().unwrap().to_owned();
    assert_eq!(response.metadata().get("echo-head").unwrap(), "yes");
    // tonic merges the trailers of a unary answer into its metadata.
    let Entry::Admitted(admitted) = receipt_entry(response.metadata(), &world.key) else {
        panic!("a receipt of something else")
    };
    assert_eq!(admitted.exchange.to_string(), exchange);
    assert_eq!(admitted.system.as_str(), "commune");
    assert_eq!(admitted.member.as_str(), "H26.12");
    assert_eq!(admitted.agreement.as_str(), "echo-for-H26");
    assert_eq!(&*admitted.method, "/testkit.echo.v1.EchoService/Unary");
    assert_eq!(admitted.effect, Effect::Query);
    assert_eq!(response.into_inner().payload, "Nguyễn".as_bytes());

    let entries = world.entries().await;
    let [Entry::Admitted(first), Entry::Finished(last)] = entries.as_slice() else {
        panic!("{entries:?}")
    };
    assert_eq!(*first, admitted);
    assert_eq!((last.exchange, last.admitted), (admitted.exchange, 0));
    assert_eq!((last.code, last.reason), (Code::Ok, None));
    assert_eq!((last.request.messages, last.response.messages), (1, 1));
    assert!(last.response.bytes > last.request.bytes);
}

#[tokio::test]
async fn the_digests_open_with_the_salt_that_both_ends_get() {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD_NO_PAD;
    use sha2::{Digest, Sha256};

    let world = World::start().await;
    let mut requests = raw::connect(&world, &world.system).await;
    let head = raw::head(&world, "Unary");
    let (response, body, _) = within(raw::call(&mut requests, head)).await.unwrap();
    let salt = STANDARD_NO_PAD.decode(&response.headers()["exchange-salt-bin"]).unwrap();
    let opened = |message: &[u8]| <[u8; 32]>::from(Sha256::digest([&salt, message].concat()));
    let entries = world.entries().await;
    let Some(Entry::Finished(end)) = entries.last() else { panic!("{entries:?}") };
    assert_eq!(end.request.digest, opened(&raw::EMPTY));
    assert_eq!(end.response.digest, opened(&body));
}

#[tokio::test]
async fn a_long_stream_leaves_evidence_of_its_beginning() {
    use prost::Message;
    use sha2::{Digest, Sha256};

    let world = World::start().await;
    let mut client = world.client().await;
    let (send, receive) = tokio::sync::mpsc::channel(1);
    let requests = tokio_stream::wrappers::ReceiverStream::new(receive);
    let response = client.bidi_stream(requests).await.unwrap();
    let salt = response.metadata().get_bin("exchange-salt-bin").unwrap().to_bytes().unwrap();
    let mut answers = response.into_inner();
    // A few messages, far apart in time; then more than a thousand at once.
    let mut chain = vec![salt.to_vec()];
    for number in 0..1200u32 {
        let request = say(&number.to_be_bytes());
        let frame = frame(&request.encode_to_vec());
        chain.push(Sha256::digest([chain.last().unwrap().as_slice(), &frame].concat()).to_vec());
        send.send(request).await.unwrap();
        within(answers.next()).await.unwrap().unwrap();
        if number < 3 {
            world.clock.advance(Duration::from_secs(6));
        }
    }
    drop(send);
    assert!(within(answers.next()).await.is_none());
    let entries = world.entries().await;
    let passed: Vec<_> = entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Passed(passed) => Some(passed),
            _ => None,
        })
        .collect();
    // At the third message, which comes after twelve seconds, and each time a thousand more had
    // passed.
    assert_eq!(passed.len(), 3, "{passed:?}");
    for passed in passed {
        let digest = chain[passed.request.messages as usize].as_slice();
        assert_eq!((passed.admitted, &passed.request.digest[..]), (0, digest));
        assert!(passed.request.messages - passed.response.messages <= 1, "{passed:?}");
    }
    let Some(Entry::Finished(end)) = entries.last() else { panic!("{entries:?}") };
    assert_eq!(end.request.messages, 1200);
    assert_eq!(&end.request.digest[..], chain[1200].as_slice());
}

/// A message with the prefix that gRPC gives it.
fn frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    [&[0], length.to_be_bytes().as_slice(), message].concat()
}

#[tokio::test]
async fn every_streaming_kind_passes() {
    let world = World::start().await;
    let mut client = world.client().await;

    let mut answers =
        client.server_stream(EchoRequest { count: 100, ..say(b"x") }).await.unwrap().into_inner();
    let mut indexes = Vec::new();
    while let Some(answer) = within(answers.message()).await.unwrap() {
        indexes.push(answer.index);
    }
    assert_eq!(indexes, (0..100).collect::<Vec<_>>());
    let trailers = answers.trailers().await.unwrap().unwrap();
    receipt_entry(&trailers, &world.key);

    let requests = tokio_stream::iter((0..50).map(|_| say(&[7; 1000])));
    let answer = within(client.client_stream(requests)).await.unwrap().into_inner();
    assert_eq!((answer.index, answer.received_bytes), (50, 50_000));

    let (send, receive) = tokio::sync::mpsc::channel(1);
    let requests = tokio_stream::wrappers::ReceiverStream::new(receive);
    let mut answers = client.bidi_stream(requests).await.unwrap().into_inner();
    for turn in 0..10_u8 {
        send.send(say(&[turn])).await.unwrap();
        assert_eq!(within(answers.next()).await.unwrap().unwrap().payload, [turn]);
    }
    drop(send);
    assert!(within(answers.next()).await.is_none());

    let entries = world.entries().await;
    let traffic: Vec<(u64, u64)> = entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Finished(end) => Some((end.request.messages, end.response.messages)),
            _ => None,
        })
        .collect();
    assert_eq!(traffic, [(1, 100), (50, 1), (10, 10)]);
}

#[tokio::test]
async fn the_node_hears_from_the_gateway_who_calls_and_not_from_the_caller() {
    let world = World::start().await;
    let mut request = Request::new(say(b""));
    let metadata = request.metadata_mut();
    metadata.insert("exchange-purpose", "residence".parse().unwrap());
    metadata.insert("exchange-dossier", "H26-2611-0042".parse().unwrap());
    metadata.insert("exchange-system", "somebody-else".parse().unwrap());
    metadata.insert("exchange-member", "G99".parse().unwrap());
    metadata.insert("exchange-id", "mine".parse().unwrap());
    metadata.insert("authorization", "Bearer secret".parse().unwrap());
    metadata.insert("traceparent", "00-0af7-b7ad-01".parse().unwrap());
    let response = within(world.client().await.unary(request)).await.unwrap();
    let exchange = response.metadata().get("exchange-id").unwrap().to_str().unwrap().to_owned();
    let seen = response.into_inner().metadata;
    let said = |key: &str| seen.get(key).map(String::as_str);
    assert_eq!(said("exchange-system"), Some("commune"));
    assert_eq!(said("exchange-member"), Some("H26.12"));
    assert_eq!(said("exchange-agreement"), Some("echo-for-H26"));
    assert_eq!(said("exchange-purpose"), Some("residence"));
    assert_eq!(said("exchange-dossier"), Some("H26-2611-0042"));
    assert_eq!(said("exchange-id"), Some(exchange.as_str()));
    assert_eq!(said("authorization"), None);
    assert_eq!(said("traceparent"), Some("00-0af7-b7ad-01"));
}

#[tokio::test]
async fn a_status_with_details_passes_unchanged() {
    let world = World::start().await;
    let mut client = world.client().await;
    let fail = |count| EchoRequest {
        count,
        fail_code: 9,
        fail_message: "hồ sơ đã đóng, 100%".into(),
        fail_details: b"\x08\x09 any bytes \xff".to_vec(),
        ..EchoRequest::default()
    };
    let check = |status: &Status| {
        assert_eq!(status.code(), tonic::Code::FailedPrecondition);
        assert_eq!(status.message(), "hồ sơ đã đóng, 100%");
        assert_eq!(status.details(), b"\x08\x09 any bytes \xff");
        receipt_entry(status.metadata(), &world.key);
    };
    // tonic answers a failed unary call with trailers only.
    check(&within(client.unary(fail(0))).await.unwrap_err());
    let mut answers = client.server_stream(fail(2)).await.unwrap().into_inner();
    assert!(within(answers.next()).await.unwrap().is_ok());
    assert!(within(answers.next()).await.unwrap().is_ok());
    check(&within(answers.next()).await.unwrap().unwrap_err());
    let entries = world.entries().await;
    let codes: Vec<Code> = entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Finished(end) => Some(end.code),
            _ => None,
        })
        .collect();
    assert_eq!(codes, [Code::FailedPrecondition; 2]);
}

#[tokio::test]
async fn a_compressed_call_passes_unopened() {
    let world = World::start().await;
    let mut client = world
        .client()
        .await
        .send_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Gzip);
    let response = within(client.unary(say(&[9; 100_000]))).await.unwrap();
    assert_eq!(response.metadata().get("grpc-encoding").unwrap(), "gzip");
    assert_eq!(response.into_inner().payload, [9; 100_000]);
    let entries = world.entries().await;
    let Some(Entry::Finished(end)) = entries.last() else { panic!("{entries:?}") };
    assert!(end.request.bytes < 10_000, "{} bytes", end.request.bytes);
}

#[tokio::test]
async fn large_messages_pass() {
    let world = World::start().await;
    let mut client = world
        .client()
        .await
        .max_decoding_message_size(usize::MAX)
        .max_encoding_message_size(usize::MAX);
    let payload = vec![5; 16 << 20];
    let response = within(client.unary(say(&payload))).await.unwrap();
    assert!(response.into_inner().payload == payload);
}

#[tokio::test]
async fn binary_and_repeated_metadata_pass_both_ways() {
    let world = World::start().await;
    let node = raw::RawNode::http2(&world.authority, |request, mut respond| async move {
        let mut head = http::Response::new(());
        let asked = request.headers();
        head.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
        for value in asked.get_all("many") {
            head.headers_mut().append("many", value.clone());
        }
        head.headers_mut().insert("some-bin", asked["some-bin"].clone());
        let mut stream = respond.send_response(head, false).unwrap();
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        trailers.insert("checksum-bin", "AAEC".parse().unwrap());
        trailers.insert("exchange-receipt-bin", "Zm9yZ2Vk".parse().unwrap());
        stream.send_trailers(trailers).unwrap();
    })
    .await;
    world.put_in_force(|source| source.nodes[0].endpoints = vec![support::endpoint(node.address)]);
    let mut requests = raw::connect(&world, &world.system).await;
    let mut head = raw::head(&world, "Unary");
    head.headers_mut().append("many", "one".parse().unwrap());
    head.headers_mut().append("many", "two".parse().unwrap());
    head.headers_mut().insert("some-bin", "AP8".parse().unwrap());
    let (response, _, trailers) = within(raw::call(&mut requests, head)).await.unwrap();
    let many: Vec<_> = response.headers().get_all("many").iter().collect();
    assert_eq!(many, ["one", "two"]);
    assert_eq!(response.headers()["some-bin"], "AP8");
    let trailers = trailers.unwrap();
    assert_eq!(trailers["checksum-bin"], "AAEC");
    // The node cannot forge a receipt: what it said under that name is replaced.
    receipt_entry(&MetadataMap::from_headers(trailers), &world.key);
}

#[tokio::test]
async fn health_is_answered_locally_and_leaves_no_entry() {
    use tonic::client::Grpc;
    use tonic_prost::ProstCodec;
    use wire::health::HealthCheckRequest;

    #[derive(Clone, Copy, PartialEq, prost::Message)]
    struct Answer {
        #[prost(int32, tag = "1")]
        status: i32,
    }

    let world = World::start().await;
    let channel = world.try_channel(&world.system).await.unwrap();
    let mut grpc = Grpc::new(channel);
    for (service, expected) in [("", Ok(1)), (testkit::echo::SERVICE, Ok(1)), ("x.Y", Err(5))] {
        grpc.ready().await.unwrap();
        let codec = ProstCodec::<HealthCheckRequest, Answer>::default();
        let path = http::uri::PathAndQuery::from_static("/grpc.health.v1.Health/Check");
        let request = Request::new(HealthCheckRequest { service: service.into() });
        let answered = within(grpc.unary(request, path, codec)).await;
        let status = answered.map(|answer| answer.into_inner().status).map_err(|s| s.code() as i32);
        assert_eq!(status, expected, "{service}");
    }
    assert_eq!(world.echo.seen.calls.load(Ordering::SeqCst), 0);
    assert!(world.entries().await.is_empty());
}

#[tokio::test]
async fn a_token_passes_where_the_route_says_so() {
    let world = World::with(
        |source| {
            source.routes = vec![policy::source::RouteRule {
                method: Some("Unary".into()),
                pass_authorization: Some(true),
                ..support::rule()
            }];
        },
        |_| {},
    )
    .await;
    let mut request = Request::new(say(b""));
    request.metadata_mut().insert("authorization", MetadataValue::from_static("Bearer t"));
    let response = within(world.client().await.unary(request)).await.unwrap();
    assert_eq!(response.into_inner().metadata["authorization"], "Bearer t");
}
