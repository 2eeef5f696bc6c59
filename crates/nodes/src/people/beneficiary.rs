//! Records of beneficiaries: the old, persons with disabilities, persons of merit, orphans.

use super::random::{Purpose, Random};
use super::{Household, Person, REFERENCE_DATE, dates};
use crate::proto::socialsecurity::v1::{Beneficiary, Benefit, Guardian, PaymentMethod};

/// The standard amount that coefficients multiply.
const STANDARD_VND: u64 = 500_000;

/// A group of beneficiaries.
struct Group {
    code: &'static str,
    coefficient_tenths: u32,
}

const OLD_AGE: Group = Group { code: "05.1", coefficient_tenths: 10 };
const DISABILITY: Group = Group { code: "06.2", coefficient_tenths: 20 };
const MERIT: Group = Group { code: "NCC.3", coefficient_tenths: 32 };
const ORPHAN: Group = Group { code: "01.1", coefficient_tenths: 25 };

/// The record of a person who receives a benefit.
pub(crate) fn beneficiary(
    seed: u64,
    household: &Household,
    person: &Person,
) -> Option<Beneficiary> {
    let mut random = Random::new(seed, Purpose::Benefit, u64::from(person.index));
    if !person.is_alive() {
        return None;
    }
    let group = group(&mut random, person.age())?;
    let payment = random.pick_weighted(&[
        (PaymentMethod::Account, 70),
        (PaymentMethod::Cash, 28),
        (PaymentMethod::CareFacility, 2),
    ]);
    let payment = payment.copied().unwrap_or_default();
    let citizen = &person.citizen;
    Some(Beneficiary {
        personal_number: citizen.personal_number.clone(),
        full_name: citizen.full_name.clone(),
        birth_date: citizen.birth_date.clone(),
        benefits: vec![benefit(&mut random, group, household, person, payment)],
        guardian: guardian(household, person),
        verified_account: payment == PaymentMethod::Account && random.per_mille(900),
        version: 1,
    })
}

fn group(random: &mut Random, age: i32) -> Option<&'static Group> {
    let drawn = random.below(1000);
    match age {
        ..16 if drawn < 4 => Some(&ORPHAN),
        75.. if drawn < 400 => Some(&OLD_AGE),
        60.. if (400..450).contains(&drawn) => Some(&MERIT),
        _ if drawn >= 990 => Some(&DISABILITY),
        _ => None,
    }
}

fn benefit(
    random: &mut Random,
    group: &Group,
    household: &Household,
    person: &Person,
    payment: PaymentMethod,
) -> Benefit {
    let earliest = dates::years_before(REFERENCE_DATE, 6).max(person.born);
    let decided = dates::between(random, earliest, dates::days_before(REFERENCE_DATE, 20));
    Benefit {
        group_code: group.code.into(),
        decision_number: format!("{}/QĐ-UBND", 100_000 + person.index),
        decision_date: decided.to_string(),
        deciding_commune: household.home.place.commune_code.clone(),
        coefficient_tenths: group.coefficient_tenths,
        monthly_amount_vnd: u64::from(group.coefficient_tenths) * STANDARD_VND / 10,
        start_date: dates::days_after(decided, 15).first_of_month().to_string(),
        stop_date: String::new(),
        payment_method: payment.into(),
    }
}

/// The head of the household stands in for a child.
fn guardian(household: &Household, person: &Person) -> Option<Guardian> {
    let head = household.members.first()?;
    (person.age() < 16).then(|| Guardian {
        personal_number: head.citizen.personal_number.clone(),
        full_name: head.citizen.full_name.clone(),
    })
}
