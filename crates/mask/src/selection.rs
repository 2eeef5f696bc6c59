//! What an agreement says about the fields it covers, and how its words are looked up.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::class::Class;
use crate::contract::{Contract, Field, Kind, Message, MessageIx};
use crate::nearest::nearest;

/// The most paths in a selection.
pub(crate) const PATHS_MAX: usize = 1_024;
/// The most names in a path.
pub(crate) const NAMES_MAX: usize = 64;

/// The fields that an agreement covers, as classes and paths.
///
/// **A class** gives the fields of exactly this class: `basic` does not give what is `open`. A
/// field counts as the strictest class among its own and those of the messages it lies in, so
/// that nothing in a message that is `sensitive` is given by naming `basic`.
///
/// **A path** gives one field whatever its class: `citizen.full_name`. It goes through messages,
/// lists and maps without a word for them: `members.full_name` is the name of every member. Where
/// it ends at a message, it gives what is in there as far as it is of the class of the message's
/// field or of a more harmless one: `citizen`, which is `basic`, does not give
/// `citizen.ethnicity`, which is `sensitive`. (A field without a class counts as `sensitive`, so
/// naming a message there gives all in it but what is secret.) There is no `*`: it would give what a later contract
/// adds. In a `google.protobuf.Any` nothing is given but the types that a path names:
/// `details.[vn.tax.v1.Debt]`, or fields of them, `details.[vn.tax.v1.Debt].amount`.
///
/// What is `secret`, and what lies in it, is given by no class and may not be named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    pub(crate) classes: BTreeSet<Class>,
    pub(crate) paths: BTreeSet<String>,
}

/// One thing that keeps a selection from becoming a mask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The class or path, as it was given.
    pub item: String,
    /// What is wrong with it.
    pub found: String,
    /// What may help.
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.item, self.found)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl Selection {
    /// From classes and paths apart.
    pub fn new<P: Into<String>>(
        classes: impl IntoIterator<Item = Class>,
        paths: impl IntoIterator<Item = P>,
    ) -> Self {
        Self {
            classes: classes.into_iter().collect(),
            paths: paths.into_iter().map(|path| plain(&path.into())).collect(),
        }
    }

    /// From a list in which `open`, `basic`, `sensitive` and `secret` are classes and all else
    /// is a path. A field that is called like a class is written with a dot before it, `.basic`.
    pub fn from_items<'a>(items: impl IntoIterator<Item = &'a str>) -> Self {
        let mut selection = Self::default();
        for item in items {
            match item.parse() {
                Ok(class) => _ = selection.classes.insert(class),
                Err(()) => _ = selection.paths.insert(plain(item)),
            }
        }
        selection
    }

    /// The classes that are named.
    pub fn classes(&self) -> impl Iterator<Item = Class> {
        self.classes.iter().copied()
    }

    /// The paths that are named.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.paths.iter().map(String::as_str)
    }
}

fn plain(path: &str) -> String {
    path.strip_prefix('.').unwrap_or(path).to_owned()
}

/// A step of a path, looked up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// Into the field of this number.
    Field(u32),
    /// Into an `Any` that holds this type.
    Type(MessageIx),
}

/// The paths of a selection as a tree of steps. Node 0 is the message itself.
#[derive(Debug)]
pub(crate) struct Paths {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    is_named: bool,
    next: BTreeMap<Step, usize>,
}

impl Paths {
    /// Looks up all paths of a selection, which begin at the message.
    pub(crate) fn look_up(
        contract: &Contract,
        message: &Message,
        selection: &Selection,
    ) -> Result<Self, Vec<Problem>> {
        let mut paths = Self::none();
        let mut problems = Vec::new();
        if selection.classes.contains(&Class::Secret) {
            let found = "what is secret is never exchanged".to_owned();
            problems.push(Problem { item: "secret".into(), found, hint: None });
        }
        for path in selection.paths.iter().take(PATHS_MAX) {
            match steps(contract, message, path) {
                Ok(steps) => paths.add(steps),
                Err((found, hint)) => problems.push(Problem { item: path.clone(), found, hint }),
            }
        }
        if let Some(path) = selection.paths.iter().nth(PATHS_MAX) {
            let found = format!("more than {PATHS_MAX} paths");
            problems.push(Problem { item: path.clone(), found, hint: None });
        }
        if problems.is_empty() { Ok(paths) } else { Err(problems) }
    }

    /// No paths.
    pub(crate) fn none() -> Self {
        Self { nodes: vec![Node::default()] }
    }

    /// The node after a step from a node.
    pub(crate) fn next(&self, node: Option<usize>, step: &Step) -> Option<usize> {
        self.nodes.get(node?)?.next.get(step).copied()
    }

    /// The types that paths name in the `Any` at a node.
    pub(crate) fn types(&self, node: Option<usize>) -> impl Iterator<Item = (MessageIx, usize)> {
        let node = node.and_then(|node| self.nodes.get(node));
        node.into_iter().flat_map(|node| &node.next).filter_map(|(step, next)| match step {
            Step::Type(ix) => Some((*ix, *next)),
            Step::Field(_) => None,
        })
    }

