//! The node of the national social-security database.

use tonic::{Request, Response, Status};

use crate::database::Database;
use crate::input::{self, PersonName};
use crate::proto::socialsecurity::v1 as wire;
use wire::social_security_service_server::{SocialSecurityService, SocialSecurityServiceServer};

pub(crate) mod store;
mod submit;

pub(crate) fn service(database: Database) -> SocialSecurityServiceServer<SocialSecurity> {
    SocialSecurityServiceServer::new(SocialSecurity { database })
}

pub(crate) struct SocialSecurity {
    database: Database,
}

#[tonic::async_trait]
impl SocialSecurityService for SocialSecurity {
    async fn get_beneficiary_status(
        &self,
        request: Request<wire::GetBeneficiaryStatusRequest>,
    ) -> Result<Response<wire::GetBeneficiaryStatusResponse>, Status> {
        let request = request.into_inner();
        let number = input::personal_number("personal_number", &request.personal_number)?;
        let name = PersonName::parse("full_name", &request.full_name)?;
        let born = input::date("birth_date", &request.birth_date)?.to_string();
        let found = self.database.read(move |db| store::find(db, number)).await?;
        let found =
            found.filter(|found| name.matches(&found.full_name) && found.birth_date == born);
        match found {
            Some(found) => {
                Ok(Response::new(wire::GetBeneficiaryStatusResponse { beneficiary: Some(found) }))
            }
            None => Err(Status::not_found("no beneficiary has this number, name and birth date")),
        }
    }

    async fn check_verified_account(
        &self,
        request: Request<wire::CheckVerifiedAccountRequest>,
    ) -> Result<Response<wire::CheckVerifiedAccountResponse>, Status> {
        let request = request.into_inner();
        let number = input::personal_number("personal_number", &request.personal_number)?;
        let query = move |db: &_| store::has_verified_account(db, number);
        let verified = self.database.read(query).await?;
        Ok(Response::new(wire::CheckVerifiedAccountResponse { verified }))
    }

    async fn submit_beneficiary(
        &self,
        request: Request<wire::SubmitBeneficiaryRequest>,
    ) -> Result<Response<wire::SubmitBeneficiaryResponse>, Status> {
        let submission = submit::Submission::parse(request.into_inner())?;
        let outcome = self.database.write(move |db| submission.carry_out(db)).await?;
        let mut answer = outcome.answer?;
        answer.repeated_transaction = outcome.repeated;
        Ok(Response::new(answer))
    }
}
