//! A declined call: its reason, and the facts that explain it.

use std::fmt;
use std::time::Duration;

use crate::{AgreementId, Language, Reason};

/// Longest value of a fact, so that a refusal fits into what callers take as metadata.
const FACT_CHARS_MAX: usize = 200;

/// A fact that explains a refusal: a stable key, a value that is safe to show the caller.
pub type Fact = (&'static str, String);

/// A call that was declined.
///
/// `facts` go to the caller; `inward` is for the operator's log alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    reason: Reason,
    agreement: Option<AgreementId>,
    facts: Vec<Fact>,
    retry_after: Option<Duration>,
    inward: String,
}

impl Refusal {
    /// A refusal for `reason`, with nothing more to say.
    ///
    /// ```
    /// use model::{Language, Reason, Refusal};
    /// let refusal = Refusal::new(Reason::AgreementExpired).with("valid_until", "2026-01-31");
    /// assert_eq!(
    ///     refusal.message(Language::English),
    ///     "the agreement has expired (valid_until: 2026-01-31); have the agreement renewed"
    /// );
    /// ```
    pub fn new(reason: Reason) -> Self {
        Self {
            reason,
            agreement: None,
            facts: Vec::new(),
            retry_after: None,
            inward: String::new(),
        }
    }

    /// Adds a fact that the caller may see; a long one is cut.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        let mut value = value.to_string();
        // Mostly it is short, and nothing has to be counted.
        let long = value.len() > FACT_CHARS_MAX;
        if let Some((end, _)) = long.then(|| value.char_indices().nth(FACT_CHARS_MAX)).flatten() {
            value.truncate(end);
            value.push('…');
        }
        self.facts.push((key, value));
        self
    }

    /// Names the agreement that determined the refusal.
    #[must_use]
    pub fn under(mut self, agreement: AgreementId) -> Self {
        self.agreement = Some(agreement);
        self
    }

    /// Says after which time the same call may succeed.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Adds a cause for the operator's log; the caller never sees it.
    #[must_use]
    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        self.inward = cause.to_string();
        self
    }

    /// Why.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The agreement that determined the refusal.
    pub fn agreement(&self) -> Option<&AgreementId> {
        self.agreement.as_ref()
    }

    /// The facts that the caller may see.
    pub fn facts(&self) -> &[Fact] {
        &self.facts
    }

    /// The time after which the same call may succeed, if that is known.
    pub fn wait(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The cause for the operator, empty if there is nothing beyond the facts.
    pub fn inward(&self) -> &str {
        &self.inward
    }

    /// What happened, the facts, and what would change it, in one line.
    pub fn message(&self, language: Language) -> String {
        let mut message = self.reason.happened(language).to_owned();
        let agreement = self.agreement.iter().map(|id| format!("agreement: {id}"));
        let facts = self.facts.iter().map(|(key, value)| format!("{key}: {value}"));
        let facts: Vec<String> = agreement.chain(facts).collect();
        if !facts.is_empty() {
            message.push_str(&format!(" ({})", facts.join(", ")));
        }
        message + "; " + self.reason.change(language)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_names_agreement_and_facts_in_both_languages() {
        let refusal = Refusal::new(Reason::PurposeNotCovered)
            .under("A-17".parse().unwrap())
            .with("purpose", "statistics");
        assert_eq!(
            refusal.message(Language::English),
            "the agreement does not cover this purpose (agreement: A-17, purpose: statistics); \
             state a purpose of the agreement, or have the agreement extended"
        );
        assert_eq!(
            refusal.message(Language::Vietnamese),
            "thỏa thuận không bao gồm mục đích này (agreement: A-17, purpose: statistics); \
             hãy nêu mục đích có trong thỏa thuận hoặc đề nghị mở rộng thỏa thuận"
        );
    }

    #[test]
    fn a_long_fact_is_cut() {
        let refusal = Refusal::new(Reason::MethodUnknown).with("method", "đ".repeat(300));
        assert_eq!(refusal.facts()[0].1.chars().count(), 201);
    }

    #[test]
    fn the_cause_stays_inside() {
        let refusal = Refusal::new(Reason::UpstreamUnreachable).because("10.0.0.7: refused");
        assert!(!refusal.message(Language::English).contains("10.0.0.7"));
        assert_eq!(refusal.inward(), "10.0.0.7: refused");
    }
}
