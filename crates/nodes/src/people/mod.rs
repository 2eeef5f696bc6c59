//! Synthetic people: every one a pure function of a seed and an index.
//!
//! Nothing here is about a real person. Names are composed from lists, and every personal number
//! begins with nine, which no real number does.

mod beneficiary;
mod change;
mod citizen;
mod civilservant;
mod dates;
mod household;
mod insured;
mod names;
mod places;
mod random;

use jiff::civil::Date;

pub(crate) use beneficiary::beneficiary;
pub(crate) use change::change;
pub(crate) use civilservant::civil_servant;
pub use dates::REFERENCE_DATE;
pub(crate) use household::{BLOCK_PEOPLE, Household};
pub(crate) use insured::insured;

use crate::number::PersonalNumber;
use crate::proto::population::v1::{Citizen, LifeStatus, Relationship, Relative};

/// The serials of personal numbers have six digits, so there cannot be more people than this.
pub const PEOPLE_MAX: u32 = 1_000_000;

/// The people of one synthetic country.
///
/// Making this value costs nothing; people are made when asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct People {
    seed: u64,
    count: u32,
}

/// What the caller of [`People::sample`] needs a person for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample {
    /// A living adult.
    Adult,
    /// A person who has died.
    Deceased,
    /// A person with a record in the database of civil servants.
    CivilServant,
    /// A person with an insurance record.
    Insured,
    /// A person who receives a benefit.
    Beneficiary,
    /// A beneficiary with a verified account.
    VerifiedAccount,
}

/// What one needs to know to ask for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownPerson {
    /// Twelve digits, the first a nine.
    pub personal_number: String,
    /// Surname, middle name and given name.
    pub full_name: String,
    /// `YYYY-MM-DD`.
    pub birth_date: String,
    /// Province of the permanent residence, two digits.
    pub province_code: String,
    /// Relationship to the head of the household.
    pub relationship: Relationship,
    /// Agency code of the unit, for civil servants.
    pub unit_code: Option<String>,
}

impl People {
    /// The people of a country of `count` people, at most [`PEOPLE_MAX`].
    pub(crate) fn new(seed: u64, count: u32) -> Self {
        Self { seed, count: count.min(PEOPLE_MAX) }
    }

    /// How many people there are.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// What everything is drawn from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The `nth` person, counted from 0, who fits; the same for the same seed.
    ///
    /// Looks through the country from its start, so small numbers are cheap. `None` when there
    /// are fewer such people.
    pub fn sample(&self, sample: Sample, nth: usize) -> Option<KnownPerson> {
        let mut fitting = self.households().flat_map(|household| {
            let fits =
                household.members.iter().filter(|person| self.fits(sample, &household, person));
            fits.map(|person| self.known(&household, person)).collect::<Vec<_>>()
        });
        fitting.nth(nth)
    }

    /// The living members of the `nth` household, counted from 0, that has at least three of
    /// them; the head comes first.
    pub fn household(&self, nth: usize) -> Option<Vec<KnownPerson>> {
        let living = self.households().map(|household| {
            let living = household.members.iter().filter(|person| person.is_alive());
            living.map(|person| self.known(&household, person)).collect::<Vec<_>>()
        });
        living.filter(|members| members.len() >= 3).nth(nth)
    }

    /// All households in the order of their members' indices.
    pub(crate) fn households(&self) -> impl Iterator<Item = Household> + use<> {
        let Self { seed, count } = *self;
        let blocks = count.div_ceil(BLOCK_PEOPLE);
        (0..blocks).flat_map(move |block| household::block(seed, count, block))
    }

    fn fits(&self, sample: Sample, household: &Household, person: &Person) -> bool {
        let benefit = || beneficiary(self.seed, household, person);
        match sample {
            Sample::Adult => person.is_alive() && person.age() >= 18,
            Sample::Deceased => person.citizen.life_status() == LifeStatus::Dead,
            Sample::CivilServant => civil_servant(self.seed, household, person).is_some(),
            Sample::Insured => insured(self.seed, household, person, None).is_some(),
            Sample::Beneficiary => benefit().is_some(),
            Sample::VerifiedAccount => benefit().is_some_and(|found| found.verified_account),
        }
    }

    fn known(&self, household: &Household, person: &Person) -> KnownPerson {
        let citizen = &person.citizen;
        let relationship = citizen.household.as_ref().map(|household| household.relationship());
        KnownPerson {
            personal_number: citizen.personal_number.clone(),
            full_name: citizen.full_name.clone(),
            birth_date: citizen.birth_date.clone(),
            province_code: household.home.province.code.into(),
            relationship: relationship.unwrap_or_default(),
            unit_code: civil_servant(self.seed, household, person).map(|found| found.unit_code),
        }
    }
}

/// One person: the record and the typed facts that the other records are drawn from.
pub(crate) struct Person {
    pub(crate) index: u32,
    /// Index of the head of the household.
    pub(crate) household: u32,
    pub(crate) number: PersonalNumber,
    pub(crate) born: Date,
    pub(crate) citizen: Citizen,
}

impl Person {
    pub(crate) fn age(&self) -> i32 {
        dates::age(self.born)
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.citizen.life_status() == LifeStatus::Alive
    }

    fn as_relative(&self) -> Relative {
        Relative {
            personal_number: self.citizen.personal_number.clone(),
            full_name: self.citizen.full_name.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
