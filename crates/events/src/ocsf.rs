//! Entries as events of the Open Cybersecurity Schema Framework, version 1.7
//! (<https://schema.ocsf.io/1.7.0>).
//!
//! | entry | class |
//! |---|---|
//! | refused for its certificate or token | Authentication (3002), Logon, failed |
//! | refused otherwise | API Activity (6003), failed |
//! | an operator's action | API Activity (6003), Update |
//! | entries removed after their term | API Activity (6003), Delete |
//! | the ledger read | Datastore Activity (6005), Query |
//! | the ledger opened | Application Lifecycle (6002), Start |
//!
//! Calls that were admitted are evidence, not events.

use model::{
    Action, AdminAction, Entry, LedgerRead, Opened, Operator, Reading, Reason, Refused,
    SegmentRemoved, Timestamp,
};
use serde_json::{Map, Value, json};

/// The version of the schema.
const SCHEMA_VERSION: &str = "1.7.0";
const AUTHENTICATION: u32 = 3002;
const LIFECYCLE: u32 = 6002;
const API_ACTIVITY: u32 = 6003;
const DATASTORE_ACTIVITY: u32 = 6005;
const STATUS_SUCCESS: u32 = 1;
const STATUS_FAILURE: u32 = 2;

/// Where events come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The ledger's name.
    pub origin: String,
    /// The gateway's version.
    pub version: String,
}

/// How much an event matters, numbered as OCSF does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// For the record.
    Informational = 1,
    /// A caller's mistake, most likely.
    Low = 2,
    /// Somebody tried what is not theirs.
    Medium = 3,
    /// The gateway cannot do its work.
    High = 4,
}

/// An event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What it is about, in one word.
    pub kind: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// When it happened.
    pub time: Timestamp,
    /// All of it.
    pub body: Value,
}

/// The event that an entry is; `None` for those that are evidence alone.
pub fn event(source: &Source, index: u64, entry: &Entry) -> Option<Event> {
    match entry {
        Entry::Refused(refused) => Some(refusal(source, index, refused)),
        Entry::Opened(opened) => Some(start(source, index, opened)),
        Entry::LedgerRead(read) => Some(reading(source, index, read)),
        Entry::AdminAction(action) => Some(administration(source, index, action)),
        Entry::SegmentRemoved(removed) => Some(removal(source, index, removed)),
        Entry::Admitted(_) | Entry::Passed(_) | Entry::Concerned(_) | Entry::Finished(_) => None,
    }
}

/// What all events say.
fn base(
    source: &Source,
    index: u64,
    (class, activity): (u32, u32),
    (severity, time): (Severity, Timestamp),
) -> Map<String, Value> {
    let base = json!({
        "category_uid": class / 1000,
        "class_uid": class,
        "activity_id": activity,
        "type_uid": class * 100 + activity,
        "severity_id": severity as u32,
        "time": time.as_micros() / 1000,
        "metadata": {
            "version": SCHEMA_VERSION,
            "uid": format!("{}#{index}", source.origin),
            "log_name": source.origin,
            "sequence": index,
            "product": {
                "name": "giaolien",
                "vendor_name": "Giao Liên",
                "version": source.version,
            },
        },
    });
    match base {
        Value::Object(base) => base,
        _ => Map::new(),
    }
}

fn refusal(source: &Source, index: u64, refused: &Refused) -> Event {
    let severity = severity(refused.reason);
    let (kind, class) = match refused.reason {
        reason if is_authentication(reason) => ("authentication", (AUTHENTICATION, 1)),
        Reason::QuotaExhausted | Reason::SubjectsExhausted | Reason::Overloaded => {
            ("rate_limit", (API_ACTIVITY, 99))
        }
        _ => ("refusal", (API_ACTIVITY, 99)),
    };
    let mut body = base(source, index, class, (severity, refused.time));
    let text = |text: Option<&str>| text.map_or(Value::Null, Value::from);
    let system = refused.system.as_ref().map(|it| it.as_str());
    // Who is not recognised is known by the certificate.
    let user = json!({
        "uid": system,
        "name": system.unwrap_or("unknown"),
        "org": refused.member.as_ref().map(|it| json!({ "uid": it.as_str() })),
    });
    let more = json!({
        "status_id": STATUS_FAILURE,
        "status_code": refused.reason.name(),
        "status_detail": refused.reason.happened(model::Language::English),
        "message": refused.reason.happened(model::Language::English),
        "src_endpoint": { "ip": refused.source.to_canonical().to_string() },
        "count": (refused.suppressed > 0).then_some(refused.suppressed),
        "unmapped": {
            "exchange_id": refused.exchange.to_string(),
            // The schema has no certificate without issuer and serial number.
            "certificate_sha256": refused.certificate.map(|it| it.to_string()),
            "agreement": text(refused.agreement.as_ref().map(|it| it.as_str())),
            "purpose": text(refused.purpose.as_ref().map(|it| it.as_str())),
            "dossier": text(refused.dossier.as_deref()),
            "procedure": text(refused.procedure.as_deref()),
            "revision": refused.revision.0,
            "suppressed": refused.suppressed,
        },
    });
    let own = match class.0 {
        AUTHENTICATION => json!({
            "user": user,
            "is_remote": true,
            "service": { "name": "giaolien" },
        }),
        _ => json!({
            "activity_name": "Call",
            "actor": { "user": user, "app_uid": system },
            "api": {
                "operation": refused.method.as_deref().unwrap_or("unknown"),
                "request": { "uid": refused.exchange.to_string() },
                "response": { "error": refused.reason.name() },
            },
        }),
    };
    for part in [more, own] {
        extend(&mut body, part);
    }
    Event { kind, severity, time: refused.time, body: Value::Object(body) }
}

