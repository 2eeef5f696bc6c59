//! The head of a call: what the caller states, and what goes on to the node and back.

use std::str::FromStr;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Uri, Version};
use model::{MethodPath, Reason, Refusal, Terms};

use crate::account::Account;
use crate::respond;
use crate::upstream::Connection;
use policy::{MEMBERS_MAX, Route};

pub(crate) const EXCHANGE_ID: HeaderName = HeaderName::from_static("exchange-id");
pub(crate) const EXCHANGE_RECEIPT: HeaderName = HeaderName::from_static("exchange-receipt-bin");
pub(crate) const EXCHANGE_SALT: HeaderName = HeaderName::from_static("exchange-salt-bin");
pub(crate) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
pub(crate) const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
pub(crate) const EXCHANGE_AGREEMENT: HeaderName = HeaderName::from_static("exchange-agreement");
pub(crate) const EXCHANGE_DOSSIER: HeaderName = HeaderName::from_static("exchange-dossier");
pub(crate) const EXCHANGE_FIELDS: HeaderName = HeaderName::from_static("exchange-fields");
pub(crate) const EXCHANGE_MEMBER: HeaderName = HeaderName::from_static("exchange-member");
pub(crate) const EXCHANGE_PROCEDURE: HeaderName = HeaderName::from_static("exchange-procedure");
pub(crate) const EXCHANGE_PURPOSE: HeaderName = HeaderName::from_static("exchange-purpose");
pub(crate) const EXCHANGE_SYSTEM: HeaderName = HeaderName::from_static("exchange-system");
const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Names that only the gateway may speak under, towards nodes and towards consumers.
const VOUCHED: [HeaderName; 10] = [
    EXCHANGE_ID,
    EXCHANGE_RECEIPT,
    EXCHANGE_SALT,
    EXCHANGE_AGREEMENT,
    EXCHANGE_DOSSIER,
    EXCHANGE_FIELDS,
    EXCHANGE_MEMBER,
    EXCHANGE_PROCEDURE,
    EXCHANGE_PURPOSE,
    EXCHANGE_SYSTEM,
];

/// Longest dossier or procedure, in bytes.
const CASE_BYTES_MAX: usize = 128;
/// Longest name of a field that a caller asks for, in bytes.
const FIELD_BYTES_MAX: usize = 128;

/// A well-formed gRPC call: where to, and what the caller states about it.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) path: MethodPath<'a>,
    pub(crate) terms: Terms,
    /// The time the caller allows.
    pub(crate) timeout: Option<Duration>,
}

impl<'a> Call<'a> {
    /// Reads the head of a request, which may have `bytes_max` bytes.
    pub(crate) fn parse(head: &'a Parts, bytes_max: u32) -> Result<Self, Refusal> {
        let headers = &head.headers;
        if size(headers) > bytes_max as usize {
            let expected = format!("at most {bytes_max} bytes");
            return Err(malformed("metadata", &expected));
        }
        if head.method != Method::POST {
            return Err(malformed("method", "POST"));
        }
        if !headers.get(CONTENT_TYPE).is_some_and(is_grpc) {
            return Err(malformed("content-type", "application/grpc"));
        }
        let path = MethodPath::parse(head.uri.path())
            .ok_or_else(|| malformed("path", "/package.Service/Method"))?;
        let terms = Terms {
            purpose: id(headers, &EXCHANGE_PURPOSE)?,
            dossier: case(headers, &EXCHANGE_DOSSIER)?,
            procedure: case(headers, &EXCHANGE_PROCEDURE)?,
            agreement: id(headers, &EXCHANGE_AGREEMENT)?,
            fields: fields(headers)?,
        };
        let timeout = match text(headers, &GRPC_TIMEOUT)? {
            Some(text) => Some(parse_timeout(text).ok_or_else(|| {
                malformed("grpc-timeout", "one to eight digits and a unit of HMSmun")
            })?),
            None => None,
        };
        Ok(Self { path, terms, timeout })
    }
}

