//! Reads `routes.yaml`: what differs from the default for a service or a method.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use policy::source::{RouteRule, Shadow, Share, Split};

use crate::draft::Draft;
use crate::fields::{Fields, at_most, items, list, scalar};
use crate::gateway::LONG;
use crate::problem::Report;
use crate::scalar::{
    boolean, count, duration, identifier, metadata_key, metadata_value, method_name, service_name,
    share, size,
};
use crate::yaml::Node;

const ROUTE_KEYS: [&str; 9] = [
    "service",
    "method",
    "deadline_max",
    "pass_authorization",
    "retries_max",
    "request_bytes_max",
    "answer_bytes_max",
    "splits",
    "shadow",
];
const SPLIT_KEYS: [&str; 5] = ["node", "member", "zone", "header", "share"];
const SHADOW_KEYS: [&str; 2] = ["node", "share"];
const HEADER_KEYS: [&str; 2] = ["name", "value"];

/// Most rules.
const RULES_MAX: usize = 10_000;
/// Most splits of a rule. They are tried one after the other.
const SPLITS_MAX: usize = 32;
const RETRIES: RangeInclusive<u8> = 0..=10;
const MESSAGE_BYTES: RangeInclusive<u64> = 1..=1 << 40;

/// Reads the root of `routes.yaml`.
pub(crate) fn routes(root: &Node<'_>, draft: &mut Draft, report: &mut Report) {
    let Some(fields) = Fields::of(root, &["routes"], report) else { return };
    let Some(list) = fields.get("routes").and_then(|list| items(list, report)) else { return };
    if list.len() > RULES_MAX {
        let found = format!("a list of {} rules", list.len());
        report.add(fields.at(), found, format!("at most {RULES_MAX}"), None);
        return;
    }
    let mut ruled = HashSet::new();
    for (item, number) in list.iter().zip(0..) {
        let Some(rule) = route(item, report) else { continue };
        if !ruled.insert((rule.service.clone(), rule.method.clone())) {
            let expected = "one rule for each service or method";
            report.add(item.at, "a second rule for the same calls", expected, None);
            continue;
        }
        draft.add_route(item.at, number, rule, report);
    }
}

fn route(item: &Node<'_>, report: &mut Report) -> Option<RouteRule> {
    let fields = Fields::of(item, &ROUTE_KEYS, report)?;
    let service = fields.required("service", scalar(service_name), report);
    let method = fields.get("method").map(|node| scalar(method_name)(node, report));
    let deadline_max = fields.optional("deadline_max", scalar(duration(LONG)), report);
    let pass_authorization = fields.optional("pass_authorization", scalar(boolean), report);
    let retries_max = fields.optional("retries_max", scalar(count(RETRIES)), report);
    let bytes = || scalar(size(MESSAGE_BYTES));
    let request_bytes_max = fields.optional("request_bytes_max", bytes(), report);
    let answer_bytes_max = fields.optional("answer_bytes_max", bytes(), report);
    let splits = fields.optional("splits", at_most(SPLITS_MAX, list(split)), report);
    let shadow = fields.optional("shadow", shadow, report);
    let method = match method {
        Some(read) => Some(read?),
        None => None,
    };
    Some(RouteRule {
        service: service?,
        method,
        deadline_max,
        pass_authorization,
        retries_max,
        request_bytes_max,
        answer_bytes_max,
        splits: splits.unwrap_or_default(),
        shadow,
    })
}

fn split(node: &Node<'_>, report: &mut Report) -> Option<Split> {
    let fields = Fields::of(node, &SPLIT_KEYS, report)?;
    let conditions = ["member", "zone", "header", "share"];
    if conditions.iter().all(|key| fields.get(key).is_none()) {
        let found = "a split that takes every call";
        let expected = "one of `member`, `zone`, `header` or `share`";
        let hint = "`share: 100%` says that every call is meant".to_owned();
        report.add(fields.at(), found, expected, Some(hint));
        return None;
    }
    let to = fields.required("node", scalar(identifier), report);
    // A condition that could not be read must not fall away: the split would take more calls.
    let member = condition(&fields, "member", scalar(identifier), report);
    let zone = condition(&fields, "zone", scalar(identifier), report);
    let header = condition(&fields, "header", header, report);
    let share = condition(&fields, "share", scalar(share), report);
    Some(Split { node: to?, member: member?, zone: zone?, header: header?, share: share? })
}

/// Reads an optional field; the outer `None` if it is there and could not be read.
fn condition<T>(
    fields: &Fields<'_, '_>,
    key: &str,
    read: impl Fn(&Node<'_>, &mut Report) -> Option<T>,
    report: &mut Report,
) -> Option<Option<T>> {
    match fields.get(key) {
        Some(node) => read(node, report).map(Some),
        None => Some(None),
    }
}

fn header(node: &Node<'_>, report: &mut Report) -> Option<(String, String)> {
    let fields = Fields::of(node, &HEADER_KEYS, report)?;
    let name = fields.required("name", scalar(metadata_key), report);
    let value = fields.required("value", scalar(metadata_value), report);
    Some((name?, value?))
}

fn shadow(node: &Node<'_>, report: &mut Report) -> Option<Shadow> {
    let fields = Fields::of(node, &SHADOW_KEYS, report)?;
    let to = fields.required("node", scalar(identifier), report);
    let share = match fields.get("share") {
        Some(node) => scalar(share)(node, report),
        None => Some(Share::ALL),
    };
    Some(Shadow { node: to?, share: share? })
}
