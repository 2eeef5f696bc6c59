//! What exchanges a reader of the ledger asks for.

use std::fmt;

use crate::{
    AgreementId, Entry, ExchangeId, Finished, MemberId, NodeId, PurposeCode, Reason, Subject,
    SystemId, Timestamp,
};

/// What was decided about a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decided {
    /// It was allowed.
    Admitted,
    /// It was declined.
    Refused,
}

impl Decided {
    /// The word used in criteria.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::Refused => "refused",
        }
    }
}

/// What exchanges are asked for: those that fit all that is given. The default fits all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Criteria {
    /// Begun at this moment or later.
    pub from: Option<Timestamp>,
    /// Begun before this moment.
    pub until: Option<Timestamp>,
    /// By this member.
    pub member: Option<MemberId>,
    /// By this system.
    pub system: Option<SystemId>,
    /// To this node. A refused call came to none.
    pub node: Option<NodeId>,
    /// This method path.
    pub method: Option<Box<str>>,
    /// Allowed or declined under this agreement.
    pub agreement: Option<AgreementId>,
    /// For this purpose.
    pub purpose: Option<PurposeCode>,
    /// With this case number.
    pub dossier: Option<Box<str>>,
    /// About one of these persons; without any: about whomsoever.
    pub subjects: Vec<Subject>,
    /// So decided.
    pub decided: Option<Decided>,
    /// Declined or cut for this reason.
    pub reason: Option<Reason>,
    /// With this id.
    pub exchange: Option<ExchangeId>,
}

impl Criteria {
    /// Whether an exchange fits: its first entry, its last if it has one, and a person whom a further
    /// entry says it concerns. Entries that begin no exchange fit nothing.
    pub fn fit(
        &self,
        first: &Entry,
        finished: Option<&Finished>,
        concerned: Option<&Subject>,
    ) -> bool {
        let facts = match first {
            Entry::Admitted(call) => Facts {
                exchange: call.exchange,
                time: call.time,
                member: Some(&call.member),
                system: Some(&call.system),
                node: Some(&call.node),
                method: Some(&call.method),
                agreement: Some(&call.agreement),
                purpose: Some(&call.purpose),
                dossier: call.dossier.as_deref(),
                subject: concerned.or(call.subject.as_ref()),
                decided: Decided::Admitted,
                reason: finished.and_then(|finished| finished.reason),
            },
            Entry::Refused(call) => Facts {
                exchange: call.exchange,
                time: call.time,
                member: call.member.as_ref(),
                system: call.system.as_ref(),
                node: None,
                method: call.method.as_deref(),
                agreement: call.agreement.as_ref(),
                purpose: call.purpose.as_ref(),
                dossier: call.dossier.as_deref(),
                subject: None,
                decided: Decided::Refused,
                reason: Some(call.reason),
            },
            _ => return false,
        };
        self.fit_facts(&facts)
    }

    fn fit_facts(&self, facts: &Facts<'_>) -> bool {
        self.from.is_none_or(|from| facts.time >= from)
            && self.until.is_none_or(|until| facts.time < until)
            && asked(self.member.as_ref(), facts.member)
            && asked(self.system.as_ref(), facts.system)
            && asked(self.node.as_ref(), facts.node)
            && asked(self.method.as_deref(), facts.method)
            && asked(self.agreement.as_ref(), facts.agreement)
            && asked(self.purpose.as_ref(), facts.purpose)
            && asked(self.dossier.as_deref(), facts.dossier)
            && (self.subjects.is_empty()
                || facts.subject.is_some_and(|subject| self.subjects.contains(subject)))
            && self.decided.is_none_or(|decided| decided == facts.decided)
            && self.reason.is_none_or(|reason| facts.reason == Some(reason))
            && self.exchange.is_none_or(|exchange| exchange == facts.exchange)
    }
}

fn asked<T: PartialEq + ?Sized>(asked: Option<&T>, found: Option<&T>) -> bool {
    asked.is_none() || asked == found
}

/// What criteria ask about an exchange.
struct Facts<'a> {
    exchange: ExchangeId,
    time: Timestamp,
    member: Option<&'a MemberId>,
    system: Option<&'a SystemId>,
    node: Option<&'a NodeId>,
    method: Option<&'a str>,
    agreement: Option<&'a AgreementId>,
    purpose: Option<&'a PurposeCode>,
    dossier: Option<&'a str>,
    subject: Option<&'a Subject>,
    decided: Decided,
    reason: Option<Reason>,
}

/// One line: `member=H26.12 purpose=residence`; persons by period and pseudonym.
impl fmt::Display for Criteria {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = Vec::new();
        let mut add = |name: &str, value: Option<String>| {
            parts.extend(value.map(|value| format!("{name}={value}")));
        };
        add("from", self.from.map(|time| time.to_string()));
        add("until", self.until.map(|time| time.to_string()));
        add("member", self.member.as_ref().map(ToString::to_string));
        add("system", self.system.as_ref().map(ToString::to_string));
        add("node", self.node.as_ref().map(ToString::to_string));
        add("method", self.method.as_ref().map(|text| format!("{text:?}")));
        add("agreement", self.agreement.as_ref().map(ToString::to_string));
        add("purpose", self.purpose.as_ref().map(ToString::to_string));
        add("dossier", self.dossier.as_ref().map(|text| format!("{text:?}")));
        for Subject { pseudonym, period } in &self.subjects {
            add("subject", Some(format!("{period}:{pseudonym}")));
        }
        add("decided", self.decided.map(|decided| decided.as_str().to_owned()));
        add("reason", self.reason.map(|reason| reason.name().to_owned()));
        add("exchange", self.exchange.map(|exchange| exchange.to_string()));
        match parts.is_empty() {
            true => f.write_str("everything"),
            false => f.write_str(&parts.join(" ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Period, Pseudonym};

    #[test]
    fn criteria_show_as_one_line_without_anything_of_a_person() {
        assert_eq!(Criteria::default().to_string(), "everything");
        let period: Period = "2026".parse().unwrap();
        let criteria = Criteria {
            member: Some("H26.12".parse().unwrap()),
            dossier: Some("a b\n".into()),
            subjects: vec![Subject { pseudonym: Pseudonym([9; 16]), period }],
            decided: Some(Decided::Refused),
            reason: Some(Reason::AgreementMissing),
            ..Criteria::default()
        };
        assert_eq!(
            criteria.to_string(),
            "member=H26.12 dossier=\"a b\\n\" subject=2026:09090909090909090909090909090909 \
             decided=refused reason=AGREEMENT_MISSING"
        );
    }
}
