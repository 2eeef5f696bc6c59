//! YAML text to a tree of nodes that know their place.
//!
//! Only what configuration needs: scalars stay as written, so that `1.004222` or `0101234567` is
//! not mistaken for a number; aliases, tags and several documents are refused; nesting is bounded
//! before anything is built.

use std::borrow::Cow;
use std::mem;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput};
use sha2::{Digest as _, Sha256};

use crate::problem::{Position, Report, Reported, is_pem, quoted};

/// Deepest nesting of lists and mappings.
const DEPTH_MAX: usize = 16;
/// Most keys of one mapping. No mapping of a configuration has a tenth of that.
const KEYS_MAX: usize = 128;
const BOM: char = '\u{feff}';

/// What tells a node from others: the first half of the SHA-256 of what it holds, whatever its
/// layout.
pub(crate) type NodeDigest = [u8; 16];

/// A value in a file.
#[derive(Debug)]
pub(crate) struct Node<'a> {
    /// Where it begins.
    pub(crate) at: Position,
    /// What it is.
    pub(crate) value: Value<'a>,
    /// Whether it is text in quotes or in a block, which is never taken for a number.
    pub(crate) quoted: bool,
}

/// What a node holds.
#[derive(Debug)]
pub(crate) enum Value<'a> {
    /// No value, or `null`.
    Nothing,
    /// Text as it was written.
    Scalar(Cow<'a, str>),
    /// A list.
    List(Vec<Node<'a>>),
    /// A mapping, in the order of the file, each key once.
    Map(Vec<Entry<'a>>),
    /// Something that was reported when it was read.
    Refused(Reported),
}

/// A key and its value.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    /// The key.
    pub(crate) key: Cow<'a, str>,
    /// Where the key stands.
    pub(crate) at: Position,
    /// Its value.
    pub(crate) value: Node<'a>,
}

impl<'a> Node<'a> {
    fn plain(at: Position, value: Value<'a>) -> Self {
        Self { at, value, quoted: false }
    }

    /// The value under `key`, if this is a mapping that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Node<'a>> {
        let Value::Map(entries) = &self.value else { return None };
        entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// Nodes that hold the same have the same digest, wherever they stand.
    pub(crate) fn digest(&self) -> NodeDigest {
        let mut hasher = Sha256::new();
        self.feed(&mut hasher);
        let mut digest = NodeDigest::default();
        digest.iter_mut().zip(hasher.finalize()).for_each(|(into, byte)| *into = byte);
        digest
    }

    /// Every kind of value begins with a byte of its own and every text with its length, so that
    /// no two different nodes feed the same bytes. Nesting is bounded by [`DEPTH_MAX`].
    fn feed(&self, hasher: &mut Sha256) {
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX).to_be_bytes();
        match &self.value {
            Value::Nothing => hasher.update([0]),
            Value::Scalar(text) => {
                hasher.update([if self.quoted { 1 } else { 2 }]);
                hasher.update(count(text.len()));
                hasher.update(text.as_bytes());
            }
            Value::List(items) => {
                hasher.update([3]);
                hasher.update(count(items.len()));
                items.iter().for_each(|item| item.feed(hasher));
            }
            Value::Map(entries) => {
                hasher.update([4]);
                hasher.update(count(entries.len()));
                for entry in entries {
                    hasher.update(count(entry.key.len()));
                    hasher.update(entry.key.as_bytes());
                    entry.value.feed(hasher);
                }
            }
            Value::Refused(_) => hasher.update([5]),
        }
    }

    /// The item at `index`, if this is a list that has it.
    pub(crate) fn item(&self, index: usize) -> Option<&Node<'a>> {
        let Value::List(items) = &self.value else { return None };
        items.get(index)
    }
}

/// The text of a file, which must be UTF-8. A byte order mark is skipped.
pub(crate) fn text<'a>(bytes: &'a [u8], report: &mut Report) -> Result<&'a str, Reported> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let at = position_after(&String::from_utf8_lossy(before));
        let hint = "save the file as UTF-8".to_owned();
        report.add(at, "bytes that are not UTF-8", "UTF-8 text", Some(hint))
    })?;
    let text = text.strip_prefix(BOM).unwrap_or(text);
    // The YAML scanner takes U+0000 for the end of the file and would skip what follows.
    let control = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r');
    match text.char_indices().find(|(_, c)| control(*c)) {
        Some((offset, c)) => {
            let at = position_after(text.get(..offset).unwrap_or_default());
            let found = format!("control character U+{:04X}", u32::from(c));
            Err(report.add(at, found, "text without control characters", None))
        }
        None => Ok(text),
    }
}

