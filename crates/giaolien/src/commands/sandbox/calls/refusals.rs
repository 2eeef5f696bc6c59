//! Calls that the gateway must refuse, each with the reason that explains it.

use anyhow::Result;
use model::Reason;
use nodes::proto::insurance::v1::GetContributionHistoryRequest;
use nodes::proto::insurance::v1::insurance_service_client::InsuranceServiceClient;
use nodes::proto::population::v1::population_service_client::PopulationServiceClient;
use nodes::proto::socialsecurity::v1::social_security_service_client::SocialSecurityServiceClient;

use super::super::cast::Cast;
use super::super::consumers::{Call, Consumers, Expected};
use super::super::pki::UNREGISTERED;
use super::benefits::{BENEFICIARY_STATUS, CONTRIBUTIONS, beneficiary_status};
use super::residence::{LOOK_UP, VERIFY_PERSON, look_up_person, verify_person};

const WITHOUT_AGREEMENT: Call = Call {
    name: "no agreement with the provider",
    system: "mot-cua-yen-hoa",
    purpose: "xac-minh-cu-tru",
    expected: Expected::Refusal(Reason::AgreementMissing),
    ..CONTRIBUTIONS
};
const SUSPENDED: Call = Call {
    name: "a suspended agreement",
    system: "mot-cua-dong-my",
    expected: Expected::Refusal(Reason::AgreementSuspended),
    ..BENEFICIARY_STATUS
};
const OTHER_PURPOSE: Call = Call {
    name: "a purpose that is not covered",
    purpose: "thong-ke",
    dossier: None,
    expected: Expected::Refusal(Reason::PurposeNotCovered),
    ..LOOK_UP
};
const WITHOUT_DOSSIER: Call = Call {
    name: "forbidden by a policy",
    dossier: None,
    expected: Expected::Refusal(Reason::PolicyForbids),
    ..LOOK_UP
};
const STRANGER: Call = Call {
    name: "a certificate that is not registered",
    system: UNREGISTERED,
    expected: Expected::Refusal(Reason::CertificateUnregistered),
    ..VERIFY_PERSON
};

/// All of them. What an answer would say does not matter: none may come.
pub(super) async fn all(consumers: &mut Consumers<'_>, cast: &Cast) -> Result<()> {
    let message = GetContributionHistoryRequest {
        personal_number: cast.citizen.personal_number.clone(),
        full_name: cast.citizen.full_name.clone(),
        birth_date: cast.citizen.birth_date.clone(),
        ..GetContributionHistoryRequest::default()
    };
    let contributions = async |channel, request| {
        InsuranceServiceClient::new(channel).get_contribution_history(request).await
    };
    consumers.call(WITHOUT_AGREEMENT, message, contributions, answered).await?;
    let status = async |channel, request| {
        SocialSecurityServiceClient::new(channel).get_beneficiary_status(request).await
    };
    consumers.call(SUSPENDED, beneficiary_status(cast), status, answered).await?;
    let look_up = async |channel, request| {
        PopulationServiceClient::new(channel).look_up_person(request).await
    };
    consumers.call(OTHER_PURPOSE, look_up_person(cast), look_up, answered).await?;
    consumers.call(WITHOUT_DOSSIER, look_up_person(cast), look_up, answered).await?;
    let verify =
        async |channel, request| PopulationServiceClient::new(channel).verify_person(request).await;
    consumers.call(STRANGER, verify_person(cast), verify, answered).await?;
    Ok(())
}

fn answered<A>(_: &A) -> Result<String, String> {
    Err("data that should have been refused".to_owned())
}
