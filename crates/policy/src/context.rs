//! What a decision may depend on beside who calls what.

use std::net::IpAddr;

use model::{Terms, Timestamp};

/// The circumstances of a call.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// What the caller states.
    pub terms: &'a Terms,
    /// Where the call comes from.
    pub source: IpAddr,
    /// The token of the official or citizen behind the call, if a valid one was sent.
    pub token: Option<&'a Token>,
    /// The time.
    pub now: Timestamp,
}

/// What a valid token says about the person behind a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Who issued it.
    pub issuer: Box<str>,
    /// Whom it is about, as the issuer names the person.
    pub subject: Option<Box<str>>,
    /// The level of assurance of the identity: 1 or 2 for VNeID.
    pub level: Option<i64>,
    /// The unit of an official.
    pub unit: Option<Box<str>>,
    /// The roles of an official.
    pub roles: Vec<Box<str>>,
    /// When it ends.
    pub expires: Timestamp,
}

/// Room to decide in, used again and again, and which policies decided the last time.
#[derive(Debug, Default)]
pub struct Workspace {
    pub(crate) cedar: cedar::Workspace,
    pub(crate) asked: bool,
}

impl Workspace {
    /// The Cedar policies that decided: those that forbid a refused call, those that permit an
    /// allowed one beside its agreement.
    pub fn determining(&self) -> &[cedar::PolicyIx] {
        if self.asked { self.cedar.determining() } else { &[] }
    }

    /// The Cedar policies that ended in an error and were passed over, as Cedar has it.
    pub fn erring(&self) -> &[cedar::PolicyIx] {
        if self.asked { self.cedar.erring() } else { &[] }
    }
}