/// The one document of a file; `None` if there is nothing but comments.
pub(crate) fn read<'a>(text: &'a str, report: &mut Report) -> Result<Option<Node<'a>>, Reported> {
    let mut parser: Parser<'a, StrInput<'a>> = Parser::new_from_str(text);
    let mut tree = Tree::default();
    let mut documents = 0;
    while let Some(next) = parser.next_event() {
        let (event, span) = next.map_err(|error| malformed(text, &error, report))?;
        if matches!(event, Event::DocumentStart(_)) {
            documents += 1;
        }
        if documents > 1 {
            let found = "a second YAML document";
            return Err(report.add(position(span.start), found, "one document per file", None));
        }
        tree.take(event, span, report)?;
    }
    Ok(tree.root.filter(|root| !matches!(root.value, Value::Nothing)))
}

fn malformed(text: &str, error: &ScanError, report: &mut Report) -> Reported {
    let at = position(*error.marker());
    let before = usize::try_from(at.line).unwrap_or(usize::MAX).saturating_sub(1);
    // The scanner may stop at the line after the one that it stumbled over.
    let mut near = text.lines().skip(before.saturating_sub(1)).take(2);
    let indent = |line: &str| line.chars().take_while(|c| c.is_whitespace()).any(|c| c == '\t');
    let tab = near.any(indent);
    let hint = tab.then(|| "indent with spaces, YAML takes no tabs".to_owned());
    report.add(at, format!("malformed YAML ({})", error.info()), "YAML 1.2", hint)
}

fn position(marker: Marker) -> Position {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Position { line: number(marker.line()), column: number(marker.col().saturating_add(1)) }
}

/// The place right after `text`.
fn position_after(text: &str) -> Position {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let last = text.rsplit('\n').next().unwrap_or_default();
    let line = number(text.matches('\n').count() + 1);
    Position { line, column: number(last.trim_start_matches(BOM).chars().count() + 1) }
}

/// The tree as far as it was read.
#[derive(Default)]
struct Tree<'a> {
    root: Option<Node<'a>>,
    /// Lists and mappings that have begun and not ended, outermost first.
    open: Vec<Open<'a>>,
}

enum Open<'a> {
    List { at: Position, items: Vec<Node<'a>> },
    Map { at: Position, entries: Vec<Entry<'a>>, key: Key<'a> },
}

/// What a mapping waits for.
enum Key<'a> {
    /// For a key.
    Awaited,
    /// For the value of this key.
    Read(Cow<'a, str>, Position),
    /// For a value that is dropped, since its key was refused.
    Refused,
}

impl<'a> Tree<'a> {
    fn take(&mut self, event: Event<'a>, span: Span, report: &mut Report) -> Result<(), Reported> {
        let at = position(span.start);
        match event {
            Event::SequenceStart(_, tag) | Event::MappingStart(_, tag) if tag.is_some() => {
                return Err(refuse_tag(at, report));
            }
            Event::SequenceStart(..) => {
                self.open(Open::List { at, items: Vec::new() }, at, report)?;
            }
            Event::MappingStart(..) => {
                let open = Open::Map { at, entries: Vec::new(), key: Key::Awaited };
                self.open(open, at, report)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let node = match self.open.pop() {
                    Some(Open::List { at, items }) => Node::plain(at, Value::List(items)),
                    Some(Open::Map { at, entries, .. }) => Node::plain(at, Value::Map(entries)),
                    None => return Ok(()),
                };
                self.insert(node, report);
            }
            Event::Scalar(text, style, _, tag) => {
                let value = match tag {
                    Some(_) => Value::Refused(refuse_tag(at, report)),
                    None => scalar(text, style, at, report),
                };
                self.insert(Node { at, value, quoted: style != ScalarStyle::Plain }, report);
            }
            Event::Alias(_) => {
                let hint = Some("write the value out".to_owned());
                let reported = report.add(at, "a YAML alias", "the value itself", hint);
                self.insert(Node::plain(at, Value::Refused(reported)), report);
            }
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, open: Open<'a>, at: Position, report: &mut Report) -> Result<(), Reported> {
        if self.open.len() >= DEPTH_MAX {
            let expected = format!("at most {DEPTH_MAX} levels of nesting");
            return Err(report.add(at, "deeper nesting", expected, None));
        }
        self.open.push(open);
        Ok(())
    }

    /// Puts a finished node where it belongs.
    fn insert(&mut self, node: Node<'a>, report: &mut Report) {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, .. }) => match mem::replace(key, Key::Awaited) {
                Key::Awaited => *key = as_key(node, entries, report),
                Key::Read(text, at) => entries.push(Entry { key: text, at, value: node }),
                Key::Refused => {}
            },
        }
    }
}

