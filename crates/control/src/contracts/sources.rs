//! `.proto` files, compiled without `protoc`.

use std::collections::{BTreeMap, BTreeSet};

use miette::Diagnostic;
use protox::file::{File, FileResolver, GoogleFileResolver};
use protox::{Compiler, Error};

use super::order::{Imports, Order};
use super::sets::{self, Set};
use super::{ANNOTATIONS, Descriptors};
use crate::folder::CONTRACTS;
use crate::policies::one_line;
use crate::problem::{Position, Report, quoted};

/// How deep brackets may nest. The compiler goes down into each by a call.
const NESTING_MAX: usize = 64;
/// Most files of a cycle that are told.
const CYCLE_SHOWN_MAX: usize = 5;
/// What goes before a name where it is declared.
const KEYWORDS: [&str; 5] = ["message", "service", "enum", "rpc", "group"];
/// Files that come with every compiler.
const GOOGLE: &str = "google/protobuf/";

/// The `.proto` files of a folder by the names that imports have for them.
#[derive(Debug, Default)]
pub(super) struct Sources(BTreeMap<String, String>);

/// Finds files for the compiler. What the gateway knows itself goes first.
struct Files {
    /// Sources, and those of sets for sources that import them.
    parsed: BTreeMap<String, File>,
    google: GoogleFileResolver,
}

impl FileResolver for Files {
    fn open_file(&self, name: &str) -> Result<File, Error> {
        if name == ANNOTATIONS.0 {
            return File::from_source(ANNOTATIONS.0, ANNOTATIONS.1);
        }
        if let Ok(file) = self.google.open_file(name) {
            return Ok(file);
        }
        self.parsed.get(name).cloned().ok_or_else(|| Error::file_not_found(name))
    }
}

impl Sources {
    /// Adds a file that configuration calls `name`; `false` after reporting what is wrong with it.
    pub(super) fn add(&mut self, name: &str, text: &str, report: &mut Report) -> bool {
        let import = import_name(name);
        if import == ANNOTATIONS.0 && text != ANNOTATIONS.1 {
            let hint = "take it out: the gateway knows the file without it".to_owned();
            let found = "another version of the gateway's own annotations";
            report.add(Position::START, found, "the gateway's own", Some(hint));
            return false;
        }
        if let Some(offset) = too_deep(text) {
            let expected = format!("at most {NESTING_MAX}");
            report.add(position(text, offset), "brackets that nest deeper", expected, None);
            return false;
        }
        self.0.insert(import.to_owned(), text.to_owned());
        true
    }

    /// The descriptors of all files and of what they import; `None` after reporting what is wrong
    /// with them.
    pub(super) fn compile(&self, sets: &[Set], report: &mut Report) -> Option<Descriptors> {
        let mut files = BTreeMap::new();
        let mut bad = BTreeSet::new();
        for (name, bytes) in sets.iter().flat_map(|set| &set.files) {
            if !self.0.contains_key(name) {
                // A file that the compiler cannot take may still be one that nothing imports.
                let file = File::decode_file_descriptor_proto(bytes.as_slice()).ok();
                files.extend(file.map(|file| (name.clone(), file)));
            }
        }
        for (name, source) in self.0.iter() {
            match File::from_source(name, source) {
                Ok(file) => drop(files.insert(name.clone(), file)),
                Err(error) => {
                    self.tell(&error, name, sets, report);
                    bad.insert(name.as_str());
                }
            }
        }
        let mut imports = Imports::default();
        for (name, file) in &files {
            let of = file.file_descriptor_proto().dependency.iter();
            imports.add(name, of.map(String::as_str));
        }
        bad.iter().for_each(|name| imports.add(name, std::iter::empty()));
        let Order { files: order, cycle } = imports.order(self.0.keys().map(String::as_str));
        self.tell_cycle(&cycle, report);
        let google = GoogleFileResolver::new();
        let mut compiler = Compiler::with_file_resolver(Files { parsed: files.clone(), google });
        compiler.include_imports(true);
        for name in order {
            // What is wrong with an import is told of it alone.
            if bad.contains(name) || imports.of(name).any(|import| bad.contains(import)) {
                bad.insert(name);
            } else if let Err(error) = compiler.open_file(name) {
                self.tell(&error, name, sets, report);
                bad.insert(name);
            }
        }
        if !bad.is_empty() || !cycle.is_empty() {
            return None;
        }
        // The compiler's own encoder keeps the options of fields.
        match sets::files(&compiler.encode_file_descriptor_set()) {
            Ok(files) => Some(files),
            Err(found) => {
                report.enter(CONTRACTS.into());
                report.add(Position::START, found, "descriptors of the files", None);
                None
            }
        }
    }

