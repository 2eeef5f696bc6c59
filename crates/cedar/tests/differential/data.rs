//! Entities and contexts of a world, as data in Cedar's JSON form.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::choices::Choices;
use super::strings::Extension;
use super::vocabulary::{ACTION, Field, Kind, Vocabulary};

/// An entity's name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Name {
    pub(crate) kind: String,
    pub(crate) id: String,
}

impl Name {
    pub(crate) fn json(&self) -> Json {
        json!({ "type": self.kind, "id": self.id })
    }
}

/// A value, as it comes in.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Bool(bool),
    Long(i64),
    Text(String),
    Extension(Extension, String),
    Entity(Name),
    Set(Vec<Value>),
    Record(BTreeMap<String, Value>),
}

impl Value {
    pub(crate) fn json(&self) -> Json {
        match self {
            Self::Bool(value) => json!(value),
            Self::Long(value) => json!(value),
            Self::Text(value) => json!(value),
            Self::Extension(ext, text) => {
                json!({ "__extn": { "fn": ext.constructor(), "arg": text } })
            }
            Self::Entity(name) => json!({ "__entity": name.json() }),
            Self::Set(items) => items.iter().map(Self::json).collect(),
            Self::Record(fields) => {
                fields.iter().map(|(name, value)| (name.clone(), value.json())).collect()
            }
        }
    }
}

/// Any entity of a type, or one that no world has.
pub(crate) fn name(words: &Vocabulary, at: usize, choices: &mut Choices<'_>) -> Name {
    let ty = &words.types[at];
    let id = if choices.percent(3) { "nobody" } else { choices.pick(&ty.ids).as_str() };
    Name { kind: ty.name.clone(), id: id.to_owned() }
}

/// A value of a kind, or of another where the world is odd.
pub(crate) fn value(words: &Vocabulary, kind: &Kind, choices: &mut Choices<'_>) -> Value {
    if choices.permille(words.odd) {
        let other = words.kind(choices, 1);
        return value_of(words, &other, choices);
    }
    value_of(words, kind, choices)
}

fn value_of(words: &Vocabulary, kind: &Kind, choices: &mut Choices<'_>) -> Value {
    match kind {
        Kind::Bool => Value::Bool(choices.percent(60)),
        Kind::Long => Value::Long(*choices.pick(&words.longs)),
        Kind::Text => Value::Text(choices.pick(&words.strings).clone()),
        Kind::Numeral(ext) if choices.percent(25) => Value::Text(ext.text(choices)),
        Kind::Numeral(ext) => Value::Text((*choices.pick(ext.good())).to_owned()),
        Kind::Extension(ext) => Value::Extension(*ext, (*choices.pick(ext.good())).to_owned()),
        Kind::Entity(at) => Value::Entity(name(words, *at, choices)),
        Kind::Set(kind) => {
            let count = choices.below(5);
            Value::Set((0..count).map(|_| value(words, kind, choices)).collect())
        }
        Kind::Record(fields) => Value::Record(record(words, fields, choices)),
    }
}

/// A record that has what is required and perhaps what is not.
pub(crate) fn record(
    words: &Vocabulary,
    fields: &[Field],
    choices: &mut Choices<'_>,
) -> BTreeMap<String, Value> {
    let mut record = BTreeMap::new();
    for field in fields {
        let share = if field.required && words.strict { 100 } else { 75 };
        let missing = !words.strict && choices.permille(words.odd);
        if choices.percent(share) && !missing {
            record.insert(field.name.clone(), value(words, &field.kind, choices));
        }
    }
    if !words.strict && choices.percent(10) {
        record.insert("extra".to_owned(), Value::Bool(true));
    }
    record
}

/// The entities of a world: parents come later in the list, so that there are no cycles.
pub(crate) fn entities(words: &Vocabulary, choices: &mut Choices<'_>) -> Vec<Json> {
    let chains = choices.percent(30);
    let names = stored(words, choices);
    let mut list = Vec::with_capacity(names.len());
    for (at, (ty, name)) in names.iter().enumerate() {
        let mut parents: Vec<&Name> = Vec::new();
        // The reference has no action below anything but actions.
        let fits = |other: usize| match words.strict {
            true => words.types[*ty].member_of.contains(&other),
            false => *ty != ACTION || other == ACTION,
        };
        let share = if chains { 4 } else { 25 };
        for (distance, (other, later)) in names[at + 1..].iter().enumerate() {
            let next = chains && distance < 2;
            if fits(*other) && choices.percent(if next { 90 } else { share }) {
                parents.push(later);
            }
        }
        let mut parents: Vec<Json> = parents.into_iter().map(Name::json).collect();
        if !words.strict && *ty != ACTION && choices.percent(5) {
            parents.push(json!({ "type": "Group", "id": "nobody" }));
        }
        let ty = &words.types[*ty];
        let attributes = Value::Record(record(words, &ty.fields, choices)).json();
        let mut entity = json!({ "uid": name.json(), "attrs": attributes, "parents": parents });
        if let Some(kind) = &ty.tags {
            entity["tags"] = tags(words, kind, choices);
        }
        list.push(entity);
    }
    list
}

/// The names of most entities that policies may name, in an order in which types are mixed where
/// there is no schema. Entities of actions come from the schema where there is one.
fn stored(words: &Vocabulary, choices: &mut Choices<'_>) -> Vec<(usize, Name)> {
    let first = if words.strict { ACTION + 1 } else { ACTION };
    let mut names = Vec::new();
    for (at, ty) in words.types.iter().enumerate().skip(first) {
        for id in choices.some(&ty.ids, 88) {
            let place = if names.is_empty() || words.strict || choices.percent(50) {
                names.len()
            } else {
                choices.below(names.len())
            };
            names.insert(place, (at, Name { kind: ty.name.clone(), id }));
        }
    }
    names
}

fn tags(words: &Vocabulary, kind: &Kind, choices: &mut Choices<'_>) -> Json {
    let mut tags = BTreeMap::new();
    for key in choices.some(&words.strings, 40) {
        tags.insert(key, value(words, kind, choices));
    }
    Value::Record(tags).json()
}
