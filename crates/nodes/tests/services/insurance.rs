//! The insurance node.

use nodes::NodeKind;
use nodes::people::Sample;
use nodes::proto::insurance::v1::GetContributionHistoryRequest;
use nodes::proto::insurance::v1::insurance_service_client::InsuranceServiceClient;
use tonic::Code;

use crate::support::{Node, assert_invalid};

#[tokio::test]
async fn contributions_are_cut_to_the_months_asked_for() {
    let node = Node::start(NodeKind::Insurance).await;
    let mut client = InsuranceServiceClient::new(node.connect().await);
    let person = node.country.people().sample(Sample::Insured, 0).unwrap();
    let request = GetContributionHistoryRequest {
        personal_number: person.personal_number.clone(),
        full_name: person.full_name.clone(),
        birth_date: person.birth_date.clone(),
        ..GetContributionHistoryRequest::default()
    };
    let whole = client.get_contribution_history(request.clone()).await.unwrap().into_inner();
    assert!(!whole.periods.is_empty() && whole.months > 0);
    assert!(whole.periods.is_sorted_by_key(|period| period.from_month.clone()));
    assert!(whole.insurance_number.len() == 10 && whole.health_card.is_some());

    let before = GetContributionHistoryRequest { to_month: "1950-01".into(), ..request.clone() };
    let before = client.get_contribution_history(before).await.unwrap().into_inner();
    assert_eq!((before.periods.len(), before.months), (0, 0));

    let crossed = GetContributionHistoryRequest {
        from_month: "2026-02".into(),
        to_month: "2026-01".into(),
        ..request.clone()
    };
    let status = client.get_contribution_history(crossed).await.unwrap_err();
    assert_invalid(&status, "to_month");

    let wrong = GetContributionHistoryRequest { full_name: "Lê Văn Khác".into(), ..request };
    let status = client.get_contribution_history(wrong).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
}

#[tokio::test]
async fn a_civil_servant_is_insured_by_the_unit() {
    let node = Node::start(NodeKind::Insurance).await;
    let mut client = InsuranceServiceClient::new(node.connect().await);
    let person = node.country.people().sample(Sample::CivilServant, 0).unwrap();
    let request = GetContributionHistoryRequest {
        personal_number: person.personal_number,
        full_name: person.full_name,
        birth_date: person.birth_date,
        ..GetContributionHistoryRequest::default()
    };
    let history = client.get_contribution_history(request).await.unwrap().into_inner();
    assert_eq!(Some(history.periods[0].employer_code.clone()), person.unit_code);
}
