//! Carrying out what suppliers submit.

use rusqlite::Transaction;
use tonic::{Code, Status};

use super::store;
use crate::database::StoreError;
use crate::input::{self, PersonName};
use crate::number::PersonalNumber;
use crate::proto::socialsecurity::v1 as wire;
use crate::transactions::{Outcome, Refused, Ticket};

const COMMUNE_DIGITS: usize = 5;
/// More decisions about one person than this are a mistake.
const BENEFITS_MAX: usize = 50;

/// A well-formed benefit that has not been registered.
pub(super) struct Submission {
    ticket: Ticket,
    number: PersonalNumber,
    name: PersonName,
    benefit: wire::Benefit,
    request: wire::SubmitBeneficiaryRequest,
}

impl Submission {
    pub(super) fn parse(request: wire::SubmitBeneficiaryRequest) -> Result<Self, Status> {
        let id = input::transaction_id("transaction_id", &request.transaction_id)?;
        input::unit_code("supplier_unit", &request.supplier_unit)?;
        let number = input::personal_number("personal_number", &request.personal_number)?;
        let name = PersonName::parse("full_name", &request.full_name)?;
        input::date("birth_date", &request.birth_date)?;
        let Some(benefit) = request.benefit.clone() else {
            return Err(input::invalid("benefit", "present"));
        };
        check_benefit(&benefit)?;
        if let Some(guardian) = &request.guardian {
            input::personal_number("guardian.personal_number", &guardian.personal_number)?;
            PersonName::parse("guardian.full_name", &guardian.full_name)?;
        }
        Ok(Self { ticket: Ticket::new(id, &request), number, name, benefit, request })
    }

    pub(super) fn carry_out(
        &self,
        db: &Transaction<'_>,
    ) -> Result<Outcome<wire::SubmitBeneficiaryResponse>, StoreError> {
        self.ticket.once(db, |db| {
            let standing = store::find(db, self.number)?;
            let mut record = match standing {
                Some(standing) => standing,
                None => self.new_record(),
            };
            if let Err(refused) = self.check(&record) {
                return Ok(Err(refused));
            }
            let decision = &self.benefit.decision_number;
            record.benefits.retain(|benefit| benefit.decision_number != *decision);
            record.benefits.push(self.benefit.clone());
            if let Some(guardian) = &self.request.guardian {
                record.guardian = Some(guardian.clone());
            }
            record.version += 1;
            store::write(db, self.number, &record)?;
            let version = record.version;
            Ok(Ok(wire::SubmitBeneficiaryResponse { version, repeated_transaction: false }))
        })
    }

    /// An account is verified through VNeID and never by a supplier, so a new record has none.
    fn new_record(&self) -> wire::Beneficiary {
        wire::Beneficiary {
            personal_number: self.request.personal_number.clone(),
            full_name: self.request.full_name.clone(),
            birth_date: self.request.birth_date.clone(),
            ..wire::Beneficiary::default()
        }
    }

    fn check(&self, record: &wire::Beneficiary) -> Result<(), Refused> {
        let same =
            self.name.matches(&record.full_name) && record.birth_date == self.request.birth_date;
        if !same {
            let message = "the name or birth date contradicts the record that stands";
            return Err(Refused::new(Code::FailedPrecondition, message));
        }
        if record.benefits.len() >= BENEFITS_MAX {
            let message = "the record has its full number of benefits";
            return Err(Refused::new(Code::FailedPrecondition, message));
        }
        Ok(())
    }
}

fn check_benefit(benefit: &wire::Benefit) -> Result<(), Status> {
    input::code("benefit.group_code", &benefit.group_code)?;
    input::code("benefit.decision_number", &benefit.decision_number)?;
    input::date("benefit.decision_date", &benefit.decision_date)?;
    input::digits("benefit.deciding_commune", &benefit.deciding_commune, COMMUNE_DIGITS)?;
    let start = input::date("benefit.start_date", &benefit.start_date)?;
    if !benefit.stop_date.is_empty()
        && input::date("benefit.stop_date", &benefit.stop_date)? < start
    {
        return Err(input::invalid("benefit.stop_date", "no earlier than `benefit.start_date`"));
    }
    if benefit.payment_method() == wire::PaymentMethod::Unspecified {
        return Err(input::invalid("benefit.payment_method", "given"));
    }
    Ok(())
}