/// The metadata that goes on to a node: the caller's, without what only the gateway may say.
/// `is_read` says that answers are read on the way.
pub(crate) fn metadata(
    asked: &HeaderMap,
    route: &Route<'_>,
    account: &Account,
    is_read: bool,
) -> Result<HeaderMap, Refusal> {
    let mut headers = asked.clone();
    VOUCHED.iter().for_each(|name| drop(headers.remove(name)));
    headers.remove(HOST);
    if is_read {
        // Without it answers come uncompressed.
        headers.remove(GRPC_ACCEPT_ENCODING);
    }
    if !route.limits.pass_authorization {
        headers.remove(AUTHORIZATION);
    }
    headers.insert(EXCHANGE_ID, account.exchange_value());
    headers.insert(EXCHANGE_SALT, respond::binary(&account.salt().0));
    for (name, text) in account.vouched() {
        headers.insert(name, value(text)?);
    }
    if let Some(fields) = asked.get(EXCHANGE_FIELDS) {
        headers.insert(EXCHANGE_FIELDS, fields.clone());
    }
    Ok(headers)
}

/// The head that goes on to a node on `connection`, where so much time is left.
pub(crate) fn upstream(
    mut headers: HeaderMap,
    path: &str,
    connection: &Connection,
    remaining: Duration,
) -> Result<Request<()>, Refusal> {
    let remaining = value(&format_timeout(remaining))?;
    headers.insert(GRPC_TIMEOUT, respond::never_again(remaining));
    let uri = Uri::builder()
        .scheme("https")
        .authority(&*connection.authority)
        .path_and_query(path)
        .build()
        .map_err(|error| Refusal::new(Reason::UpstreamUnreachable).because(error))?;
    let mut head = Request::new(());
    *head.method_mut() = Method::POST;
    *head.version_mut() = Version::HTTP_2;
    *head.uri_mut() = uri;
    *head.headers_mut() = headers;
    Ok(head)
}

/// Removes from a node's answer what only the gateway may say.
pub(crate) fn strip_vouched(headers: &mut HeaderMap) {
    VOUCHED.iter().for_each(|name| drop(headers.remove(name)));
}

/// Whether a content type is gRPC: `application/grpc`, perhaps with `+proto` or parameters.
pub(crate) fn is_grpc(value: &HeaderValue) -> bool {
    let rest = value.as_bytes().strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// Whether a content type is gRPC with protobuf, which can be read on the way: what another form
/// means nobody here knows.
pub(crate) fn is_protobuf(value: &HeaderValue) -> bool {
    let Some(rest) = value.as_bytes().strip_prefix(b"application/grpc") else { return false };
    let rest = rest.strip_prefix(b"+proto").unwrap_or(rest);
    matches!(rest.first(), None | Some(b';'))
}

/// Leaves of a node's metadata only what says how the call ended: an agreement on fields is on
/// nothing else, and metadata has no fields that could be agreed.
pub(crate) fn keep_status_alone(headers: &mut HeaderMap) {
    const KEPT: [HeaderName; 3] = [CONTENT_TYPE, GRPC_STATUS, GRPC_MESSAGE];
    let all: Vec<HeaderName> = headers.keys().cloned().collect();
    for name in all.into_iter().filter(|name| !KEPT.contains(name)) {
        headers.remove(name);
    }
}

/// The status number in `headers`, if there is one.
pub(crate) fn grpc_status(headers: &HeaderMap) -> Option<u32> {
    headers.get(GRPC_STATUS)?.to_str().ok()?.parse().ok()
}

/// Size of a header block as HTTP/2 counts it (RFC 9113, 6.5.2).
fn size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum()
}

fn malformed(key: &str, expected: &str) -> Refusal {
    Refusal::new(Reason::Malformed).with("part", key).with("expected", expected)
}

fn value(text: &str) -> Result<HeaderValue, Refusal> {
    HeaderValue::from_str(text).map_err(|_| malformed("metadata", "visible ASCII"))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(malformed(name.as_str(), "at most one value"));
    }
    first.to_str().map(Some).map_err(|_| malformed(name.as_str(), "visible ASCII"))
}

fn id<T: FromStr<Err = model::IdError>>(
    headers: &HeaderMap,
    name: &HeaderName,
) -> Result<Option<T>, Refusal> {
    let Some(text) = text(headers, name)? else { return Ok(None) };
    text.parse()
        .map(Some)
        .map_err(|error| Refusal::new(Reason::Malformed).with("part", name).with("problem", error))
}

