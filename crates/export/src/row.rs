//! The columns, and what of them an entry has.

use model::{Entry, Masked, Operator, Timestamp, Traffic};
use serde_json::{Value, json};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole number.
    Number,
    /// Text; digests and hashes in hexadecimal.
    Text,
    /// A moment, microseconds since 1970 in Parquet, RFC 3339 in JSON.
    Time,
    /// Texts.
    List,
}

/// A column: its name and what it holds.
pub type Column = (&'static str, Kind);

/// All columns in their order. Names are a promise; new ones come at the end.
pub const COLUMNS: [Column; 51] = [
    ("index", Kind::Number),
    ("kind", Kind::Text),
    ("time", Kind::Time),
    ("exchange", Kind::Text),
    ("certificate", Kind::Text),
    ("system", Kind::Text),
    ("member", Kind::Text),
    ("node", Kind::Text),
    ("method", Kind::Text),
    ("effect", Kind::Text),
    ("agreement", Kind::Text),
    ("purpose", Kind::Text),
    ("dossier", Kind::Text),
    ("procedure", Kind::Text),
    ("revision", Kind::Number),
    ("source", Kind::Text),
    ("shadow_node", Kind::Text),
    ("subject", Kind::Text),
    ("period", Kind::Text),
    ("fields", Kind::List),
    ("reason", Kind::Text),
    ("suppressed", Kind::Number),
    ("admitted", Kind::Number),
    ("code", Kind::Text),
    ("request_messages", Kind::Number),
    ("request_bytes", Kind::Number),
    ("request_sha256", Kind::Text),
    ("response_messages", Kind::Number),
    ("response_bytes", Kind::Number),
    ("response_sha256", Kind::Text),
    ("version", Kind::Text),
    ("discarded_bytes", Kind::Number),
    ("operator", Kind::Text),
    ("operator_certificate", Kind::Text),
    ("reading", Kind::Text),
    ("criteria", Kind::Text),
    ("why", Kind::Text),
    ("results", Kind::Number),
    ("action", Kind::Text),
    ("segment", Kind::Number),
    ("first_index", Kind::Number),
    ("count", Kind::Number),
    ("root_hash", Kind::Text),
    ("keep_until", Kind::Time),
    ("subjects", Kind::List),
    ("request_mask", Kind::Text),
    ("request_withheld", Kind::Number),
    ("request_withheld_fields", Kind::List),
    ("response_mask", Kind::Text),
    ("response_withheld", Kind::Number),
    ("response_withheld_fields", Kind::List),
];

/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    Number(u64),
    Text(String),
    Time(Timestamp),
    List(Vec<String>),
}

impl Cell {
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::Number(number) => json!(number),
            Self::Text(text) => json!(text),
            Self::Time(time) => json!(time.to_string()),
            Self::List(list) => json!(list),
        }
    }
}

/// When what an entry says happened.
pub fn entry_time(entry: &Entry) -> Timestamp {
    match entry {
        Entry::Opened(opened) => opened.time,
        Entry::Admitted(call) => call.time,
        Entry::Refused(call) => call.time,
        Entry::Passed(call) => call.time,
        Entry::Concerned(call) => call.time,
        Entry::Finished(call) => call.time,
        Entry::LedgerRead(read) => read.time,
        Entry::AdminAction(done) => done.time,
        Entry::SegmentRemoved(removed) => removed.time,
    }
}

