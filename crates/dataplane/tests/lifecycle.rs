//! Ends of calls other than an answer: cancellation, deadlines, slow readers, drain, reload.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(missing_docs, unreachable_pub)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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
            source.routes =
                vec![RouteRule { deadline_max: Some(Duration::from_secs(10)), ..support::rule() }];
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

/// A node that answers with pieces of `piece` bytes without end and counts what it could send.
async fn endless_node(world: &World, piece: usize) -> (raw::RawNode, Arc<AtomicU64>) {
    let sent = Arc::new(AtomicU64::new(0));
    let counted = sent.clone();
    let node = raw::RawNode::http2(&world.authority, move |request, mut respond| {
        let counted = counted.clone();
        async move {
            let mut head = http::Response::new(());
            head.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
            let mut stream = respond.send_response(head, false).unwrap();
            if request.uri().path().ends_with("/Unary") {
                stream.send_data(raw::EMPTY, false).unwrap();
                let mut trailers = http::HeaderMap::new();
                trailers.insert("grpc-status", "0".parse().unwrap());
                return stream.send_trailers(trailers).unwrap();
            }
            loop {
                stream.reserve_capacity(piece);
                while stream.capacity() < piece {
                    if std::future::poll_fn(|cx| stream.poll_capacity(cx)).await.is_none() {
                        return;
                    }
                }
                stream.send_data(vec![0; piece].into(), false).unwrap();
                counted.fetch_add(piece as u64, Ordering::SeqCst);
                tokio::task::yield_now().await;
            }
        }
    })
    .await;
    world.put_in_force(|source| source.nodes[0].endpoints = vec![support::endpoint(node.address)]);
    (node, sent)
}

/// Begins calls whose answers are not read beyond the first piece, then shows that the node has
/// come to a stop and that others are served on the same connections.
async fn stall(piece: usize, stalled: usize) {
    let world = World::start().await;
    let (_node, sent) = endless_node(&world, piece).await;
    let mut requests = raw::connect(&world, &world.system).await;
    let mut held = Vec::new();
    for _ in 0..stalled {
        let head = raw::head(&world, "ServerStream");
        let (response, mut stream) =
            requests.clone().ready().await.unwrap().send_request(head, false).unwrap();
        stream.send_data(raw::EMPTY, true).unwrap();
        let mut body = within(response).await.unwrap().into_body();
        assert!(within(body.data()).await.unwrap().is_ok());
        held.push(body);
    }
    let mut last = 0;
    until("the node has stopped", move || {
        let now = sent.load(Ordering::SeqCst);
        std::mem::replace(&mut last, now) == now
    })
    .await;
    for _ in 0..5 {
        let head = raw::head(&world, "Unary");
        let (_, _, trailers) = within(raw::call(&mut requests, head)).await.unwrap();
        assert_eq!(trailers.unwrap()["grpc-status"], "0");
    }
    assert_eq!(world.calls_in_flight(), stalled);
    drop(held);
    until("the stalled calls end", || world.calls_in_flight() == 0).await;
}

#[tokio::test]
async fn consumers_that_stop_reading_stop_the_node_and_nobody_else() {
    stall(64 << 10, 40).await;
}

#[tokio::test]
async fn small_pieces_that_nobody_reads_do_not_end_the_connection() {
    stall(20, 20).await;
}

#[tokio::test]
async fn a_node_that_stops_reading_stops_the_consumer_and_nobody_else() {
    let world = World::start().await;
    let node = raw::RawNode::http2(&world.authority, |request, mut respond| async move {
        if request.uri().path().ends_with("/ClientStream") {
            // Keeps the request open without reading any of it.
            return std::future::pending().await;
        }
        // The node has one small window for the whole connection, and the first upload fills it.
        let mut body = request.into_body();
        while let Some(data) = body.data().await {
            body.flow_control().release_capacity(data.unwrap().len()).unwrap();
        }
        let mut head = http::Response::new(());
        head.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
        head.headers_mut().insert("grpc-status", "0".parse().unwrap());
        respond.send_response(head, true).unwrap();
    })
    .await;
    world.put_in_force(|source| source.nodes[0].endpoints = vec![support::endpoint(node.address)]);
    let mut requests = raw::connect(&world, &world.system).await;
    let mut held = Vec::new();
    for _ in 0..20 {
        let head = raw::head(&world, "ClientStream");
        let (response, mut stream) =
            requests.clone().ready().await.unwrap().send_request(head, false).unwrap();
        let mut sent = 0_usize;
        // Small pieces, until the windows on the way are full.
        while sent < 4 << 20 {
            if stream.capacity() == 0 {
                stream.reserve_capacity(20);
                let granted = std::future::poll_fn(|cx| stream.poll_capacity(cx));
                let stopped = tokio::time::timeout(Duration::from_millis(100), granted).await;
                if stopped.is_err() {
                    break;
                }
                continue;
            }
            let piece = stream.capacity().min(20);
            stream.send_data(vec![0; piece].into(), false).unwrap();
            sent += piece;
        }
        assert!(sent < 4 << 20, "the consumer was never stopped");
        held.push((response, stream));
    }
    let (response, _, _) =
        within(raw::call(&mut requests, raw::head(&world, "Unary"))).await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "0");
    drop(held);
    until("the stalled calls end", || world.calls_in_flight() == 0).await;
}

#[tokio::test]
async fn a_consumer_that_cancels_its_upload_is_heard() {
    let world = World::start().await;
    let (heard, mut hears) = tokio::sync::mpsc::channel(8);
    // By hand: stock servers take a cancelled upload for one that has ended well.
    let node = raw::RawNode::http2(&world.authority, move |request, respond| {
        let heard = heard.clone();
        async move {
            let mut body = request.into_body();
            while let Some(data) = body.data().await {
                heard.send(data.map_err(|error| error.reason())).await.unwrap();
            }
            drop(respond);
        }
    })
    .await;
    world.put_in_force(|source| source.nodes[0].endpoints = vec![support::endpoint(node.address)]);
    let mut requests = raw::connect(&world, &world.system).await;
    let head = raw::head(&world, "ClientStream");
    let (response, mut stream) = requests.send_request(head, false).unwrap();
    stream.send_data(raw::EMPTY, false).unwrap();
    assert_eq!(within(hears.recv()).await, Some(Ok(raw::EMPTY)));
    drop((response, stream));
    assert_eq!(within(hears.recv()).await, Some(Err(Some(h2::Reason::CANCEL))));
    until("the account is closed", || world.calls_in_flight() == 0).await;
    assert_eq!(reasons(&world.entries().await), [Reason::Cancelled]);
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
