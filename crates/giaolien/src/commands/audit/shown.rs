//! An exchange as people and programs read it, from the bytes of its entries.

use anyhow::{Context, Result, bail};
use model::{Admitted, Entry, Finished, Refused};
use serde_json::{Value, json};
use wire::evidence::decode_entry;
use wire::generated::admin::Exchange;

/// An exchange, read from its entries.
#[derive(Debug)]
pub(super) struct Shown {
    index: u64,
    first: Entry,
    finished: Option<(u64, Finished)>,
}

impl Shown {
    /// Reads the entries.
    pub(super) fn of(exchange: &Exchange) -> Result<Self> {
        let Exchange { index, entry, finished_index, finished, .. } = exchange;
        let first = decode_entry(entry).with_context(|| format!("entry {index}"))?;
        let finished = match finished.as_slice() {
            [] => None,
            bytes => {
                let end = decode_entry(bytes).with_context(|| format!("entry {finished_index}"))?;
                let Entry::Finished(end) = end else { bail!("entry {finished_index} is no end") };
                Some((*finished_index, end))
            }
        };
        match first {
            Entry::Admitted(_) | Entry::Refused(_) => Ok(Self { index: *index, first, finished }),
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
        let end = match &self.finished {
            Some((_, Finished { code, reason: Some(reason), .. })) => {
                format!("{}, {}", code.name(), reason.name())
            }
            Some((_, Finished { code, .. })) => code.name().to_owned(),
            None => "no end recorded".to_owned(),
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
        let finished = self.finished.as_ref().map(|(index, end)| {
            json!({
                "entry": index,
                "time": end.time.to_string(),
                "code": end.code.name(),
                "reason": end.reason.map(|reason| reason.name()),
                "request_messages": end.request.messages,
                "request_bytes": end.request.bytes,
                "response_messages": end.response.messages,
                "response_bytes": end.response.bytes,
            })
        });
        if let Some(shown) = shown.as_object_mut() {
            shown.insert("entry".to_owned(), json!(self.index));
            shown.insert("finished".to_owned(), json!(finished));
        }
        shown
    }
}
