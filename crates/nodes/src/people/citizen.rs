//! The record of one citizen, filled in around what the household has decided.

use jiff::civil::{Date, date};

use super::household::Draft;
use super::names::{self, Generation};
use super::places::{self, Home};
use super::random::{Purpose, Random};
use super::{Person, dates};
use crate::number::PersonalNumber;
use crate::proto::population::v1::{
    BloodGroup, Citizen, LifeStatus, Membership, Place, Relative, Sex,
};

/// Serials are the indices in a scrambled order; the factor has no divisor in common with the
/// modulus, so that no two indices share a serial.
const SERIALS: u64 = 1_000_000;
const SERIAL_FACTOR: u64 = 387_421;

const RELIGIONS: [(&str, u32); 6] = [
    ("Không", 860),
    ("Công giáo", 61),
    ("Phật giáo", 48),
    ("Tin Lành", 11),
    ("Phật giáo Hòa Hảo", 10),
    ("Cao Đài", 10),
];

/// Most records have none.
const BLOOD_GROUPS: [(BloodGroup, u32); 5] = [
    (BloodGroup::Unspecified, 60),
    (BloodGroup::O, 17),
    (BloodGroup::B, 12),
    (BloodGroup::A, 9),
    (BloodGroup::Ab, 2),
];

/// What the members of a household share.
pub(super) struct Background {
    pub(super) ethnicity: &'static str,
    religion: &'static str,
    origin: Place,
}

impl Background {
    pub(super) fn draw(random: &mut Random, home: &Home) -> Self {
        let ethnicity = places::ethnicity(random, home.province);
        let religion = random.pick_weighted(&RELIGIONS).copied().unwrap_or("Không");
        let origin =
            if random.per_mille(700) { without_address(&home.place) } else { away(random) };
        Self { ethnicity, religion, origin }
    }
}

/// The kin who are members of the same household.
#[derive(Default)]
pub(super) struct Kin {
    pub(super) father: Option<Relative>,
    pub(super) mother: Option<Relative>,
    pub(super) spouse: Option<Relative>,
    pub(super) children: Vec<Relative>,
}

/// Makes a person with everything but kin; `household` is the index of the head.
pub(super) fn person(
    seed: u64,
    index: u32,
    household: u32,
    draft: &Draft,
    home: &Home,
    background: &Background,
) -> Person {
    let mut random = Random::new(seed, Purpose::Citizen, u64::from(index));
    let birthplace =
        if random.per_mille(850) { without_address(&home.place) } else { away(&mut random) };
    let number = number(seed, index, draft, &birthplace);
    let age = dates::age(draft.born);
    let card = (age >= 14).then(|| card(&mut random, draft.born));
    let moved = draft.life == LifeStatus::Alive && (18..36).contains(&age);
    let temporary = (moved && random.per_mille(60)).then(|| places::home(&mut random).place);
    let citizen = Citizen {
        personal_number: number.to_string(),
        full_name: draft.full_name.clone(),
        birth_date: draft.born.to_string(),
        sex: draft.sex.into(),
        place_of_birth: Some(birthplace.clone()),
        place_of_birth_registration: Some(birthplace),
        place_of_origin: Some(background.origin.clone()),
        ethnicity: background.ethnicity.into(),
        religion: background.religion.into(),
        nationality: "VNM".into(),
        blood_group: blood_group(&mut random).into(),
        old_number: old_number(&mut random, draft.born),
        card_issued_on: card.map(|(issued, _)| issued.to_string()).unwrap_or_default(),
        card_expires_on: optional(card.and_then(|(_, expires)| expires)),
        marital_status: draft.marital.into(),
        permanent_residence: Some(home.place.clone()),
        current_residence: Some(temporary.as_ref().unwrap_or(&home.place).clone()),
        temporary_residence: temporary,
        life_status: draft.life.into(),
        life_status_since: optional(draft.life_since),
        // Ten digits after 01 are no telephone number: those were all renumbered in 2018.
        phone: if age < 15 { String::new() } else { format!("01{}", digits(&mut random, 8)) },
        email: email(&mut random, index, age),
        ..Citizen::default()
    };
    Person { index, household, number, born: draft.born, citizen }
}

/// Adds kin and the place in the household. Parents who are not members are given a name only.
pub(super) fn relate(
    seed: u64,
    person: &mut Person,
    draft: &Draft,
    kin: Kin,
    home: &Home,
    head: &str,
) {
    let mut random = Random::new(seed, Purpose::Kin, u64::from(person.index));
    let maiden = names::surname(&mut random, &person.citizen.ethnicity, home.province.south);
    let mut absent = |surname: &str, sex| Relative {
        personal_number: String::new(),
        full_name: names::full_name(&mut random, surname, sex, Generation::Older),
    };
    let father = kin.father.unwrap_or_else(|| absent(draft.surname, Sex::Male));
    let mother = kin.mother.unwrap_or_else(|| absent(maiden, Sex::Female));
    let citizen = &mut person.citizen;
    (citizen.father, citizen.mother) = (Some(father), Some(mother));
    (citizen.spouse, citizen.children) = (kin.spouse, kin.children);
    citizen.household = Some(Membership {
        household_number: format!("9{:08}", person.household),
        head_number: head.into(),
        relationship: draft.relationship.into(),
    });
}

fn number(seed: u64, index: u32, draft: &Draft, birthplace: &Place) -> PersonalNumber {
    let offset = u64::from(Random::new(seed, Purpose::Serial, 0).below(SERIALS as u32));
    let serial = (u64::from(index) * SERIAL_FACTOR + offset) % SERIALS;
    let province = birthplace.province_code.parse().unwrap_or_default();
    let year = draft.born.year().unsigned_abs();
    let century = if year < 2000 { 0 } else { 2 };
    let sex = u32::from(draft.sex == Sex::Female);
    PersonalNumber::compose(province, century + sex, u32::from(year), serial as u32)
}

/// When the card was issued and when it expires: at 25, 40 and 60 years, and then never.
fn card(random: &mut Random, born: Date) -> (Date, Option<Date>) {
    let first = dates::years_after(born, 14).max(date(2021, 3, 1));
    let issued = dates::between(random, first, dates::days_before(dates::REFERENCE_DATE, 1));
    let age = dates::age_on(born, issued);
    // A card made within two years before one of these birthdays runs to the next.
    let expires = [25, 40, 60].into_iter().find(|limit| age < limit - 2);
    (issued, expires.map(|limit| dates::years_after(born, limit)))
}

fn blood_group(random: &mut Random) -> BloodGroup {
    random.pick_weighted(&BLOOD_GROUPS).copied().unwrap_or_default()
}

fn old_number(random: &mut Random, born: Date) -> String {
    let had_one = born.year() < 1999 && random.per_mille(700);
    if had_one { format!("9{}", digits(random, 8)) } else { String::new() }
}

fn email(random: &mut Random, index: u32, age: i32) -> String {
    let has_one = (18..61).contains(&age) && random.per_mille(600);
    if has_one { format!("cd{index:06}@example.org") } else { String::new() }
}

fn digits(random: &mut Random, count: usize) -> String {
    format!("{:0count$}", random.below(10u32.saturating_pow(count as u32)))
}

fn away(random: &mut Random) -> Place {
    without_address(&places::home(random).place)
}

fn without_address(place: &Place) -> Place {
    Place { address: String::new(), ..place.clone() }
}

fn optional(date: Option<Date>) -> String {
    date.map(|date| date.to_string()).unwrap_or_default()
}
