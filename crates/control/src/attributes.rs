//! Reads `attributes`: what policies may ask of an object beside what the registry says anyway.

use cedar::Datum;
use policy::source::Attributes;

use crate::fields::{Fields, unexpected};
use crate::problem::{Report, quoted};
use crate::yaml::{Entry, Node, Value};

/// Most attributes of one object.
const ATTRIBUTES_MAX: usize = 64;
/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// Longest text, in bytes.
const TEXT_BYTES_MAX: usize = 1024;
/// Most values of one list.
const VALUES_MAX: usize = 256;
/// Names that Cedar keeps for itself.
const RESERVED: [&str; 9] = ["true", "false", "if", "then", "else", "in", "is", "like", "has"];
const TYPES: [&str; 4] = ["ip", "datetime", "decimal", "duration"];
const EXPECTED: &str = "`true`, `false`, a whole number, text, a list of those, or a mapping with \
                        one of `ip`, `datetime`, `decimal` or `duration`";

/// Reads a mapping of names to values.
pub(crate) fn attributes(node: &Node<'_>, report: &mut Report) -> Option<Attributes> {
    let Value::Map(entries) = &node.value else {
        unexpected(node, "a mapping of names to values", report);
        return None;
    };
    if entries.len() > ATTRIBUTES_MAX {
        let found = format!("{} attributes", entries.len());
        report.add(node.at, found, format!("at most {ATTRIBUTES_MAX}"), None);
        return None;
    }
    // Every value is read before any is missed, so that one pass finds all problems.
    let read: Vec<_> = entries
        .iter()
        .map(|entry| {
            let value = value(&entry.value, report);
            Some((name(entry, report)?, value?))
        })
        .collect();
    read.into_iter().collect()
}

fn name(entry: &Entry<'_>, report: &mut Report) -> Option<Box<str>> {
    let name = &*entry.key;
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    let identifier =
        name.starts_with(letter) && name.chars().all(|c| letter(c) || c.is_ascii_digit());
    let kept = RESERVED.contains(&name) || name.starts_with("__cedar");
    if identifier && !kept && name.len() <= NAME_BYTES_MAX {
        return Some(name.into());
    }
    let expected = format!(
        "a name of letters, digits and `_` that policies can use, at most {NAME_BYTES_MAX} bytes"
    );
    let hint = kept.then(|| "Cedar keeps this word for itself".to_owned());
    report.add(entry.at, quoted(name), expected, hint);
    None
}

fn value(node: &Node<'_>, report: &mut Report) -> Option<Datum> {
    let Value::List(items) = &node.value else { return single(node, report) };
    if items.len() > VALUES_MAX {
        let found = format!("a list of {} values", items.len());
        report.add(node.at, found, format!("at most {VALUES_MAX}"), None);
        return None;
    }
    let values: Vec<Option<Datum>> = items.iter().map(|item| single(item, report)).collect();
    values.into_iter().collect::<Option<_>>().map(Datum::Set)
}

fn single(node: &Node<'_>, report: &mut Report) -> Option<Datum> {
    match &node.value {
        Value::Scalar(text) if node.quoted => self::text(node, text, report),
        Value::Scalar(text) => plain(node, text, report),
        Value::Map(_) => typed(node, report),
        _ => {
            unexpected(node, EXPECTED, report);
            None
        }
    }
}

/// Text without quotes. What another reader of YAML would take for something else than this one
/// does is refused, rather than guessed.
fn plain(node: &Node<'_>, written: &str, report: &mut Report) -> Option<Datum> {
    let numeric = written.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'));
    let hint = match written {
        "true" => return Some(Datum::Bool(true)),
        "false" => return Some(Datum::Bool(false)),
        // Only the one way of writing each number: `0101234567` may well be a code.
        _ if numeric && written.parse::<i64>().is_ok_and(|n| n.to_string() == written) => {
            return written.parse().ok().map(Datum::Long);
        }
        _ if is_boolean_elsewhere(written) => "write `true` or `false`, or put text in quotes",
        _ if numeric && written.parse::<i64>().is_ok() => {
            "put a code in quotes, write a number without leading zeros"
        }
        _ if numeric && written.parse::<f64>().is_ok() => {
            return float(node, written, report);
        }
        _ => return text(node, written, report),
    };
    report.add(node.at, quoted(written), EXPECTED, Some(hint.to_owned()));
    None
}

fn float<T>(node: &Node<'_>, written: &str, report: &mut Report) -> Option<T> {
    let hint = match written.parse::<cedar::Decimal>() {
        Ok(_) => format!("write `{{decimal: {written}}}`, or put text in quotes"),
        Err(_) => "whole numbers have 64 bits, others are written as `{decimal: 1.5}`".to_owned(),
    };
    report.add(node.at, quoted(written), EXPECTED, Some(hint));
    None
}

/// What YAML 1.1 takes for `true` or `false`.
fn is_boolean_elsewhere(text: &str) -> bool {
    let words = ["yes", "no", "on", "off", "true", "false"];
    words.iter().any(|word| text.eq_ignore_ascii_case(word))
}

fn text(node: &Node<'_>, text: &str, report: &mut Report) -> Option<Datum> {
    if text.len() > TEXT_BYTES_MAX {
        let expected = format!("text of at most {TEXT_BYTES_MAX} bytes");
        report.add(node.at, quoted(text), expected, None);
        return None;
    }
    Some(Datum::String(text.into()))
}

/// `{ip: 10.0.0.0/8}` and the like.
fn typed(node: &Node<'_>, report: &mut Report) -> Option<Datum> {
    let fields = Fields::of(node, &TYPES, report)?;
    let mut given = TYPES.iter().filter_map(|kind| Some((*kind, fields.get(kind)?)));
    let (Some((kind, node)), None) = (given.next(), given.next()) else {
        report.add(fields.at(), "a mapping of another number of types", EXPECTED, None);
        return None;
    };
    let Value::Scalar(text) = &node.value else {
        unexpected(node, "a single value", report);
        return None;
    };
    let (datum, expected) = match kind {
        "ip" => (text.parse().ok().map(Datum::Ip), "an IP address or a block such as `10.0.0.0/8`"),
        "datetime" => (
            cedar::parse_datetime(text).map(Datum::Datetime),
            "a date such as `2026-01-31`, or a time such as `2026-01-31T08:00:00+0700`",
        ),
        "decimal" => (
            text.parse().ok().map(Datum::Decimal),
            "digits around a point, at most four after it, such as `12.34`",
        ),
        _ => (
            cedar::parse_duration(text).map(Datum::Duration),
            "a duration such as `250ms`, `30s` or `1d2h`",
        ),
    };
    if datum.is_none() {
        report.add(node.at, quoted(text), expected, None);
    }
    datum
}
