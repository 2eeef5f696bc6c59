//! The node of the general database.

use nodes::NodeKind;
use nodes::people::Sample;
use nodes::proto::generaldata::v1::general_data_service_client::GeneralDataServiceClient;
use nodes::proto::generaldata::v1::*;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic::transport::Channel;

use crate::support::{Node, assert_invalid};

async fn start() -> (Node, GeneralDataServiceClient<Channel>) {
    let node = Node::start(NodeKind::GeneralData).await;
    let client = GeneralDataServiceClient::new(node.connect().await);
    (node, client)
}

fn record(key: &str, version: u64, payload: &str) -> Record {
    Record {
        source: "G09".into(),
        data_set: "organisations".into(),
        key: key.into(),
        version,
        payload: payload.to_owned().into(),
        deleted: false,
    }
}

async fn synchronise(
    client: &mut GeneralDataServiceClient<Channel>,
    records: Vec<Record>,
) -> SynchroniseResponse {
    client.synchronise(tokio_stream::iter(records)).await.unwrap().into_inner()
}

fn reasons(summary: &SynchroniseResponse) -> Vec<(u64, RejectReason)> {
    summary.rejects.iter().map(|reject| (reject.index, reject.reason())).collect()
}

#[tokio::test]
async fn records_are_accepted_or_rejected_one_by_one() {
    let (_node, mut client) = start().await;
    let first = synchronise(
        &mut client,
        vec![record("a", 2, "A2"), record("b", 1, "B1"), record("", 1, "x"), record("c", 0, "x")],
    )
    .await;
    assert_eq!((first.accepted, first.rejected), (2, 2));
    let malformed = RejectReason::Malformed;
    assert_eq!(reasons(&first), [(2, malformed), (3, malformed)]);
    assert_eq!(first.rejects[1].detail, "`version` must be at least 1");

    let deletion = Record { deleted: true, ..record("b", 2, "") };
    let second = synchronise(
        &mut client,
        vec![record("a", 2, "A2"), record("a", 1, "A1"), record("a", 2, "other"), deletion],
    )
    .await;
    assert_eq!(second.accepted, 2);
    assert_eq!(reasons(&second), [(1, RejectReason::Stale), (2, RejectReason::Conflict)]);
}

#[tokio::test]
async fn long_streams_are_stored_in_many_batches() {
    let (_node, mut client) = start().await;
    let payload = "x".repeat(10_000);
    let records: Vec<_> = (0..2_000).map(|n| record(&format!("key-{n}"), 1, &payload)).collect();
    let summary = synchronise(&mut client, records.clone()).await;
    assert_eq!((summary.accepted, summary.rejected), (2_000, 0));
    assert_eq!(synchronise(&mut client, records).await.accepted, 2_000);
    let many = (0..1_500).map(|n| record(&format!("key-{n}"), 1, "other")).collect();
    let summary = synchronise(&mut client, many).await;
    assert_eq!((summary.rejected, summary.rejects.len()), (1_500, 1_000));
    assert_eq!(summary.rejects[999].index, 999);
}

#[tokio::test]
async fn a_stream_has_one_source_and_at_least_one_record() {
    let (_node, mut client) = start().await;
    let none = client.synchronise(tokio_stream::empty()).await.unwrap_err();
    assert_eq!(none.code(), Code::InvalidArgument);
    let two = vec![record("a", 1, ""), Record { source: "G01".into(), ..record("b", 1, "") }];
    let two = client.synchronise(tokio_stream::iter(two)).await.unwrap_err();
    assert_invalid(&two, "source");
}

fn item(key: &str, version: u64, payload: &str) -> ReconcileRequest {
    ReconcileRequest {
        source: "G09".into(),
        data_set: "organisations".into(),
        key: key.into(),
        version,
        digest: Sha256::digest(payload).to_vec().into(),
    }
}

#[tokio::test]
async fn each_item_is_answered_while_the_stream_is_open() {
    let (_node, mut client) = start().await;
    let deletion = Record { deleted: true, ..record("gone", 1, "") };
    let records = vec![record("a", 2, "A2"), record("b", 3, "B3"), deletion];
    assert_eq!(synchronise(&mut client, records).await.accepted, 3);

    let (sender, items) = mpsc::channel(1);
    let mut answers = client.reconcile(ReceiverStream::new(items)).await.unwrap().into_inner();
    let cases = [
        (item("a", 2, "A2"), Comparison::Same, 2),
        (item("a", 2, "other"), Comparison::Differs, 2),
        (item("a", 3, "A3"), Comparison::Differs, 2),
        (item("b", 2, "B2"), Comparison::NewerHere, 3),
        (item("none", 1, ""), Comparison::Missing, 0),
        (item("gone", 1, ""), Comparison::Missing, 1),
    ];
    for (at, (item, comparison, version_here)) in cases.into_iter().enumerate() {
        // Only the first item needs to name the source and the data set.
        let mut sent = item.clone();
        if at > 0 {
            (sent.source, sent.data_set) = (String::new(), String::new());
        }
        sender.send(sent).await.unwrap();
        let answer = answers.message().await.unwrap().unwrap();
        let expected =
            ReconcileResponse { key: item.key, comparison: comparison.into(), version_here };
        assert_eq!(answer, expected);
    }
    drop(sender);
    assert_eq!(answers.message().await.unwrap(), None);
}

#[tokio::test]
async fn items_before_a_malformed_one_are_answered() {
    let (_node, mut client) = start().await;
    let bad = ReconcileRequest { digest: vec![1, 2].into(), ..item("b", 1, "") };
    let items = tokio_stream::iter(vec![item("a", 1, ""), bad, item("c", 1, "")]);
    let mut answers = client.reconcile(items).await.unwrap().into_inner();
    assert_eq!(answers.message().await.unwrap().unwrap().key, "a");
    assert_invalid(&answers.message().await.unwrap_err(), "digest");
}

#[tokio::test]
async fn the_civil_servants_are_here_from_the_start() {
    let (node, mut client) = start().await;
    let person = node.country.people().sample(Sample::CivilServant, 0).unwrap();
    let first = ReconcileRequest {
        data_set: "civil-servants".into(),
        ..item(&person.personal_number, 1, "unknown")
    };
    let mut answers = client.reconcile(tokio_stream::iter([first])).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap();
    assert_eq!((answer.comparison(), answer.version_here), (Comparison::Differs, 1));
}
