//! The node of the national population database.

use std::collections::HashSet;

use tonic::{Request, Response, Status};

use crate::database::Database;
use crate::input::{self, PersonName};
use crate::number::PersonalNumber;
use crate::proto::population::v1 as wire;
use wire::population_service_server::{PopulationService, PopulationServiceServer};

mod changes;
pub(crate) mod store;

const MEMBERS_MAX: usize = 30;

pub(crate) fn service(database: Database) -> PopulationServiceServer<Population> {
    PopulationServiceServer::new(Population { database })
}

pub(crate) struct Population {
    database: Database,
}

#[tonic::async_trait]
impl PopulationService for Population {
    async fn verify_person(
        &self,
        request: Request<wire::VerifyPersonRequest>,
    ) -> Result<Response<wire::VerifyPersonResponse>, Status> {
        let request = request.into_inner();
        check_context(request.context.as_ref())?;
        let claim =
            Claim::parse("", &request.personal_number, &request.full_name, &request.birth_date)?;
        let number = claim.number;
        let known = self.database.read(move |db| store::known(db, number)).await?;
        let differing = match &known {
            Some(known) => claim.differing(known),
            None => vec![wire::ClaimField::PersonalNumber],
        };
        let matched = known.filter(|_| differing.is_empty());
        Ok(Response::new(wire::VerifyPersonResponse {
            matched: matched.is_some(),
            differing_fields: differing.into_iter().map(i32::from).collect(),
            life_status: matched.map_or(0, |known| known.life_status),
        }))
    }

    async fn verify_household(
        &self,
        request: Request<wire::VerifyHouseholdRequest>,
    ) -> Result<Response<wire::VerifyHouseholdResponse>, Status> {
        let request = request.into_inner();
        check_context(request.context.as_ref())?;
        let head = Claim::parse(
            "head_",
            &request.head_number,
            &request.head_full_name,
            &request.head_birth_date,
        )?;
        let claims = member_claims(&request.members, head.number)?;
        let number = head.number;
        let found = self
            .database
            .read(move |db| {
                let Some(known) = store::known(db, number)? else { return Ok(None) };
                let members = store::members(db, known.household)?;
                Ok(Some((known, members)))
            })
            .await?;
        let is_head = |known: &store::Known| {
            known.relationship == i32::from(wire::Relationship::Head)
                && head.differing(known).is_empty()
        };
        let Some((_, mut members)) = found.filter(|(known, _)| is_head(known)) else {
            return Err(Status::not_found(
                "no head of a household has this number, name and birth date",
            ));
        };
        members.retain(|member| {
            member.number != number && member.life_status == i32::from(wire::LifeStatus::Alive)
        });
        Ok(Response::new(compare(&claims, &members)))
    }

    async fn look_up_person(
        &self,
        request: Request<wire::LookUpPersonRequest>,
    ) -> Result<Response<wire::LookUpPersonResponse>, Status> {
        let request = request.into_inner();
        check_context(request.context.as_ref())?;
        let claim =
            Claim::parse("", &request.personal_number, &request.full_name, &request.birth_date)?;
        let number = claim.number;
        let citizen = self.database.read(move |db| store::citizen(db, number)).await?;
        let citizen = citizen.filter(|citizen| {
            claim.name.matches(&citizen.full_name) && claim.born == citizen.birth_date
        });
        match citizen {
            Some(citizen) => {
                Ok(Response::new(wire::LookUpPersonResponse { citizen: Some(citizen) }))
            }
            None => Err(Status::not_found("no person has this number, name and birth date")),
        }
    }

    async fn list_changes(
        &self,
        request: Request<wire::ListChangesRequest>,
    ) -> Result<Response<wire::ListChangesResponse>, Status> {
        let request = request.into_inner();
        check_context(request.context.as_ref())?;
        let query = changes::Query::parse(&request)?;
        let page = self.database.read(move |db| query.run(db)).await?;
        Ok(Response::new(page))
    }
}

/// What a caller says about a person.
struct Claim {
    number: PersonalNumber,
    name: PersonName,
    born: String,
}

impl Claim {
    /// The fields are `personal_number`, or `head_number`, and so on.
    fn parse(prefix: &str, number: &str, name: &str, born: &str) -> Result<Self, Status> {
        let number_field = if prefix.is_empty() { "personal_number" } else { "head_number" };
        Ok(Self {
            number: input::personal_number(number_field, number)?,
            name: PersonName::parse(&format!("{prefix}full_name"), name)?,
            born: input::date(&format!("{prefix}birth_date"), born)?.to_string(),
        })
    }

    fn differing(&self, known: &store::Known) -> Vec<wire::ClaimField> {
        let mut differing = vec![];
        if !self.name.matches(&known.full_name) {
            differing.push(wire::ClaimField::FullName);
        }
        if self.born != known.born {
            differing.push(wire::ClaimField::BirthDate);
        }
        differing
    }
}

struct MemberClaim {
    number: PersonalNumber,
    name: PersonName,
    relationship: i32,
}

fn member_claims(
    members: &[wire::MemberClaim],
    head: PersonalNumber,
) -> Result<Vec<MemberClaim>, Status> {
    if members.len() > MEMBERS_MAX {
        return Err(input::invalid("members", "at most 30"));
    }
    let mut seen = HashSet::from([head]);
    let mut claims = Vec::with_capacity(members.len());
    for (at, member) in members.iter().enumerate() {
        let field = |name: &str| format!("members[{at}].{name}");
        let number = input::personal_number(&field("personal_number"), &member.personal_number)?;
        if !seen.insert(number) {
            return Err(input::invalid(&field("personal_number"), "listed once"));
        }
        if matches!(
            member.relationship(),
            wire::Relationship::Unspecified | wire::Relationship::Head
        ) {
            return Err(input::invalid(&field("relationship"), "a relationship to the head"));
        }
        let name = PersonName::parse(&field("full_name"), &member.full_name)?;
        claims.push(MemberClaim { number, name, relationship: member.relationship });
    }
    Ok(claims)
}

fn compare(claims: &[MemberClaim], members: &[store::Known]) -> wire::VerifyHouseholdResponse {
    let mut listed = 0;
    let mut results = Vec::with_capacity(claims.len());
    for claim in claims {
        let member = members.iter().find(|member| member.number == claim.number);
        listed += usize::from(member.is_some());
        let outcome = match member {
            None => wire::MemberOutcome::NotAMember,
            Some(member)
                if claim.name.matches(&member.full_name)
                    && claim.relationship == member.relationship =>
            {
                wire::MemberOutcome::Matched
            }
            Some(_) => wire::MemberOutcome::Differs,
        };
        results.push(wire::MemberResult {
            personal_number: claim.number.to_string(),
            outcome: outcome.into(),
        });
    }
    let members_not_listed = members.len().saturating_sub(listed) as u32;
    let matched = |result: &wire::MemberResult| result.outcome() == wire::MemberOutcome::Matched;
    wire::VerifyHouseholdResponse {
        matched: members_not_listed == 0 && results.iter().all(matched),
        results,
        members_not_listed,
    }
}

/// The law wants to know for which case, and by whom, data is asked; so every part is required.
fn check_context(context: Option<&wire::CaseContext>) -> Result<(), Status> {
    let Some(context) = context else {
        return Err(input::invalid("context", "present"));
    };
    input::code("context.procedure_code", &context.procedure_code)?;
    input::code("context.dossier_code", &context.dossier_code)?;
    input::personal_number("context.officer_number", &context.officer_number)?;
    input::unit_code("context.officer_unit", &context.officer_unit)?;
    Ok(())
}
