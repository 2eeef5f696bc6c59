//! The personal number.

use std::fmt;

/// A personal number: exactly twelve digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PersonalNumber(u64);

impl PersonalNumber {
    /// Reads twelve ASCII digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
        if digits { text.parse().ok().map(Self) } else { None }
    }

    /// The number made of its parts: nine, province, sex and century, year, serial. The layout is
    /// that of real numbers, whose first three digits never reach nine hundred.
    pub(crate) fn compose(province: u32, century_and_sex: u32, year: u32, serial: u32) -> Self {
        let head = 900 + u64::from(province % 100);
        let middle = u64::from(century_and_sex % 10) * 100 + u64::from(year % 100);
        Self((head * 1000 + middle) * 1_000_000 + u64::from(serial % 1_000_000))
    }

    /// How the databases keep it.
    pub(crate) fn to_sql(self) -> i64 {
        self.0.cast_signed()
    }

    /// Back from a database.
    pub(crate) fn from_sql(value: i64) -> Self {
        Self(value.cast_unsigned())
    }
}

impl fmt::Display for PersonalNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_twelve_digits_are_a_number() {
        for text in ["", "12345678901", "1234567890123", "90120012345x", "+90120012345", "９０１"]
        {
            assert_eq!(PersonalNumber::parse(text), None, "`{text}`");
        }
        let number = PersonalNumber::parse("001200012345").expect("twelve digits");
        assert_eq!(number.to_string(), "001200012345");
        assert_eq!(PersonalNumber::from_sql(number.to_sql()), number);
    }

    #[test]
    fn composed_numbers_begin_with_nine() {
        assert_eq!(PersonalNumber::compose(1, 3, 2004, 42).to_string(), "901304000042");
        assert_eq!(PersonalNumber::compose(96, 0, 1950, 999_999).to_string(), "996050999999");
    }
}
