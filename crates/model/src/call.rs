//! What a caller asks for: a method, under stated terms.

use std::fmt;

use crate::{AgreementId, PurposeCode};

/// What a method does to the provider's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Reads only. May overlap its own evidence and be retried.
    Query,
    /// May change state. Not forwarded before its entry is durable.
    Update,
}

impl Effect {
    /// The word used in configuration and in evidence.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Update => "update",
        }
    }
}

/// A gRPC method path, `/package.Service/Method`, borrowed from a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MethodPath<'a> {
    path: &'a str,
    slash: usize,
}

impl<'a> MethodPath<'a> {
    /// Parses `/package.Service/Method`; `None` if the text has another shape.
    ///
    /// ```
    /// use model::MethodPath;
    /// let path = MethodPath::parse("/vn.population.v1.PopulationService/VerifyPerson").unwrap();
    /// assert_eq!(path.service(), "vn.population.v1.PopulationService");
    /// assert_eq!(path.method(), "VerifyPerson");
    /// assert!(MethodPath::parse("/no-method").is_none());
    /// ```
    pub fn parse(path: &'a str) -> Option<Self> {
        let rest = path.strip_prefix('/')?;
        let slash = rest.rfind('/')?;
        let service = rest.as_bytes().get(..slash)?;
        // Not cut short at the first slash, so that several bytes are looked at in one step.
        let split = service.iter().fold(false, |found, byte| found | (*byte == b'/'));
        let whole = slash > 0 && slash + 1 < rest.len() && !split;
        whole.then_some(Self { path, slash: slash + 1 })
    }

    /// The whole path.
    pub fn as_str(&self) -> &'a str {
        self.path
    }

    /// The service's full name.
    pub fn service(&self) -> &'a str {
        self.path.get(1..self.slash).unwrap_or_default()
    }

    /// The method's name.
    pub fn method(&self) -> &'a str {
        self.path.get(self.slash + 1..).unwrap_or_default()
    }
}

impl fmt::Display for MethodPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path)
    }
}

/// What the caller says about a call beside the method: why, for which case, under what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// `exchange-purpose`: the purpose code.
    pub purpose: Option<PurposeCode>,
    /// `exchange-dossier`: the case number.
    pub dossier: Option<Box<str>>,
    /// `exchange-procedure`: the public-service code.
    pub procedure: Option<Box<str>>,
    /// `exchange-agreement`: the agreement the caller names.
    pub agreement: Option<AgreementId>,
    /// `exchange-fields`: the fields the caller asks for; empty where it does not say.
    pub fields: Box<[Box<str>]>,
}
