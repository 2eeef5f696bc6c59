//! What is wrong with a configuration, and where; and the report that collects it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::inputs::{Inputs, Roots};

/// Most problems told about one configuration.
const PROBLEMS_MAX: usize = 1000;
/// Most characters of the reader's own text that a problem repeats.
const QUOTED_CHARS_MAX: usize = 80;
/// From this length on, text that looks like an encoded key is not repeated.
const KEY_CHARS_MIN: usize = 40;

/// One thing that keeps a configuration from being used.
///
/// Problems sort by file, line and column. No problem repeats key material.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file, relative to the configuration folder.
    pub file: String,
    /// The line; the first is 1.
    pub line: u32,
    /// The column, in characters; the first is 1.
    pub column: u32,
    /// What was found.
    pub found: String,
    /// What was expected.
    pub expected: String,
    /// What may help.
    pub hint: Option<String>,
}

impl Problem {
    /// The problem as a JSON object with the keys `file`, `line`, `column`, `found`, `expected`
    /// and `hint` (`null` where there is none).
    pub fn to_json(&self) -> Value {
        json!({
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "found": self.found,
            "expected": self.expected,
            "hint": self.hint,
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        write!(f, "found {}, expected {}", self.found, self.expected)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

/// A place in a file. Both numbers count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

impl Position {
    /// Where a file begins.
    pub(crate) const START: Self = Self { line: 1, column: 1 };
}

/// Evidence that a problem was reported. Made only by [`Report`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reported(());

/// Collects problems, file after file of one configuration folder.
#[derive(Debug, Default)]
pub(crate) struct Report {
    roots: Roots,
    inputs: Inputs,
    file: Arc<str>,
    problems: Vec<Problem>,
    /// How many problems there were when the current file was entered.
    before: usize,
}

impl Report {
    /// An empty report on the configuration that lies there.
    pub(crate) fn new(roots: Roots) -> Self {
        Self { roots, ..Self::default() }
    }

    /// The path that configuration means by `written`.
    pub(crate) fn path(&self, written: &str) -> PathBuf {
        self.roots.path(written)
    }

    /// Keeps in mind that the file called `written` was read and held `bytes`.
    pub(crate) fn has_read(&mut self, written: &str, bytes: &[u8]) {
        self.inputs.add(written, bytes);
    }

    /// The files that were read so far.
    pub(crate) fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    /// What is reported from here on is about `file`.
    pub(crate) fn enter(&mut self, file: Arc<str>) {
        self.file = file;
        self.before = self.problems.len();
    }

    /// Whether nothing was reported about the current file so far.
    pub(crate) fn file_is_clean(&self) -> bool {
        self.problems.len() == self.before && !self.is_full()
    }

    /// The file that is being read.
    pub(crate) fn file(&self) -> Arc<str> {
        Arc::clone(&self.file)
    }

    /// Reports a problem at a place of the current file.
    pub(crate) fn add(
        &mut self,
        at: Position,
        found: impl Into<String>,
        expected: impl Into<String>,
        hint: Option<String>,
    ) -> Reported {
        let problem = Problem {
            file: self.file.to_string(),
            line: at.line,
            column: at.column,
            found: found.into(),
            expected: expected.into(),
            hint,
        };
        match self.problems.len() < PROBLEMS_MAX {
            true => self.problems.push(problem),
            false if self.problems.len() == PROBLEMS_MAX => self.problems.push(Problem {
                found: format!("more than {PROBLEMS_MAX} problems"),
                expected: "none".to_owned(),
                hint: Some("the others are not shown".to_owned()),
                ..problem
            }),
            false => {}
        }
        Reported(())
    }

    /// Whether nothing was reported.
    pub(crate) fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// Whether no more problems are kept, so that looking for them is idle.
    pub(crate) fn is_full(&self) -> bool {
        self.problems.len() > PROBLEMS_MAX
    }

    /// The problems in order of file, line and column.
    pub(crate) fn into_problems(mut self) -> Vec<Problem> {
        self.problems.sort();
        self.problems.dedup();
        self.problems
    }
}

/// The reader's own text in backticks: cut when long, without control characters, and never a key.
pub(crate) fn quoted(text: &str) -> String {
    if looks_like_a_key(text) {
        return "what looks like key material (not shown)".to_owned();
    }
    let shown: String = text.chars().take(QUOTED_CHARS_MAX).flat_map(visible).collect();
    let cut = if text.chars().nth(QUOTED_CHARS_MAX).is_some() { "…" } else { "" };
    format!("`{shown}{cut}`")
}

/// Whether `text` holds a PEM block.
pub(crate) fn is_pem(text: &str) -> bool {
    text.contains("-----BEGIN") || text.contains("PRIVATE KEY")
}

/// Whether `text` holds a PEM block, or something as long as a key and written like one in DER.
fn looks_like_a_key(text: &str) -> bool {
    let encoded = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
    let der = ["MI", "MC", "MF"].iter().any(|start| text.starts_with(start))
        && text.len() >= KEY_CHARS_MIN
        && text.chars().all(encoded);
    der || is_pem(text)
}

/// The character, or its escaped form where a terminal would act on it.
fn visible(c: char) -> impl Iterator<Item = char> {
    let acts = c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let (plain, escaped) = if acts { (None, Some(c.escape_default())) } else { (Some(c), None) };
    plain.into_iter().chain(escaped.into_iter().flatten())
}

/// `did you mean …?`, if a known word is near.
pub(crate) fn did_you_mean(word: &str, known: &[&str]) -> Option<String> {
    policy::nearest(word, known.iter()).map(|near| format!("did you mean `{near}`?"))
}

/// The words as a reader lists them: `a`, `b` or `c`.
pub(crate) fn alternatives(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => "nothing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_text_is_cut_and_harmless() {
        assert_eq!(quoted("Bộ Nội vụ"), "`Bộ Nội vụ`");
        assert_eq!(quoted("a\u{1b}[2Jb\u{202e}"), r"`a\u{1b}[2Jb\u{202e}`");
        assert_eq!(quoted(&"ơ".repeat(81)), format!("`{}…`", "ơ".repeat(80)));
    }

    #[test]
    fn keys_are_never_repeated() {
        let hidden = "what looks like key material (not shown)";
        assert_eq!(quoted("-----BEGIN PRIVATE KEY----- MC4C"), hidden);
        assert_eq!(
            quoted("MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"),
            hidden
        );
        assert_eq!(quoted("MINISTRY"), "`MINISTRY`");
    }

    #[test]
    fn the_number_of_problems_is_bounded() {
        let mut report = Report::default();
        for line in 1..=2000 {
            report.add(Position { line, column: 1 }, "x", "y", None);
        }
        let problems = report.into_problems();
        assert_eq!(problems.len(), PROBLEMS_MAX + 1);
        assert_eq!(problems.last().unwrap().found, "more than 1000 problems");
    }

    #[test]
    fn alternatives_read_as_a_sentence() {
        assert_eq!(alternatives(&["a"]), "`a`");
        assert_eq!(alternatives(&["a", "b", "c"]), "`a`, `b` or `c`");
    }
}
