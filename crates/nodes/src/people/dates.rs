//! Drawing dates around the day on which the synthetic country stands still.

use jiff::Span;
use jiff::civil::{Date, date};

use super::random::Random;

/// The day that ages and states refer to. A fixed day keeps the data the same whenever it is made.
pub const REFERENCE_DATE: Date = date(2026, 7, 1);

/// A birth date with which a person is `age` completed years old on the reference date.
pub(crate) fn born(random: &mut Random, age: i32) -> Date {
    days_before(years_before(REFERENCE_DATE, age), random.between(0, 364))
}

/// A date from `first` to `last`, both included; `first` when they cross.
pub(crate) fn between(random: &mut Random, first: Date, last: Date) -> Date {
    days_after(first, random.between(0, days(first, last)))
}

/// Completed years on the reference date.
pub(crate) fn age(born: Date) -> i32 {
    age_on(born, REFERENCE_DATE)
}

/// Completed years on a day.
pub(crate) fn age_on(born: Date, day: Date) -> i32 {
    let years = i32::from(day.year()) - i32::from(born.year());
    if (day.month(), day.day()) < (born.month(), born.day()) { years - 1 } else { years }
}

pub(crate) fn days_before(date: Date, days: i32) -> Date {
    date.saturating_sub(Span::new().days(days))
}

pub(crate) fn days_after(date: Date, days: i32) -> Date {
    date.saturating_add(Span::new().days(days))
}

pub(crate) fn years_before(date: Date, years: i32) -> Date {
    date.saturating_sub(Span::new().years(years))
}

pub(crate) fn years_after(date: Date, years: i32) -> Date {
    date.saturating_add(Span::new().years(years))
}

/// The month of a date, `YYYY-MM`.
pub(crate) fn month(date: Date) -> String {
    format!("{:04}-{:02}", date.year(), date.month())
}

fn days(first: Date, last: Date) -> i32 {
    first.until(last).map_or(0, |span| span.get_days())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::people::random::Purpose;

    #[test]
    fn births_give_the_age_asked_for() {
        let mut random = Random::new(1, Purpose::Household, 0);
        for age_wanted in (0..90).cycle().take(2_000) {
            let born = born(&mut random, age_wanted);
            assert_eq!(age(born), age_wanted, "born {born}");
        }
    }

    #[test]
    fn dates_between_include_both_ends() {
        let mut random = Random::new(1, Purpose::Household, 1);
        let (first, last) = (date(2024, 2, 28), date(2024, 3, 1));
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..200 {
            seen.insert(between(&mut random, first, last));
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [first, date(2024, 2, 29), last]);
        assert_eq!(between(&mut random, last, first), last);
    }
}
