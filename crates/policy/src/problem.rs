//! What is wrong with a source, told by object and field so that a reader finds the place.

use std::fmt;

/// The object that a problem is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A member, by id.
    Member(String),
    /// A system, by id.
    System(String),
    /// A node, by id.
    Node(String),
    /// A purpose, by code.
    Purpose(String),
    /// An agreement, by id.
    Agreement(String),
    /// A route rule, by its place in the list.
    Route(usize),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member(id) => write!(f, "member `{id}`"),
            Self::System(id) => write!(f, "system `{id}`"),
            Self::Node(id) => write!(f, "node `{id}`"),
            Self::Purpose(code) => write!(f, "purpose `{code}`"),
            Self::Agreement(id) => write!(f, "agreement `{id}`"),
            Self::Route(at) => write!(f, "routes[{at}]"),
        }
    }
}

/// One thing that keeps a source from compiling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The object.
    pub subject: Subject,
    /// The field within it, as configuration writes it: `consumer`, `purposes[1]`.
    pub field: String,
    /// What was found.
    pub found: String,
    /// What was expected.
    pub expected: String,
    /// What may help.
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}: found {}, ", self.field, self.subject, self.found)?;
        write!(f, "expected {}", self.expected)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}
