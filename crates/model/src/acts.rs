//! What of the doings of operators a reader of the ledger asks for.

use std::fmt;

use crate::{Action, Entry, Operator, Reading, Subject, Timestamp};

/// What an operator did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActKind {
    /// Read the ledger.
    Read,
    /// Put a configuration in force.
    Apply,
    /// Had entries removed.
    Remove,
}

impl ActKind {
    /// The word used in criteria.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Apply => "apply",
            Self::Remove => "remove",
        }
    }

    /// What an entry is about; `None` if not about an operator.
    pub fn of(entry: &Entry) -> Option<Self> {
        match entry {
            Entry::LedgerRead(_) => Some(Self::Read),
            Entry::AdminAction(done) => match done.action {
                Action::Apply => Some(Self::Apply),
            },
            Entry::SegmentRemoved(_) => Some(Self::Remove),
            _ => None,
        }
    }
}

/// When an operator did what an entry says; `None` if it is not about an operator.
pub fn act_time(entry: &Entry) -> Option<Timestamp> {
    facts(entry).map(|(time, _)| time)
}

fn facts(entry: &Entry) -> Option<(Timestamp, &Operator)> {
    match entry {
        Entry::LedgerRead(read) => Some((read.time, &read.operator)),
        Entry::AdminAction(done) => Some((done.time, &done.operator)),
        Entry::SegmentRemoved(removed) => Some((removed.time, &removed.operator)),
        _ => None,
    }
}

/// What of the doings of operators is asked for: all that fits. The default fits all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActCriteria {
    /// At this moment or later.
    pub from: Option<Timestamp>,
    /// Before this moment.
    pub until: Option<Timestamp>,
    /// By the operator of this name, or with the certificate of this SHA-256 in hexadecimal.
    pub operator: Option<Box<str>>,
    /// Of this kind.
    pub kind: Option<ActKind>,
    /// Readings that asked for one of these persons; without any: whatever was asked.
    pub subjects: Vec<Subject>,
}

impl ActCriteria {
    /// Whether an entry fits. Entries that are not about operators fit nothing.
    pub fn fit(&self, entry: &Entry) -> bool {
        let Some((time, operator)) = facts(entry) else { return false };
        let by = |asked: &str| {
            operator.name.as_deref() == Some(asked) || operator.certificate.to_string() == asked
        };
        self.from.is_none_or(|from| time >= from)
            && self.until.is_none_or(|until| time < until)
            && self.operator.as_deref().is_none_or(by)
            && self.kind.is_none_or(|kind| ActKind::of(entry) == Some(kind))
            && (self.subjects.is_empty() || self.is_about(entry))
    }

    /// Whether an entry is about reading the history of one of these persons.
    fn is_about(&self, entry: &Entry) -> bool {
        let Entry::LedgerRead(read) = entry else { return false };
        if read.reading != Reading::Subject {
            return false;
        }
        let asked = |word: &str| self.subjects.iter().any(|subject| word == named(subject));
        read.criteria.split(' ').any(asked)
    }
}

/// A person as criteria show one.
pub(crate) fn named(subject: &Subject) -> String {
    format!("subject={}:{}", subject.period, subject.pseudonym)
}

/// One line: `operator="thanh tra" kind=read`; persons by period and pseudonym.
impl fmt::Display for ActCriteria {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = Vec::new();
        parts.extend(self.from.map(|time| format!("from={time}")));
        parts.extend(self.until.map(|time| format!("until={time}")));
        parts.extend(self.operator.as_ref().map(|text| format!("operator={text:?}")));
        parts.extend(self.kind.map(|kind| format!("kind={}", kind.as_str())));
        parts.extend(self.subjects.iter().map(named));
        match parts.is_empty() {
            true => f.write_str("everything"),
            false => f.write_str(&parts.join(" ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CertificateDigest, Criteria, LedgerRead, Pseudonym};

    fn subject(byte: u8) -> Subject {
        Subject { pseudonym: Pseudonym([byte; 16]), period: "2026".parse().unwrap() }
    }

    #[test]
    fn a_reading_is_found_by_who_and_whom() {
        let asked = Criteria { subjects: vec![subject(9)], ..Criteria::default() };
        let entry = Entry::LedgerRead(LedgerRead {
            time: Timestamp::from_secs(10),
            operator: Operator {
                certificate: CertificateDigest([2; 32]),
                name: Some("thanh tra".into()),
            },
            reading: Reading::Subject,
            criteria: asked.to_string().into(),
            why: "17/2026".into(),
            results: 3,
        });
        let check = |criteria: ActCriteria, fits: bool, shown: &str| {
            assert_eq!((criteria.fit(&entry), criteria.to_string().as_str()), (fits, shown));
        };
        let all = ActCriteria::default;
        check(all(), true, "everything");
        let by = |text: &str| ActCriteria { operator: Some(text.into()), ..all() };
        check(by("thanh tra"), true, "operator=\"thanh tra\"");
        check(by("thanh"), false, "operator=\"thanh\"");
        assert!(by(&"02".repeat(32)).fit(&entry));
        check(ActCriteria { kind: Some(ActKind::Read), ..all() }, true, "kind=read");
        check(ActCriteria { kind: Some(ActKind::Remove), ..all() }, false, "kind=remove");
        assert!(ActCriteria { subjects: vec![subject(8), subject(9)], ..all() }.fit(&entry));
        assert!(!ActCriteria { subjects: vec![subject(8)], ..all() }.fit(&entry));
        let time = |secs| Some(Timestamp::from_secs(secs));
        assert!(!ActCriteria { from: time(11), ..all() }.fit(&entry));
        assert!(!ActCriteria { until: time(10), ..all() }.fit(&entry));
    }
}
