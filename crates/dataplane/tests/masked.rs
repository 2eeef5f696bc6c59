//! Messages that are read on the way: only the fields agreed get through, and the ledger knows whom
//! calls are about before anything passes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(missing_docs, unreachable_pub)]

mod support;

use std::collections::HashSet;
use std::time::Duration;

use model::{Entry, Finished, Masked, PersonNumber, Pseudonym, Subject};
use policy::source::{Fields, Source, SubjectBudget};
use support::{World, contract, error_info, pseudonyms, raw, receipt_entry, within};
use testkit::echo::pb::EchoRequest;
use tokio_stream::StreamExt;
use tonic::Code;
use tonic::codec::CompressionEncoding;

/// The echo node's messages with classes: what it echoes names a person.
const CONTRACT: &str = r#"
syntax = "proto3";
package testkit.echo.v1;
import "giaolien/annotations/v1/annotations.proto";
service EchoService {
  rpc Unary(EchoRequest) returns (EchoResponse);
  rpc Change(EchoRequest) returns (EchoResponse);
  rpc ServerStream(EchoRequest) returns (stream EchoResponse);
  rpc ClientStream(stream EchoRequest) returns (EchoResponse);
  rpc BidiStream(stream EchoRequest) returns (stream EchoResponse);
}
message EchoRequest {
  bytes payload = 1 [(giaolien.annotations.v1.class) = CLASS_BASIC, (giaolien.annotations.v1.subject) = true];
  uint32 count = 2 [(giaolien.annotations.v1.class) = CLASS_OPEN];
  uint32 fail_code = 3 [(giaolien.annotations.v1.class) = CLASS_OPEN];
  string fail_message = 4 [(giaolien.annotations.v1.class) = CLASS_OPEN];
  bytes fail_details = 5 [(giaolien.annotations.v1.class) = CLASS_OPEN];
  uint32 delay_ms = 6 [(giaolien.annotations.v1.class) = CLASS_OPEN];
  uint32 payload_size = 7 [(giaolien.annotations.v1.class) = CLASS_OPEN];
}
message EchoResponse {
  bytes payload = 1 [(giaolien.annotations.v1.class) = CLASS_BASIC, (giaolien.annotations.v1.subject) = true];
  uint32 index = 2 [(giaolien.annotations.v1.class) = CLASS_OPEN];
  map<string, string> metadata = 3 [(giaolien.annotations.v1.class) = CLASS_SENSITIVE];
  uint64 received_bytes = 4 [(giaolien.annotations.v1.class) = CLASS_OPEN];
}
"#;

fn number(person: u32) -> String {
    format!("9{person:011}")
}

fn about(person: u32) -> EchoRequest {
    EchoRequest { payload: number(person).into_bytes(), ..EchoRequest::default() }
}

fn subject(person: u32) -> Subject {
    let person = PersonNumber::new("VN", "personal", &number(person)).unwrap();
    pseudonyms().subjects(&person).remove(0)
}

/// The usual revision with a contract, and an agreement on these fields.
fn fields(names: &'static [&'static str]) -> impl FnOnce(&mut Source) {
    move |source| {
        source.contract = Some(contract(CONTRACT));
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        source.agreements[0].fields = Fields::Named(names);
    }
}

fn finished(entries: &[Entry]) -> &Finished {
    let Some(Entry::Finished(end)) = entries.last() else { panic!("{entries:?}") };
    end
}

#[tokio::test]
async fn only_the_fields_agreed_reach_the_consumer() {
    let world = World::with(fields(&["basic", "open"]), |_| {}).await;
    let mut client = world.client().await;
    let response = within(client.unary(about(17))).await.unwrap();
    let Entry::Admitted(admitted) = receipt_entry(response.metadata(), &world.key) else {
        panic!("a receipt of something else")
    };
    assert_eq!(admitted.subject, Some(subject(17)));
    assert_eq!(admitted.fields, ["basic".into(), "open".into()]);
    let answer = response.into_inner();
    assert_eq!(answer.payload, number(17).as_bytes());
    assert!(answer.metadata.is_empty(), "what was withheld came through");
    let entries = world.entries().await;
    assert_eq!(entries.len(), 2, "the person was known from the request: {entries:?}");
    let Some(Masked { withheld, fields, .. }) = &finished(&entries).response_masked else {
        panic!("{entries:?}")
    };
    assert!(*withheld > 0 && fields.len() == 1, "{entries:?}");
    assert_eq!(finished(&entries).request_masked, None);
}