fn case(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Box<str>>, Refusal> {
    match text(headers, name)? {
        None | Some("") => Ok(None),
        Some(text) if text.len() > CASE_BYTES_MAX => {
            Err(malformed(name.as_str(), "at most 128 bytes"))
        }
        Some(text) => Ok(Some(text.into())),
    }
}

/// Names of fields, separated by commas.
fn fields(headers: &HeaderMap) -> Result<Box<[Box<str>]>, Refusal> {
    let names = text(headers, &EXCHANGE_FIELDS)?.unwrap_or_default();
    if names.is_empty() {
        return Ok(Box::default());
    }
    let is_name = |name: &str| {
        (1..=FIELD_BYTES_MAX).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic())
    };
    let names: Box<[&str]> = names.split(',').map(str::trim_ascii).take(MEMBERS_MAX + 1).collect();
    if names.len() > MEMBERS_MAX || !names.iter().all(|name| is_name(name)) {
        let expected = format!(
            "1 to {MEMBERS_MAX} names of at most {FIELD_BYTES_MAX} bytes, separated by commas"
        );
        return Err(malformed(EXCHANGE_FIELDS.as_str(), &expected));
    }
    Ok(names.iter().map(|name| Box::from(*name)).collect())
}

fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(amount * 3600),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    })
}

/// The finest unit in which the time fits into eight digits.
fn format_timeout(time: Duration) -> String {
    const DIGITS_MAX: u128 = 99_999_999;
    let nanos = time.as_nanos();
    for (unit, nanos_each) in [("n", 1), ("u", 1_000), ("m", 1_000_000), ("S", 1_000_000_000)] {
        if nanos / nanos_each <= DIGITS_MAX {
            return format!("{}{unit}", nanos / nanos_each);
        }
    }
    format!("{}H", (nanos / 3_600_000_000_000).min(DIGITS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_follow_the_protocol() {
        let check = |text, expected| assert_eq!(parse_timeout(text), expected, "{text}");
        check("1H", Some(Duration::from_secs(3600)));
        check("99999999n", Some(Duration::from_nanos(99_999_999)));
        check("250m", Some(Duration::from_millis(250)));
        for bad in ["", "m", "1", "1x", "-1S", "+1S", "123456789S", "1 S", "1é"] {
            check(bad, None);
        }
    }

    #[test]
    fn a_timeout_is_passed_on_as_exactly_as_eight_digits_allow() {
        let check = |time, expected: &str| {
            assert_eq!(format_timeout(time), expected);
            assert!(parse_timeout(expected).is_some());
        };
        check(Duration::ZERO, "0n");
        check(Duration::from_millis(99), "99000000n");
        check(Duration::from_millis(100), "100000u");
        check(Duration::from_secs(3600), "3600000m");
        check(Duration::from_secs(365 * 24 * 3600), "31536000S");
        check(Duration::from_secs(100_000_000), "27777H");
    }

    #[test]
    fn fields_are_bounded() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(EXCHANGE_FIELDS, text.parse().unwrap());
            fields(&headers).map(|names| names.len())
        };
        let names = |count| vec!["x".repeat(128); count].join(",");
        assert_eq!(read(""), Ok(0));
        assert_eq!(read("name, birth_date,address.commune"), Ok(3));
        assert_eq!(read(&names(64)), Ok(64));
        let bad = [",", "a,,b", "a b", &names(65), &"x".repeat(129)];
        assert!(bad.iter().all(|text| read(text).is_err_and(|e| e.reason() == Reason::Malformed)));
    }

    #[test]
    fn content_types_of_grpc() {
        let check = |text, expected| assert_eq!(is_grpc(&HeaderValue::from_static(text)), expected);
        check("application/grpc", true);
        check("application/grpc+proto", true);
        check("application/grpc;charset=utf-8", true);
        check("application/grpc-web", false);
        check("application/json", false);
    }

    #[test]
    fn only_protobuf_is_read_on_the_way() {
        let check = |text, expected| {
            assert_eq!(is_protobuf(&HeaderValue::from_static(text)), expected, "{text}");
        };
        check("application/grpc", true);
        check("application/grpc+proto", true);
        check("application/grpc+proto;charset=utf-8", true);
        check("application/grpc+json", false);
        check("application/grpc+protox", false);
    }
}
