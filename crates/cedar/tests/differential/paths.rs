//! Everything that a policy can reach by attributes from principal, action, resource and context,
//! with its kind and what must be asked first where an attribute may be missing.

use super::choices::Choices;
use super::strings::{NAMES, literal};
use super::vocabulary::{ACTION, Field, Kind, Vocabulary};

/// What a policy is written for: an action and the types of principal and resource.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Situation {
    pub(crate) principal: usize,
    pub(crate) action: usize,
    pub(crate) resource: usize,
}

/// An expression that reaches a value.
#[derive(Clone)]
pub(crate) struct Path {
    pub(crate) text: String,
    pub(crate) kind: Kind,
    pub(crate) guards: Vec<String>,
    /// How many attributes it goes through.
    pub(crate) depth: usize,
}

const DEPTH_MAX: usize = 3;
const PATHS_MAX: usize = 160;

/// All paths of a situation, the short ones first.
pub(crate) fn paths(
    words: &Vocabulary,
    situation: Situation,
    choices: &mut Choices<'_>,
) -> Vec<Path> {
    let action = words.actions.get(situation.action);
    let context = action.map(|action| action.context.clone()).unwrap_or_default();
    let root = |text: &str, kind| Path { text: text.to_owned(), kind, guards: vec![], depth: 0 };
    let mut found = vec![
        root("principal", Kind::Entity(situation.principal)),
        root("resource", Kind::Entity(situation.resource)),
        root("context", Kind::Record(context)),
        root("action", Kind::Entity(ACTION)),
    ];
    let mut next = 0;
    while next < found.len() && found.len() < PATHS_MAX {
        let path = found[next].clone();
        next += 1;
        if path.depth >= DEPTH_MAX {
            continue;
        }
        for field in fields(words, &path.kind) {
            found.push(step(&path, field, choices));
        }
    }
    found
}

/// The attributes that a value of a kind has.
pub(crate) fn fields<'v>(words: &'v Vocabulary, kind: &'v Kind) -> &'v [Field] {
    match kind {
        Kind::Entity(at) => &words.types[*at].fields,
        Kind::Record(fields) => fields,
        _ => &[],
    }
}

fn step(path: &Path, field: &Field, choices: &mut Choices<'_>) -> Path {
    let mut guards = path.guards.clone();
    if !field.required {
        guards.push(format!("{} has {}", path.text, key(&field.name, choices)));
    }
    let text = format!("{}{}", path.text, access(&field.name, choices));
    Path { text, kind: field.kind.clone(), guards, depth: path.depth + 1 }
}

/// `.name` or `["name"]`.
pub(crate) fn access(name: &str, choices: &mut Choices<'_>) -> String {
    if NAMES.contains(&name) && choices.percent(85) {
        return format!(".{name}");
    }
    format!("[{}]", literal(name, choices))
}

/// The right side of `has`.
pub(crate) fn key(name: &str, choices: &mut Choices<'_>) -> String {
    if NAMES.contains(&name) && choices.percent(85) {
        return name.to_owned();
    }
    literal(name, choices)
}
