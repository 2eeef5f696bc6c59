//! What is wrong with a text, and where.

use std::fmt;

use miette::Diagnostic;

/// What is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problem {
    /// Name of the file, empty if the problem is in none.
    pub file: Box<str>,
    /// Line from 1, or 0 if it is not known.
    pub line: u32,
    /// Column in characters from 1, or 0 if it is not known.
    pub column: u32,
    /// The policy or entity that it is about.
    pub subject: Option<Box<str>>,
    /// What was found and what was expected.
    pub message: String,
    /// What may help.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem at a byte of a text.
    pub(crate) fn at(file: &str, text: &str, offset: usize, message: String) -> Self {
        let (line, column) = position(text, offset);
        Self { file: file.into(), line, column, message, ..Self::default() }
    }

    /// A problem that `cedar-policy` found in a text.
    pub(crate) fn found(file: &str, text: &str, diagnostic: &dyn Diagnostic) -> Self {
        let label = diagnostic.labels().and_then(|mut labels| labels.next());
        let mut message = diagnostic.to_string();
        if let Some(more) = label.as_ref().and_then(|label| label.label()) {
            message = format!("{message}, {more}");
        }
        let hint = diagnostic.help().map(|help| help.to_string());
        let problem = match label {
            Some(label) => Self::at(file, text, label.offset(), message),
            None => Self { file: file.into(), message, ..Self::default() },
        };
        Self { hint, ..problem }
    }

    pub(crate) fn about(self, subject: impl Into<Box<str>>) -> Self {
        Self { subject: Some(subject.into()), ..self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(f, "{}:", self.file)?;
        }
        if self.line > 0 {
            write!(f, "{}:", self.line)?;
        }
        if self.column > 0 {
            write!(f, "{}:", self.column)?;
        }
        if !self.file.is_empty() || self.line > 0 {
            write!(f, " ")?;
        }
        match &self.subject {
            Some(subject) => write!(f, "`{subject}`: {}", self.message),
            None => write!(f, "{}", self.message),
        }
    }
}

/// Line and column of a byte, both from 1; the column counts characters.
pub(crate) fn position(text: &str, offset: usize) -> (u32, u32) {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = text.get(..end).unwrap_or_default();
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let column = before.chars().rev().take_while(|it| *it != '\n').count() + 1;
    (crate::names::number(line), crate::names::number(column))
}
