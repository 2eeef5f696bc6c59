//! Where calls go: splits, sending again, and bounds of size.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(missing_docs, unreachable_pub)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use model::{Entry, Reason};
use policy::source::{Network, RouteRule, Share, Split, Zone};
use support::metrics::count;
use support::raw::{self, RawNode};
use support::{World, endpoint, error_info, node, reasons, rule, until, within};
use testkit::echo::EchoNode;
use testkit::echo::pb::EchoRequest;
use testkit::{Authority, Profile};
use tokio_stream::StreamExt;
use tonic::{Code, Request};

/// A second echo node, known as `other`, beside the authoritative one.
async fn other(world: &World) -> EchoNode {
    let issued = world.authority.issue("other", Profile::Server).unwrap();
    EchoNode::start(&world.authority, &issued).await.unwrap()
}

fn split() -> Split {
    let node = "other".parse().unwrap();
    Split { node, member: None, zone: None, header: None, share: None }
}

/// Calls the node `other` under `split` and says which nodes the entries name.
async fn nodes_of(world: World, split: Split, requests: Vec<Request<EchoRequest>>) -> Vec<String> {
    let other = other(&world).await;
    world.put_in_force(|source| {
        source.nodes.push(node("other", &world.authority, other.address));
        let name = "Trên máy này".into();
        let networks = vec![Network { address: [127, 0, 0, 0].into(), prefix: 8 }];
        source.zones = vec![Zone { id: "here".parse().unwrap(), name, networks }];
        let networks = vec![Network { address: [10, 0, 0, 0].into(), prefix: 8 }];
        source.zones.push(Zone { id: "away".parse().unwrap(), name: "Xa".into(), networks });
        source.routes = vec![RouteRule { splits: vec![split], ..rule() }];
    });
    let mut client = world.client().await;
    for request in requests {
        within(client.unary(request)).await.unwrap();
    }
    let seen = [&world.echo, &other].map(|node| node.seen.calls.load(Ordering::SeqCst));
    let named = nodes(&world.entries().await);
    let there = named.iter().filter(|name| *name == "other").count() as u64;
    assert_eq!(seen, [named.len() as u64 - there, there], "the entries say who was called");
    named
}

fn nodes(entries: &[Entry]) -> Vec<String> {
    let node = |entry: &Entry| match entry {
        Entry::Admitted(admitted) => Some(admitted.node.to_string()),
        _ => None,
    };
    entries.iter().filter_map(node).collect()
}

fn plain() -> Request<EchoRequest> {
    Request::new(EchoRequest::default())
}

#[tokio::test]
async fn calls_of_a_member_go_elsewhere() {
    for (member, expected) in [("H26", "other"), ("H26.12", "other"), ("G01", "echo")] {
        let split = Split { member: Some(member.parse().unwrap()), ..split() };
        let nodes = nodes_of(World::start().await, split, vec![plain()]).await;
        assert_eq!(nodes, [expected], "{member}");
    }
}

#[tokio::test]
async fn calls_from_a_zone_go_elsewhere() {
    for (zone, expected) in [("here", "other"), ("away", "echo")] {
        let split = Split { zone: Some(zone.parse().unwrap()), ..split() };
        assert_eq!(nodes_of(World::start().await, split, vec![plain()]).await, [expected]);
    }
}

#[tokio::test]
async fn calls_with_a_header_go_elsewhere() {
    let mut requests = [plain(), plain(), plain()];
    requests[1].metadata_mut().insert("stage", "trial".parse().unwrap());
    requests[2].metadata_mut().insert("stage", "other".parse().unwrap());
    let split = Split { header: Some(("stage".into(), "trial".into())), ..split() };
    let nodes = nodes_of(World::start().await, split, requests.into()).await;
    assert_eq!(nodes, ["echo", "other", "echo"]);
}

#[tokio::test]
async fn a_share_of_the_calls_goes_elsewhere_as_their_ids_say() {
    let world = World::start().await;
    let other = other(&world).await;
    world.put_in_force(|source| {
        source.nodes.push(node("other", &world.authority, other.address));
        let share = Share::from_hundredths(2_500);
        source.routes = vec![RouteRule { splits: vec![Split { share, ..split() }], ..rule() }];
    });
    let mut client = world.client().await;
    for _ in 0..200 {
        within(client.unary(plain())).await.unwrap();
    }
    let mut there = 0;
    for entry in world.entries().await {
        let Entry::Admitted(admitted) = entry else { continue };
        let expected = if policy::draw(&admitted.exchange) < 2_500 { "other" } else { "echo" };
        assert_eq!(admitted.node.as_str(), expected);
        there += usize::from(expected == "other");
    }
    assert!((15..90).contains(&there), "{there} of 200 calls are no quarter");
}

