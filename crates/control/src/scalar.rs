//! What a single value may look like: codes, durations, sizes, dates, addresses, names.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::Offset;
use model::Timestamp;
use policy::source::{Endpoint, Network, Share};
use rustls::pki_types::ServerName;
use tlog::Prefix;

use crate::problem::{alternatives, did_you_mean};

/// Longest name or legal basis, in bytes.
const TEXT_BYTES_MAX: usize = 1024;
/// Longest agency code, in characters (Decision 20/2020/QĐ-TTg).
const AGENCY_CODE_CHARS_MAX: usize = 35;
/// Longest name of a ledger, in bytes.
const ORIGIN_BYTES_MAX: usize = 255;
/// Longest metadata key and value that a rule looks at, in bytes.
const METADATA_KEY_BYTES_MAX: usize = 64;
const METADATA_VALUE_BYTES_MAX: usize = 256;
/// Longest id of a policy, in bytes.
const POLICY_ID_BYTES_MAX: usize = 256;
/// Longest name of a claim, in bytes.
const CLAIM_BYTES_MAX: usize = 128;
/// Longest name of a field, in bytes.
const FIELD_BYTES_MAX: usize = 512;
/// What local times there are, in minutes ahead of UTC.
const UTC_OFFSETS: RangeInclusive<i32> = -12 * 60..=14 * 60;
/// Vietnam's time, all year round.
const VIETNAM: Offset = Offset::constant(7);

const MILLISECOND: u64 = 1;
const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const DURATION_UNITS: [(&str, u64); 5] =
    [("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", SECOND), ("ms", MILLISECOND)];
