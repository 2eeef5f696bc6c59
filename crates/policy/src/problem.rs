//! What is wrong with a source, told by object and field so that a reader finds the place.

use std::fmt;

/// The object that a problem is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A class of members, by id.
    Class(String),
    /// A member, by id.
    Member(String),
    /// A system, by id.
    System(String),
    /// A node, by id.
    Node(String),
    /// A purpose, by code.
    Purpose(String),
    /// A zone, by id.
    Zone(String),
    /// An agreement, by id.
    Agreement(String),
    /// A Cedar policy, by id.
    Policy(String),
    /// A route rule, by its place in the list.
    Route(usize),
}

impl Subject {
    /// What kind of object it is.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Class(_) => "class",
            Self::Member(_) => "member",
            Self::System(_) => "system",
            Self::Node(_) => "node",
            Self::Purpose(_) => "purpose",
            Self::Zone(_) => "zone",
            Self::Agreement(_) => "agreement",
            Self::Policy(_) => "policy",
            Self::Route(_) => "route",
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Class(id)
            | Self::Member(id)
            | Self::System(id)
            | Self::Node(id)
            | Self::Purpose(id)
            | Self::Zone(id)
            | Self::Agreement(id)
            | Self::Policy(id) => write!(f, "{} `{id}`", self.kind()),
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