fn ok() -> HeaderMap {
    HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())])
}

/// Reads the whole request and answers well, with the request's bytes.
async fn answer(body: h2::RecvStream, mut respond: h2::server::SendResponse<Bytes>) {
    let bytes = whole(body).await;
    let head = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
    let mut stream = respond.send_response(head, false).unwrap();
    stream.send_data(bytes.into(), false).unwrap();
    stream.send_trailers(ok()).unwrap();
}

async fn whole(mut body: h2::RecvStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        bytes.extend_from_slice(&data);
    }
    bytes
}

/// What a node does to calls before it answers well.
#[derive(Clone, Copy)]
enum Fault {
    Refuse,
    RefuseHavingRead,
    Unavailable,
    Leave,
    Reset,
}

/// A node that does this to its first `times` calls, and how many it has seen.
async fn faulty(authority: &Authority, fault: Fault, times: usize) -> (RawNode, Arc<AtomicUsize>) {
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = seen.clone();
    let node = RawNode::start(authority, move |tls| {
        let counted = counted.clone();
        async move {
            let Ok(mut connection) = h2::server::handshake(tls).await else { return };
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                if counted.fetch_add(1, Ordering::SeqCst) >= times {
                    tokio::spawn(answer(request.into_body(), respond));
                    continue;
                }
                match fault {
                    Fault::Refuse => respond.send_reset(h2::Reason::REFUSED_STREAM),
                    Fault::Reset => respond.send_reset(h2::Reason::INTERNAL_ERROR),
                    Fault::Leave => return,
                    Fault::RefuseHavingRead | Fault::Unavailable => {
                        tokio::spawn(async move {
                            whole(request.into_body()).await;
                            if matches!(fault, Fault::RefuseHavingRead) {
                                return respond.send_reset(h2::Reason::REFUSED_STREAM);
                            }
                            let head = Response::builder()
                                .header("content-type", "application/grpc")
                                .header("grpc-status", "14")
                                .body(())
                                .unwrap();
                            respond.send_response(head, true).unwrap();
                        });
                    }
                }
            }
        }
    })
    .await;
    (node, seen)
}

/// Sends the echo service to the nodes at these endpoints, at most `retries_max`
/// times again.
async fn retrying(nodes: &[&RawNode], world: &World, retries_max: u8) {
    world.put_in_force(|source| {
        source.nodes[0].endpoints = nodes.iter().map(|node| endpoint(node.address)).collect();
        source.routes = vec![RouteRule { retries_max: Some(retries_max), ..rule() }];
    });
}

fn of(payload_bytes: usize) -> EchoRequest {
    EchoRequest { payload: vec![7; payload_bytes], ..EchoRequest::default() }
}

#[tokio::test]
async fn a_query_that_the_node_did_not_answer_is_sent_again() {
    for fault in [Fault::Refuse, Fault::RefuseHavingRead, Fault::Unavailable, Fault::Leave] {
        for (times, retries_max, expected) in [(1, 1, Ok(2)), (2, 2, Ok(3)), (2, 1, Err(2))] {
            let world = World::start().await;
            let (node, seen) = faulty(&world.authority, fault, times).await;
            retrying(&[&node], &world, retries_max).await;
            let payload = 40 << 10;
            let answered = within(world.client().await.unary(of(payload))).await;
            let seen = seen.load(Ordering::SeqCst);
            let found = answered.map(|_| seen).map_err(|status| {
                assert_eq!(status.code(), Code::Unavailable);
                seen
            });
            assert_eq!(found, expected);
            let entries = world.entries().await;
            let Some(Entry::Finished(end)) = entries.last() else { panic!("{entries:?}") };
            assert_eq!(entries.len(), 2, "one admission and one end, however often it is sent");
            assert_eq!(end.request.messages, 1, "a request counts once");
            assert!(end.request.bytes > payload as u64 && end.request.bytes < 50 << 10);
        }
    }
}

#[tokio::test]
async fn a_stream_goes_on_where_it_was() {
    let world = World::start().await;
    let (node, _) = faulty(&world.authority, Fault::Refuse, 1).await;
    retrying(&[&node], &world, 1).await;
    let mut requests = raw::connect(&world, &world.system).await;
    let head = raw::head(&world, "BidiStream");
    let (response, mut stream) = requests.send_request(head, false).unwrap();
    let frames: Vec<[u8; 6]> = (0..50).map(|turn| [0, 0, 0, 0, 1, turn]).collect();
    for frame in &frames {
        stream.send_data(Bytes::copy_from_slice(frame), false).unwrap();
        tokio::task::yield_now().await;
    }
    stream.send_data(Bytes::new(), true).unwrap();
    let body = within(response).await.unwrap().into_body();
    assert_eq!(within(whole(body)).await, frames.concat(), "every frame once and in order");
}

