//! Typed reading of nodes: each reader returns the value, or `None` after reporting why not.
//!
//! A reader is a function of a node and the report. Readers compose: `list(scalar(text))` reads a
//! list of texts. Every field of a mapping is read before any is missed, so that one pass finds
//! all problems.

use crate::problem::{Position, Report, alternatives, did_you_mean, quoted};
use crate::scalar::Mismatch;
use crate::yaml::{Entry, Node, Value};

/// Reads a scalar by a rule about its text.
pub(crate) fn scalar<T>(
    parse: impl Fn(&str) -> Result<T, Mismatch>,
) -> impl Fn(&Node<'_>, &mut Report) -> Option<T> {
    move |node, report| {
        let Value::Scalar(text) = &node.value else {
            unexpected(node, "a single value", report);
            return None;
        };
        let mismatch = match parse(text) {
            Ok(value) => return Some(value),
            Err(mismatch) => mismatch,
        };
        report.add(node.at, quoted(text), mismatch.expected, mismatch.hint);
        None
    }
}

/// Reads a list, every item of it; `None` if any item could not be read.
pub(crate) fn list<T>(
    read: impl Fn(&Node<'_>, &mut Report) -> Option<T>,
) -> impl Fn(&Node<'_>, &mut Report) -> Option<Vec<T>> {
    move |node, report| {
        let items = items(node, report)?.iter();
        let read: Vec<Option<T>> = items.map(|item| read(item, report)).collect();
        read.into_iter().collect()
    }
}

/// Reads a list that has at least one item.
pub(crate) fn some<T>(
    read: impl Fn(&Node<'_>, &mut Report) -> Option<T>,
) -> impl Fn(&Node<'_>, &mut Report) -> Option<Vec<T>> {
    let list = list(read);
    move |node, report| {
        let items = list(node, report)?;
        if items.is_empty() {
            report.add(node.at, "an empty list", "at least one item", None);
            return None;
        }
        Some(items)
    }
}

/// Reads a list of at most `most` items.
pub(crate) fn at_most<T>(
    most: usize,
    read: impl Fn(&Node<'_>, &mut Report) -> Option<T>,
) -> impl Fn(&Node<'_>, &mut Report) -> Option<T> {
    move |node, report| {
        if let Value::List(items) = &node.value
            && items.len() > most
        {
            let found = format!("a list of {} items", items.len());
            report.add(node.at, found, format!("at most {most} items"), None);
            return None;
        }
        read(node, report)
    }
}

/// Keeps the place of what is read.
pub(crate) fn located<T>(
    read: impl Fn(&Node<'_>, &mut Report) -> Option<T>,
) -> impl Fn(&Node<'_>, &mut Report) -> Option<(Position, T)> {
    move |node, report| read(node, report).map(|value| (node.at, value))
}

/// The items of a list.
pub(crate) fn items<'n, 'a>(node: &'n Node<'a>, report: &mut Report) -> Option<&'n [Node<'a>]> {
    match &node.value {
        Value::List(items) => Some(items),
        _ => {
            unexpected(node, "a list", report);
            None
        }
    }
}

/// Reports a node of another kind than `expected`, unless it was reported when it was read.
pub(crate) fn unexpected(node: &Node<'_>, expected: &str, report: &mut Report) {
    let (found, hint) = match &node.value {
        Value::Refused(_) => return,
        Value::Nothing => {
            let hint = "write a value, or remove the key".to_owned();
            ("nothing".to_owned(), Some(hint))
        }
        Value::Scalar(text) => (quoted(text), None),
        Value::List(_) => ("a list".to_owned(), None),
        Value::Map(_) => ("a mapping".to_owned(), None),
    };
    report.add(node.at, found, expected, hint);
}

/// The fields of a mapping whose keys are all known.
pub(crate) struct Fields<'n, 'a> {
    at: Position,
    entries: &'n [Entry<'a>],
    /// Known keys that a misspelt one was taken for. They are not reported as missing.
    meant: Vec<String>,
}

impl<'n, 'a> Fields<'n, 'a> {
    /// Reports keys outside `known`; `None` if the node is no mapping.
    pub(crate) fn of(node: &'n Node<'a>, known: &[&str], report: &mut Report) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            unexpected(node, "a mapping", report);
            return None;
        };
        let mut meant = Vec::new();
        for entry in entries.iter().filter(|entry| !known.contains(&&*entry.key)) {
            let absent = known.iter().filter(|key| entries.iter().all(|e| e.key != **key));
            let absent: Vec<&str> = absent.copied().collect();
            meant.extend(policy::nearest(&entry.key, absent.iter()));
            let found = format!("unknown key {}", quoted(&entry.key));
            let hint = did_you_mean(&entry.key, &absent);
            report.add(entry.at, found, alternatives(known), hint);
        }
        Some(Self { at: node.at, entries, meant })
    }

    /// Where the mapping begins.
    pub(crate) fn at(&self) -> Position {
        self.at
    }

    /// The value under `key`.
    pub(crate) fn get(&self, key: &str) -> Option<&'n Node<'a>> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// Reads the value under `key`; its absence is a problem.
    pub(crate) fn required<T>(
        &self,
        key: &str,
        read: impl Fn(&Node<'_>, &mut Report) -> Option<T>,
        report: &mut Report,
    ) -> Option<T> {
        if let Some(node) = self.get(key) {
            return read(node, report);
        }
        if !self.meant.iter().any(|meant| meant == key) {
            report.add(self.at, format!("a mapping without `{key}`"), format!("key `{key}`"), None);
        }
        None
    }

    /// Reads the value under `key`, if there is one.
    pub(crate) fn optional<T>(
        &self,
        key: &str,
        read: impl Fn(&Node<'_>, &mut Report) -> Option<T>,
        report: &mut Report,
    ) -> Option<T> {
        self.get(key).and_then(|node| read(node, report))
    }
}
