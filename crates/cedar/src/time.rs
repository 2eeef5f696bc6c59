//! The extension types `datetime` and `duration`: milliseconds, and the texts they are read from.

const SECOND_MS: i64 = 1000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;
/// Milliseconds of a day; there are no leap seconds.
pub(crate) const DAY_MS: i64 = 24 * HOUR_MS;

/// Milliseconds since 1970-01-01T00:00:00Z of a text such as `2026-03-01`,
/// `2026-03-01T08:30:00Z` or `2026-03-01T08:30:00.250+0700`.
///
/// ```
/// assert_eq!(cedar::parse_datetime("1970-01-02"), Some(86_400_000));
/// assert_eq!(cedar::parse_datetime("2025-02-29"), None);
/// ```
pub fn parse_datetime(text: &str) -> Option<i64> {
    let (year, rest) = digits(text, 4)?;
    let (month, rest) = digits(rest.strip_prefix('-')?, 2)?;
    let (day, rest) = digits(rest.strip_prefix('-')?, 2)?;
    let date = days(year, month, day)?.checked_mul(DAY_MS)?;
    if rest.is_empty() {
        return Some(date);
    }
    let (hour, rest) = digits(rest.strip_prefix('T')?, 2)?;
    let (minute, rest) = digits(rest.strip_prefix(':')?, 2)?;
    let (second, rest) = digits(rest.strip_prefix(':')?, 2)?;
    let (ms, rest) = match rest.strip_prefix('.') {
        Some(rest) => digits(rest, 3)?,
        None => (0, rest),
    };
    if hour >= 24 || minute >= 60 || second >= 60 {
        return None;
    }
    let time = hour * HOUR_MS + minute * MINUTE_MS + second * SECOND_MS + ms;
    date.checked_add(time)?.checked_sub(zone(rest)?)
}

/// `Z`, or a sign, two digits of hours and two of minutes.
fn zone(text: &str) -> Option<i64> {
    if text == "Z" {
        return Some(0);
    }
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+')?),
    };
    let (hours, rest) = digits(rest, 2)?;
    let (minutes, rest) = digits(rest, 2)?;
    let valid = hours < 24 && minutes < 60 && rest.is_empty();
    valid.then_some(sign * (hours * HOUR_MS + minutes * MINUTE_MS))
}

/// Exactly `count` digits, and what follows them.
fn digits(text: &str, count: usize) -> Option<(i64, &str)> {
    let (number, rest) = text.split_at_checked(count)?;
    let numeric = number.bytes().all(|byte| byte.is_ascii_digit());
    if numeric { Some((number.parse().ok()?, rest)) } else { None }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, also before it was introduced.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let month_days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => return None,
    };
    if day < 1 || day > month_days {
        return None;
    }
    // Years begin in March here, so that the leap day is the last of its year.
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

/// Milliseconds of a text such as `1d2h30m`, `-15m` or `250ms`: each unit at most once, in the
/// order `d`, `h`, `m`, `s`, `ms`.
///
/// ```
/// assert_eq!(cedar::parse_duration("-1m30s"), Some(-90_000));
/// assert_eq!(cedar::parse_duration("30s1m"), None);
/// ```
pub fn parse_duration(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1_i128, rest),
        None => (1, text),
    };
    if rest.is_empty() {
        return None;
    }
    let units = [("d", DAY_MS), ("h", HOUR_MS), ("m", MINUTE_MS), ("s", SECOND_MS), ("ms", 1)];
    let mut total = 0_i128;
    let mut units = units.into_iter();
    while !rest.is_empty() {
        let end = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at_checked(end)?;
        let name_bytes = tail.bytes().take_while(u8::is_ascii_lowercase).count();
        let (name, tail) = tail.split_at_checked(name_bytes)?;
        let (_, worth) = units.find(|(unit, _)| *unit == name)?;
        // Every part must fit by itself, as must every sum on the way.
        let part = i128::from(number.parse::<u64>().ok()?) * i128::from(worth);
        i64::try_from(part).or_else(|_| i64::try_from(sign * part)).ok()?;
        total += sign * part;
        rest = tail;
    }
    i64::try_from(total).ok()
}
