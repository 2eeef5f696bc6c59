//! Copies of queries for a node on trial: compared, dropped, and never felt by the consumer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(missing_docs, unreachable_pub)]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Response};
use model::Entry;
use policy::source::{RouteRule, Shadow, Share};
use support::metrics::count;
use support::raw::{self, RawNode};
use support::{World, endpoint, node, rule, until, within};
use tokio::sync::mpsc;

/// Answers a whole request with `payload` and a status.
async fn answer(body: h2::RecvStream, mut respond: SendResponse<Bytes>, payload: u8, status: u8) {
    if whole(body).await.is_none() {
        return;
    }
    let head = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
    let mut stream = respond.send_response(head, false).unwrap();
    stream.send_data(Bytes::from(vec![0, 0, 0, 0, 1, payload]), false).unwrap();
    let status = status.to_string().parse().unwrap();
    let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), status)]);
    stream.send_trailers(trailers).unwrap();
}

async fn whole(mut body: h2::RecvStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.ok()?;
        body.flow_control().release_capacity(data.len()).ok()?;
        bytes.extend_from_slice(&data);
    }
    Some(bytes)
}

/// A node that answers every call in the same way.
async fn answering(world: &World, payload: u8, status: u8) -> RawNode {
    RawNode::http2(&world.authority, move |request, respond| {
        answer(request.into_body(), respond, payload, status)
    })
    .await
}

/// Puts a service in force that `main` provides and whose queries are copied to `trial`.
fn shadowed(world: &World, service: &str, main: &RawNode, trial: SocketAddr) {
    shadowed_with(world, service, main, trial, rule());
}

fn shadowed_with(world: &World, service: &str, main: &RawNode, trial: SocketAddr, rule: RouteRule) {
    world.put_in_force(|source| {
        source.nodes[0].endpoints = vec![endpoint(main.address)];
        source.nodes[0].services[0].name = service.into();
        source.nodes.push(node("trial", &world.authority, trial));
        source.agreements[0].service = service.into();
        let shadow = Some(Shadow { node: "trial".parse().unwrap(), share: Share::ALL });
        source.routes = vec![RouteRule { service: service.into(), shadow, ..rule }];
    });
}

async fn call(world: &World, service: &str, method: &str) -> String {
    let mut requests = raw::connect(world, &world.system).await;
    let head = raw::head_of(world, service, method);
    let (response, _, trailers) = within(raw::call(&mut requests, head)).await.unwrap();
    let status = trailers.as_ref().unwrap_or(response.headers())["grpc-status"].clone();
    status.to_str().unwrap().to_owned()
}

fn counted(service: &str, result: &str) -> u64 {
    count(&format!("gw_shadow_answers_total{{service={service},result={result}}}"))
}

fn shadows(entries: &[Entry]) -> Vec<Option<String>> {
    let shadow = |entry: &Entry| match entry {
        Entry::Admitted(admitted) => Some(admitted.shadow_node.as_ref().map(|id| id.to_string())),
        _ => None,
    };
    entries.iter().filter_map(shadow).collect()
}

#[tokio::test]
async fn answers_are_compared() {
    let cases = [
        ("compared.same", 7, 0, "same"),
        ("compared.body", 8, 0, "different"),
        ("compared.status", 7, 5, "different"),
    ];
    for (service, payload, status, expected) in cases {
        let world = World::start().await;
        let main = answering(&world, 7, 0).await;
        let trial = answering(&world, payload, status).await;
        shadowed(&world, service, &main, trial.address);
        assert_eq!(call(&world, service, "Unary").await, "0");
        until("the copy is counted", || counted(service, expected) == 1).await;
        assert_eq!(shadows(&world.entries().await), [Some("trial".to_owned())]);
    }
}

#[tokio::test]
async fn the_copy_says_what_the_call_says() {
    let service = "copies.say";
    let world = World::start().await;
    let main = answering(&world, 7, 0).await;
    let (tell, mut told) = tokio::sync::mpsc::channel(1);
    let trial = RawNode::http2(&world.authority, move |request, respond| {
        let tell = tell.clone();
        async move {
            let (head, body) = request.into_parts();
            tell.send((head, whole(body).await.unwrap())).await.unwrap();
            drop(respond);
        }
    })
    .await;
    shadowed(&world, service, &main, trial.address);
    let mut requests = raw::connect(&world, &world.system).await;
    let mut head = raw::head_of(&world, service, "BidiStream");
    head.headers_mut().insert("authorization", "Bearer t".parse().unwrap());
    let (response, mut stream) = requests.send_request(head, false).unwrap();
    // Large enough for the windows of a node to matter.
    let message = [vec![0, 0, 4, 0, 0], vec![9; 0x4_0000]].concat();
    for chunk in message.chunks(1000) {
        stream.send_data(Bytes::copy_from_slice(chunk), false).unwrap();
    }
    stream.send_data(Bytes::new(), true).unwrap();
    let id = within(response).await.unwrap().headers()["exchange-id"].clone();
    let (head, bytes) = within(told.recv()).await.unwrap();
    assert!(bytes == message);
    assert_eq!(head.headers["exchange-id"], id);
    assert_eq!(head.headers["exchange-system"], "commune");
    assert!(!head.headers.contains_key("authorization"));
    until("the copy is counted", || counted(service, "failed") == 1).await;
}

/// A node that answers, and tells each call's `authorization`.
async fn telling(world: &World, told: mpsc::UnboundedSender<Option<HeaderValue>>) -> RawNode {
    RawNode::http2(&world.authority, move |request, respond| {
        let authorization = request.headers().get("authorization").cloned();
        told.send(authorization).unwrap();
        answer(request.into_body(), respond, 7, 0)
    })
    .await
}

