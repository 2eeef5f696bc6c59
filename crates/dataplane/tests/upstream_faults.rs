//! Nodes that misbehave: the consumer gets a status it can act on, the ledger says what happened.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(missing_docs, unreachable_pub)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderMap, Response};
use model::{Entry, Reason};
use support::raw::{self, RawNode};
use support::{World, endpoint, error_info, reasons, receipt_entry, within};
use testkit::echo::pb::EchoRequest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::Code;

fn grpc_head() -> Response<()> {
    Response::builder().header("content-type", "application/grpc").body(()).unwrap()
}

fn ok() -> HeaderMap {
    HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())])
}

/// Calls a node that misbehaves and expects the refusal, told and recorded.
async fn check(world: World, node: RawNode, code: Code, reason: Reason) {
    world.put_in_force(|source| source.nodes[0].endpoints = vec![endpoint(node.address)]);
    let status = within(world.client().await.unary(EchoRequest::default())).await.unwrap_err();
    assert_eq!(status.code(), code, "{status:?}");
    assert_eq!(error_info(&status).0, reason.name());
    receipt_entry(status.metadata(), &world.key);
    assert_eq!(reasons(&world.entries().await), [reason]);
}

#[tokio::test]
async fn a_node_that_is_not_there() {
    let world = World::start().await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    world.put_in_force(|source| source.nodes[0].endpoints = vec![endpoint(free)]);
    let status = within(world.client().await.unary(EchoRequest::default())).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(error_info(&status).0, "UPSTREAM_UNREACHABLE");
    assert!(!status.message().contains("127.0.0.1"), "addresses stay inside: {status:?}");
    assert_eq!(reasons(&world.entries().await), [Reason::UpstreamUnreachable]);
}

#[tokio::test]
async fn a_node_with_a_certificate_of_somebody_else() {
    let world = World::start().await;
    let other = testkit::Authority::new("Other CA").unwrap();
    let node = RawNode::http2(&other, |_, _| async {}).await;
    check(world, node, Code::Unavailable, Reason::UpstreamUnreachable).await;
}

#[tokio::test]
async fn a_node_that_resets() {
    let world = World::start().await;
    let node = RawNode::http2(&world.authority, |_, mut respond| async move {
        respond.send_reset(h2::Reason::INTERNAL_ERROR);
    })
    .await;
    check(world, node, Code::Unavailable, Reason::UpstreamReset).await;
}

#[tokio::test]
async fn a_node_that_resets_in_the_middle_of_its_answer() {
    let world = World::start().await;
    let node = RawNode::http2(&world.authority, |_, mut respond| async move {
        let mut stream = respond.send_response(grpc_head(), false).unwrap();
        stream.send_data(raw::EMPTY, false).unwrap();
        tokio::task::yield_now().await;
        stream.send_reset(h2::Reason::INTERNAL_ERROR);
    })
    .await;
    check(world, node, Code::Unavailable, Reason::UpstreamReset).await;
}

#[tokio::test]
async fn a_node_that_closes_the_connection() {
    let world = World::start().await;
    let node = RawNode::start(&world.authority, |mut tls| async move {
        let mut preface = [0; 24];
        drop(tls.read_exact(&mut preface).await);
        drop(tls.shutdown().await);
    })
    .await;
    check(world, node, Code::Unavailable, Reason::UpstreamReset).await;
}

#[tokio::test]
async fn a_node_that_breaks_http2() {
    let world = World::start().await;
    let node = RawNode::start(&world.authority, |mut tls| async move {
        // An empty SETTINGS frame, then DATA on a stream that nobody opened.
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        let data = [0, 0, 1, 0, 0, 0, 0, 0, 99, 7];
        drop(tls.write_all(&[settings.as_slice(), &data].concat()).await);
        let mut rest = Vec::new();
        drop(tls.read_to_end(&mut rest).await);
    })
    .await;
    check(world, node, Code::Internal, Reason::UpstreamProtocol).await;
}

