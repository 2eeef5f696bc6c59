//! The extension type `decimal`: a number with four digits after the point.

use std::fmt;
use std::str::FromStr;

/// Digits after the point.
const DIGITS: usize = 4;
/// What one is worth in the last digit.
const ONE: i64 = 10_000;

/// A decimal number, counted in ten-thousandths.
///
/// ```
/// let half: cedar::Decimal = "0.50".parse()?;
/// assert_eq!(half, "0.5".parse()?);
/// assert_eq!(half.to_string(), "0.5000");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decimal {
    /// The number times ten thousand.
    pub ten_thousandths: i64,
}

/// A text that is no decimal.
#[derive(Debug, thiserror::Error)]
#[error("not a decimal, expected digits around a point, at most four after it, such as `12.34`")]
pub struct DecimalError;

impl FromStr for Decimal {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map(|ten_thousandths| Self { ten_thousandths }).ok_or(DecimalError)
    }
}

fn parse(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.')?;
    let (negative, digits) = match whole.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, whole),
    };
    let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !number(digits) || !number(fraction) || fraction.len() > DIGITS {
        return None;
    }
    let whole = whole.parse::<i64>().ok()?.checked_mul(ONE)?;
    let missing = u32::try_from(DIGITS - fraction.len()).ok()?;
    let fraction = fraction.parse::<i64>().ok()?.checked_mul(10_i64.checked_pow(missing)?)?;
    if negative { whole.checked_sub(fraction) } else { whole.checked_add(fraction) }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.ten_thousandths < 0 { "-" } else { "" };
        let (one, number) = (ONE.unsigned_abs(), self.ten_thousandths.unsigned_abs());
        write!(f, "{sign}{}.{:04}", number / one, number % one)
    }
}
