//! The node of the national insurance database.

use tonic::{Request, Response, Status};

use crate::database::Database;
use crate::input::{self, PersonName};
use crate::proto::insurance::v1 as wire;
use wire::insurance_service_server::{InsuranceService, InsuranceServiceServer};

pub(crate) mod store;

pub(crate) fn service(database: Database) -> InsuranceServiceServer<Insurance> {
    InsuranceServiceServer::new(Insurance { database })
}

pub(crate) struct Insurance {
    database: Database,
}

#[tonic::async_trait]
impl InsuranceService for Insurance {
    async fn get_contribution_history(
        &self,
        request: Request<wire::GetContributionHistoryRequest>,
    ) -> Result<Response<wire::GetContributionHistoryResponse>, Status> {
        let request = request.into_inner();
        let number = input::personal_number("personal_number", &request.personal_number)?;
        let name = PersonName::parse("full_name", &request.full_name)?;
        let born = input::date("birth_date", &request.birth_date)?;
        let from = input::optional_month("from_month", &request.from_month)?;
        let to = input::optional_month("to_month", &request.to_month)?;
        if let (Some(from), Some(to)) = (&from, &to)
            && from > to
        {
            return Err(input::invalid("to_month", "no earlier than `from_month`"));
        }

        let found = self.database.read(move |db| store::find(db, number)).await?;
        let found =
            found.filter(|found| name.matches(&found.full_name) && found.born == born.to_string());
        let Some(found) = found else {
            return Err(Status::not_found(
                "no insured person has this number, name and birth date",
            ));
        };
        let mut history = found.history;
        history.periods.retain(|period| touches(period, from.as_deref(), to.as_deref()));
        history.months = history.periods.iter().map(months).sum();
        Ok(Response::new(history))
    }
}

fn touches(period: &wire::ContributionPeriod, from: Option<&str>, to: Option<&str>) -> bool {
    let ended = !period.to_month.is_empty() && from.is_some_and(|from| *period.to_month < *from);
    let not_begun = to.is_some_and(|to| *period.from_month > *to);
    !ended && !not_begun
}

/// Months of a period, both ends included; one that runs is counted to the reference date.
fn months(period: &wire::ContributionPeriod) -> u32 {
    let today = crate::people::REFERENCE_DATE;
    let count = |month: &str| -> Option<i32> {
        let (year, month) = month.split_once('-')?;
        Some(year.parse::<i32>().ok()? * 12 + month.parse::<i32>().ok()?)
    };
    let last = count(&period.to_month)
        .unwrap_or(i32::from(today.year()) * 12 + i32::from(today.month()) - 1);
    let first = count(&period.from_month).unwrap_or(last + 1);
    (last - first + 1).max(0).unsigned_abs()
}