#[tokio::test]
async fn a_token_is_passed_on_and_not_copied() {
    let service = "token.stays";
    let world = World::start().await;
    let (tell_main, mut main_told) = mpsc::unbounded_channel();
    let (tell_trial, mut trial_told) = mpsc::unbounded_channel();
    let main = telling(&world, tell_main).await;
    let trial = telling(&world, tell_trial).await;
    let passed = RouteRule { pass_authorization: Some(true), ..rule() };
    shadowed_with(&world, service, &main, trial.address, passed);
    let mut requests = raw::connect(&world, &world.system).await;
    let mut head = raw::head_of(&world, service, "Unary");
    let token = HeaderValue::from_static("Bearer t");
    head.headers_mut().insert("authorization", token.clone());
    within(raw::call(&mut requests, head)).await.unwrap();
    assert_eq!(within(main_told.recv()).await.unwrap(), Some(token));
    assert_eq!(within(trial_told.recv()).await.unwrap(), None);
}

#[tokio::test]
async fn a_call_that_is_sent_again_is_copied_once() {
    let service = "again.copied";
    let world = World::start().await;
    let first = Arc::new(AtomicBool::new(true));
    let main = RawNode::http2(&world.authority, move |request, mut respond| {
        let first = first.clone();
        async move {
            let mut body = request.into_body();
            if first.swap(false, Ordering::SeqCst) {
                // All of the request has come, so that it is the kept one that is sent again.
                while body.data().await.is_some() {}
                respond.send_reset(h2::Reason::REFUSED_STREAM);
            } else {
                answer(body, respond, 7, 0).await;
            }
        }
    })
    .await;
    let trial = answering(&world, 7, 0).await;
    let twice = RouteRule { retries_max: Some(1), ..rule() };
    shadowed_with(&world, service, &main, trial.address, twice);
    assert_eq!(call(&world, service, "Unary").await, "0");
    until("the copy is counted", || counted(service, "same") == 1).await;
}

#[tokio::test]
async fn a_trial_node_that_is_dead_or_breaks_is_not_felt() {
    let world = World::start().await;
    let main = answering(&world, 7, 0).await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    shadowed(&world, "dead.trial", &main, free);
    assert_eq!(call(&world, "dead.trial", "Unary").await, "0");
    until("the copy is counted", || counted("dead.trial", "failed") == 1).await;

    let breaking = RawNode::http2(&world.authority, |_, mut respond| async move {
        respond.send_reset(h2::Reason::INTERNAL_ERROR);
    })
    .await;
    shadowed(&world, "breaking.trial", &main, breaking.address);
    assert_eq!(call(&world, "breaking.trial", "Unary").await, "0");
    until("the copy is counted", || counted("breaking.trial", "failed") == 1).await;
}

#[tokio::test]
async fn a_trial_node_that_is_slow_is_not_felt_and_copies_are_bounded() {
    let service = "slow.trial";
    let world = World::start().await;
    let main = answering(&world, 7, 0).await;
    let (open, gate) = tokio::sync::watch::channel(false);
    let trial = RawNode::http2(&world.authority, move |request, respond| {
        let mut gate = gate.clone();
        async move {
            gate.wait_for(|open| *open).await.unwrap();
            answer(request.into_body(), respond, 7, 0).await;
        }
    })
    .await;
    shadowed(&world, service, &main, trial.address);
    // One connection, so that one worker has them all.
    let mut requests = raw::connect(&world, &world.system).await;
    for _ in 0..300 {
        let head = raw::head_of(&world, service, "Unary");
        let (_, _, trailers) = within(raw::call(&mut requests, head)).await.unwrap();
        assert_eq!(trailers.unwrap()["grpc-status"], "0");
    }
    assert_eq!(counted(service, "dropped"), 300 - 256, "the copies beyond the bound");
    assert_eq!(counted(service, "same"), 0);
    open.send(true).unwrap();
    until("the others are compared", || counted(service, "same") == 256).await;
    let with_copy = shadows(&world.entries().await).into_iter().flatten().count();
    assert_eq!(with_copy, 256, "no entry names a node that got no copy");
}

#[tokio::test]
async fn what_is_not_copied() {
    let world = World::start().await;
    let main = answering(&world, 7, 0).await;
    let seen = Arc::new(AtomicUsize::new(0));
    let counts = seen.clone();
    let trial = RawNode::http2(&world.authority, move |request, respond| {
        counts.fetch_add(1, Ordering::SeqCst);
        answer(request.into_body(), respond, 7, 0)
    })
    .await;

    // An update.
    shadowed(&world, "copied.update", &main, trial.address);
    assert_eq!(call(&world, "copied.update", "Change").await, "0");

    // A request that is too large to keep.
    shadowed(&world, "copied.large", &main, trial.address);
    let mut requests = raw::connect(&world, &world.system).await;
    let head = raw::head_of(&world, "copied.large", "Unary");
    let (response, mut stream) = requests.send_request(head, false).unwrap();
    let size = 3_u32 << 20;
    let message = [&[0], size.to_be_bytes().as_slice(), &vec![1; size as usize]].concat();
    stream.send_data(message.into(), true).unwrap();
    drop(within(response).await.unwrap());
    until("it is counted", || counted("copied.large", "dropped") == 1).await;

    // A call whose consumer goes away before its request has ended.
    shadowed(&world, "copied.cut", &main, trial.address);
    let head = raw::head_of(&world, "copied.cut", "BidiStream");
    let (response, stream) = requests.send_request(head, false).unwrap();
    until("it is under way", || world.calls_in_flight() == 1).await;
    drop((response, stream));
    until("it is counted", || counted("copied.cut", "dropped") == 1).await;

    assert_eq!(seen.load(Ordering::SeqCst), 0);
    assert_eq!(shadows(&world.entries().await).first(), Some(&None));
}