    /// Whether a path ends at a node.
    pub(crate) fn is_named(&self, node: Option<usize>) -> bool {
        node.and_then(|node| self.nodes.get(node)).is_some_and(|node| node.is_named)
    }

    fn add(&mut self, steps: Vec<Step>) {
        let mut at = 0;
        for step in steps {
            let new = self.nodes.len();
            let next = self.nodes.get_mut(at).map(|node| *node.next.entry(step).or_insert(new));
            at = next.unwrap_or_default();
            if at == new {
                self.nodes.push(Node::default());
            }
        }
        if let Some(node) = self.nodes.get_mut(at) {
            node.is_named = true;
        }
    }
}

/// What is wrong with a path, and what may help.
type Wrong = (String, Option<String>);

/// Where a path stands: after a field or type, at what it holds.
enum Place<'a> {
    Message(&'a Message),
    Any,
    Value(&'a Field),
}

fn steps(contract: &Contract, message: &Message, path: &str) -> Result<Vec<Step>, Wrong> {
    let mut steps = Vec::new();
    let mut place = Place::Message(message);
    for name in names(path) {
        if steps.len() == NAMES_MAX {
            return Err((format!("more than {NAMES_MAX} names"), None));
        }
        place = match place {
            Place::Value(field) => {
                let kind = contract.kind_text(&field.kind);
                return Err((format!("`{}` is a {kind} and has no fields", field.name), None));
            }
            Place::Any => {
                let found = typed(contract, name)?;
                steps.push(Step::Type(found.0));
                Place::Message(found.1)
            }
            Place::Message(message) => {
                let field = named(message, name)?;
                steps.push(Step::Field(field.number));
                held(contract, field)
            }
        };
    }
    match place {
        Place::Any => Err((
            "names an `Any`, of which nothing is given".into(),
            Some(format!("name the types that it may hold: `{path}.[package.Type]`")),
        )),
        _ => Ok(steps),
    }
}

/// The names of a path. Dots within brackets belong to the name of a type.
fn names(path: &str) -> impl Iterator<Item = &str> {
    let mut is_within = false;
    path.split(move |letter| {
        is_within = match letter {
            '[' => true,
            ']' => false,
            _ => is_within,
        };
        letter == '.' && !is_within
    })
}

fn named<'a>(message: &'a Message, name: &str) -> Result<&'a Field, Wrong> {
    let Some(field) = message.field_named(name) else {
        let hint = match name {
            "*" => Some("name the fields, or their class".to_owned()),
            _ if name.starts_with('(') => Some("extensions are always withheld".to_owned()),
            _ => {
                let near = nearest(name, message.fields.iter().map(|field| field.name.as_str()));
                near.map(|near| format!("did you mean `{near}`"))
            }
        };
        return Err((format!("`{}` has no field `{name}`", message.name), hint));
    };
    match field.class {
        Class::Secret => Err((format!("`{name}` is secret, which is never exchanged"), None)),
        _ => Ok(field),
    }
}

fn typed<'a>(contract: &'a Contract, name: &str) -> Result<(MessageIx, &'a Message), Wrong> {
    let Some(name) = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) else {
        let hint = Some("say the type, as in `[package.Type]`".to_owned());
        return Err((format!("`{name}` comes after an `Any`"), hint));
    };
    let found = contract.find(name).and_then(|ix| Some((ix, contract.get(ix)?)));
    match found {
        Some((_, message)) if message.is_any() || message.is_map_entry => {
            Err((format!("`{name}` cannot be masked in an `Any`"), None))
        }
        Some(found) => Ok(found),
        None => {
            let near = nearest(name, contract.messages.iter().map(|known| known.name.as_str()));
            let hint = near.map(|near| format!("did you mean `{near}`"));
            Err((format!("the contract has no message `{name}`"), hint))
        }
    }
}

fn held<'a>(contract: &'a Contract, field: &'a Field) -> Place<'a> {
    match (&field.kind, contract.held(field)) {
        // What a map holds is what its entries have as value.
        (Kind::Map(_), Some(entry)) => match entry.field(2) {
            Some(value) => held(contract, value),
            None => Place::Value(field),
        },
        (Kind::Message(_), Some(message)) if message.is_any() => Place::Any,
        (_, Some(message)) => Place::Message(message),
        (_, None) => Place::Value(field),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_in_brackets_is_one_name() {
        assert_eq!(names("a.[b.c.D].e").collect::<Vec<_>>(), ["a", "[b.c.D]", "e"]);
        assert_eq!(names("a").collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn classes_and_paths_are_told_apart() {
        let selection = Selection::from_items(["open", "basic", ".basic", "a.b"]);
        assert_eq!(selection.classes().collect::<Vec<_>>(), [Class::Open, Class::Basic]);
        assert_eq!(selection.paths().collect::<Vec<_>>(), ["a.b", "basic"]);
    }
}
