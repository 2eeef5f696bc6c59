//! The node of the civil servants.

use nodes::NodeKind;
use nodes::people::{KnownPerson, Sample};
use nodes::proto::civilservants::v1::civil_servant_service_client::CivilServantServiceClient;
use nodes::proto::civilservants::v1::*;
use tonic::Code;
use tonic::transport::Channel;

use crate::support::{Node, assert_invalid};

type Client = CivilServantServiceClient<Channel>;

async fn start() -> (Node, Client, KnownPerson) {
    let node = Node::start(NodeKind::CivilServants).await;
    let client = CivilServantServiceClient::new(node.connect().await);
    let person = node.country.people().sample(Sample::CivilServant, 0).unwrap();
    (node, client, person)
}

async fn profile(client: &mut Client, person: &KnownPerson) -> GetProfileResponse {
    let request = GetProfileRequest {
        personal_number: person.personal_number.clone(),
        full_name: person.full_name.clone(),
        groups: vec![],
    };
    client.get_profile(request).await.unwrap().into_inner()
}

/// An EDIT that gives a person another telephone number.
async fn edit(client: &mut Client, person: &KnownPerson, id: &str) -> SubmitChangeRequest {
    let mut profile = profile(client, person).await.profile.unwrap();
    profile.phone = format!("01{:08}", id.len());
    SubmitChangeRequest {
        transaction_id: id.into(),
        supplier_unit: "G09.05".into(),
        operation: Operation::Edit.into(),
        personal_number: person.personal_number.clone(),
        profile: Some(profile),
        base_version: 0,
        decision_number: "12/QĐ-BNV".into(),
        effective_date: "2026-07-01".into(),
    }
}

#[tokio::test]
async fn a_civil_servant_is_verified_with_the_units_above() {
    let (_node, mut client, person) = start().await;
    let unit = person.unit_code.clone().unwrap();
    let request = VerifyCivilServantRequest {
        personal_number: person.personal_number.clone(),
        full_name: person.full_name.clone(),
        unit_code: unit.split('.').next().unwrap().into(),
    };
    let answer = client.verify_civil_servant(request.clone()).await.unwrap().into_inner();
    assert!(answer.matched && answer.service_status() != ServiceStatus::Unspecified);

    let elsewhere = VerifyCivilServantRequest { unit_code: "G99".into(), ..request };
    let answer = client.verify_civil_servant(elsewhere).await.unwrap().into_inner();
    assert_eq!(answer.differing_fields().collect::<Vec<_>>(), [ClaimField::UnitCode]);
    assert_eq!(answer.service_status(), ServiceStatus::Unspecified);
}

