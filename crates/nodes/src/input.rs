//! Reading requests: strings become types at the door, or the call ends with INVALID_ARGUMENT.

use jiff::civil::Date;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::number::PersonalNumber;

const NAME_CHARS_MAX: usize = 100;
const CODE_BYTES_MAX: usize = 64;
const UNIT_BYTES_MAX: usize = 35;

/// Refuses a field. The message begins with the path of the field; the details say the same as a
/// `google.rpc.BadRequest`. The value is not repeated, since it may be about a person.
pub(crate) fn invalid(field: &str, expected: &str) -> Status {
    Status::with_error_details(
        Code::InvalidArgument,
        format!("`{field}` must be {expected}"),
        ErrorDetails::with_bad_request_violation(field, format!("must be {expected}")),
    )
}

/// A full name as it is compared: composed, lower case, single spaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PersonName(String);

impl PersonName {
    pub(crate) fn parse(field: &str, text: &str) -> Result<Self, Status> {
        if text.chars().any(|c| ('\u{300}'..='\u{36f}').contains(&c)) {
            return Err(invalid(field, "Unicode NFC, without combining marks"));
        }
        let fits = text.chars().count() <= NAME_CHARS_MAX && !text.chars().any(char::is_control);
        let name = Self(fold(text));
        if name.0.is_empty() || !fits {
            return Err(invalid(field, "a name of 1 to 100 characters"));
        }
        Ok(name)
    }

    /// Whether a recorded name is the same.
    pub(crate) fn matches(&self, recorded: &str) -> bool {
        self.0 == fold(recorded)
    }
}

fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !folded.is_empty() {
            folded.push(' ');
        }
        folded.extend(word.chars().flat_map(char::to_lowercase));
    }
    folded
}

pub(crate) fn personal_number(field: &str, text: &str) -> Result<PersonalNumber, Status> {
    PersonalNumber::parse(text).ok_or_else(|| invalid(field, "twelve digits"))
}

/// A date in exactly the form `YYYY-MM-DD`.
pub(crate) fn date(field: &str, text: &str) -> Result<Date, Status> {
    let date = text.parse::<Date>().ok().filter(|_| text.len() == 10);
    date.ok_or_else(|| invalid(field, "a date such as 2026-07-01"))
}

/// A month in exactly the form `YYYY-MM`; empty text is no month.
pub(crate) fn optional_month(field: &str, text: &str) -> Result<Option<String>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    match text.len() == 7 && date(field, &format!("{text}-01")).is_ok() {
        true => Ok(Some(text.to_owned())),
        false => Err(invalid(field, "a month such as 2026-07")),
    }
}

/// An agency code: a letter from A to Y, two digits, groups of digits and capitals after dots.
pub(crate) fn unit_code(field: &str, text: &str) -> Result<String, Status> {
    if is_unit_code(text) {
        return Ok(text.to_owned());
    }
    Err(invalid(field, "an agency code such as G09.05"))
}

pub(crate) fn is_unit_code(text: &str) -> bool {
    let mut groups = text.split('.');
    let root = groups.next().unwrap_or_default().as_bytes();
    let root_fits =
        matches!(root, [b'A'..=b'Y', tens, ones] if tens.is_ascii_digit() && ones.is_ascii_digit());
    let group_fits = |group: &str| {
        !group.is_empty() && group.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
    };
    root_fits && text.len() <= UNIT_BYTES_MAX && groups.all(group_fits)
}

/// Whether a unit is another one or lies below it.
pub(crate) fn is_within(unit: &str, ancestor: &str) -> bool {
    match unit.strip_prefix(ancestor) {
        Some(rest) => rest.is_empty() || rest.starts_with('.'),
        None => false,
    }
}

/// A code that others made up: printable, without spaces, not empty.
pub(crate) fn code(field: &str, text: &str) -> Result<(), Status> {
    let fits = (1..=CODE_BYTES_MAX).contains(&text.len())
        && text.chars().all(|c| !c.is_control() && !c.is_whitespace());
    if fits { Ok(()) } else { Err(invalid(field, "a code of 1 to 64 bytes without spaces")) }
}

pub(crate) fn transaction_id(field: &str, text: &str) -> Result<String, Status> {
    let fits = (8..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    match fits {
        true => Ok(text.to_owned()),
        false => Err(invalid(field, "8 to 64 letters, digits, `-`, `_` or `.`")),
    }
}

/// Administrative codes: exactly so many digits.
pub(crate) fn digits(field: &str, text: &str, count: usize) -> Result<(), Status> {
    let fits = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    if fits { Ok(()) } else { Err(invalid(field, &format!("{count} digits"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_without_case_and_spaces() {
        let name = PersonName::parse("full_name", " NGUYỄN  Thị Ánh ").unwrap();
        assert!(name.matches("Nguyễn Thị Ánh"));
        assert!(!name.matches("Nguyễn Thị Anh"));
        for text in ["", "  ", "Nguye\u{302}\u{303}n", "a\u{7}b", &"x".repeat(101)] {
            let status = PersonName::parse("full_name", text).unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument);
            assert!(status.message().starts_with("`full_name` must be"));
        }
    }

    #[test]
    fn dates_and_months_have_one_form() {
        assert!(date("d", "2024-02-29").is_ok());
        for text in ["", "2023-02-29", "20240229", "2024-2-29", "2024-02-29T00:00", "29/02/2024"] {
            assert!(date("d", text).is_err(), "`{text}`");
        }
        assert_eq!(optional_month("m", "").unwrap(), None);
        assert_eq!(optional_month("m", "2026-07").unwrap().as_deref(), Some("2026-07"));
        assert!(optional_month("m", "2026-13").is_err());
    }

    #[test]
    fn unit_codes_follow_the_decision() {
        for text in ["G09", "G09.05", "H26.C50123", "H29.01.AB3"] {
            assert!(is_unit_code(text), "`{text}`");
        }
        let long = format!("G09.{}", "1".repeat(40));
        for text in ["", "G9", "g09", "Z01", "G09.", "G09..1", "G09.a", "G091", long.as_str()] {
            assert!(!is_unit_code(text), "`{text}`");
        }
        assert!(is_within("G09.05", "G09") && is_within("G09", "G09"));
        assert!(!is_within("G09", "G09.05") && !is_within("G091", "G09"));
    }
}
