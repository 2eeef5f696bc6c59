//! An exchange as people and programs read it, from the bytes of its entries.

use anyhow::{Context, Result, bail};
use model::{Admitted, Entry, Finished, Passed, Refused};
use serde_json::{Value, json};
use wire::evidence::decode_entry;
use wire::generated::admin::Exchange;

/// An exchange, read from its entries.
#[derive(Debug)]
pub(super) struct Shown {
    index: u64,
    first: Entry,
    /// Its last entry, if it is another: the end, or how far it had got.
    last: Option<(u64, Entry)>,
}

impl Shown {
    /// Reads the entries.
    pub(super) fn of(exchange: &Exchange) -> Result<Self> {
        let Exchange { index, entry, last_index, last, .. } = exchange;
        let first = decode_entry(entry).with_context(|| format!("entry {index}"))?;
        let last = match last.as_slice() {
            [] => None,
            bytes => match decode_entry(bytes).with_context(|| format!("entry {last_index}"))? {
                last @ (Entry::Finished(_) | Entry::Passed(_)) => Some((*last_index, last)),
                _ => bail!("entry {last_index} is of no admitted call"),
            },
        };
        match first {
            Entry::Admitted(_) | Entry::Refused(_) => Ok(Self { index: *index, first, last }),
            _ => bail!("entry {index} begins no exchange"),
        }
    }

    /// What files about it are called.
    pub(super) fn name(&self) -> String {
        match &self.first {
            Entry::Admitted(call) => call.exchange.to_string(),
            Entry::Refused(call) => call.exchange.to_string(),
            _ => format!("entry-{}", self.index),
        }
    }

    /// One line.
    pub(super) fn text(&self) -> String {
        match &self.first {
            Entry::Admitted(call) => self.admitted(call),
            Entry::Refused(call) => self.refused(call),
            _ => String::new(),
        }
    }

    fn admitted(&self, call: &Admitted) -> String {
        let Admitted { time, system, member, node, method, purpose, agreement, .. } = call;
        let fields = match call.fields.as_slice() {
            [] => "all fields".to_owned(),
            fields => format!("fields {}", fields.join(", ")),
        };
        let end = match &self.last {
            Some((_, Entry::Finished(Finished { code, reason: Some(reason), .. }))) => {
                format!("{}, {}", code.name(), reason.name())
            }
            Some((_, Entry::Finished(Finished { code, response_masked: Some(masked), .. }))) => {
                format!("{}, {} fields withheld", code.name(), masked.withheld)
            }
            Some((_, Entry::Finished(Finished { code, .. }))) => code.name().to_owned(),
            Some((_, Entry::Passed(Passed { request, response, time, .. }))) => format!(
                "no end recorded, {} messages there and {} back until {time}",
                request.messages, response.messages
            ),
            _ => "no end recorded".to_owned(),
        };
        let dossier = call.dossier.as_deref().map(|text| format!(", dossier {text}"));
        format!(
            "{time} admitted {system} of {member}: {method} on {node} for {purpose} under \
             {agreement}{}, {fields}, {end}; entry {}, exchange {}",
            dossier.unwrap_or_default(),
            self.index,
            call.exchange
        )
    }

    fn refused(&self, call: &Refused) -> String {
        let system = call.system.as_ref().map_or("an unknown system", |id| id.as_str());
        let member = call.member.as_ref().map(|id| format!(" of {id}")).unwrap_or_default();
        let method = call.method.as_deref().unwrap_or("a connection");
        let purpose = call.purpose.as_ref().map(|id| format!(" for {id}")).unwrap_or_default();
        let dossier = call.dossier.as_deref().map(|text| format!(", dossier {text}"));
        format!(
            "{} refused {system}{member}: {method}{purpose}{}, {}; entry {}, exchange {}",
            call.time,
            dossier.unwrap_or_default(),
            call.reason.name(),
            self.index,
            call.exchange
        )
    }

    /// One object.
    pub(super) fn json(&self) -> Value {
        let mut shown = match &self.first {
            Entry::Admitted(call) => json!({
                "time": call.time.to_string(),
                "exchange": call.exchange.to_string(),
                "decided": "admitted",
                "system": call.system.as_str(),
                "member": call.member.as_str(),
                "node": call.node.as_str(),
                "method": call.method,
                "effect": call.effect.as_str(),
                "agreement": call.agreement.as_str(),
                "purpose": call.purpose.as_str(),
                "dossier": call.dossier,
                "procedure": call.procedure,
                "revision": call.revision.0,
                "source": call.source.to_string(),
                "fields": (!call.fields.is_empty()).then_some(&call.fields),
                "subject": call.subject.as_ref().map(|subject| subject.pseudonym.to_string()),
                "period": call.subject.as_ref().map(|subject| subject.period.as_str()),
                "reason": Value::Null,
            }),
            Entry::Refused(call) => json!({
                "time": call.time.to_string(),
                "exchange": call.exchange.to_string(),
                "decided": "refused",
                "system": call.system.as_ref().map(|id| id.as_str()),
                "member": call.member.as_ref().map(|id| id.as_str()),
                "method": call.method,
                "agreement": call.agreement.as_ref().map(|id| id.as_str()),
                "purpose": call.purpose.as_ref().map(|id| id.as_str()),
                "dossier": call.dossier,
                "procedure": call.procedure,
                "revision": call.revision.0,
                "source": call.source.to_string(),
                "reason": call.reason.name(),
            }),
            _ => json!({}),
        };
        let (name, last) = match &self.last {
            Some((index, Entry::Finished(end))) => ("finished", finished(*index, end)),
            Some((index, Entry::Passed(so_far))) => ("passed", passed(*index, so_far)),
            _ => ("finished", Value::Null),
        };
        if let Some(shown) = shown.as_object_mut() {
            shown.insert("entry".to_owned(), json!(self.index));
            shown.insert(name.to_owned(), last);
        }
        shown
    }
}

fn finished(entry: u64, end: &Finished) -> Value {
    json!({
        "entry": entry,
        "time": end.time.to_string(),
        "code": end.code.name(),
        "reason": end.reason.map(|reason| reason.name()),
        "request_messages": end.request.messages,
        "request_bytes": end.request.bytes,
        "response_messages": end.response.messages,
        "response_bytes": end.response.bytes,
        "withheld": end.response_masked.as_ref().map(|masked| masked.withheld),
        "request_withheld": end.request_masked.as_ref().map(|masked| masked.withheld),
    })
}

/// How far a call without an end had got.
fn passed(entry: u64, so_far: &Passed) -> Value {
    json!({
        "entry": entry,
        "time": so_far.time.to_string(),
        "request_messages": so_far.request.messages,
        "request_bytes": so_far.request.bytes,
        "response_messages": so_far.response.messages,
        "response_bytes": so_far.response.bytes,
    })
}
