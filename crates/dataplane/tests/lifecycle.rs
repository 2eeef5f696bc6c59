//! Ends of calls other than an answer: cancellation, deadlines, slow readers, drain, reload.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(missing_docs, unreachable_pub)]

mod support;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use model::{Code, Entry, Reason};
use policy::source::{RouteRule, State};
use support::{World, error_info, raw, reasons, until, within};
use testkit::echo::pb::EchoRequest;
use tokio_stream::StreamExt;
use tonic::Request;

fn endless() -> EchoRequest {
    EchoRequest { count: 0, delay_ms: 1, ..EchoRequest::default() }
}

#[tokio::test]
async fn the_node_sees_the_consumer_cancel() {
    let world = World::start().await;
    let mut client = world.client().await;
    let mut answers = client.server_stream(endless()).await.unwrap().into_inner();
    assert!(within(answers.next()).await.unwrap().is_ok());
    drop(answers);
    let seen = world.echo.seen.clone();
    until("the node sees it", || seen.cancelled.load(Ordering::SeqCst) == 1).await;

    // A call that still waits for its answer, too.
    let slow = EchoRequest { delay_ms: 60_000, ..EchoRequest::default() };
    let mut other = client.clone();
    let waiting = tokio::spawn(async move { other.unary(slow).await });
    until("the node has it", || seen.calls.load(Ordering::SeqCst) == 2).await;
    waiting.abort();
    until("the node sees it", || seen.cancelled.load(Ordering::SeqCst) == 2).await;
    until("the account is closed", || world.calls_in_flight() == 0).await;
    assert_eq!(reasons(&world.entries().await), [Reason::Cancelled; 2]);
}

#[tokio::test]
async fn the_consumer_sees_the_node_reset() {
    let world = World::start().await;
    let node = raw::RawNode::http2(&world.authority, |_, mut respond| async move {
        respond.send_reset(h2::Reason::REFUSED_STREAM);
    })
    .await;
    world.put_in_force(|source| source.nodes[0].endpoints = vec![support::endpoint(node.address)]);
    let status = within(world.client().await.unary(EchoRequest::default())).await.unwrap_err();
    let (reason, metadata) = error_info(&status);
    assert_eq!(status.code(), tonic::Code::Unavailable);
    assert_eq!(
        (reason.as_str(), metadata["http2_error"].as_str()),
        ("UPSTREAM_RESET", "REFUSED_STREAM")
    );
}

#[tokio::test]
async fn a_deadline_ends_the_call_on_both_sides() {
    let world = World::start().await;
    // By hand, since a stock client watches the time itself.
    let mut requests = raw::connect(&world, &world.system).await;
    let mut head = raw::head(&world, "Unary");
    head.headers_mut().insert("grpc-timeout", "100m".parse().unwrap());
    let (response, mut stream) = requests.send_request(head, false).unwrap();
    // EchoRequest { delay_ms: 60000 }
    stream.send_data([0, 0, 0, 0, 4, 0x30, 0xe0, 0xd4, 0x03].as_slice().into(), true).unwrap();
    let begun = Instant::now();
    let response = within(response).await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "4");
    assert!(begun.elapsed() >= Duration::from_millis(90));
    let seen = world.echo.seen.clone();
    until("the node sees it", || seen.cancelled.load(Ordering::SeqCst) == 1).await;
    let entries = world.entries().await;
    let Some(Entry::Finished(end)) = entries.last() else { panic!("{entries:?}") };
    assert_eq!(end.code, Code::DeadlineExceeded);
}

#[tokio::test]
async fn a_deadline_cuts_a_stream_with_a_status() {
    let world = World::start().await;
    let mut request = Request::new(endless());
    request.metadata_mut().insert("grpc-timeout", "200m".parse().unwrap());
    let mut answers = world.client().await.server_stream(request).await.unwrap().into_inner();
    let mut count = 0;
    let status = loop {
        match within(answers.next()).await.unwrap() {
            Ok(_) => count += 1,
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), tonic::Code::DeadlineExceeded);
    let entries = world.entries().await;
    let Some(Entry::Finished(end)) = entries.last() else { panic!("{entries:?}") };
    assert!(end.response.messages >= count, "the evidence covers what was released");
}

#[tokio::test]
async fn the_node_is_told_the_time_that_is_left_and_the_route_caps_it() {
    let world = World::with(
        |source| {
            source.routes = vec![RouteRule {
                service: testkit::echo::SERVICE.into(),
                method: None,
                deadline_max: Some(Duration::from_secs(10)),
                pass_authorization: false,
            }];
        },
        |_| {},
    )
    .await;
    let mut client = world.client().await;
    let mut left = async |stated: Option<&str>| {
        let mut request = Request::new(EchoRequest::default());
        if let Some(stated) = stated {
            request.metadata_mut().insert("grpc-timeout", stated.parse().unwrap());
        }
        let answer = within(client.unary(request)).await.unwrap().into_inner();
        let micros: u64 =
            answer.metadata["grpc-timeout"].strip_suffix('u').unwrap().parse().unwrap();
        Duration::from_micros(micros)
    };
    assert!(left(Some("5S")).await <= Duration::from_secs(5));
    assert!(left(Some("5S")).await > Duration::from_secs(4));
    assert!(left(Some("1H")).await <= Duration::from_secs(10));
    assert!(left(None).await <= Duration::from_secs(10));
}