#[tokio::test]
async fn a_node_that_does_not_speak_grpc() {
    let world = World::start().await;
    let node = RawNode::http2(&world.authority, |_, mut respond| async move {
        let page = Response::builder().status(404).header("content-type", "text/html");
        let mut stream = respond.send_response(page.body(()).unwrap(), false).unwrap();
        stream.send_data(Bytes::from_static(b"<html>"), true).unwrap();
    })
    .await;
    check(world, node, Code::Internal, Reason::UpstreamProtocol).await;
}

#[tokio::test]
async fn a_node_that_ends_without_a_status() {
    let world = World::start().await;
    let node = RawNode::http2(&world.authority, |_, mut respond| async move {
        let mut stream = respond.send_response(grpc_head(), false).unwrap();
        stream.send_data(raw::EMPTY, true).unwrap();
    })
    .await;
    check(world, node, Code::Internal, Reason::UpstreamProtocol).await;
}

#[tokio::test]
async fn a_node_that_answers_with_trailers_only() {
    let world = World::start().await;
    let node = RawNode::http2(&world.authority, |_, mut respond| async move {
        let mut head = grpc_head();
        head.headers_mut().insert("grpc-status", "5".parse().unwrap());
        head.headers_mut().insert("grpc-message", "kh%C3%B4ng c%C3%B3".parse().unwrap());
        respond.send_response(head, true).unwrap();
    })
    .await;
    world.put_in_force(|source| source.nodes[0].endpoints = vec![endpoint(node.address)]);
    let mut requests = raw::connect(&world, &world.system).await;
    let (response, body, trailers) =
        within(raw::call(&mut requests, raw::head(&world, "Unary"))).await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "5");
    assert_eq!(response.headers()["grpc-message"], "kh%C3%B4ng c%C3%B3");
    assert!(response.headers().contains_key("exchange-receipt-bin"));
    assert!(body.is_empty() && trailers.is_none(), "still trailers only");
    let entries = world.entries().await;
    let Some(Entry::Finished(end)) = entries.last() else { panic!("{entries:?}") };
    assert_eq!((end.code, end.reason), (model::Code::NotFound, None));
}

#[tokio::test]
async fn a_node_that_answers_before_it_has_read_everything() {
    let world = World::start().await;
    let node = RawNode::http2(&world.authority, |_, mut respond| async move {
        let mut stream = respond.send_response(grpc_head(), false).unwrap();
        stream.send_data(raw::EMPTY, false).unwrap();
        stream.send_trailers(ok()).unwrap();
    })
    .await;
    world.put_in_force(|source| source.nodes[0].endpoints = vec![endpoint(node.address)]);
    let payload = vec![1; 64 << 10];
    let requests = tokio_stream::iter(
        (0..1000).map(move |_| EchoRequest { payload: payload.clone(), ..EchoRequest::default() }),
    );
    let response = within(world.client().await.client_stream(requests)).await;
    assert!(response.is_ok(), "{response:?}");
}

#[tokio::test]
async fn another_endpoint_takes_over() {
    let world = World::start().await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let echo = world.echo.address;
    world.put_in_force(|source| source.nodes[0].endpoints = vec![endpoint(free), endpoint(echo)]);
    let mut client = world.client().await;
    for _ in 0..10 {
        within(client.unary(EchoRequest::default())).await.unwrap();
    }
}