#[tokio::test]
async fn what_was_sent_in_vain_does_not_stop_the_rest() {
    let world = World::start().await;
    let (node, seen) = faulty(&world.authority, Fault::Refuse, 2).await;
    retrying(&[&node], &world, 2).await;
    let mut requests = raw::connect(&world, &world.system).await;
    let head = raw::head(&world, "BidiStream");
    let (response, mut stream) = requests.send_request(head, false).unwrap();
    let (begun, rest) = (vec![1; 60 << 10], vec![2; 4 << 20]);
    let length = u32::try_from(begun.len() + rest.len() - 5).unwrap().to_be_bytes();
    let begun = [&[0], length.as_slice(), &begun[5..]].concat();
    stream.send_data(begun.clone().into(), false).unwrap();
    until("it is sent for the third time", || seen.load(Ordering::SeqCst) == 3).await;
    // Far more than the windows on the way, which must be as wide as ever.
    stream.send_data(rest.clone().into(), true).unwrap();
    let body = within(response).await.unwrap().into_body();
    assert!(within(whole(body)).await == [begun, rest].concat());
}

#[tokio::test]
async fn another_endpoint_gets_the_call_that_one_refused() {
    let world = World::start().await;
    let (bad, refused) = faulty(&world.authority, Fault::Refuse, usize::MAX).await;
    let (good, _) = faulty(&world.authority, Fault::Refuse, 0).await;
    retrying(&[&bad, &good], &world, 1).await;
    let mut client = world.client().await;
    for _ in 0..8 {
        within(client.unary(of(10))).await.unwrap();
    }
    assert!(refused.load(Ordering::SeqCst) > 0);
}