const SIZE_UNITS: [(&str, u64); 4] =
    [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Why a text is not what a field holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mismatch {
    pub(crate) expected: String,
    pub(crate) hint: Option<String>,
}

fn mismatch<T>(expected: impl Into<String>) -> Result<T, Mismatch> {
    Err(Mismatch { expected: expected.into(), hint: None })
}

fn mismatch_with<T>(expected: impl Into<String>, hint: impl Into<String>) -> Result<T, Mismatch> {
    Err(Mismatch { expected: expected.into(), hint: Some(hint.into()) })
}

/// Any text that is not blank.
pub(crate) fn text(text: &str) -> Result<String, Mismatch> {
    match text.trim().is_empty() || text.len() > TEXT_BYTES_MAX {
        true => mismatch(format!("text of 1 to {TEXT_BYTES_MAX} bytes")),
        false => Ok(text.to_owned()),
    }
}

/// An identifier of the vocabulary.
pub(crate) fn identifier<T: FromStr>(text: &str) -> Result<T, Mismatch> {
    text.parse().or_else(|_| mismatch("1 to 64 letters, digits, `.`, `_` or `-`"))
}

/// The identifier of a member: an agency code, another organisation's code or a business number.
pub(crate) fn agency_code<T: FromStr>(text: &str) -> Result<T, Mismatch> {
    let expected = "an agency code such as `G09.05`, a code from `Z01` to `Z99`, or a business \
                    number of 10 or 13 digits; at most 35 characters";
    let known = is_agency_code(text) || is_other_code(text) || is_business_number(text);
    if !known || text.len() > AGENCY_CODE_CHARS_MAX {
        let upper = text.to_ascii_uppercase();
        return match upper != text && is_agency_code(&upper) {
            true => mismatch_with(expected, format!("did you mean `{upper}`?")),
            false => mismatch(expected),
        };
    }
    identifier(text)
}

/// `^[A-Y][0-9]{2}(\.[0-9A-Z]+)*$`
fn is_agency_code(text: &str) -> bool {
    let mut groups = text.split('.');
    let top = groups.next().unwrap_or_default();
    let unit = |group: &str| !group.is_empty() && group.bytes().all(upper_or_digit);
    matches!(top.as_bytes(), [b'A'..=b'Y', b'0'..=b'9', b'0'..=b'9']) && groups.all(unit)
}

fn is_other_code(text: &str) -> bool {
    let [b'Z', tens @ b'0'..=b'9', ones @ b'0'..=b'9', rest @ ..] = text.as_bytes() else {
        return false;
    };
    (*tens, *ones) != (b'0', b'0') && rest.iter().all(|b| upper_or_digit(*b) || *b == b'.')
}

fn is_business_number(text: &str) -> bool {
    matches!(text.len(), 10 | 13) && text.bytes().all(|b| b.is_ascii_digit())
}

fn upper_or_digit(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

/// The full name of a gRPC service.
pub(crate) fn service_name(text: &str) -> Result<String, Mismatch> {
    match text.contains('.') && text.split('.').all(is_proto_identifier) {
        true => Ok(text.to_owned()),
        false => mismatch("a full service name, such as `vn.population.v1.PopulationService`"),
    }
}

/// The name of a method of a gRPC service.
pub(crate) fn method_name(text: &str) -> Result<String, Mismatch> {
    match is_proto_identifier(text) {
        true => Ok(text.to_owned()),
        false => mismatch("a method name, such as `VerifyPerson`"),
    }
}

fn is_proto_identifier(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    text.starts_with(letter) && text.chars().all(|c| letter(c) || c.is_ascii_digit())
}

/// One of a closed list of words.
pub(crate) fn word<T: Copy>(words: &[(&str, T)]) -> impl Fn(&str) -> Result<T, Mismatch> {
    move |text| {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        let hint = || did_you_mean(text, &known);
        found.ok_or_else(|| Mismatch { expected: alternatives(&known), hint: hint() })
    }
}

/// `true` or `false`.
pub(crate) fn boolean(text: &str) -> Result<bool, Mismatch> {
    word(&[("true", true), ("false", false)])(text)
}

/// A whole number within bounds.
pub(crate) fn count<T>(bounds: RangeInclusive<T>) -> impl Fn(&str) -> Result<T, Mismatch>
where
    T: FromStr + PartialOrd + Display,
{
    move |text| {
        let number = text.parse().ok().filter(|number| bounds.contains(number));
        let expected = || format!("a whole number from {} to {}", bounds.start(), bounds.end());
        number.ok_or_else(|| Mismatch { expected: expected(), hint: None })
    }
}

/// A duration within bounds: a whole number and `ms`, `s`, `m`, `h` or `d`.
pub(crate) fn duration(
    bounds: RangeInclusive<Duration>,
) -> impl Fn(&str) -> Result<Duration, Mismatch> {
    move |text| {
        let millis = |d: &Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        let bounds = millis(bounds.start())..=millis(bounds.end());
        quantity(text, &DURATION_UNITS, &bounds, "duration", SECOND).map(Duration::from_millis)
    }
}

/// A number of bytes within bounds: a whole number and `B`, `KiB`, `MiB` or `GiB`.
pub(crate) fn size(bounds: RangeInclusive<u64>) -> impl Fn(&str) -> Result<u64, Mismatch> {
    move |text| quantity(text, &SIZE_UNITS, &bounds, "size", 1)
}

/// A whole number and a unit, in the smallest unit. `usual` is what a number without a unit
/// likely counts.
fn quantity(
    text: &str,
    units: &[(&str, u64)],
    bounds: &RangeInclusive<u64>,
    kind: &str,
    usual: u64,
) -> Result<u64, Mismatch> {
    let shown = |n: u64| {
        let fits = units.iter().find(|(_, unit)| n.is_multiple_of(*unit));
        fits.map(|(name, unit)| format!("{}{name}", n / unit)).unwrap_or_default()
    };
    let expected = format!("a {kind} from {} to {}", shown(*bounds.start()), shown(*bounds.end()));
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, name) = text.split_at_checked(digits).unwrap_or((text, ""));
    let Ok(number) = number.parse::<u64>() else { return mismatch(expected) };
    let Some((_, unit)) = units.iter().find(|(unit, _)| *unit == name) else {
        let names: Vec<&str> = units.iter().rev().map(|(name, _)| *name).collect();
        return match name.is_empty() {
            true => {
                let meant = shown(number.saturating_mul(usual));
                mismatch_with(expected, format!("add a unit: `{meant}`"))
            }
            false => mismatch_with(expected, format!("the units are {}", alternatives(&names))),
        };
    };
    let total = number.checked_mul(*unit).filter(|total| bounds.contains(total));
    total.ok_or(Mismatch { expected, hint: None })
}

/// When something begins: a date means its first moment in Vietnam.
pub(crate) fn from_moment(text: &str) -> Result<Timestamp, Mismatch> {
    moment(text, Some)
}

/// Just after something ends: a date means that the whole day in Vietnam still counts.
pub(crate) fn until_moment(text: &str) -> Result<Timestamp, Mismatch> {
    moment(text, |date| date.tomorrow().ok())
}

fn moment(text: &str, edge: impl Fn(Date) -> Option<Date>) -> Result<Timestamp, Mismatch> {
    let time = match is_date(text) {
        true => text.parse::<Date>().ok().and_then(edge).and_then(midnight),
        // Jiff reads more shapes than RFC 3339; a `T` and the lack of a zone name rule them out.
        false if text.contains('T') && !text.contains('[') => text.parse().ok(),
        false => None,
    };
    let micros = time.and_then(|time| u64::try_from(time.as_microsecond()).ok());
    micros.map(Timestamp::from_micros).ok_or_else(|| Mismatch {
        expected: "a date such as `2026-01-31`, or a time such as `2026-01-31T08:00:00+07:00`, \
                   since 1970"
            .to_owned(),
        hint: day_first(text).map(|date| format!("did you mean `{date}`?")),
    })
}

fn midnight(date: Date) -> Option<jiff::Timestamp> {
    VIETNAM.to_timestamp(date.at(0, 0, 0, 0)).ok()
}

fn is_date(text: &str) -> bool {
    let digit_or_dash = |(at, b): (usize, u8)| match at {
        4 | 7 => b == b'-',
        _ => b.is_ascii_digit(),
    };
    text.len() == 10 && text.bytes().enumerate().all(digit_or_dash)
}

/// The date meant by `31/01/2026`.
fn day_first(text: &str) -> Option<Date> {
    let mut parts = text.split(['/', '-', '.']).map(|part| part.parse::<i16>().ok());
    let (day, month, year) = (parts.next()??, parts.next()??, parts.next()??);
    Date::new(year, month.try_into().ok()?, day.try_into().ok()?).ok()
}

/// An address and port to listen on.
pub(crate) fn socket(text: &str) -> Result<SocketAddr, Mismatch> {
    text.parse().or_else(|_| mismatch("an IP address and a port, such as `0.0.0.0:8443`"))
}

/// Where a node listens: a DNS name or IP address, and a port.
pub(crate) fn endpoint(text: &str) -> Result<Endpoint, Mismatch> {
    let expected = "`host:port` with a DNS name or an IP address";
    if text.contains("://") {
        return mismatch_with(expected, "leave the scheme out");
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return mismatch_with(expected, "add the port");
    };
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if inner.is_none() && host.contains(':') {
        return mismatch_with(expected, "put an IPv6 address in brackets: `[::1]:50051`");
    }
    let host = inner.unwrap_or(host);
    match (host_name(host), port.parse::<u16>()) {
        (Ok(host), Ok(port)) if port > 0 => Ok(Endpoint { host, port }),
        _ => mismatch(expected),
    }
}

/// A block of addresses (CIDR), or one address.
pub(crate) fn network(text: &str) -> Result<Network, Mismatch> {
    let expected = "a block of addresses such as `10.20.0.0/16`";
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let Ok(address) = address.parse::<IpAddr>() else { return mismatch(expected) };
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let decimal = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let prefix = match prefix {
        None => Some(bits),
        Some(prefix) => prefix.parse().ok().filter(|n| decimal(prefix) && *n <= bits),
    };
    let Some(prefix) = prefix else { return mismatch(expected) };
    let first = first_address(address, prefix);
    match first == address {
        true => Ok(Network { address, prefix }),
        false => mismatch_with(expected, format!("did you mean `{first}/{prefix}`?")),
    }
}

/// The address with all bits after the prefix at zero.
fn first_address(address: IpAddr, prefix: u8) -> IpAddr {
    let prefix = u32::from(prefix);
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or_default();
            Ipv4Addr::from(u32::from(v4) & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or_default();
            Ipv6Addr::from(u128::from(v6) & mask).into()
        }
    }
}

