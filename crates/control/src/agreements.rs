//! Reads `agreements/`.

use std::ops::RangeInclusive;
use std::time::Duration;

use model::{AgreementId, Timestamp};
use policy::source::{
    Agreement, Consumer, Fields as Covered, Methods, Mode, Quota, State, SubjectBudget,
};

use crate::draft::{Decoded, Draft};
use crate::fields::{Fields, at_most, list, located, scalar, some, unexpected};
use crate::problem::Report;
use crate::scalar::{
    count, duration, field_name, from_moment, identifier, method_name, service_name, text,
    until_moment, word,
};
use crate::yaml::{Node, Value};

const AGREEMENT_KEYS: [&str; 15] = [
    "id",
    "consumer",
    "node",
    "service",
    "methods",
    "fields",
    "request_fields",
    "purposes",
    "legal_basis",
    "mode",
    "state",
    "valid_from",
    "valid_until",
    "quota",
    "subjects",
];
const CONSUMER_KEYS: [&str; 3] = ["member", "system", "class"];
const QUOTA_KEYS: [&str; 3] = ["calls", "per", "burst"];
const SUBJECT_KEYS: [&str; 2] = ["hour_max", "day_max"];
const MODES: [(&str, Mode); 2] =
    [("by_default", Mode::ByDefault), ("by_agreement", Mode::ByAgreement)];
const STATES: [(&str, State); 4] = [
    ("draft", State::Draft),
    ("active", State::Active),
    ("suspended", State::Suspended),
    ("ended", State::Ended),
];
/// What stands for every method of a service, and for every field of an answer.
const ALL: &str = "all";

/// Most methods of an agreement.
const METHODS_MAX: usize = 4096;
/// Most purposes of an agreement.
const PURPOSES_MAX: usize = 256;
/// Most fields of an agreement.
const FIELDS_MAX: usize = 1024;
/// Most bounds on the calls of an agreement.
const QUOTAS_MAX: usize = 16;
const CALLS: RangeInclusive<u32> = 1..=u32::MAX;
const PERIOD: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(366 * 24);

/// Reads the root of a file of agreements.
pub(crate) fn agreements(root: &Node<'_>, draft: &mut Draft, report: &mut Report) {
    let Some(fields) = Fields::of(root, &["agreements"], report) else { return };
    if let Some(agreements) = fields.get("agreements") {
        let Draft { agreements: table, digests, .. } = draft;
        table.extend(agreements, report, |item, report| {
            let decoded = agreement(item, report);
            let id = decoded.id.as_ref().map(|(_, id)| id.clone());
            digests.extend(id.map(|id| (id, item.digest())));
            decoded
        });
    }
}

fn agreement(item: &Node<'_>, report: &mut Report) -> Decoded<AgreementId, Agreement> {
    let Some(fields) = Fields::of(item, &AGREEMENT_KEYS, report) else { return Decoded::NOTHING };
    let id = fields.required("id", located(scalar(identifier)), report);
    let consumer = fields.required("consumer", consumer, report);
    let node = fields.required("node", scalar(identifier), report);
    let service = fields.required("service", scalar(service_name), report);
    let methods = fields.required("methods", methods, report);
    let answered = fields.optional("fields", covered, report);
    let requested = fields.optional("request_fields", covered, report);
    let purposes = at_most(PURPOSES_MAX, some(scalar(identifier)));
    let purposes = fields.required("purposes", purposes, report);
    let legal_basis = fields.required("legal_basis", scalar(text), report);
    let mode = fields.required("mode", scalar(word(&MODES)), report);
    let state = fields.required("state", scalar(word(&STATES)), report);
    let (valid_from, valid_until) = validity(&fields, report);
    let quota = fields.optional("quota", at_most(QUOTAS_MAX, list(quota)), report);
    let subjects = fields.optional("subjects", subjects, report);
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
            fields: answered.unwrap_or_default(),
            request_fields: requested.unwrap_or_default(),
            quota: quota.unwrap_or_default(),
            subjects,
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
    match (fields.get("member"), fields.get("system"), fields.get("class")) {
        (Some(member), None, None) => scalar(identifier)(member, report).map(Consumer::Member),
        (None, Some(system), None) => scalar(identifier)(system, report).map(Consumer::System),
        (None, None, Some(class)) => scalar(identifier)(class, report).map(Consumer::Class),
        (None, None, None) => {
            let found = "neither `member`, `system` nor `class`";
            report.add(fields.at(), found, "one of them", None);
            None
        }
        (member, system, _) => {
            let found = match (member, system) {
                (Some(_), Some(_)) => "both `member` and `system`",
                (Some(_), None) => "both `member` and `class`",
                (None, _) => "both `system` and `class`",
            };
            report.add(fields.at(), found, "one of them", None);
            None
        }
    }
}

fn methods(node: &Node<'_>, report: &mut Report) -> Option<Methods> {
    match &node.value {
        Value::List(_) => {
            let names = at_most(METHODS_MAX, some(scalar(method_name)));
            names(node, report).map(Methods::Named)
        }
        Value::Scalar(text) if text == ALL => Some(Methods::All),
        _ => {
            let expected = "`all`, or a list of method names";
            unexpected(node, expected, report);
            None
        }
    }
}

fn covered(node: &Node<'_>, report: &mut Report) -> Option<Covered> {
    match &node.value {
        Value::List(_) => {
            let names = at_most(FIELDS_MAX, some(scalar(field_name)));
            names(node, report).map(Covered::Named)
        }
        Value::Scalar(text) if text == ALL => Some(Covered::All),
        _ => {
            unexpected(node, "`all`, or a list of fields and classes of fields", report);
            None
        }
    }
}

fn subjects(node: &Node<'_>, report: &mut Report) -> Option<SubjectBudget> {
    let fields = Fields::of(node, &SUBJECT_KEYS, report)?;
    if fields.get("hour_max").is_none() && fields.get("day_max").is_none() {
        let found = "neither `hour_max` nor `day_max`";
        report.add(fields.at(), found, "at least one of them", None);
        return None;
    }
    let hour = fields.optional("hour_max", located(scalar(count(CALLS))), report);
    let day = fields.optional("day_max", located(scalar(count(CALLS))), report);
    if let (Some((_, hour)), Some((at, day))) = (&hour, &day)
        && day < hour
    {
        report.add(*at, "fewer persons a day than an hour", "at least `hour_max`", None);
    }
    let budget = SubjectBudget {
        hour_max: hour.map(|(_, persons)| persons),
        day_max: day.map(|(_, persons)| persons),
    };
    (budget.hour_max.is_some() || budget.day_max.is_some()).then_some(budget)
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