#[tokio::test]
async fn nothing_of_a_secret_field_passes_even_under_an_agreement_on_all() {
    let secret = CONTRACT.replace("CLASS_SENSITIVE", "CLASS_SECRET");
    let source = |source: &mut Source| source.contract = Some(contract(&secret));
    let world = World::with(source, |_| {}).await;
    let answer = within(world.client().await.unary(about(17))).await.unwrap().into_inner();
    assert!(answer.metadata.is_empty() && !answer.payload.is_empty());
}

#[tokio::test]
async fn answers_that_need_no_mask_pass_untouched() {
    let world = World::with(|source| source.contract = Some(contract(CONTRACT)), |_| {}).await;
    let answer = within(world.client().await.unary(about(17))).await.unwrap().into_inner();
    assert!(!answer.metadata.is_empty());
    assert_eq!(finished(&world.entries().await).response_masked, None);
}

#[tokio::test]
async fn every_person_of_a_stream_is_in_the_ledger_before_the_message_passes() {
    let world = World::with(fields(&["basic"]), |_| {}).await;
    let mut client = world.client().await;
    let (send, receive) = tokio::sync::mpsc::channel(8);
    send.send(about(0)).await.unwrap();
    let requests = tokio_stream::wrappers::ReceiverStream::new(receive);
    let mut answers = within(client.bidi_stream(requests)).await.unwrap().into_inner();
    for person in [1, 2, 1, 3] {
        within(answers.next()).await.unwrap().unwrap();
        send.send(about(person)).await.unwrap();
    }
    drop(send);
    within(answers.next()).await.unwrap().unwrap();
    assert!(within(answers.next()).await.is_none());
    let entries = world.entries().await;
    let Entry::Admitted(admitted) = &entries[0] else { panic!("{entries:?}") };
    assert_eq!(admitted.subject, Some(subject(0)));
    let concerned: Vec<Pseudonym> = entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Concerned(call) => Some((call.admitted, call.pseudonyms.clone())),
            _ => None,
        })
        .inspect(|(admitted, _)| assert_eq!(*admitted, 0))
        .flat_map(|(_, pseudonyms)| pseudonyms)
        .collect();
    let expected = [1, 2, 3].map(|person| subject(person).pseudonym);
    assert_eq!(concerned, expected, "each person once, in the order of the requests");
}

#[tokio::test]
async fn a_person_that_nobody_could_find_again_is_refused() {
    let world = World::with(fields(&["basic"]), |_| {}).await;
    let mut client = world.client().await;
    for wrong in ["900 000 000 017", "900000000017\n", "\u{ff19}00000000017"] {
        let request = EchoRequest { payload: wrong.into(), ..EchoRequest::default() };
        let status = within(client.unary(request)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert_eq!(error_info(&status).0, "SUBJECT_MALFORMED");
        assert!(!status.message().contains(wrong), "{status:?}");
    }
    // A request about nobody in particular passes.
    within(client.unary(EchoRequest::default())).await.unwrap();
    let entries = world.entries().await;
    let refused = entries.iter().filter(|entry| matches!(entry, Entry::Refused(_))).count();
    assert_eq!(refused, 3, "{entries:?}");
}

#[tokio::test]
async fn a_compressed_request_that_must_be_read_is_refused() {
    let world = World::with(fields(&["basic"]), |_| {}).await;
    let mut client = world
        .client()
        .await
        .send_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Gzip);
    let request = EchoRequest { payload: vec![b'9'; 4000], ..EchoRequest::default() };
    let status = within(client.unary(request)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented, "{status:?}");
    assert_eq!(error_info(&status).0, "COMPRESSION_UNSUPPORTED");
    // The node would compress what this client takes; it is not told so.
    let mut client = world.client().await.accept_compressed(CompressionEncoding::Gzip);
    let answer = within(client.unary(about(5))).await.unwrap().into_inner();
    assert_eq!(answer.payload, number(5).as_bytes());
}

#[tokio::test]
async fn an_answer_that_is_not_of_its_contract_never_passes() {
    // The contract says that the payload holds a message; the node puts a number there.
    let broken = CONTRACT
        .replace("  bytes payload = 1 [(giaolien.annotations.v1.class) = CLASS_BASIC, (giaolien.annotations.v1.subject) = true];\n  uint32 index", "  Inner payload = 1 [(giaolien.annotations.v1.class) = CLASS_BASIC];\n  uint32 index")
        + "message Inner { string name = 1 [(giaolien.annotations.v1.class) = CLASS_BASIC]; }\n";
    let source = |source: &mut Source| {
        fields(&["open"])(source);
        source.contract = Some(contract(&broken));
        source.agreements[0].fields = Fields::Named(vec!["payload.name".into()]);
    };
    let world = World::with(source, |_| {}).await;
    let request = EchoRequest { payload: number(1).into_bytes(), ..EchoRequest::default() };
    let status = within(world.client().await.unary(request)).await.unwrap_err();
    assert_eq!(error_info(&status).0, "UPSTREAM_PROTOCOL", "{status:?}");
    assert!(!format!("{status:?}").contains(&number(1)), "{status:?}");
}