fn start(source: &Source, index: u64, opened: &Opened) -> Event {
    let severity = match opened.discarded_bytes {
        0 => Severity::Informational,
        // Something had cut a write off.
        _ => Severity::Medium,
    };
    let mut body = base(source, index, (LIFECYCLE, 3), (severity, opened.time));
    extend(
        &mut body,
        json!({
            "status_id": STATUS_SUCCESS,
            "app": { "name": "giaolien", "vendor_name": "Giao Liên", "version": opened.version },
            "message": "the gateway opened its ledger",
            "unmapped": { "discarded_bytes": opened.discarded_bytes },
        }),
    );
    Event { kind: "start", severity, time: opened.time, body: Value::Object(body) }
}

/// Somebody read the ledger.
fn reading(source: &Source, index: u64, read: &LedgerRead) -> Event {
    const QUERY: u32 = 4;
    let severity = match read.reading {
        Reading::Search | Reading::Acts => Severity::Informational,
        // A person's history, or much at once.
        Reading::Subject | Reading::Export => Severity::Low,
    };
    let mut body = base(source, index, (DATASTORE_ACTIVITY, QUERY), (severity, read.time));
    extend(
        &mut body,
        json!({
            "status_id": STATUS_SUCCESS,
            "actor": { "user": user(&read.operator) },
            // The entry does not say where the operator was.
            "src_endpoint": { "name": "admin API" },
            "database": { "name": source.origin, "type_id": 99, "type": "ledger" },
            "query_info": { "query_string": read.criteria, "uid": index.to_string() },
            "message": read.why,
            "unmapped": {
                "certificate_sha256": read.operator.certificate.to_string(),
                "results": read.results,
            },
        }),
    );
    Event { kind: "ledger_read", severity, time: read.time, body: Value::Object(body) }
}

/// An operator changed something.
fn administration(source: &Source, index: u64, action: &AdminAction) -> Event {
    const UPDATE: u32 = 3;
    let operation = match action.action {
        Action::Apply => "apply",
    };
    let severity = Severity::Low;
    let mut body = base(source, index, (API_ACTIVITY, UPDATE), (severity, action.time));
    extend(
        &mut body,
        json!({
            "status_id": STATUS_SUCCESS,
            "actor": { "user": user(&action.operator) },
            "api": { "operation": operation },
            "src_endpoint": { "name": "admin API" },
            "message": "an operator put a configuration in force",
            "unmapped": {
                "certificate_sha256": action.operator.certificate.to_string(),
                "revision": action.revision.0,
            },
        }),
    );
    Event { kind: "admin_action", severity, time: action.time, body: Value::Object(body) }
}

/// An operator has entries removed.
fn removal(source: &Source, index: u64, removed: &SegmentRemoved) -> Event {
    const DELETE: u32 = 4;
    let severity = Severity::Medium;
    let mut body = base(source, index, (API_ACTIVITY, DELETE), (severity, removed.time));
    extend(
        &mut body,
        json!({
            "status_id": STATUS_SUCCESS,
            "actor": { "user": user(&removed.operator) },
            "api": { "operation": "expire" },
            "src_endpoint": { "name": "admin API" },
            "message": removed.why,
            "unmapped": {
                "certificate_sha256": removed.operator.certificate.to_string(),
                "segment": removed.segment,
                "first_index": removed.first,
                "entries": removed.count,
                "keep_until": removed.keep_until.to_string(),
            },
        }),
    );
    Event { kind: "segment_removed", severity, time: removed.time, body: Value::Object(body) }
}

/// Operators are known by their certificates.
fn user(operator: &Operator) -> Value {
    let certificate = operator.certificate.to_string();
    json!({ "uid": certificate, "name": operator.name.as_deref().unwrap_or("unknown") })
}

/// Adds what is known: absent values are left out at every depth.
fn extend(body: &mut Map<String, Value>, more: Value) {
    if let Value::Object(more) = more {
        body.extend(more.into_iter().filter_map(|(key, value)| Some((key, known(value)?))));
    }
}

fn known(value: Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Object(all) => {
            let all: Map<_, _> =
                all.into_iter().filter_map(|(key, value)| Some((key, known(value)?))).collect();
            (!all.is_empty()).then_some(Value::Object(all))
        }
        other => Some(other),
    }
}

/// Whether the caller, or who stands behind it, was not recognised.
fn is_authentication(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::CertificateUntrusted
            | Reason::CertificateExpired
            | Reason::CertificateRevoked
            | Reason::CertificateUnregistered
            | Reason::HandshakeFailed
            | Reason::TokenInvalid
    )
}

fn severity(reason: Reason) -> Severity {
    match reason {
        Reason::CertificateRevoked | Reason::PolicyForbids | Reason::AgreementMissing => {
            Severity::Medium
        }
        Reason::LedgerUnavailable => Severity::High,
        _ if is_authentication(reason) => Severity::Medium,
        _ => Severity::Low,
    }
}
