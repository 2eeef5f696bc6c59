//! A commune handles a case of residence: it verifies a citizen and a household, and looks a
//! person up.

use anyhow::Result;
use nodes::people::KnownPerson;
use nodes::proto::population::v1::population_service_client::PopulationServiceClient;
use nodes::proto::population::v1::{
    CaseContext, LookUpPersonRequest, LookUpPersonResponse, MemberClaim, VerifyHouseholdRequest,
    VerifyPersonRequest,
};
use tonic::Code;

use super::super::cast::Cast;
use super::super::consumers::{Call, Consumers, Expected};
use super::{RESIDENCE_DOSSIER, must};

/// Certificate of residence.
const PROCEDURE: &str = "1.004222";
const COMMUNE: &str = "H26.C50101";
/// A birth date that nobody in the country has.
const WRONG_BIRTH_DATE: &str = "1890-01-01";

pub(crate) const VERIFY_PERSON: Call = Call {
    name: "verify a citizen",
    system: "mot-cua-phuc-xa",
    node: "population",
    method: "VerifyPerson",
    purpose: "xac-minh-cu-tru",
    dossier: Some(RESIDENCE_DOSSIER),
    expected: Expected::Answer,
};
const VERIFY_HOUSEHOLD: Call =
    Call { name: "verify a household", method: "VerifyHousehold", ..VERIFY_PERSON };
pub(super) const LOOK_UP: Call =
    Call { name: "look a person up", method: "LookUpPerson", ..VERIFY_PERSON };
const LOOK_UP_WRONG: Call = Call {
    name: "look up with a wrong birth date",
    expected: Expected::Status(Code::NotFound),
    ..LOOK_UP
};

/// The case as the population database wants it in every message.
fn context(cast: &Cast) -> Option<CaseContext> {
    Some(CaseContext {
        procedure_code: PROCEDURE.to_owned(),
        dossier_code: RESIDENCE_DOSSIER.to_owned(),
        officer_number: cast.officer.personal_number.clone(),
        officer_unit: COMMUNE.to_owned(),
    })
}

/// The message of the first call.
pub(crate) fn verify_person(cast: &Cast) -> VerifyPersonRequest {
    VerifyPersonRequest {
        context: context(cast),
        personal_number: cast.citizen.personal_number.clone(),
        full_name: cast.citizen.full_name.clone(),
        birth_date: cast.citizen.birth_date.clone(),
    }
}

pub(super) fn look_up_person(cast: &Cast) -> LookUpPersonRequest {
    LookUpPersonRequest {
        context: context(cast),
        personal_number: cast.citizen.personal_number.clone(),
        full_name: cast.citizen.full_name.clone(),
        birth_date: cast.citizen.birth_date.clone(),
    }
}

fn verify_household(cast: &Cast) -> Option<VerifyHouseholdRequest> {
    let (head, others) = cast.household.split_first()?;
    let claim = |person: &KnownPerson| MemberClaim {
        personal_number: person.personal_number.clone(),
        full_name: person.full_name.clone(),
        relationship: person.relationship.into(),
    };
    Some(VerifyHouseholdRequest {
        context: context(cast),
        head_number: head.personal_number.clone(),
        head_full_name: head.full_name.clone(),
        head_birth_date: head.birth_date.clone(),
        members: others.iter().map(claim).collect(),
    })
}

/// The citizen is verified.
pub(super) async fn verify(consumers: &mut Consumers<'_>, cast: &Cast) -> Result<()> {
    let citizen = &cast.citizen;
    let verify =
        async |channel, request| PopulationServiceClient::new(channel).verify_person(request).await;
    consumers
        .call(VERIFY_PERSON, verify_person(cast), verify, |answer| {
            let life = format!("{:?}", answer.life_status()).to_lowercase();
            let matched = if answer.matched { "matches" } else { "does not match" };
            must(answer.matched, format!("{} {matched}, {life}", shown(citizen)))
        })
        .await?;
    Ok(())
}

/// The household is verified, the citizen looked up, once with the birth date of somebody else.
pub(super) async fn look_up(consumers: &mut Consumers<'_>, cast: &Cast) -> Result<()> {
    if let Some(message) = verify_household(cast) {
        let verify = async |channel, request| {
            PopulationServiceClient::new(channel).verify_household(request).await
        };
        consumers
            .call(VERIFY_HOUSEHOLD, message, verify, |answer| {
                let (listed, missing) = (answer.results.len() + 1, answer.members_not_listed);
                let line = format!("{listed} persons are the household, {missing} more not listed");
                must(answer.matched, line)
            })
            .await?;
    }
    let message = look_up_person(cast);
    let wrong = LookUpPersonRequest { birth_date: WRONG_BIRTH_DATE.to_owned(), ..message.clone() };
    let look_up = async |channel, request| {
        PopulationServiceClient::new(channel).look_up_person(request).await
    };
    consumers.call(LOOK_UP, message, look_up, |answer| found(answer, &cast.citizen)).await?;
    consumers.call(LOOK_UP_WRONG, wrong, look_up, |answer| found(answer, &cast.citizen)).await?;
    Ok(())
}

fn found(answer: &LookUpPersonResponse, asked: &KnownPerson) -> Result<String, String> {
    let citizen = answer.citizen.clone().unwrap_or_default();
    let home = citizen.permanent_residence.unwrap_or_default();
    let line = format!(
        "{}, of {}, {}, {}",
        shown(asked),
        home.address,
        home.commune_name,
        home.province_name
    );
    must(citizen.personal_number == asked.personal_number, line)
}

fn shown(person: &KnownPerson) -> String {
    format!("{}, {}, born {}", person.full_name, person.personal_number, person.birth_date)
}
