//! What the index keeps of an exchange, and of criteria.

use model::{Admitted, Criteria, Decided, ExchangeId, Pseudonym, Refused, Timestamp};
use sha2::{Digest, Sha256};

/// What a word is. The numbers are in index files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Member = 1,
    System = 2,
    Node = 3,
    Method = 4,
    Agreement = 5,
    Purpose = 6,
    Reason = 7,
    Decided = 8,
}

/// Kinds in the order of a row's columns; the reason, which may come later, is last.
pub(crate) const KINDS: [Kind; 8] = [
    Kind::Member,
    Kind::System,
    Kind::Node,
    Kind::Method,
    Kind::Agreement,
    Kind::Purpose,
    Kind::Decided,
    Kind::Reason,
];

/// The words of an exchange, or of criteria, by place in [`KINDS`].
pub(crate) type Words = [Option<String>; 8];

/// Tells keys of postings for dossiers and persons apart.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Domain {
    Dossier = 1,
    Subject = 2,
}

/// An exchange as it is first met.
#[derive(Clone, Debug)]
pub(crate) struct Met {
    pub(crate) exchange: ExchangeId,
    pub(crate) time: Timestamp,
    pub(crate) words: Words,
    pub(crate) dossier: Option<i64>,
    pub(crate) subject: Option<Pseudonym>,
}

impl Met {
    pub(crate) fn admitted(call: &Admitted) -> Self {
        let text = |text: &str| Some(text.to_owned());
        Self {
            exchange: call.exchange,
            time: call.time,
            words: [
                text(call.member.as_str()),
                text(call.system.as_str()),
                text(call.node.as_str()),
                text(&call.method),
                text(call.agreement.as_str()),
                text(call.purpose.as_str()),
                text(Decided::Admitted.as_str()),
                None,
            ],
            dossier: call.dossier.as_deref().map(dossier_key),
            subject: call.subject.as_ref().map(|subject| subject.pseudonym),
        }
    }

    pub(crate) fn refused(call: &Refused) -> Self {
        let text = |text: &str| Some(text.to_owned());
        Self {
            exchange: call.exchange,
            time: call.time,
            words: [
                call.member.as_ref().and_then(|id| text(id.as_str())),
                call.system.as_ref().and_then(|id| text(id.as_str())),
                None,
                call.method.as_deref().and_then(text),
                call.agreement.as_ref().and_then(|id| text(id.as_str())),
                call.purpose.as_ref().and_then(|id| text(id.as_str())),
                text(Decided::Refused.as_str()),
                text(call.reason.name()),
            ],
            dossier: call.dossier.as_deref().map(dossier_key),
            subject: None,
        }
    }

    /// Whether the id tells when the call began, as those of the gateway do.
    pub(crate) fn id_tells_time(&self) -> bool {
        id_millis(&self.exchange) == self.time.as_micros() / 1000
    }
}

/// The words that criteria ask for.
pub(crate) fn asked(criteria: &Criteria) -> Words {
    let text = |text: &str| Some(text.to_owned());
    [
        criteria.member.as_ref().and_then(|id| text(id.as_str())),
        criteria.system.as_ref().and_then(|id| text(id.as_str())),
        criteria.node.as_ref().and_then(|id| text(id.as_str())),
        criteria.method.as_deref().and_then(text),
        criteria.agreement.as_ref().and_then(|id| text(id.as_str())),
        criteria.purpose.as_ref().and_then(|id| text(id.as_str())),
        criteria.decided.and_then(|decided| text(decided.as_str())),
        criteria.reason.and_then(|reason| text(reason.name())),
    ]
}

/// Milliseconds since 1970 in an id of version 7.
pub(crate) fn id_millis(exchange: &ExchangeId) -> u64 {
    let [a, b, c, d, e, f, ..] = *exchange.as_bytes();
    u64::from_be_bytes([0, 0, a, b, c, d, e, f])
}

pub(crate) fn dossier_key(dossier: &str) -> i64 {
    key(Domain::Dossier, dossier.as_bytes())
}

pub(crate) fn subject_key(pseudonym: Pseudonym) -> i64 {
    key(Domain::Subject, &pseudonym.0)
}

/// A negative number, so that it is no word's. Two things may share one: rows are compared after.
fn key(domain: Domain, bytes: &[u8]) -> i64 {
    let hash: [u8; 32] =
        Sha256::new().chain_update([domain as u8]).chain_update(bytes).finalize().into();
    let [a, b, c, d, e, f, g, h, ..] = hash;
    i64::from_be_bytes([a, b, c, d, e, f, g, h]) | i64::MIN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_negative_and_domains_are_apart() {
        let bytes = [7; 16];
        let (dossier, subject) = (key(Domain::Dossier, &bytes), key(Domain::Subject, &bytes));
        assert!(dossier < 0 && subject < 0 && dossier != subject);
    }

    #[test]
    fn an_id_tells_its_milliseconds() {
        let time = Timestamp::from_micros(1_795_000_000_123_456);
        assert_eq!(id_millis(&ExchangeId::new(time, [7; 10])), 1_795_000_000_123);
    }
}
