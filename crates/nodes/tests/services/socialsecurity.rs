//! The social-security node.

use nodes::NodeKind;
use nodes::people::Sample;
use nodes::proto::socialsecurity::v1::social_security_service_client::SocialSecurityServiceClient;
use nodes::proto::socialsecurity::v1::*;
use tonic::Code;
use tonic::transport::Channel;

use crate::support::{Node, assert_invalid};

async fn start() -> (Node, SocialSecurityServiceClient<Channel>) {
    let node = Node::start(NodeKind::SocialSecurity).await;
    let client = SocialSecurityServiceClient::new(node.connect().await);
    (node, client)
}

fn submission() -> SubmitBeneficiaryRequest {
    SubmitBeneficiaryRequest {
        transaction_id: "tx-00000001".into(),
        supplier_unit: "H26.C50123".into(),
        personal_number: "901199000001".into(),
        full_name: "Nguyễn Thị Mẫu".into(),
        birth_date: "1999-02-03".into(),
        benefit: Some(Benefit {
            group_code: "06.2".into(),
            decision_number: "7/QĐ-UBND".into(),
            decision_date: "2026-06-20".into(),
            deciding_commune: "50123".into(),
            coefficient_tenths: 20,
            monthly_amount_vnd: 1_000_000,
            start_date: "2026-07-01".into(),
            stop_date: String::new(),
            payment_method: PaymentMethod::Account.into(),
        }),
        guardian: None,
    }
}

fn status_of(submission: &SubmitBeneficiaryRequest) -> GetBeneficiaryStatusRequest {
    GetBeneficiaryStatusRequest {
        personal_number: submission.personal_number.clone(),
        full_name: submission.full_name.clone(),
        birth_date: submission.birth_date.clone(),
    }
}

#[tokio::test]
async fn a_beneficiary_is_found_by_number_name_and_birth_date() {
    let (node, mut client) = start().await;
    let person = node.country.people().sample(Sample::Beneficiary, 0).unwrap();
    let request = GetBeneficiaryStatusRequest {
        personal_number: person.personal_number.clone(),
        full_name: person.full_name.clone(),
        birth_date: person.birth_date.clone(),
    };
    let answer = client.get_beneficiary_status(request.clone()).await.unwrap().into_inner();
    let beneficiary = answer.beneficiary.unwrap();
    assert_eq!(beneficiary.benefits.len(), 1);
    assert!(beneficiary.benefits[0].monthly_amount_vnd > 0);

    let wrong = GetBeneficiaryStatusRequest { birth_date: "1900-01-01".into(), ..request };
    let status = client.get_beneficiary_status(wrong).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(status.message(), "no beneficiary has this number, name and birth date");
}

#[tokio::test]
async fn a_verified_account_is_a_yes_or_a_no() {
    let (node, mut client) = start().await;
    let person = node.country.people().sample(Sample::VerifiedAccount, 0).unwrap();
    for (number, expected) in [(person.personal_number.as_str(), true), ("999999999999", false)] {
        let request = CheckVerifiedAccountRequest { personal_number: number.into() };
        let answer = client.check_verified_account(request).await.unwrap().into_inner();
        assert_eq!(answer.verified, expected);
    }
}

#[tokio::test]
async fn a_benefit_is_registered_once_and_replaced_by_its_decision() {
    let (_node, mut client) = start().await;
    let first = client.submit_beneficiary(submission()).await.unwrap().into_inner();
    assert_eq!((first.version, first.repeated_transaction), (1, false));
    let again = client.submit_beneficiary(submission()).await.unwrap().into_inner();
    assert_eq!((again.version, again.repeated_transaction), (1, true));

    let mut raised = submission();
    raised.benefit.as_mut().unwrap().monthly_amount_vnd = 1_250_000;
    let status = client.submit_beneficiary(raised.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::AlreadyExists);
    raised.transaction_id = "tx-00000002".into();
    assert_eq!(client.submit_beneficiary(raised).await.unwrap().into_inner().version, 2);

    let answer = client.get_beneficiary_status(status_of(&submission())).await.unwrap();
    let beneficiary = answer.into_inner().beneficiary.unwrap();
    assert_eq!(beneficiary.benefits.len(), 1);
    assert_eq!(beneficiary.benefits[0].monthly_amount_vnd, 1_250_000);
    assert!(!beneficiary.verified_account);
}

#[tokio::test]
async fn a_contradicting_name_is_refused() {
    let (_node, mut client) = start().await;
    client.submit_beneficiary(submission()).await.unwrap();
    let other = SubmitBeneficiaryRequest {
        transaction_id: "tx-00000002".into(),
        full_name: "Trần Thị Khác".into(),
        ..submission()
    };
    let status = client.submit_beneficiary(other).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn malformed_benefits_name_the_field() {
    let (_node, mut client) = start().await;
    let with_benefit = |change: fn(&mut Benefit)| {
        let mut request = submission();
        change(request.benefit.as_mut().unwrap());
        request
    };
    let cases = [
        (SubmitBeneficiaryRequest { benefit: None, ..submission() }, "benefit"),
        (with_benefit(|it| it.group_code.clear()), "benefit.group_code"),
        (with_benefit(|it| it.deciding_commune = "501".into()), "benefit.deciding_commune"),
        (with_benefit(|it| it.stop_date = "2026-06-30".into()), "benefit.stop_date"),
        (with_benefit(|it| it.payment_method = 0), "benefit.payment_method"),
        (
            SubmitBeneficiaryRequest { guardian: Some(Guardian::default()), ..submission() },
            "guardian.personal_number",
        ),
    ];
    for (request, field) in cases {
        assert_invalid(&client.submit_beneficiary(request).await.unwrap_err(), field);
    }
}