#[tokio::test]
async fn a_node_that_comes_back_in_time_gets_the_call() {
    let world = World::start().await;
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    world.put_in_force(|source| {
        source.nodes[0].endpoints = vec![endpoint(address)];
        source.routes = vec![RouteRule { retries_max: Some(5), ..rule() }];
    });
    let mut client = world.client().await;
    let calling = tokio::spawn(async move { client.change(of(10)).await });
    until("the call waits", || world.calls_in_flight() == 1).await;
    let answer = |request: http::Request<h2::RecvStream>, respond| async move {
        answer(request.into_body(), respond).await;
    };
    let _node = RawNode::http2_on(address, &world.authority, answer).await;
    within(calling).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_may_have_been_done_is_not_sent_again() {
    let cases = [
        // An update, a request that is no longer held, a node that broke off for another cause.
        (Fault::RefuseHavingRead, "Change", 10),
        (Fault::RefuseHavingRead, "Unary", 100 << 10),
        (Fault::Reset, "Unary", 10),
    ];
    for (fault, method, payload) in cases {
        let world = World::start().await;
        let (node, seen) = faulty(&world.authority, fault, 1).await;
        retrying(&[&node], &world, 3).await;
        let mut client = world.client().await;
        let answered = match method {
            "Change" => within(client.change(of(payload))).await,
            _ => within(client.unary(of(payload))).await,
        };
        assert_eq!(error_info(&answered.unwrap_err()).0, "UPSTREAM_RESET");
        assert_eq!(seen.load(Ordering::SeqCst), 1, "{method} of {payload} bytes");
    }
}

/// Calls `service` at a node that refuses the first `times` calls, each sent again at most once.
/// Says how often each result was counted, and how often the node was called.
async fn count_retries(service: &str, times: usize, calls: usize) -> ([u64; 3], usize) {
    let world = World::start().await;
    let (node, seen) = faulty(&world.authority, Fault::Refuse, times).await;
    world.put_in_force(|source| {
        source.nodes[0].endpoints = vec![endpoint(node.address)];
        source.nodes[0].services[0].name = service.into();
        source.agreements[0].service = service.into();
        let retries_max = Some(1);
        source.routes = vec![RouteRule { service: service.into(), retries_max, ..rule() }];
    });
    let mut requests = raw::connect(&world, &world.system).await;
    for _ in 0..calls {
        let head = raw::head_of(&world, service, "Unary");
        let (response, _, trailers) = within(raw::call(&mut requests, head)).await.unwrap();
        let status = &trailers.as_ref().unwrap_or(response.headers())["grpc-status"];
        assert_eq!(status, if times > calls { "14" } else { "0" });
    }
    let results = ["answered", "failed", "withheld"]
        .map(|result| count(&format!("gw_retries_total{{service={service},result={result}}}")));
    (results, seen.load(Ordering::SeqCst))
}

#[tokio::test]
async fn retries_are_counted_and_end_with_their_budget() {
    assert_eq!(count_retries("retries.answered", 1, 3).await, ([1, 0, 0], 4));
    let ([answered, failed, withheld], seen) =
        count_retries("retries.failed", usize::MAX, 200).await;
    let again = seen as u64 - 200;
    assert_eq!((answered, failed, withheld), (0, again, 200 - again));
    assert!((5..150).contains(&again), "{again} of 200 calls were sent again");
}

#[tokio::test]
async fn a_request_beyond_its_bound_is_refused() {
    let bounded = |source: &mut policy::Source| {
        source.routes = vec![RouteRule { request_bytes_max: Some(1_000), ..rule() }];
    };
    let world = World::with(bounded, |_| {}).await;
    let mut client = world.client().await;
    // Five bytes before the message, and three that say which field it is and how long.
    within(client.unary(of(992))).await.unwrap();
    let whole = within(client.unary(of(993))).await.unwrap_err();
    let parts = tokio_stream::iter((0..3).map(|_| of(400)));
    let parts = within(client.client_stream(parts)).await.unwrap_err();
    for status in [whole, parts] {
        assert_eq!(status.code(), Code::ResourceExhausted);
        let (reason, metadata) = error_info(&status);
        assert_eq!((reason.as_str(), &*metadata["bytes_max"]), ("REQUEST_TOO_LARGE", "1000"));
    }
    assert_eq!(reasons(&world.entries().await), [Reason::RequestTooLarge; 2]);
}

#[tokio::test]
async fn empty_messages_count_towards_a_bound() {
    let bounded = |source: &mut policy::Source| {
        source.routes = vec![RouteRule { request_bytes_max: Some(1_000), ..rule() }];
    };
    let world = World::with(bounded, |_| {}).await;
    let mut client = world.client().await;
    let empty = |count| tokio_stream::iter((0..count).map(|_| EchoRequest::default()));
    within(client.client_stream(empty(200))).await.unwrap();
    let status = within(client.client_stream(empty(201))).await.unwrap_err();
    assert_eq!(error_info(&status).0, "REQUEST_TOO_LARGE");
}

#[tokio::test]
async fn an_answer_beyond_its_bound_is_cut_before_its_last_message() {
    let bounded = |source: &mut policy::Source| {
        source.routes = vec![RouteRule { answer_bytes_max: Some(10_000), ..rule() }];
    };
    let world = World::with(bounded, |_| {}).await;
    let mut client = world.client().await;
    let sized = |count, payload_size| EchoRequest { count, payload_size, ..of(0) };
    within(client.unary(sized(0, 9_000))).await.unwrap();
    let status = within(client.unary(sized(0, 10_001))).await.unwrap_err();
    assert_eq!(error_info(&status).0, "ANSWER_TOO_LARGE");
    let mut answers = client.server_stream(sized(0, 3_000)).await.unwrap().into_inner();
    let mut whole = 0;
    let status = loop {
        match within(answers.next()).await.unwrap() {
            Ok(answer) => whole += answer.payload.len(),
            Err(status) => break status,
        }
    };
    assert_eq!(error_info(&status).0, "ANSWER_TOO_LARGE");
    // Messages that come in one piece with the one that is too much are cut with it.
    assert!(whole <= 9_000 && whole % 3_000 == 0, "{whole} bytes");
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(reasons(&world.entries().await), [Reason::AnswerTooLarge; 2]);
}

#[tokio::test]
async fn bounds_of_size_do_not_wait_for_what_is_announced() {
    let bounded = |source: &mut policy::Source| {
        source.routes = vec![RouteRule { request_bytes_max: Some(1_000), ..rule() }];
    };
    let world = World::with(bounded, |_| {}).await;
    let mut requests = raw::connect(&world, &world.system).await;
    let head = raw::head(&world, "ClientStream");
    let (response, mut stream) = requests.send_request(head, false).unwrap();
    // The first five bytes of a message of 16 MiB, and nothing more.
    stream.send_data(Bytes::from_static(&[0, 1, 0, 0, 0]), false).unwrap();
    let response = tokio::time::timeout(Duration::from_secs(10), response).await.unwrap().unwrap();
    assert_eq!(response.headers()["grpc-status"], "8");
}