fn scalar<'a>(
    text: Cow<'a, str>,
    style: ScalarStyle,
    at: Position,
    report: &mut Report,
) -> Value<'a> {
    let plain = style == ScalarStyle::Plain;
    if plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL") {
        return Value::Nothing;
    }
    if is_pem(&text) {
        let expected = "the path of a file that holds it";
        return Value::Refused(report.add(at, quoted(&text), expected, None));
    }
    Value::Scalar(text)
}

fn refuse_tag(at: Position, report: &mut Report) -> Reported {
    report.add(at, "a YAML tag", "a value without a tag", None)
}

/// The node as the next key of a mapping that has `entries` already.
fn as_key<'a>(node: Node<'a>, entries: &[Entry<'a>], report: &mut Report) -> Key<'a> {
    let at = node.at;
    let text = match node.value {
        Value::Scalar(text) => text,
        Value::Refused(_) => return Key::Refused,
        Value::Nothing | Value::List(_) | Value::Map(_) => {
            report.add(at, "a key that is not a word", "a word as key", None);
            return Key::Refused;
        }
    };
    if let Some(first) = entries.iter().find(|entry| entry.key == text) {
        let found = format!("key {} a second time", quoted(&text));
        let hint = format!("the first stands in line {}", first.at.line);
        report.add(at, found, "each key once", Some(hint));
        return Key::Refused;
    }
    if entries.len() >= KEYS_MAX {
        let expected = format!("at most {KEYS_MAX} keys in a mapping");
        report.add(at, format!("key {}", quoted(&text)), expected, None);
        return Key::Refused;
    }
    Key::Read(text, at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn no_text_makes_the_reader_panic(
            text in "[ \\t\\n\\-:,?\\[\\]{}&*!|>'\"%@`#a0~.\\\\<é]{0,60}",
        ) {
            let mut report = Report::default();
            let read = read(&text, &mut report).is_err();
            prop_assert_eq!(read && report.is_empty(), false);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut report = Report::default();
            if let Ok(text) = text(&bytes, &mut report) {
                let _ = read(text, &mut report);
            }
        }
    }

    #[test]
    fn the_place_after_a_text_counts_characters() {
        assert_eq!(position_after(""), Position::START);
        assert_eq!(position_after("a\nBộ "), Position { line: 2, column: 4 });
    }

    #[test]
    fn digests_tell_content_and_not_layout() {
        let digest = |text: &str| read(text, &mut Report::default()).unwrap().unwrap().digest();
        assert_eq!(digest("a: [b, {c: d}]"), digest("# x\n\na:\n  - b\n  - c: d\n"));
        let texts = ["a: b", "a: 'b'", "a: [b]", "a: ", "ab: ", "[a, b]", "[[a], b]", "[[a, b]]"];
        let digests: std::collections::HashSet<_> = texts.iter().map(|text| digest(text)).collect();
        assert_eq!(digests.len(), texts.len());
    }

    #[test]
    fn nesting_is_bounded_in_both_styles() {
        for text in ["- ".repeat(100_000), "[".repeat(100_000), "? ".repeat(100_000)] {
            let mut report = Report::default();
            assert!(read(&text, &mut report).is_err());
        }
    }
}
