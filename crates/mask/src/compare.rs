//! What a new contract changes for those who use the old one.

use std::fmt;

use crate::contract::{Cardinality, Contract, Field, Kind, Message, Scalar};

/// How much a change matters, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nobody notices who does not look for it.
    Adds,
    /// Something changes that callers may notice, but what they send and get is read as before.
    Alters,
    /// Agreements that name classes now give more than was agreed.
    Loosens,
    /// Callers or agreements that use it stop working, or read something else.
    Breaks,
}

/// One difference between two contracts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// How much it matters.
    pub severity: Severity,
    /// The full name of the message, field or method; methods as paths.
    pub name: String,
    /// The message that it is about, or that the method takes or gives.
    pub message: String,
    /// What changed, in words.
    pub text: String,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Adds => "adds",
            Self::Alters => "alters",
            Self::Loosens => "loosens",
            Self::Breaks => "breaks",
        })
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`: {}", self.severity, self.name, self.text)
    }
}

/// All changes from the old to the new contract, those that matter most first. Fields are the
/// same if they have the same number in the message of the same name, as it is on the wire.
pub fn compare(old: &Contract, new: &Contract) -> Vec<Change> {
    let mut changes = Changes { old, new, found: Vec::new() };
    for method in old.methods() {
        changes.method(method);
    }
    for method in new.methods() {
        if old.method(&method.path).is_none() {
            changes.add(Severity::Adds, &method.path, &method.output, "is new".into());
        }
    }
    for message in old.messages() {
        match new.message(&message.name) {
            Some(later) => changes.message(message, later),
            None if message.is_map_entry => {}
            None => changes.about(Severity::Breaks, message, "is no longer there".into()),
        }
    }
    for message in new.messages() {
        if old.message(&message.name).is_none() && !message.is_map_entry {
            changes.about(Severity::Adds, message, "is new".into());
        }
    }
    let mut found = changes.found;
    found.sort_by(|a, b| (b.severity, &a.name).cmp(&(a.severity, &b.name)));
    found
}

struct Changes<'a> {
    old: &'a Contract,
    new: &'a Contract,
    found: Vec<Change>,
}

impl Changes<'_> {
    fn add(&mut self, severity: Severity, name: &str, message: &str, text: String) {
        let (name, message) = (name.to_owned(), message.to_owned());
        self.found.push(Change { severity, name, message, text });
    }

    fn about(&mut self, severity: Severity, message: &Message, text: String) {
        self.add(severity, &message.name, &message.name, text);
    }

    fn method(&mut self, old: &crate::contract::Method) {
        let Some(new) = self.new.method(&old.path) else {
            let text = "is no longer there".into();
            return self.add(Severity::Breaks, &old.path, &old.output, text);
        };
        for (what, old_type, new_type) in
            [("takes", &old.input, &new.input), ("gives", &old.output, &new.output)]
        {
            if old_type != new_type {
                let text = format!("{what} `{new_type}` instead of `{old_type}`");
                self.add(Severity::Breaks, &old.path, old_type, text);
            }
        }
        for (what, was, is) in [
            ("requests", old.streams_requests, new.streams_requests),
            ("answers", old.streams_answers, new.streams_answers),
        ] {
            if was != is {
                let text = format!("its {what} are {}a stream", if is { "" } else { "no longer " });
                self.add(Severity::Breaks, &old.path, &old.output, text);
            }
        }
    }

    fn message(&mut self, old: &Message, new: &Message) {
        for field in &old.fields {
            match (new.field(field.number), new.field_named(&field.name)) {
                (Some(later), _) => self.field(old, field, later),
                (None, Some(moved)) => {
                    let text =
                        format!("its number is {} instead of {}", moved.number, field.number);
                    self.of(Severity::Breaks, old, field, text);
                }
                (None, None) => {
                    self.of(Severity::Breaks, old, field, "is no longer there".into());
                }
            }
        }
        for field in &new.fields {
            if old.field(field.number).is_some() || old.field_named(&field.name).is_some() {
                continue;
            }
            let text = format!("is new, of class {}", field.class);
            self.of(Severity::Adds, new, field, text);
            if field.cardinality == Cardinality::Required {
                let text = "is required, which those who send the message do not know".into();
                self.of(Severity::Breaks, new, field, text);
            }
        }
    }

    fn of(&mut self, severity: Severity, message: &Message, field: &Field, text: String) {
        let name = format!("{}.{}", message.name, field.name);
        self.add(severity, &name, &message.name, text);
    }

    fn field(&mut self, message: &Message, old: &Field, new: &Field) {
        if old.name != new.name {
            let text = format!("is now called `{}`; paths and JSON use the name", new.name);
            self.of(Severity::Breaks, message, old, text);
        }
        let (was, is) = (self.old.kind_text(&old.kind), self.new.kind_text(&new.kind));
        if was != is {
            let severity =
                if is_same_on_wire(old, new) { Severity::Alters } else { Severity::Breaks };
            self.of(severity, message, old, format!("is `{is}` instead of `{was}`"));
        }
        if old.cardinality != new.cardinality {
            let text = format!("is {} instead of {}", new.cardinality, old.cardinality);
            self.of(Severity::Breaks, message, old, text);
        }
        if old.class != new.class {
            let severity = if new.class < old.class { Severity::Loosens } else { Severity::Breaks };
            let text = format!("its class is {} instead of {}", new.class, old.class);
            self.of(severity, message, old, text);
        }
        if old.oneof.is_some() != new.oneof.is_some() {
            let place = if new.oneof.is_some() { "now" } else { "no longer" };
            self.of(Severity::Breaks, message, old, format!("is {place} in a `oneof`"));
        }
        if old.is_subject != new.is_subject {
            let place = if new.is_subject { "now" } else { "no longer" };
            let text = format!("{place} says whom the message is about");
            self.of(Severity::Alters, message, old, text);
        }
        for (what, was, is) in [
            ("entry of the data dictionary", &old.data_dictionary_id, &new.data_dictionary_id),
            ("authoritative source", &old.authoritative_source, &new.authoritative_source),
        ] {
            if was != is {
                let said = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".into());
                let text = format!("its {what} is `{}` instead of `{}`", said(is), said(was));
                self.of(Severity::Alters, message, old, text);
            }
        }
    }
}

/// Whether old and new stubs read each other's bytes as the same value where both can hold it.
fn is_same_on_wire(old: &Field, new: &Field) -> bool {
    use Scalar::{
        Bool, Bytes, Fixed32, Fixed64, Int32, Int64, Sfixed32, Sfixed64, Sint32, Sint64, String,
        Uint32, Uint64,
    };
    const ALIKE: [&[Scalar]; 5] = [
        &[Int32, Uint32, Int64, Uint64, Bool],
        &[Sint32, Sint64],
        &[Fixed32, Sfixed32],
        &[Fixed64, Sfixed64],
        &[String, Bytes],
    ];
    match (&old.kind, &new.kind) {
        (Kind::Scalar(old), Kind::Scalar(new)) => {
            ALIKE.iter().any(|alike| alike.contains(old) && alike.contains(new))
        }
        // An enum that was renamed; what its numbers mean, descriptors do not say.
        (Kind::Enum(_), Kind::Enum(_)) => true,
        (Kind::Enum(_), Kind::Scalar(Int32 | Uint32)) => true,
        (Kind::Scalar(Int32 | Uint32), Kind::Enum(_)) => true,
        _ => false,
    }
}