#[tokio::test]
async fn a_system_may_ask_about_so_many_persons_and_no_more() {
    let source = |source: &mut Source| {
        source.contract = Some(contract(CONTRACT));
        let budget = SubjectBudget { hour_max: Some(3), day_max: None };
        source.agreements[0].subjects = Some(budget);
    };
    let world = World::with(source, |_| {}).await;
    let mut client = world.client().await;
    for person in [1, 2, 1, 3, 2] {
        within(client.unary(about(person))).await.unwrap();
    }
    let status = within(client.unary(about(4))).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    let (reason, metadata) = error_info(&status);
    assert_eq!((reason.as_str(), metadata["hour_max"].as_str()), ("SUBJECTS_EXHAUSTED", "3"));
    within(client.unary(about(3))).await.unwrap();
    world.clock.advance(Duration::from_secs(3600));
    within(client.unary(about(4))).await.unwrap();
    let entries = world.entries().await;
    let asked: HashSet<_> = entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Admitted(call) => call.subject.clone(),
            _ => None,
        })
        .collect();
    assert_eq!(asked, (1..=4).map(subject).collect());
}

#[tokio::test]
async fn a_message_too_large_to_be_read_is_refused() {
    let source = |source: &mut Source| {
        fields(&["basic"])(source);
        let limit = Some(64 << 10);
        source.routes =
            vec![policy::source::RouteRule { answer_bytes_max: limit, ..support::rule() }];
    };
    let world = World::with(source, |_| {}).await;
    let request = EchoRequest { payload_size: 1 << 20, ..EchoRequest::default() };
    let status = within(world.client().await.unary(request)).await.unwrap_err();
    assert_eq!(error_info(&status).0, "ANSWER_TOO_LARGE", "{status:?}");
}

#[tokio::test]
async fn a_request_that_ends_within_a_message_is_refused() {
    let world = World::with(fields(&["basic"]), |_| {}).await;
    let mut requests = raw::connect(&world, &world.system).await;
    let (response, mut stream) = requests.send_request(raw::head(&world, "Unary"), false).unwrap();
    stream.send_data(vec![0, 0, 0, 0, 9, 1, 2].into(), true).unwrap();
    let response = within(response).await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "3");
    let entries = world.entries().await;
    assert!(matches!(entries.as_slice(), [Entry::Refused(_)]), "{entries:?}");
}

#[tokio::test]
async fn who_does_not_read_holds_back_the_node_though_messages_are_read_on_the_way() {
    let world = World::with(fields(&["basic", "open"]), |_| {}).await;
    let mut requests = raw::connect(&world, &world.system).await;
    let (response, mut stream) =
        requests.send_request(raw::head(&world, "ServerStream"), false).unwrap();
    let request = EchoRequest { payload_size: 64 << 10, ..EchoRequest::default() };
    let message = prost::Message::encode_to_vec(&request);
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    stream.send_data([&[0], length.as_slice(), &message].concat().into(), true).unwrap();
    let response = within(response).await.unwrap();
    let passed = || world.echo.seen.answers.load(std::sync::atomic::Ordering::SeqCst);
    let mut before = u64::MAX;
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if std::mem::replace(&mut before, passed()) == passed() {
            break;
        }
    }
    assert!(before < 1000, "{before} answers of 64 KiB were taken that nobody read");
    drop(response);
}

#[tokio::test]
async fn metadata_and_other_forms_do_not_get_around_a_mask() {
    let world = World::with(fields(&["basic"]), |_| {}).await;
    let mut client = world.client().await;
    let response = within(client.unary(about(1))).await.unwrap();
    assert!(response.metadata().get("echo-head").is_none(), "metadata of the node");
    let request = EchoRequest {
        fail_code: 5,
        fail_message: "not here".into(),
        fail_details: number(1).into_bytes(),
        ..about(1)
    };
    let status = within(client.unary(request)).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::NotFound, "not here"));
    assert!(status.details().is_empty(), "details of the node");
    let mut requests = raw::connect(&world, &world.system).await;
    let mut head = raw::head(&world, "Unary");
    head.headers_mut().insert("content-type", "application/grpc+json".parse().unwrap());
    let (response, _, _) = within(raw::call(&mut requests, head)).await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "3");
}