#[tokio::test]
async fn a_node_that_says_goaway_gets_its_next_call_on_a_new_connection() {
    let world = World::start().await;
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    let node = RawNode::start(&world.authority, move |tls| {
        let counted = counted.clone();
        async move {
            counted.fetch_add(1, Ordering::SeqCst);
            let mut connection = h2::server::handshake(tls).await.unwrap();
            let (_, mut respond) = connection.accept().await.unwrap().unwrap();
            let mut stream = respond.send_response(grpc_head(), false).unwrap();
            stream.send_data(raw::EMPTY, false).unwrap();
            stream.send_trailers(ok()).unwrap();
            connection.graceful_shutdown();
            while connection.accept().await.is_some() {}
        }
    })
    .await;
    world.put_in_force(|source| source.nodes[0].endpoints = vec![endpoint(node.address)]);
    let mut client = world.client().await;
    for turn in 1..=5 {
        within(client.unary(EchoRequest::default())).await.unwrap();
        support::until("the connection has ended", || connections.load(Ordering::SeqCst) >= turn)
            .await;
    }
    assert!(connections.load(Ordering::SeqCst) >= 2);
}

#[tokio::test]
async fn a_node_that_restarts_is_found_again() {
    let world = World::start().await;
    let answer = |_, mut respond: h2::server::SendResponse<Bytes>| async move {
        let mut head = grpc_head();
        head.headers_mut().extend(ok());
        respond.send_response(head, true).unwrap();
    };
    let node = RawNode::http2(&world.authority, answer).await;
    let address = node.address;
    world.put_in_force(|source| source.nodes[0].endpoints = vec![endpoint(address)]);
    let mut requests = raw::connect(&world, &world.system).await;
    let mut call = async || {
        let head = raw::head(&world, "Unary");
        let (response, _, _) = within(raw::call(&mut requests, head)).await.unwrap();
        response.headers()["grpc-status"].to_str().unwrap().to_owned()
    };
    assert_eq!(call().await, "0");
    node.stop().await;
    assert_eq!(call().await, "14", "the node is away");
    let _node = RawNode::http2_on(address, &world.authority, answer).await;
    // For a moment an endpoint that could not be reached is left alone.
    let back = async {
        while call().await != "0" {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    within(back).await;
}

#[tokio::test]
async fn an_endpoint_that_swallows_everything_does_not_hold_up_the_others() {
    let world =
        World::with(|_| {}, |limits| limits.connect_time_max = std::time::Duration::from_secs(600))
            .await;
    // It accepts TCP by its backlog and never says anything.
    let hole = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (silent, echo) = (hole.local_addr().unwrap(), world.echo.address);
    world.put_in_force(|source| source.nodes[0].endpoints = vec![endpoint(silent), endpoint(echo)]);
    let mut client = world.client().await;
    for _ in 0..10 {
        within(client.unary(EchoRequest::default())).await.unwrap();
    }
}

#[tokio::test]
async fn callers_that_give_up_do_not_stop_the_connection_from_being_made() {
    let world = World::start().await;
    let slow = RawNode::start(&world.authority, |tls| async move {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let mut connection = h2::server::handshake(tls).await.unwrap();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            let mut head = grpc_head();
            head.headers_mut().extend(ok());
            // The caller may have given up by now.
            drop(respond.send_response(head, true));
        }
    })
    .await;
    world.put_in_force(|source| source.nodes[0].endpoints = vec![endpoint(slow.address)]);
    let mut requests = raw::connect(&world, &world.system).await;
    let ended = async {
        loop {
            let mut head = raw::head(&world, "Unary");
            head.headers_mut().insert("grpc-timeout", "100m".parse().unwrap());
            let (response, _, _) = raw::call(&mut requests, head).await.unwrap();
            if response.headers()["grpc-status"] == "0" {
                return;
            }
            assert_eq!(response.headers()["grpc-status"], "4");
        }
    };
    within(ended).await;
}

#[tokio::test]
async fn a_proxy_before_the_node_that_says_it_is_away() {
    let world = World::start().await;
    let node = RawNode::http2(&world.authority, |_, mut respond| async move {
        let away = Response::builder().status(503).body(()).unwrap();
        respond.send_response(away, true).unwrap();
    })
    .await;
    check(world, node, Code::Unavailable, Reason::UpstreamUnreachable).await;
}
