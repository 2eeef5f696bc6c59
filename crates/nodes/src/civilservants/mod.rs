//! The node of the national database of civil servants.

use tokio::sync::watch;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::database::Database;
use crate::input::{self, PersonName};
use crate::proto::civilservants::v1 as wire;
use wire::civil_servant_service_server::{CivilServantService, CivilServantServiceServer};

mod feed;
pub(crate) mod store;
mod submit;

pub(crate) fn service(
    database: Database,
    closing: watch::Receiver<bool>,
) -> CivilServantServiceServer<CivilServants> {
    CivilServantServiceServer::new(CivilServants { database, closing })
}

pub(crate) struct CivilServants {
    database: Database,
    /// True when the node is about to stop.
    closing: watch::Receiver<bool>,
}

#[tonic::async_trait]
impl CivilServantService for CivilServants {
    async fn verify_civil_servant(
        &self,
        request: Request<wire::VerifyCivilServantRequest>,
    ) -> Result<Response<wire::VerifyCivilServantResponse>, Status> {
        let request = request.into_inner();
        let number = input::personal_number("personal_number", &request.personal_number)?;
        let name = PersonName::parse("full_name", &request.full_name)?;
        let unit = match request.unit_code.as_str() {
            "" => None,
            code => Some(input::unit_code("unit_code", code)?),
        };
        let standing = self.database.read(move |db| store::find(db, number)).await?;
        let record = standing.and_then(|standing| standing.record);
        let mut differing = vec![];
        match &record {
            None => differing.push(wire::ClaimField::PersonalNumber),
            Some(record) => {
                if !name.matches(&record.full_name) {
                    differing.push(wire::ClaimField::FullName);
                }
                if unit.is_some_and(|unit| !input::is_within(&record.unit_code, &unit)) {
                    differing.push(wire::ClaimField::UnitCode);
                }
            }
        }
        let matched = record.filter(|_| differing.is_empty());
        Ok(Response::new(wire::VerifyCivilServantResponse {
            matched: matched.is_some(),
            differing_fields: differing.into_iter().map(i32::from).collect(),
            service_status: matched.map_or(0, |record| record.service_status),
        }))
    }

    async fn get_profile(
        &self,
        request: Request<wire::GetProfileRequest>,
    ) -> Result<Response<wire::GetProfileResponse>, Status> {
        let request = request.into_inner();
        let number = input::personal_number("personal_number", &request.personal_number)?;
        let name = PersonName::parse("full_name", &request.full_name)?;
        let groups = parse_groups(&request.groups)?;
        let standing = self.database.read(move |db| store::find(db, number)).await?;
        let found = standing.and_then(|standing| Some((standing.record?, standing.version)));
        let found = found.filter(|(record, _)| name.matches(&record.full_name));
        let Some((mut profile, version)) = found else {
            return Err(Status::not_found("no civil servant has this number and name"));
        };
        if !groups.is_empty() {
            keep_groups(&mut profile, &groups);
        }
        Ok(Response::new(wire::GetProfileResponse { profile: Some(profile), version }))
    }

    async fn submit_change(
        &self,
        request: Request<wire::SubmitChangeRequest>,
    ) -> Result<Response<wire::SubmitChangeResponse>, Status> {
        let submission = submit::Submission::parse(request.into_inner())?;
        let outcome = self.database.write(move |db| submission.carry_out(db)).await?;
        let mut answer = outcome.answer?;
        answer.repeated_transaction = outcome.repeated;
        Ok(Response::new(answer))
    }

    type WatchChangesStream = ReceiverStream<Result<wire::CivilServantChange, Status>>;

    async fn watch_changes(
        &self,
        request: Request<wire::WatchChangesRequest>,
    ) -> Result<Response<Self::WatchChangesStream>, Status> {
        let request = request.into_inner();
        if !request.unit_code.is_empty() {
            input::unit_code("unit_code", &request.unit_code)?;
        }
        let latest = self.database.read(store::latest).await?;
        if request.after_sequence > latest {
            return Err(input::invalid("after_sequence", "at most the latest sequence number"));
        }
        let feed = feed::Feed {
            database: self.database.clone(),
            commits: self.database.commits(),
            closing: self.closing.clone(),
            request,
        };
        Ok(Response::new(feed.start()))
    }
}

fn parse_groups(groups: &[i32]) -> Result<Vec<wire::ProfileGroup>, Status> {
    let parse = |(at, group): (usize, &i32)| match wire::ProfileGroup::try_from(*group) {
        Ok(wire::ProfileGroup::Unspecified) | Err(_) => {
            Err(input::invalid(&format!("groups[{at}]"), "a group of the profile"))
        }
        Ok(group) => Ok(group),
    };
    groups.iter().enumerate().map(parse).collect()
}

fn keep_groups(profile: &mut wire::CivilServant, groups: &[wire::ProfileGroup]) {
    fn keep<T>(part: &mut Option<T>, wanted: bool) {
        if !wanted {
            *part = None;
        }
    }
    use wire::ProfileGroup::{
        Conduct, Education, Family, Military, Political, Position, Recruitment, Salary,
    };
    keep(&mut profile.family, groups.contains(&Family));
    keep(&mut profile.recruitment, groups.contains(&Recruitment));
    keep(&mut profile.education, groups.contains(&Education));
    keep(&mut profile.position, groups.contains(&Position));
    keep(&mut profile.salary, groups.contains(&Salary));
    keep(&mut profile.conduct, groups.contains(&Conduct));
    keep(&mut profile.political, groups.contains(&Political));
    keep(&mut profile.military, groups.contains(&Military));
}
