//! How much harm a field can do when it reaches the wrong reader.

use std::fmt;
use std::str::FromStr;

/// The class of a field, as `giaolien.annotations.v1.Class` says it. The order is by harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// May be published.
    Open,
    /// Basic personal data.
    Basic,
    /// Sensitive personal data. A field without a class counts as this one: what nobody has
    /// thought about is guarded like the worst that may be exchanged at all.
    Sensitive,
    /// Never exchanged.
    Secret,
}

impl Class {
    /// All classes, the most harmless first.
    pub const ALL: [Self; 4] = [Self::Open, Self::Basic, Self::Sensitive, Self::Secret];

    /// As agreements write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Basic => "basic",
            Self::Sensitive => "sensitive",
            Self::Secret => "secret",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Class {
    type Err = ();

    /// Nothing but the four words is a class.
    fn from_str(word: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|class| class.as_str() == word).ok_or(())
    }
}
