//! Whom calls are about: pseudonyms for the ledger, and how many persons a system may ask about.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use dashmap::DashMap;
use model::{AgreementId, PersonNumber, Pseudonyms, Subject, SystemId, Timestamp};
use policy::source::SubjectBudget;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Persons as this gateway knows them.
#[derive(Debug)]
pub(crate) struct Persons {
    keys: Pseudonyms,
    /// Tells persons apart in budgets; its keys come from the system and go with the process.
    hasher: RandomState,
    asked: DashMap<(AgreementId, SystemId), Asked>,
}

/// The persons whom one system has asked about under one agreement.
#[derive(Debug, Default)]
struct Asked {
    hour: Window,
    day: Window,
}

/// Persons of the hour or day that goes on. Hours and days are counted from 1970 in UTC.
#[derive(Debug, Default)]
struct Window {
    number: u128,
    persons: HashSet<u64>,
}

impl Persons {
    pub(crate) fn new(keys: Pseudonyms) -> Self {
        Self { keys, hasher: RandomState::new(), asked: DashMap::new() }
    }

    /// Whether pseudonyms can be made, so that the ledger can tell whom calls are about.
    pub(crate) fn are_recorded(&self) -> bool {
        self.keys.current().is_some()
    }

    /// The person in an entry; `None` without a key.
    pub(crate) fn subject(&self, person: &PersonNumber) -> Option<Subject> {
        let (period, key) = self.keys.current()?;
        Some(Subject { pseudonym: key.pseudonym(person), period: period.clone() })
    }

    /// Lets a system ask about these persons if its budget has room for all that are new to it;
    /// else says how long to wait for the next hour or day.
    pub(crate) fn ask(
        &self,
        agreement: &AgreementId,
        system: &SystemId,
        budget: &SubjectBudget,
        persons: &[PersonNumber],
        now: Timestamp,
    ) -> Result<(), Duration> {
        let persons: HashSet<u64> =
            persons.iter().map(|person| self.hasher.hash_one(person)).collect();
        let mut asked = self.asked.entry((agreement.clone(), system.clone())).or_default();
        let Asked { hour, day } = &mut *asked;
        hour.admit(&persons, HOUR, budget.hour_max, now)?;
        day.admit(&persons, DAY, budget.day_max, now)?;
        hour.take(&persons, budget.hour_max);
        day.take(&persons, budget.day_max);
        Ok(())
    }
}

impl Window {
    fn admit(
        &mut self,
        persons: &HashSet<u64>,
        length: Duration,
        most: Option<u32>,
        now: Timestamp,
    ) -> Result<(), Duration> {
        let (time, length) = (u128::from(now.as_micros()), length.as_micros());
        if self.number != time / length {
            self.number = time / length;
            self.persons.clear();
        }
        let new = persons.difference(&self.persons).count();
        let has_room = |most: u32| self.persons.len() + new <= most as usize;
        match most.is_none_or(has_room) || new == 0 {
            true => Ok(()),
            false => {
                let left = u64::try_from(length - time % length).unwrap_or(u64::MAX);
                Err(Duration::from_micros(left))
            }
        }
    }

    /// Without a bound nothing is remembered, so that memory has one.
    fn take(&mut self, persons: &HashSet<u64>, most: Option<u32>) {
        if most.is_some() {
            self.persons.extend(persons);
        }
    }
}

/// The person whom the bytes of a subject field name, if anybody can be found by them again.
pub(crate) fn person(field: &[u8]) -> Option<PersonNumber> {
    PersonNumber::of_field(std::str::from_utf8(field).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn persons(numbers: std::ops::Range<u32>) -> Vec<PersonNumber> {
        numbers.map(|n| person(format!("9{n:011}").as_bytes()).unwrap()).collect()
    }

    #[test]
    fn budgets_count_different_persons_by_hour_and_day() {
        let all = Persons::new(Pseudonyms::default());
        let (agreement, system) = ("a".parse().unwrap(), "s".parse().unwrap());
        let budget = SubjectBudget { hour_max: Some(3), day_max: Some(5) };
        let at = |hour: u64| Timestamp::from_secs(1_795_000_000 / 86_400 * 86_400 + hour * 3600);
        let ask = |numbers, now| all.ask(&agreement, &system, &budget, &persons(numbers), now);
        assert_eq!(ask(0..2, at(1)), Ok(()));
        assert_eq!(ask(0..2, at(1)), Ok(()), "the same persons again");
        assert_eq!(ask(2..4, at(1)), Err(HOUR), "all of them or none");
        assert_eq!(ask(2..3, at(1)), Ok(()));
        assert_eq!(ask(3..5, at(2)), Ok(()));
        assert_eq!(ask(5..6, at(3)), Err(21 * HOUR), "the day has its bound too");
        assert_eq!(ask(0..1, at(3)), Ok(()), "whom the day knows");
        assert_eq!(ask(5..8, at(24)), Ok(()));
        let other = "t".parse().unwrap();
        assert_eq!(all.ask(&agreement, &other, &budget, &persons(8..11), at(24)), Ok(()));
    }

    #[test]
    fn persons_are_named_by_numbers() {
        assert!(person(b"900000000017").is_some() && person(b"DN4010012345678").is_some());
        assert!(person(b"9000 0000 0017").is_none() && person(b"\xff").is_none());
        let one = Persons::new(Pseudonyms::default());
        assert!(!one.are_recorded() && one.subject(&persons(0..1)[0]).is_none());
    }
}