    fn tell_cycle(&self, cycle: &[&str], report: &mut Report) {
        let (Some(first), Some(next)) = (cycle.first(), cycle.get(1).or(cycle.first())) else {
            return;
        };
        let text = self.0.get(*first).map_or("", String::as_str);
        let at = text.find(&format!("\"{next}\"")).map_or(Position::START, |at| position(text, at));
        let shown: Vec<String> = cycle.iter().take(CYCLE_SHOWN_MAX).map(|it| quoted(it)).collect();
        let more = if cycle.len() > CYCLE_SHOWN_MAX { ", …" } else { "" };
        let found = format!("files that import each other ({}{more})", shown.join(", "));
        report.enter(file_name(first).into());
        report.add(at, found, "imports that lead back to no file", None);
    }

    /// Where something of this full name is declared, as far as looking for its words tells.
    pub(super) fn find(&self, name: &str) -> Option<(String, Position)> {
        let name = name.trim_start_matches('/');
        let below = |text: &str| {
            let package = text.lines().find_map(|line| line.trim().strip_prefix("package "));
            let package = package.and_then(|rest| rest.split(';').next()).unwrap_or_default();
            Some(name.strip_prefix(package.trim())?.strip_prefix('.')?.to_owned())
        };
        let mut found =
            self.0.iter().filter_map(|(import, text)| Some((import, text, below(text)?)));
        let (import, text, words) = found.next()?;
        let mut at = 0;
        for word in words.split(['.', '/']) {
            let Some(next) = declared(text, at, word) else { break };
            at = next;
        }
        Some((file_name(import), position(text, at)))
    }

    /// Reports all that the compiler says of a file.
    fn tell(&self, error: &Error, name: &str, sets: &[Set], report: &mut Report) {
        let import = error.file().filter(|file| self.0.contains_key(*file)).unwrap_or(name);
        let holder = sets.iter().find(|set| set.files.contains_key(import));
        let (file, text) = match (self.0.get(import), holder) {
            (Some(text), _) => (file_name(import), text.as_str()),
            (None, Some(set)) => (set.name.clone(), ""),
            (None, None) => (CONTRACTS.to_owned(), ""),
        };
        report.enter(file.into());
        let mut all: Vec<&dyn Diagnostic> = vec![error];
        all.extend(error.related().into_iter().flatten());
        for diagnostic in all {
            // Where two places are shown, the second is the one that is one too many.
            let label = diagnostic.labels().and_then(|labels| labels.last());
            let at = label.map_or(Position::START, |label| position(text, label.offset()));
            let found = format!("unusable protobuf ({})", one_line(&diagnostic.to_string()));
            let hint = diagnostic.help().map(|help| one_line(&help.to_string()));
            let hint = hint.or_else(|| error.is_file_not_found().then(|| self.hint(error)));
            report.add(at, found, "a contract in protobuf", hint);
        }
    }

    /// What may help where an import leads nowhere.
    fn hint(&self, error: &Error) -> String {
        let message = error.to_string();
        let wanted = message.split('\'').nth(1).unwrap_or_default();
        match policy::nearest(wanted, self.0.keys()) {
            Some(near) => format!("did you mean {}?", quoted(&near)),
            None => format!("put it below `{CONTRACTS}`; names begin there"),
        }
    }
}