/// A share of calls: a percentage with at most two decimals.
pub(crate) fn share(text: &str) -> Result<Share, Mismatch> {
    let expected = "a percentage from `0%` to `100%` with at most two decimals, such as `12.5%`";
    let Some(number) = text.strip_suffix('%') else {
        let meant = share(&format!("{text}%")).is_ok();
        let hint = meant.then(|| format!("did you mean `{text}%`?"));
        return Err(Mismatch { expected: expected.to_owned(), hint });
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str, most| {
        (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
    };
    if !digits(whole, 3) || !digits(fraction, 2) {
        return mismatch(expected);
    }
    let hundredths = format!("{whole}{fraction:0<2}").parse().ok();
    hundredths
        .and_then(Share::from_hundredths)
        .ok_or_else(|| Mismatch { expected: expected.to_owned(), hint: None })
}

/// What local time is ahead of UTC, in minutes.
pub(crate) fn utc_offset(text: &str) -> Result<i32, Mismatch> {
    let read = || {
        let (sign, rest) = match text.split_at_checked(1)? {
            ("+", rest) => (1, rest),
            ("-", rest) => (-1, rest),
            _ => return None,
        };
        let (hours, minutes) = rest.split_once(':')?;
        let number = |text: &str| match text.as_bytes() {
            [b'0'..=b'9', b'0'..=b'9'] => text.parse::<i32>().ok(),
            _ => None,
        };
        let (hours, minutes) = (number(hours)?, number(minutes)?);
        let total = sign * (hours * 60 + minutes);
        (minutes < 60 && UTC_OFFSETS.contains(&total)).then_some(total)
    };
    let expected = "an offset such as `+07:00`, from `-12:00` to `+14:00`";
    read().ok_or_else(|| Mismatch { expected: expected.to_owned(), hint: None })
}

/// A metadata key that a caller can send as text (gRPC over HTTP/2).
pub(crate) fn metadata_key(text: &str) -> Result<String, Mismatch> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-.".contains(&b);
    let length = 1..=METADATA_KEY_BYTES_MAX;
    let named = length.contains(&text.len()) && text.bytes().all(allowed);
    if named && !text.ends_with("-bin") && !text.starts_with("grpc-") {
        return Ok(text.to_owned());
    }
    let expected = "a metadata key of small letters, digits, `_`, `-` and `.` that does not begin \
                    with `grpc-` or end with `-bin`";
    let small = text.to_ascii_lowercase();
    match small != text && metadata_key(&small).is_ok() {
        true => mismatch_with(expected, format!("did you mean `{small}`?")),
        false => mismatch(expected),
    }
}

/// The value of a metadata key that is text.
pub(crate) fn metadata_value(text: &str) -> Result<String, Mismatch> {
    let length = 1..=METADATA_VALUE_BYTES_MAX;
    let printable = text.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
    match length.contains(&text.len()) && printable && text.trim() == text {
        true => Ok(text.to_owned()),
        false => mismatch(format!(
            "1 to {METADATA_VALUE_BYTES_MAX} printable ASCII characters, no spaces around them"
        )),
    }
}

/// The name of a claim (RFC 7519), which some issuers write as a URL.
pub(crate) fn claim(text: &str) -> Result<String, Mismatch> {
    let printable = text.bytes().all(|b| b.is_ascii_graphic());
    match (1..=CLAIM_BYTES_MAX).contains(&text.len()) && printable {
        true => Ok(text.to_owned()),
        false => mismatch(format!(
            "the name of a claim: 1 to {CLAIM_BYTES_MAX} printable ASCII characters"
        )),
    }
}

/// The id of a Cedar policy.
pub(crate) fn policy_id(text: &str) -> Result<Box<str>, Mismatch> {
    match (1..=POLICY_ID_BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control) {
        true => Ok(text.into()),
        false => mismatch(format!("the id of a policy, at most {POLICY_ID_BYTES_MAX} bytes")),
    }
}

/// A field of an answer: a path such as `person.address.street`, or a class of fields.
pub(crate) fn field_name(text: &str) -> Result<String, Mismatch> {
    let part = |part: &str| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_-".contains(&b);
        !part.is_empty() && part.bytes().all(allowed)
    };
    // Dots within brackets belong to the name of a type; a dot before the path tells it from a
    // class.
    let mut is_within = false;
    let mut names = text.strip_prefix('.').unwrap_or(text).split(|letter| {
        is_within = letter == '[' || is_within && letter != ']';
        letter == '.' && !is_within
    });
    let name = |name: &str| match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        Some(of_type) => of_type.split('.').all(part),
        None => part(name),
    };
    match text.len() <= FIELD_BYTES_MAX && names.all(name) {
        true => Ok(text.to_owned()),
        false => mismatch(format!(
            "a field such as `person.full_name` or a class of fields, at most {FIELD_BYTES_MAX} \
             bytes"
        )),
    }
}

