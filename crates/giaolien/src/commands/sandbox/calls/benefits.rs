//! Social security and insurance: a benefit, an account for payments, a history of contributions.

use anyhow::Result;
use nodes::proto::insurance::v1::GetContributionHistoryRequest;
use nodes::proto::insurance::v1::insurance_service_client::InsuranceServiceClient;
use nodes::proto::socialsecurity::v1::social_security_service_client::SocialSecurityServiceClient;
use nodes::proto::socialsecurity::v1::{CheckVerifiedAccountRequest, GetBeneficiaryStatusRequest};

use super::super::cast::Cast;
use super::super::consumers::{Call, Consumers, Expected};
use super::{BENEFIT_DOSSIER, must};

pub(super) const BENEFICIARY_STATUS: Call = Call {
    name: "status of a beneficiary",
    system: "mot-cua-phuc-xa",
    node: "social-security",
    method: "GetBeneficiaryStatus",
    purpose: "tro-cap-xa-hoi",
    dossier: Some(BENEFIT_DOSSIER),
    expected: Expected::Answer,
};
const VERIFIED_ACCOUNT: Call = Call {
    name: "an account for payments",
    system: "chi-tra-kho-bac",
    node: "social-security",
    method: "CheckVerifiedAccount",
    purpose: "chi-tra-an-sinh",
    dossier: None,
    expected: Expected::Answer,
};
const NO_ACCOUNT: Call = Call { name: "no account for payments", ..VERIFIED_ACCOUNT };
pub(super) const CONTRIBUTIONS: Call = Call {
    name: "history of contributions",
    system: "quan-ly-can-bo",
    node: "insurance",
    method: "GetContributionHistory",
    purpose: "giai-quyet-huu-tri",
    dossier: None,
    expected: Expected::Answer,
};

pub(super) fn beneficiary_status(cast: &Cast) -> GetBeneficiaryStatusRequest {
    GetBeneficiaryStatusRequest {
        personal_number: cast.beneficiary.personal_number.clone(),
        full_name: cast.beneficiary.full_name.clone(),
        birth_date: cast.beneficiary.birth_date.clone(),
    }
}

/// All of them.
pub(super) async fn all(consumers: &mut Consumers<'_>, cast: &Cast) -> Result<()> {
    status(consumers, cast).await?;
    let payable = cast.payable.personal_number.clone();
    account(consumers, VERIFIED_ACCOUNT, payable, true).await?;
    let not_payable = cast.not_payable.personal_number.clone();
    account(consumers, NO_ACCOUNT, not_payable, false).await?;
    contributions(consumers, cast).await
}

async fn status(consumers: &mut Consumers<'_>, cast: &Cast) -> Result<()> {
    let status = async |channel, request| {
        SocialSecurityServiceClient::new(channel).get_beneficiary_status(request).await
    };
    consumers
        .call(BENEFICIARY_STATUS, beneficiary_status(cast), status, |answer| {
            let found = answer.beneficiary.clone().unwrap_or_default();
            let benefit = found.benefits.first().cloned().unwrap_or_default();
            let line = format!(
                "{}: {} đồng a month since {}, decision {}",
                found.full_name,
                benefit.monthly_amount_vnd,
                benefit.start_date,
                benefit.decision_number
            );
            must(found.personal_number == cast.beneficiary.personal_number, line)
        })
        .await?;
    Ok(())
}

async fn account(
    consumers: &mut Consumers<'_>,
    call: Call,
    personal_number: String,
    expected: bool,
) -> Result<()> {
    let line = |verified| match verified {
        true => format!("{personal_number} can be paid through an account"),
        false => format!("{personal_number} has no verified account"),
    };
    let message = CheckVerifiedAccountRequest { personal_number: personal_number.clone() };
    let check = async |channel, request| {
        SocialSecurityServiceClient::new(channel).check_verified_account(request).await
    };
    consumers
        .call(call, message, check, |answer| {
            must(answer.verified == expected, line(answer.verified))
        })
        .await?;
    Ok(())
}

async fn contributions(consumers: &mut Consumers<'_>, cast: &Cast) -> Result<()> {
    let message = GetContributionHistoryRequest {
        personal_number: cast.insured.personal_number.clone(),
        full_name: cast.insured.full_name.clone(),
        birth_date: cast.insured.birth_date.clone(),
        ..GetContributionHistoryRequest::default()
    };
    let history = async |channel, request| {
        InsuranceServiceClient::new(channel).get_contribution_history(request).await
    };
    consumers
        .call(CONTRIBUTIONS, message, history, |answer| {
            let last = answer.periods.last().cloned().unwrap_or_default();
            let line = format!(
                "{}: {} months in {} periods, last with {}",
                cast.insured.full_name,
                answer.months,
                answer.periods.len(),
                last.employer_name
            );
            must(answer.personal_number == cast.insured.personal_number, line)
        })
        .await?;
    Ok(())
}