/// Whether the gateway knows a file of this name without having it.
pub(super) fn is_known(import: &str) -> bool {
    import == ANNOTATIONS.0 || import.starts_with(GOOGLE)
}

/// The name that imports have for the file that configuration calls `name`.
fn import_name(name: &str) -> &str {
    let below = name.strip_prefix(CONTRACTS).and_then(|rest| rest.strip_prefix('/'));
    below.unwrap_or(name)
}

fn file_name(import: &str) -> String {
    format!("{CONTRACTS}/{import}")
}

/// Where a word stands after `from`: behind a word that declares it, else anywhere.
fn declared(text: &str, from: usize, word: &str) -> Option<usize> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let whole = |at: &usize| {
        let before = text.get(..*at).and_then(|text| text.chars().next_back());
        let after = text.get(at + word.len()..).and_then(|text| text.chars().next());
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    };
    let rest = text.get(from..)?;
    let places = || rest.match_indices(word).map(|(at, _)| from + at).filter(whole);
    let is_behind_keyword = |at: &usize| {
        let before = text.get(..*at).unwrap_or_default().trim_end();
        KEYWORDS.iter().any(|keyword| before.ends_with(keyword))
    };
    places().find(is_behind_keyword).or_else(|| places().next())
}

/// The place of the byte at `offset`.
fn position(text: &str, offset: usize) -> Position {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = text.get(..end).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Position { line: number(line), column: number(column) }
}

/// Where brackets nest too deep, if they do. Those in strings and comments count for nothing.
fn too_deep(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut depth: usize = 0;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let rest = bytes.get(at..).unwrap_or_default();
        match byte {
            b'/' if rest.starts_with(b"//") => at += length_to(rest, b"\n"),
            b'/' if rest.starts_with(b"/*") => at += length_to(rest, b"*/"),
            b'"' | b'\'' => at += string_length(rest, *byte),
            b'{' | b'[' | b'(' | b'<' => {
                depth += 1;
                if depth > NESTING_MAX {
                    return Some(at);
                }
            }
            b'}' | b']' | b')' | b'>' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    None
}

/// How far it is to the last byte of `end`; or to the end of the text.
fn length_to(rest: &[u8], end: &[u8]) -> usize {
    // Past the two bytes that begin a comment, which may look like its end.
    let found = rest.get(2..).unwrap_or_default().windows(end.len()).position(|it| it == end);
    found.map_or(rest.len(), |at| at + 1 + end.len())
}

/// How far it is to the quote that ends a string, or to the end of its line.
fn string_length(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while let Some(byte) = rest.get(at) {
        match byte {
            b'\\' => at += 1,
            b'\n' => return at,
            byte if *byte == quote => return at,
            _ => {}
        }
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_in_strings_and_comments_do_not_nest() {
        let open = "{".repeat(NESTING_MAX);
        assert_eq!(too_deep(&open), None);
        assert_eq!(too_deep(&format!("{open}[")), Some(NESTING_MAX));
        for aside in ["// {{{", "/* {\n{ /**/", "\"{{ \\\" {\"", "'{'", "/*/ { */"] {
            assert_eq!(too_deep(&format!("{open} {aside}\n }}")), None, "{aside}");
            let after = format!("{open} {aside}\n {{");
            assert_eq!(too_deep(&after), Some(after.len() - 1), "{aside}");
        }
        assert_eq!(too_deep("/* {"), None);
        assert_eq!(too_deep("\"\\"), None);
    }

    #[test]
    fn positions_count_characters() {
        let text = "a\nhọ tên\nb";
        assert_eq!(position(text, 0), Position { line: 1, column: 1 });
        let at = text.find('ê').unwrap();
        assert_eq!(position(text, at), Position { line: 2, column: 5 });
        assert_eq!(position(text, at + 1), Position { line: 2, column: 5 });
        assert_eq!(position(text, 1_000), Position { line: 3, column: 2 });
    }
}
