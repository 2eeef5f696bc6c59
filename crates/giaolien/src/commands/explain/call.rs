//! The call that is asked about, as given by hand or taken from the ledger.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Result, bail};
use model::{AgreementId, Clock, Entry, MethodPath, SystemClock, Terms, Timestamp};
use policy::Token;

use super::ByHand;

/// A call with everything that its decision may depend on.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) system: String,
    pub(super) method: String,
    pub(super) terms: Terms,
    pub(super) source: IpAddr,
    pub(super) now: Timestamp,
    pub(super) token: Option<Token>,
    pub(super) headers: Vec<(String, String)>,
}

impl ByHand {
    /// The call, with every part checked.
    pub(super) fn asked(self) -> Result<Asked> {
        let token = self.token();
        let method = self.method.context("found no --method, expected it or --exchange")?;
        if MethodPath::parse(&method).is_none() {
            bail!("found method `{method}`, expected `/package.Service/Method`");
        }
        let purpose = self.purpose.as_deref().map(str::parse).transpose();
        let agreement = self.agreement.as_deref().map(str::parse).transpose();
        let terms = Terms {
            purpose: purpose.context("--purpose")?,
            agreement: agreement.context("--agreement")?,
            dossier: self.dossier.map(Into::into),
            procedure: self.procedure.map(Into::into),
            fields: self.fields.into_iter().map(Into::into).collect(),
        };
        let now = match self.at {
            Some(at) => Timestamp::from_micros(
                u64::try_from(at.as_microsecond()).context("found --at before 1970")?,
            ),
            None => SystemClock.now(),
        };
        Ok(Asked {
            system: self.system.context("found no --system, expected it or --exchange")?,
            method,
            terms,
            source: self.source.unwrap_or(Ipv4Addr::LOCALHOST.into()),
            now,
            token,
            headers: self.header,
        })
    }

    /// The token, if anything is said about one.
    fn token(&self) -> Option<Token> {
        let text = |text: &Option<String>| text.as_deref().map(Box::from);
        let is_told = self.token_level.is_some()
            || self.token_issuer.is_some()
            || self.token_subject.is_some()
            || self.token_unit.is_some()
            || !self.token_role.is_empty();
        is_told.then(|| Token {
            issuer: text(&self.token_issuer).unwrap_or_default(),
            subject: text(&self.token_subject),
            level: self.token_level,
            unit: text(&self.token_unit),
            roles: self.token_role.iter().map(|role| role.as_str().into()).collect(),
            expires: Timestamp::MAX,
        })
    }
}

impl Asked {
    /// The call of an entry; `None` where its system or method is not known.
    pub(super) fn from_entry(entry: &Entry) -> Option<Self> {
        let (system, method, terms, source, now) = match entry {
            Entry::Admitted(call) => {
                let terms = Terms {
                    purpose: Some(call.purpose.clone()),
                    dossier: call.dossier.clone(),
                    procedure: call.procedure.clone(),
                    ..Terms::default()
                };
                (call.system.to_string(), call.method.to_string(), terms, call.source, call.time)
            }
            Entry::Refused(call) => {
                let terms = Terms {
                    purpose: call.purpose.clone(),
                    dossier: call.dossier.clone(),
                    procedure: call.procedure.clone(),
                    ..Terms::default()
                };
                let (system, method) = (call.system.as_ref()?, call.method.as_ref()?);
                (system.to_string(), method.to_string(), terms, call.source, call.time)
            }
            _ => return None,
        };
        let headers = Vec::new();
        Some(Self { system, method, terms, source, now, token: None, headers })
    }

    /// The same call, naming an agreement.
    pub(super) fn naming(&self, agreement: &AgreementId) -> Self {
        let terms = Terms { agreement: Some(agreement.clone()), ..self.terms.clone() };
        Self { terms, ..self.clone() }
    }

    /// The value of a metadata key.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// A key and a value.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("found `{text}`, expected key=value")),
    }
}
