//! Bounds on texts, looked at before a parser whose stack they protect.
//!
//! The parser of `cedar-policy` and everything that walks its trees recurse as deeply as a text
//! nests: with its brackets, and with operators in a row, which nest to the left. One pass over
//! the bytes finds how deep a text can become at most.

use super::Problem;

/// How many bytes a file may have.
pub const TEXT_BYTES_MAX: usize = 4 << 20;
/// How deep a text may nest: a bracket counts [`BRACKET`], an operator in a row one. Stacks of
/// 2 MiB are enough for more than twice of it.
pub const NESTING_MAX: usize = 600;
/// What a bracket takes of the stack, in operators.
const BRACKET: usize = 8;

/// One bracket that is open, or the text itself.
#[derive(Debug, Clone, Copy, Default)]
struct Level {
    /// Operators and `if`s in a row so far.
    operators: usize,
    /// Selections such as `.name` in a row so far.
    selections: usize,
}

/// Which text is measured: `<` is a bracket in schemas, and an operator in policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    Policies,
    Schema,
    /// The parser of JSON bounds the nesting itself.
    Json,
}

/// A problem if the text is larger or nests deeper than the bounds.
pub(crate) fn measure(file: &str, text: &str, language: Language) -> Option<Problem> {
    if text.len() > TEXT_BYTES_MAX {
        let (found, expected) = (text.len(), TEXT_BYTES_MAX);
        let message = format!("found {found} bytes, expected at most {expected}");
        return Some(Problem { file: file.into(), message, ..Problem::default() });
    }
    if language == Language::Json {
        return None;
    }
    let offset = too_deep(text.as_bytes(), language)?;
    let message = "found brackets or operators nested too deeply".to_owned();
    let hint = "split the condition into several policies, or test with `contains` of a set";
    Some(Problem { hint: Some(hint.to_owned()), ..Problem::at(file, text, offset, message) })
}

/// Where the text becomes too deep.
fn too_deep(bytes: &[u8], language: Language) -> Option<usize> {
    let mut levels = vec![Level::default()];
    let mut below = 0;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let next = bytes.get(at + 1).copied();
        let schema = language == Language::Schema;
        let mut width = 1;
        match byte {
            b'"' => width = string(bytes, at),
            b'/' if next == Some(b'/') => {
                let rest = bytes.get(at..).unwrap_or_default();
                width = rest.iter().take_while(|it| !matches!(it, b'\n' | b'\r')).count();
            }
            b'(' | b'[' | b'{' => open(&mut levels, &mut below),
            b'<' if schema => open(&mut levels, &mut below),
            b')' | b']' | b'}' => close(&mut levels, &mut below),
            b'>' if schema => close(&mut levels, &mut below),
            _ => {
                let outermost = levels.len() == 1;
                if let Some(level) = levels.last_mut() {
                    width = step(level, outermost, bytes, at);
                }
            }
        }
        let level = levels.last().copied().unwrap_or_default();
        if below + level.operators + level.selections > NESTING_MAX {
            return Some(at);
        }
        at += width;
    }
    None
}

fn open(levels: &mut Vec<Level>, below: &mut usize) {
    let level = levels.last().copied().unwrap_or_default();
    *below += level.operators + level.selections + BRACKET;
    levels.push(Level::default());
}

fn close(levels: &mut Vec<Level>, below: &mut usize) {
    if levels.len() < 2 {
        return;
    }
    levels.pop();
    if let Some(level) = levels.last_mut() {
        *below = below.saturating_sub(level.operators + level.selections + BRACKET);
        // What follows may be selected from what the bracket held, or be the next clause.
        level.selections += 1;
    }
}

/// Counts what stands at a byte outside strings, and says how wide it is.
fn step(level: &mut Level, outermost: bool, bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    match rest {
        [b';', ..] if outermost => *level = Level::default(),
        [b',', ..] if !outermost => *level = Level::default(),
        [b'.', ..] => level.selections += 1,
        [b'&', b'&', ..] | [b'|', b'|', ..] => {
            *level = Level { operators: level.operators + 1, selections: 0 };
            return 2;
        }
        [b'+' | b'-' | b'*' | b'!', ..] => {
            *level = Level { operators: level.operators + 1, selections: 0 };
        }
        // Comparisons do not stand in a row.
        [b'=' | b'<' | b'>', ..] => level.selections = 0,
        [byte, ..] if is_word(*byte) => {
            let width = rest.iter().take_while(|byte| is_word(**byte)).count();
            if rest.get(..width) == Some(b"if") {
                *level = Level { operators: level.operators + 1, selections: 0 };
            }
            return width;
        }
        _ => {}
    }
    1
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// How wide the string is that begins at a byte. The lexer knows no string with an escaped end of
/// line, so what follows one is measured as if outside.
fn string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1 - start,
            b'\\' if matches!(bytes.get(at + 1), Some(b'\n' | b'\r')) => return at + 1 - start,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at - start
}
