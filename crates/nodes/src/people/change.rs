//! What changed in a citizen's record within the last year.

use jiff::civil::Date;

use super::random::{Purpose, Random};
use super::{Person, REFERENCE_DATE, dates};
use crate::proto::population::v1::{ChangeKind, LifeStatus};

/// The latest change of a record, if it lies within the year before the reference date.
pub(crate) fn change(seed: u64, person: &Person) -> Option<(ChangeKind, Date)> {
    let mut random = Random::new(seed, Purpose::Change, u64::from(person.index));
    let year_ago = dates::years_before(REFERENCE_DATE, 1);
    let citizen = &person.citizen;
    let date_of = |text: &str| text.parse::<Date>().ok().filter(|date| *date >= year_ago);
    let change = match citizen.life_status() {
        LifeStatus::Dead => (ChangeKind::DeathRegistered, date_of(&citizen.life_status_since)?),
        LifeStatus::Missing => (ChangeKind::DeclaredMissing, date_of(&citizen.life_status_since)?),
        _ if person.born >= year_ago => (ChangeKind::BirthRegistered, person.born),
        _ => match date_of(&citizen.card_issued_on) {
            Some(issued) => (ChangeKind::CardIssued, issued),
            None if random.per_mille(60) => {
                let kind = random.pick(&[ChangeKind::Residence, ChangeKind::Contact]);
                let latest = dates::days_before(REFERENCE_DATE, 1);
                (kind, dates::between(&mut random, year_ago, latest))
            }
            None => return None,
        },
    };
    Some(change)
}