#[tokio::test]
async fn a_consumer_that_stops_reading_stops_the_node() {
    let world = World::start().await;
    let mut requests = raw::connect(&world, &world.system).await;
    let (response, mut stream) =
        requests.send_request(raw::head(&world, "ServerStream"), false).unwrap();
    // An endless stream of 64 KiB answers: EchoRequest { payload_size: 65536 }.
    let message = [0x38, 0x80, 0x80, 0x04];
    let frame = [&[0, 0, 0, 0, 4], message.as_slice()].concat();
    stream.send_data(frame.into(), true).unwrap();
    let mut body = within(response).await.unwrap().into_body();
    assert!(within(body.data()).await.unwrap().is_ok());
    // Nothing is read from here on: windows fill, and the whole way back to the node stands
    // still. Other calls on the same connection go on.
    for _ in 0..20 {
        let (response, _, _) =
            within(raw::call(&mut requests, raw::head(&world, "Unary"))).await.unwrap();
        assert_eq!(response.status(), 200);
    }
    assert_eq!(world.calls_in_flight(), 1);
    drop((body, stream));
    until("the stalled call ends", || world.calls_in_flight() == 0).await;
}

#[tokio::test]
async fn a_drain_lets_calls_finish_and_takes_no_new_ones() {
    let mut world = World::start().await;
    let mut client = world.client().await;
    let slow = EchoRequest { delay_ms: 500, ..EchoRequest::default() };
    let in_flight = tokio::spawn(async move { client.unary(slow).await });
    let seen = world.echo.seen.clone();
    until("the call is in flight", || seen.calls.load(Ordering::SeqCst) == 1).await;
    let address = world.address();
    let world = tokio::task::spawn_blocking(move || {
        world.drain();
        world
    })
    .await
    .unwrap();
    within(in_flight).await.unwrap().unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    assert_eq!(reasons(&world.entries().await), []);
}

#[tokio::test]
async fn a_drain_cuts_what_does_not_finish_and_says_so() {
    let limits = |limits: &mut dataplane::Limits| {
        limits.drain_time_max = Duration::from_millis(200);
    };
    let world = World::with(|_| {}, limits).await;
    let mut answers = world.client().await.server_stream(endless()).await.unwrap().into_inner();
    assert!(within(answers.next()).await.unwrap().is_ok());
    let entries = tokio::spawn(world.entries());
    let status = loop {
        match within(answers.next()).await {
            Some(Ok(_)) => {}
            Some(Err(status)) => break status,
            None => panic!("the stream ended well"),
        }
    };
    assert_eq!(error_info(&status).0, "DRAINING");
    assert_eq!(reasons(&within(entries).await.unwrap()), [Reason::Draining]);
}

#[tokio::test]
async fn a_new_revision_binds_the_next_call_and_leaves_the_one_under_way() {
    let world = World::start().await;
    let mut client = world.client().await;
    let (send, receive) = tokio::sync::mpsc::channel(1);
    let requests = tokio_stream::wrappers::ReceiverStream::new(receive);
    let mut answers = client.bidi_stream(requests).await.unwrap().into_inner();
    world.put_in_force(|source| source.agreements[0].state = State::Suspended);
    send.send(EchoRequest::default()).await.unwrap();
    assert!(within(answers.next()).await.unwrap().is_ok());
    let status = within(client.unary(EchoRequest::default())).await.unwrap_err();
    let (reason, metadata) = error_info(&status);
    assert_eq!((reason.as_str(), metadata["revision"].as_str()), ("AGREEMENT_SUSPENDED", "2"));
    drop(send);
    assert!(within(answers.next()).await.is_none());
}

#[tokio::test]
async fn a_connection_without_calls_is_closed_in_time() {
    let limits = |limits: &mut dataplane::Limits| {
        limits.idle_time_max = Duration::from_millis(100);
    };
    let world = World::with(|_| {}, limits).await;
    let mut requests = raw::connect(&world, &world.system).await;
    within(raw::call(&mut requests, raw::head(&world, "Unary"))).await.unwrap();
    let refused = within(async {
        loop {
            match requests.clone().ready().await {
                Ok(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                Err(error) => return error,
            }
        }
    })
    .await;
    assert!(refused.is_go_away() || refused.is_io(), "{refused:?}");
}
