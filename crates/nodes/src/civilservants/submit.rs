//! Carrying out what suppliers submit.

use rusqlite::Transaction;
use tonic::{Code, Status};

use super::store::{self, NewChange, Standing};
use crate::database::StoreError;
use crate::input::{self, PersonName};
use crate::number::PersonalNumber;
use crate::proto::civilservants::v1 as wire;
use crate::transactions::{Outcome, Refused, Ticket};
use wire::Operation;

/// A well-formed change that has not been carried out.
pub(super) struct Submission {
    ticket: Ticket,
    number: PersonalNumber,
    operation: Operation,
    /// `None` exactly for a deletion.
    profile: Option<wire::CivilServant>,
    base_version: u64,
    effective_date: String,
}

impl Submission {
    pub(super) fn parse(request: wire::SubmitChangeRequest) -> Result<Self, Status> {
        let id = input::transaction_id("transaction_id", &request.transaction_id)?;
        input::unit_code("supplier_unit", &request.supplier_unit)?;
        let number = input::personal_number("personal_number", &request.personal_number)?;
        input::code("decision_number", &request.decision_number)?;
        let effective_date = input::date("effective_date", &request.effective_date)?.to_string();
        let operation = request.operation();
        match (operation, &request.profile) {
            (Operation::Unspecified, _) => {
                return Err(input::invalid("operation", "ADD, EDIT or DEL"));
            }
            (Operation::Del, None) => {}
            (Operation::Del, Some(_)) => return Err(input::invalid("profile", "absent for DEL")),
            (_, None) => return Err(input::invalid("profile", "present for ADD and EDIT")),
            (_, Some(profile)) => check_profile(profile, number)?,
        }
        if operation == Operation::Add && request.base_version != 0 {
            return Err(input::invalid("base_version", "0 for ADD"));
        }
        Ok(Self {
            ticket: Ticket::new(id, &request),
            number,
            operation,
            profile: request.profile,
            base_version: request.base_version,
            effective_date,
        })
    }

    pub(super) fn carry_out(
        &self,
        db: &Transaction<'_>,
    ) -> Result<Outcome<wire::SubmitChangeResponse>, StoreError> {
        self.ticket.once(db, |db| {
            let standing = store::find(db, self.number)?;
            if let Err(refused) = self.check(standing.as_ref()) {
                return Ok(Err(refused));
            }
            let unit = match (&self.profile, &standing) {
                (Some(profile), _) => profile.unit_code.as_str(),
                (None, Some(standing)) => standing.unit.as_str(),
                (None, None) => "",
            };
            let version = standing.as_ref().map_or(0, |standing| standing.version) + 1;
            let change = NewChange {
                number: self.number,
                operation: self.operation,
                version,
                unit,
                effective_date: &self.effective_date,
                record: self.profile.as_ref(),
            };
            let sequence = store::write(db, &change)?;
            Ok(Ok(wire::SubmitChangeResponse { sequence, version, repeated_transaction: false }))
        })
    }

    fn check(&self, standing: Option<&Standing>) -> Result<(), Refused> {
        let live = standing.filter(|standing| standing.record.is_some());
        match (self.operation, live) {
            (Operation::Add, None) => Ok(()),
            (Operation::Add, Some(_)) => {
                Err(Refused::new(Code::FailedPrecondition, "the record exists; send EDIT"))
            }
            (_, None) => Err(Refused::new(Code::NotFound, "there is no record under this number")),
            (_, Some(live)) if ![0, live.version].contains(&self.base_version) => {
                let message = format!(
                    "the record has version {}, not {}; read it again",
                    live.version, self.base_version
                );
                Err(Refused::new(Code::FailedPrecondition, &message))
            }
            _ => Ok(()),
        }
    }
}

fn check_profile(profile: &wire::CivilServant, number: PersonalNumber) -> Result<(), Status> {
    if profile.personal_number != number.to_string() {
        return Err(input::invalid("profile.personal_number", "the same as `personal_number`"));
    }
    PersonName::parse("profile.full_name", &profile.full_name)?;
    input::date("profile.birth_date", &profile.birth_date)?;
    input::unit_code("profile.unit_code", &profile.unit_code)?;
    if profile.service_status() == wire::ServiceStatus::Unspecified {
        return Err(input::invalid("profile.service_status", "given"));
    }
    Ok(())
}