#[tokio::test]
async fn a_profile_has_the_groups_asked_for() {
    let (_node, mut client, person) = start().await;
    let whole = profile(&mut client, &person).await;
    assert_eq!(whole.version, 1);
    let whole = whole.profile.unwrap();
    assert!(whole.salary.is_some() && whole.education.is_some());

    let request = GetProfileRequest {
        personal_number: person.personal_number.clone(),
        full_name: person.full_name.clone(),
        groups: vec![ProfileGroup::Education.into()],
    };
    let part = client.get_profile(request.clone()).await.unwrap().into_inner().profile.unwrap();
    assert!(part.salary.is_none() && part.conduct.is_none());
    assert_eq!(part.education, whole.education);

    let status = client.get_profile(GetProfileRequest { groups: vec![99], ..request.clone() });
    assert_invalid(&status.await.unwrap_err(), "groups[0]");
    let other = GetProfileRequest { full_name: "Lê Văn Khác".into(), ..request };
    assert_eq!(client.get_profile(other).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_repeated_transaction_gives_its_first_outcome() {
    let (_node, mut client, person) = start().await;
    let request = edit(&mut client, &person, "tx-00000001").await;
    let first = client.submit_change(request.clone()).await.unwrap().into_inner();
    assert!(!first.repeated_transaction && first.version == 2);

    let second = client.submit_change(request.clone()).await.unwrap().into_inner();
    assert_eq!(second, SubmitChangeResponse { repeated_transaction: true, ..first });
    assert_eq!(profile(&mut client, &person).await.version, 2);

    let other = SubmitChangeRequest { effective_date: "2026-07-02".into(), ..request };
    let status = client.submit_change(other).await.unwrap_err();
    assert_eq!(status.code(), Code::AlreadyExists);
    assert_eq!(status.message(), "transaction `tx-00000001` was used with another body");
}

#[tokio::test]
async fn a_refusal_is_an_outcome_too() {
    let (_node, mut client, person) = start().await;
    let stale =
        SubmitChangeRequest { base_version: 7, ..edit(&mut client, &person, "tx-stale-1").await };
    let first = client.submit_change(stale.clone()).await.unwrap_err();
    assert_eq!(first.code(), Code::FailedPrecondition);
    assert_eq!(first.message(), "the record has version 1, not 7; read it again");

    // Six more changes bring the record to version 7, and the outcome still stands.
    for n in 0..6 {
        let request = edit(&mut client, &person, &format!("tx-change-{n}")).await;
        client.submit_change(request).await.unwrap();
    }
    assert_eq!(profile(&mut client, &person).await.version, 7);
    let again = client.submit_change(stale).await.unwrap_err();
    assert_eq!((again.code(), again.message()), (first.code(), first.message()));
}

#[tokio::test]
async fn records_are_deleted_and_added_again() {
    let (_node, mut client, person) = start().await;
    let edit = edit(&mut client, &person, "tx-template").await;
    let delete = SubmitChangeRequest {
        transaction_id: "tx-delete-1".into(),
        operation: Operation::Del.into(),
        profile: None,
        base_version: 1,
        ..edit.clone()
    };
    assert_eq!(client.submit_change(delete).await.unwrap().into_inner().version, 2);
    let gone = client.submit_change(edit.clone()).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);

    let add = SubmitChangeRequest {
        transaction_id: "tx-add-1".into(),
        operation: Operation::Add.into(),
        ..edit.clone()
    };
    assert_eq!(client.submit_change(add.clone()).await.unwrap().into_inner().version, 3);
    let twice = SubmitChangeRequest { transaction_id: "tx-add-2".into(), ..add };
    let status = client.submit_change(twice).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn malformed_changes_name_the_field() {
    let (_node, mut client, person) = start().await;
    let good = edit(&mut client, &person, "tx-00000001").await;
    let mut renumbered = good.clone();
    renumbered.profile.as_mut().unwrap().personal_number = "999999999999".into();
    let mut unplaced = good.clone();
    unplaced.profile.as_mut().unwrap().unit_code.clear();
    let cases = [
        (SubmitChangeRequest { transaction_id: "short".into(), ..good.clone() }, "transaction_id"),
        (SubmitChangeRequest { supplier_unit: "g09".into(), ..good.clone() }, "supplier_unit"),
        (SubmitChangeRequest { operation: 0, ..good.clone() }, "operation"),
        (SubmitChangeRequest { profile: None, ..good.clone() }, "profile"),
        (SubmitChangeRequest { operation: 3, ..good.clone() }, "profile"),
        (SubmitChangeRequest { operation: 1, base_version: 1, ..good.clone() }, "base_version"),
        (SubmitChangeRequest { decision_number: String::new(), ..good }, "decision_number"),
        (renumbered, "profile.personal_number"),
        (unplaced, "profile.unit_code"),
    ];
    for (request, field) in cases {
        assert_invalid(&client.submit_change(request).await.unwrap_err(), field);
    }
}

#[tokio::test]
async fn the_feed_begins_with_every_record() {
    let (node, mut client, person) = start().await;
    let feed = client.watch_changes(WatchChangesRequest::default()).await.unwrap();
    let changes = collect(feed.into_inner()).await;
    let sequences: Vec<_> = changes.iter().map(|change| change.sequence).collect();
    assert_eq!(sequences, (1..=changes.len() as u64).collect::<Vec<_>>());
    assert_eq!(changes[0].personal_number, person.personal_number);
    assert!(node.country.people().sample(Sample::CivilServant, changes.len() - 1).is_some());
    assert!(node.country.people().sample(Sample::CivilServant, changes.len()).is_none());

    let unit = changes[0].unit_code.clone();
    let request = WatchChangesRequest {
        unit_code: unit.clone(),
        include_profiles: true,
        ..WatchChangesRequest::default()
    };
    let of_unit = collect(client.watch_changes(request).await.unwrap().into_inner()).await;
    assert!(of_unit.iter().all(|change| change.unit_code == unit && change.profile.is_some()));
    assert!(of_unit.len() < changes.len());
}

#[tokio::test]
async fn a_feed_follows_until_the_node_stops() {
    let (node, mut client, person) = start().await;
    let all = client.watch_changes(WatchChangesRequest::default()).await.unwrap();
    let latest = collect(all.into_inner()).await.len() as u64;
    let request = WatchChangesRequest {
        after_sequence: latest,
        follow: true,
        include_profiles: true,
        ..WatchChangesRequest::default()
    };
    let mut feed = client.watch_changes(request).await.unwrap().into_inner();
    for n in 1..=3 {
        let request = edit(&mut client, &person, &format!("tx-follow-{n}")).await;
        let submitted = client.submit_change(request.clone()).await.unwrap().into_inner();
        let change = feed.message().await.unwrap().unwrap();
        assert_eq!(change.sequence, latest + n);
        assert_eq!(change.sequence, submitted.sequence);
        assert_eq!(change.profile, request.profile);
    }
    let served = tokio::spawn(node.stop());
    let status = feed.message().await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    served.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_feed_does_not_begin_in_the_future() {
    let (_node, mut client, _) = start().await;
    let request = WatchChangesRequest { after_sequence: 1 << 40, ..Default::default() };
    let status = client.watch_changes(request).await.unwrap_err();
    assert_invalid(&status, "after_sequence");
}

async fn collect(mut feed: tonic::Streaming<CivilServantChange>) -> Vec<CivilServantChange> {
    let mut changes = vec![];
    while let Some(change) = feed.message().await.unwrap() {
        changes.push(change);
    }
    changes
}