/// A name that a certificate can bear.
pub(crate) fn host_name(text: &str) -> Result<String, Mismatch> {
    match ServerName::try_from(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => mismatch("a DNS name or an IP address"),
    }
}

/// Where a witness listens.
pub(crate) fn prefix(text: &str) -> Result<Prefix, Mismatch> {
    text.parse().or_else(|error: tlog::prefix::PrefixError| {
        mismatch_with("a URL such as `http://giamsat.example.gov.vn:8480`", error.to_string())
    })
}

/// The name of a ledger (C2SP tlog-checkpoint): printed in every checkpoint and signature line.
pub(crate) fn origin(text: &str) -> Result<String, Mismatch> {
    let allowed = |c: char| !c.is_whitespace() && !c.is_control() && c != '+';
    match text.is_empty() || text.len() > ORIGIN_BYTES_MAX || !text.chars().all(allowed) {
        true => mismatch(format!(
            "a name such as `giaolien.example.gov.vn/gw1`, without spaces or `+`, of at most \
             {ORIGIN_BYTES_MAX} bytes"
        )),
        false => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use model::MemberId;

    use super::*;

    const SECONDS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(3600);

    #[test]
    fn durations_have_a_whole_number_and_a_unit() {
        for (text, millis) in [("250ms", 250), ("30s", 30_000), ("5m", 300_000), ("1h", 3_600_000)]
        {
            assert_eq!(duration(SECONDS)(text), Ok(Duration::from_millis(millis)));
        }
        let expected = || "a duration from 1ms to 1h".to_owned();
        let hint = |text: &str| duration(SECONDS)(text).unwrap_err().hint;
        for text in ["", "s", "-1s", "1.5h", "0s", "2h", "99999999999999999999s", "ơ"] {
            assert_eq!(duration(SECONDS)(text).unwrap_err().expected, expected());
        }
        assert_eq!(hint("30").unwrap(), "add a unit: `30s`");
        assert_eq!(hint("30 s").unwrap(), "the units are `ms`, `s`, `m`, `h` or `d`");
        assert_eq!(hint("18446744073709551615d"), None);
    }

    #[test]
    fn sizes_have_binary_units() {
        let size = size(1..=1 << 30);
        assert_eq!(size("16KiB"), Ok(16 << 10));
        assert_eq!(size("512B"), Ok(512));
        assert_eq!(size("16384").unwrap_err().hint.unwrap(), "add a unit: `16KiB`");
        let wrong = size("4MB").unwrap_err();
        assert_eq!(wrong.expected, "a size from 1B to 1GiB");
        assert_eq!(wrong.hint.unwrap(), "the units are `B`, `KiB`, `MiB` or `GiB`");
    }

    #[test]
    fn dates_are_days_in_vietnam() {
        let from = |text: &str| from_moment(text).unwrap().to_string();
        let until = |text: &str| until_moment(text).unwrap().to_string();
        assert_eq!(from("2026-01-01"), "2025-12-31T17:00:00Z");
        assert_eq!(until("2026-12-31"), "2026-12-31T17:00:00Z");
        assert_eq!(from("2026-01-31T08:00:00+07:00"), "2026-01-31T01:00:00Z");
        assert_eq!(until("2026-01-31T08:00:00Z"), "2026-01-31T08:00:00Z");
        let wrong =
            ["2026-02-30", "2026-1-1", "x", "", "2026-01-01T00:00", "1969-12-31", "9999-12-32"];
        for text in wrong {
            assert!(from_moment(text).is_err(), "{text}");
        }
        let hint = from_moment("31/01/2026").unwrap_err().hint;
        assert_eq!(hint.unwrap(), "did you mean `2026-01-31`?");
    }

    #[test]
    fn members_have_the_codes_of_their_kind() {
        let code = agency_code::<MemberId>;
        let good =
            ["G09", "H01.05.2A", "Z01", "Z99.ABC1", "0101234567", "0101234567001", "G09.05.1"];
        for text in good {
            assert_eq!(code(text).unwrap().as_str(), text);
        }
        let bad = ["", "g09", "G9", "G09.", "G09..1", "G09.a", "Z00", "Z1", "010123456", "AB1"];
        for text in bad {
            assert!(code(text).is_err(), "{text}");
        }
        assert!(code(&format!("G09.{}", "1".repeat(32))).is_err());
        assert_eq!(code("g09.05").unwrap_err().hint.unwrap(), "did you mean `G09.05`?");
    }

    #[test]
    fn endpoints_are_hosts_and_ports() {
        let shown = |text: &str| endpoint(text).map(|endpoint| endpoint.to_string());
        let good = ["dancu.example.gov.vn:50051", "10.0.0.1:1", "[::1]:50051"];
        for text in good {
            assert_eq!(shown(text).as_deref(), Ok(text));
        }
        let bad = ["", "x", "x:0", "x:65536", "x:", ":1", "::1:80", "https://x:1", "a b:1"];
        for text in bad {
            assert!(endpoint(text).is_err(), "{text}");
        }
    }

    #[test]
    fn networks_begin_at_their_first_address() {
        let shown = |text: &str| network(text).map(|n| format!("{}/{}", n.address, n.prefix));
        assert_eq!(shown("10.0.0.0/8").unwrap(), "10.0.0.0/8");
        assert_eq!(shown("0.0.0.0/0").unwrap(), "0.0.0.0/0");
        assert_eq!(shown("2001:db8::/32").unwrap(), "2001:db8::/32");
        assert_eq!(shown("::/0").unwrap(), "::/0");
        assert_eq!(shown("192.0.2.7").unwrap(), "192.0.2.7/32");
        assert_eq!(shown("10.1.2.3/8").unwrap_err().hint.unwrap(), "did you mean `10.0.0.0/8`?");
        for text in ["", "10.0.0.0/33", "10.0.0/8", "10.0.0.0/+8", "::/129", "10.0.0.0/", "x/8"] {
            assert!(network(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shares_have_at_most_two_decimals() {
        let hundredths = |text: &str| share(text).map(Share::hundredths);
        let good = [("0%", 0), ("5%", 500), ("12.5%", 1250), ("0.01%", 1), ("100.00%", 10_000)];
        for (text, expected) in good {
            assert_eq!(hundredths(text), Ok(expected), "{text}");
        }
        assert_eq!(share("12.5").unwrap_err().hint.unwrap(), "did you mean `12.5%`?");
        for text in ["", "%", "100.01%", "101%", "1.234%", "-1%", ".5%", "5.%", "5 %", "1e1%"] {
            assert!(share(text).is_err(), "{text}");
        }
    }

    #[test]
    fn offsets_have_a_sign_and_two_digits_each() {
        assert_eq!(utc_offset("+07:00"), Ok(420));
        assert_eq!(utc_offset("-03:30"), Ok(-210));
        for text in ["", "07:00", "+7:00", "+0700", "+07:60", "+14:01", "-12:01", "ơ7:00"] {
            assert!(utc_offset(text).is_err(), "{text}");
        }
    }

    #[test]
    fn metadata_is_what_callers_can_send() {
        assert!(metadata_key("x-canary").is_ok());
        assert_eq!(metadata_key("X-A").unwrap_err().hint.unwrap(), "did you mean `x-a`?");
        for text in ["", "a b", "x-bin", "grpc-timeout", ":path", "ơ"] {
            assert!(metadata_key(text).is_err(), "{text}");
        }
        assert!(metadata_value("new version").is_ok());
        for text in ["", " x", "ơ", "a\tb"] {
            assert!(metadata_value(text).is_err(), "{text}");
        }
    }

    #[test]
    fn origins_have_no_spaces_or_plus_signs() {
        assert!(origin("giaolien.example.gov.vn/gw1").is_ok());
        for text in ["", "a b", "a+b", "a\u{a0}b"] {
            assert!(origin(text).is_err(), "{text}");
        }
    }

    #[test]
    fn service_and_method_names_are_those_of_protobuf() {
        assert!(service_name("vn.population.v1.PopulationService").is_ok());
        for text in ["PopulationService", "vn..X", "/vn.X", "vn.1X", "vn.X/Y"] {
            assert!(service_name(text).is_err(), "{text}");
        }
        assert!(method_name("VerifyPerson").is_ok());
        assert!(method_name("a.b").is_err());
    }
}