/// The cells of one row.
struct Row(Vec<(&'static str, Cell)>);

impl Row {
    fn text(&mut self, name: &'static str, text: impl ToString) {
        self.0.push((name, Cell::Text(text.to_string())));
    }

    fn maybe(&mut self, name: &'static str, text: Option<impl ToString>) {
        self.0.extend(text.map(|text| (name, Cell::Text(text.to_string()))));
    }

    fn number(&mut self, name: &'static str, number: u64) {
        self.0.push((name, Cell::Number(number)));
    }

    fn operator(&mut self, operator: &Operator) {
        self.maybe("operator", operator.name.as_deref());
        self.text("operator_certificate", operator.certificate);
    }

    fn ways(&mut self, request: &Traffic, response: &Traffic) {
        self.traffic(["request_messages", "request_bytes", "request_sha256"], request);
        self.traffic(["response_messages", "response_bytes", "response_sha256"], response);
    }

    fn list(&mut self, name: &'static str, list: impl Iterator<Item = String>) {
        self.0.push((name, Cell::List(list.collect())));
    }

    fn masked(&mut self, names: [&'static str; 3], masked: Option<&Masked>) {
        if let Some(Masked { mask, withheld, fields }) = masked {
            let [digest, count, which] = names;
            self.text(digest, hex(mask));
            self.number(count, *withheld);
            self.list(which, fields.iter().map(ToString::to_string));
        }
    }

    fn traffic(&mut self, names: [&'static str; 3], traffic: &Traffic) {
        let [messages, bytes, sha256] = names;
        self.number(messages, traffic.messages);
        self.number(bytes, traffic.bytes);
        self.text(sha256, hex(&traffic.digest));
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What of the columns an entry has.
pub(crate) fn cells(index: u64, entry: &Entry) -> Vec<(&'static str, Cell)> {
    let mut row = Row(Vec::with_capacity(COLUMNS.len()));
    row.number("index", index);
    row.0.push(("time", Cell::Time(entry_time(entry))));
    match entry {
        Entry::Opened(opened) => {
            row.text("kind", "opened");
            row.text("version", &opened.version);
            row.number("discarded_bytes", opened.discarded_bytes);
        }
        Entry::Admitted(_) | Entry::Refused(_) => call(&mut row, entry),
        Entry::Finished(call) => {
            row.text("kind", "finished");
            row.text("exchange", call.exchange);
            row.number("admitted", call.admitted);
            row.text("code", call.code.name());
            row.maybe("reason", call.reason.map(|reason| reason.name()));
            row.ways(&call.request, &call.response);
            let names = ["request_mask", "request_withheld", "request_withheld_fields"];
            row.masked(names, call.request_masked.as_ref());
            let names = ["response_mask", "response_withheld", "response_withheld_fields"];
            row.masked(names, call.response_masked.as_ref());
        }
        Entry::Passed(call) => {
            row.text("kind", "passed");
            row.text("exchange", call.exchange);
            row.number("admitted", call.admitted);
            row.ways(&call.request, &call.response);
        }
        Entry::Concerned(call) => {
            row.text("kind", "concerned");
            row.text("exchange", call.exchange);
            row.number("admitted", call.admitted);
            row.text("period", &call.period);
            row.list("subjects", call.pseudonyms.iter().map(ToString::to_string));
        }
        Entry::LedgerRead(read) => {
            row.text("kind", "ledger_read");
            row.operator(&read.operator);
            row.text("reading", read.reading.as_str());
            row.text("criteria", &read.criteria);
            row.text("why", &read.why);
            row.number("results", read.results);
        }
        Entry::AdminAction(done) => {
            row.text("kind", "admin_action");
            row.operator(&done.operator);
            row.text("action", done.action.as_str());
            row.number("revision", done.revision.0);
        }
        Entry::SegmentRemoved(removed) => {
            row.text("kind", "segment_removed");
            row.operator(&removed.operator);
            row.number("segment", removed.segment);
            row.number("first_index", removed.first);
            row.number("count", removed.count);
            row.text("root_hash", hex(&removed.root_hash));
            row.0.push(("keep_until", Cell::Time(removed.keep_until)));
            row.text("why", &removed.why);
        }
    }
    row.0
}

/// An admission or a refusal.
fn call(row: &mut Row, entry: &Entry) {
    match entry {
        Entry::Admitted(call) => {
            row.text("kind", "admitted");
            row.text("exchange", call.exchange);
            row.text("certificate", call.certificate);
            row.text("system", &call.system);
            row.text("member", &call.member);
            row.text("node", &call.node);
            row.text("method", &call.method);
            row.text("effect", call.effect.as_str());
            row.text("agreement", &call.agreement);
            row.text("purpose", &call.purpose);
            row.maybe("dossier", call.dossier.as_deref());
            row.maybe("procedure", call.procedure.as_deref());
            row.number("revision", call.revision.0);
            row.text("source", call.source);
            row.maybe("shadow_node", call.shadow_node.as_ref());
            row.maybe("subject", call.subject.as_ref().map(|subject| subject.pseudonym));
            row.maybe("period", call.subject.as_ref().map(|subject| &subject.period));
            if !call.fields.is_empty() {
                let fields = call.fields.iter().map(ToString::to_string).collect();
                row.0.push(("fields", Cell::List(fields)));
            }
        }
        Entry::Refused(call) => {
            row.text("kind", "refused");
            row.text("exchange", call.exchange);
            row.text("reason", call.reason.name());
            row.maybe("certificate", call.certificate);
            row.maybe("system", call.system.as_ref());
            row.maybe("member", call.member.as_ref());
            row.maybe("method", call.method.as_deref());
            row.maybe("agreement", call.agreement.as_ref());
            row.maybe("purpose", call.purpose.as_ref());
            row.maybe("dossier", call.dossier.as_deref());
            row.maybe("procedure", call.procedure.as_deref());
            row.number("revision", call.revision.0);
            row.text("source", call.source);
            row.number("suppressed", call.suppressed);
        }
        _ => {}
    }
}
