//! Whom the calls are about: people of the country, found without opening a database.

use anyhow::{Context, Result};
use nodes::people::{KnownPerson, People, Sample};

/// The province whose communes call.
const PROVINCE: &str = "01";
const PROVINCE_AGENCY: &str = "H26.";
/// How many people are looked at for one who suits better.
const TRIES: usize = 60;
/// How many beneficiaries are known not to be the one without a benefit.
const PAID: usize = 10;

/// The people whom the calls are about.
#[derive(Debug)]
pub(super) struct Cast {
    /// Someone who asks for a certificate of residence.
    pub(super) citizen: KnownPerson,
    /// Who handles the dossiers of a commune.
    pub(super) officer: KnownPerson,
    /// A household, its head first.
    pub(super) household: Vec<KnownPerson>,
    /// Whose record is changed.
    pub(super) civil_servant: KnownPerson,
    pub(super) beneficiary: KnownPerson,
    /// A beneficiary who can be paid through an account.
    pub(super) payable: KnownPerson,
    /// Someone who receives no benefit.
    pub(super) not_payable: KnownPerson,
    pub(super) insured: KnownPerson,
}

impl Cast {
    /// Finds everybody, from the province where there is one.
    ///
    /// # Errors
    ///
    /// Fails if the country is too small to have them all.
    pub(super) fn choose(people: &People) -> Result<Self> {
        let count = people.count();
        let too_small = |what: &str| {
            format!(
                "there is no {what} among {count} people; make a larger country with --people \
                 1000 in another folder"
            )
        };
        let here = |person: &KnownPerson| person.province_code == PROVINCE;
        let unit_here = |person: &KnownPerson| {
            person.unit_code.as_ref().is_some_and(|unit| unit.starts_with(PROVINCE_AGENCY))
        };
        let any = |_: &KnownPerson| true;
        let one = |sample, what: &str, suits: &dyn Fn(&KnownPerson) -> bool| {
            find(people, sample, suits).with_context(|| too_small(what))
        };
        let paid: Vec<KnownPerson> =
            (0..PAID).map_while(|nth| people.sample(Sample::Beneficiary, nth)).collect();
        let is_unpaid = |person: &KnownPerson| !paid.contains(person);
        Ok(Self {
            citizen: one(Sample::Adult, "adult", &here)?,
            officer: one(Sample::CivilServant, "civil servant", &any)?,
            household: household(people)
                .with_context(|| too_small("household of three or more"))?,
            civil_servant: one(Sample::CivilServant, "civil servant", &unit_here)?,
            beneficiary: one(Sample::Beneficiary, "beneficiary", &here)?,
            payable: one(Sample::VerifiedAccount, "beneficiary with an account", &any)?,
            not_payable: one(Sample::Adult, "adult", &is_unpaid)?,
            insured: one(Sample::Insured, "insured person", &any)?,
        })
    }
}

/// A household of the province, or else the first there is.
fn household(people: &People) -> Option<Vec<KnownPerson>> {
    let is_here = |household: &Vec<KnownPerson>| {
        household.first().is_some_and(|head| head.province_code == PROVINCE)
    };
    let mut candidates = (0..TRIES).map_while(|nth| people.household(nth));
    candidates.find(is_here).or_else(|| people.household(0))
}

/// The first person who suits, or else the first there is.
fn find(
    people: &People,
    sample: Sample,
    suits: &dyn Fn(&KnownPerson) -> bool,
) -> Option<KnownPerson> {
    let mut candidates = (0..TRIES).map_while(|nth| people.sample(sample, nth));
    let suitable = candidates.find(suits);
    suitable.or_else(|| people.sample(sample, 0))
}
