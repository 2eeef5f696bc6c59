//! Agreements as the Cedar policies that they are equivalent to.

use std::fmt::Write;

use cedar::Uid;
use model::Timestamp;

use crate::agreements::Slot;
use crate::registry::row;
use crate::snapshot::Snapshot;
use crate::source::{Consumer, State};

impl Snapshot {
    /// The Cedar policy that permits what an agreement allows; `None` if there is no such
    /// agreement. Quotas and obligations are no business of Cedar. Validity counts to the
    /// millisecond, as Cedar does.
    ///
    /// A policy permits where any agreement would; which one governs is decided apart.
    pub fn agreement_text(&self, id: &str) -> Option<String> {
        let slots = self.agreements.find(id);
        let slot = *slots.first()?;
        let mut text = String::new();
        // Writing to a string does not fail.
        self.write(slot, &mut text).ok()?;
        Some(text)
    }

    fn write(&self, slot: &Slot, text: &mut String) -> std::fmt::Result {
        let agreement = &slot.agreement;
        let consumer = self.registry.consumer(slot.key.consumer()).ok_or(std::fmt::Error)?;
        let service = row(&self.registry.services, slot.key.service()).ok_or(std::fmt::Error)?;
        writeln!(text, "@id({})", quoted(agreement.id().as_str()))?;
        writeln!(text, "@legal_basis({})", quoted(agreement.legal_basis()))?;
        writeln!(text, "@mode({})", quoted(agreement.mode().as_str()))?;
        writeln!(text, "permit (")?;
        writeln!(text, "  {},", principal(&consumer))?;
        writeln!(text, "  action,")?;
        let methods = agreement.clauses.coverage.methods.as_deref();
        let path = |ix: &u32| row(&self.registry.methods, *ix).map(|method| &*method.path);
        let methods = methods.map(|methods| methods.iter().filter_map(path).collect::<Vec<_>>());
        match methods.as_deref() {
            Some([only]) => writeln!(text, "  resource == {}", Uid::new("Method", *only))?,
            _ => writeln!(text, "  resource in {}", Uid::new("Service", &*service.name))?,
        }
        writeln!(text, ") when {{")?;
        match slot.state {
            State::Active => {}
            State::Draft => writeln!(text, "  false && // it is a draft")?,
            State::Suspended => writeln!(text, "  false && // it is suspended")?,
            State::Ended => writeln!(text, "  false && // it was ended")?,
        }
        if let Some(several @ [_, _, ..]) = methods.as_deref() {
            let uids = several.iter().map(|path| Uid::new("Method", *path).to_string());
            writeln!(text, "  resource in [{}] &&", joined(uids))?;
        }
        let purposes = agreement.purposes().iter().map(|code| quoted(code.as_str()));
        writeln!(text, "  [{}].contains(context.purpose) &&", joined(purposes))?;
        writeln!(text, "  context.time >= {} &&", datetime(slot.valid_from))?;
        writeln!(text, "  context.time < {}", datetime(slot.valid_until))?;
        writeln!(text, "}};")
    }
}

fn principal(consumer: &Consumer) -> String {
    match consumer {
        Consumer::System(id) => format!("principal == {}", Uid::new("System", id.as_str())),
        Consumer::Member(id) => format!("principal in {}", Uid::new("Member", id.as_str())),
        Consumer::Class(id) => format!("principal in {}", Uid::new("Class", id.as_str())),
    }
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

/// A string literal.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.escape_debug())
}

/// A moment as Cedar writes it; what falls between seconds, as an offset.
fn datetime(time: Timestamp) -> String {
    let (secs, millis) = (time.as_micros() / 1_000_000, time.as_micros() / 1000 % 1000);
    let text = Timestamp::from_secs(secs).to_string();
    match (text.as_str(), millis) {
        ("never", _) => format!("datetime(\"1970-01-01\").offset(duration(\"{secs}s\"))"),
        (_, 0) => format!("datetime(\"{text}\")"),
        (_, _) => format!("datetime(\"{text}\").offset(duration(\"{millis}ms\"))"),
    }
}
