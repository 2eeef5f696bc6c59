//! Reads `agreements/` and `routes.yaml`.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use model::{AgreementId, Timestamp};
use policy::source::{Agreement, Consumer, Methods, Mode, Quota, RouteRule, State};

use crate::draft::{Decoded, Draft};
use crate::fields::{Fields, items, list, located, scalar, some};
use crate::gateway::LONG;
use crate::problem::Report;
use crate::scalar::{
    boolean, count, duration, from_moment, identifier, method_name, service_name, text,
    until_moment, word,
};
use crate::yaml::{Node, Value};

const AGREEMENT_KEYS: [&str; 12] = [
    "id",
    "consumer",
    "node",
    "service",
    "methods",
    "purposes",
    "legal_basis",
    "mode",
    "state",
    "valid_from",
    "valid_until",
    "quota",
];
const CONSUMER_KEYS: [&str; 2] = ["member", "system"];
const QUOTA_KEYS: [&str; 3] = ["calls", "per", "burst"];
const ROUTE_KEYS: [&str; 4] = ["service", "method", "deadline_max", "pass_authorization"];
const MODES: [(&str, Mode); 2] =
    [("by_default", Mode::ByDefault), ("by_agreement", Mode::ByAgreement)];
const STATES: [(&str, State); 4] = [
    ("draft", State::Draft),
    ("active", State::Active),
    ("suspended", State::Suspended),
    ("ended", State::Ended),
];
/// What stands for every method of a service.
const ALL_METHODS: &str = "all";

const CALLS: RangeInclusive<u32> = 1..=u32::MAX;
const PERIOD: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(366 * 24);

/// Reads the root of a file of agreements.
pub(crate) fn agreements(root: &Node<'_>, draft: &mut Draft, report: &mut Report) {
    let Some(fields) = Fields::of(root, &["agreements"], report) else { return };
    if let Some(agreements) = fields.get("agreements") {
        draft.agreements.extend(agreements, report, agreement);
    }
}

fn agreement(item: &Node<'_>, report: &mut Report) -> Decoded<AgreementId, Agreement> {
    let Some(fields) = Fields::of(item, &AGREEMENT_KEYS, report) else { return Decoded::NOTHING };
    let id = fields.required("id", located(scalar(identifier)), report);
    let consumer = fields.required("consumer", consumer, report);
    let node = fields.required("node", scalar(identifier), report);
    let service = fields.required("service", scalar(service_name), report);
    let methods = fields.required("methods", methods, report);
    let purposes = fields.required("purposes", some(scalar(identifier)), report);
    let legal_basis = fields.required("legal_basis", scalar(text), report);
    let mode = fields.required("mode", scalar(word(&MODES)), report);
    let state = fields.required("state", scalar(word(&STATES)), report);
    let (valid_from, valid_until) = validity(&fields, report);
    let quota = fields.optional("quota", list(quota), report);
    // What no reference depends on has a stand-in, so that references are checked all the same.
    let object = || {
        Some(Agreement {
            id: id.as_ref().map(|(_, id): &(_, AgreementId)| id.clone())?,
            consumer: consumer?,
            node: node?,
            service: service?,
            methods: methods?,
            purposes: purposes?,
            legal_basis: legal_basis.unwrap_or_default(),
            mode: mode.unwrap_or(Mode::ByAgreement),
            valid_from,
            valid_until,
            state: state.unwrap_or(State::Draft),
            quota: quota.unwrap_or_default(),
        })
    };
    let object = object();
    Decoded { id, object }
}

/// From when until when. Stands in with all time for what could not be read.
fn validity(fields: &Fields<'_, '_>, report: &mut Report) -> (Timestamp, Timestamp) {
    let from = fields.required("valid_from", scalar(from_moment), report);
    let until = fields.required("valid_until", located(scalar(until_moment)), report);
    match (from, until) {
        (Some(from), Some((at, until))) if until <= from => {
            report.add(at, "an end before the start", "a time after `valid_from`", None);
            (Timestamp::default(), Timestamp::MAX)
        }
        (from, until) => {
            let until = until.map(|(_, until)| until);
            (from.unwrap_or_default(), until.unwrap_or(Timestamp::MAX))
        }
    }
}

fn consumer(node: &Node<'_>, report: &mut Report) -> Option<Consumer> {
    let fields = Fields::of(node, &CONSUMER_KEYS, report)?;
    match (fields.get("member"), fields.get("system")) {
        (Some(member), None) => scalar(identifier)(member, report).map(Consumer::Member),
        (None, Some(system)) => scalar(identifier)(system, report).map(Consumer::System),
        (Some(_), Some(_)) => {
            report.add(fields.at(), "both `member` and `system`", "one of them", None);
            None
        }
        (None, None) => {
            report.add(fields.at(), "neither `member` nor `system`", "one of them", None);
            None
        }
    }
}

fn methods(node: &Node<'_>, report: &mut Report) -> Option<Methods> {
    match &node.value {
        Value::List(_) => some(scalar(method_name))(node, report).map(Methods::Named),
        Value::Scalar(text) if text == ALL_METHODS => Some(Methods::All),
        _ => {
            let expected = "`all`, or a list of method names";
            crate::fields::unexpected(node, expected, report);
            None
        }
    }
}

fn quota(node: &Node<'_>, report: &mut Report) -> Option<Quota> {
    let fields = Fields::of(node, &QUOTA_KEYS, report)?;
    let calls = fields.required("calls", scalar(count(CALLS)), report);
    let period = fields.required("per", scalar(duration(PERIOD)), report);
    let burst = match fields.get("burst") {
        Some(node) => scalar(count(CALLS))(node, report),
        None => calls,
    };
    Some(Quota { calls: calls?, period: period?, burst: burst? })
}

/// Reads the root of `routes.yaml`.
pub(crate) fn routes(root: &Node<'_>, draft: &mut Draft, report: &mut Report) {
    let Some(fields) = Fields::of(root, &["routes"], report) else { return };
    let Some(list) = fields.get("routes").and_then(|list| items(list, report)) else { return };
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
    let method = match method {
        Some(read) => Some(read?),
        None => None,
    };
    Some(RouteRule { service: service?, method, deadline_max, pass_authorization })
}
