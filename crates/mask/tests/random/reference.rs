//! What a selection means, said a second time: over decoded messages, with words instead of
//! tables, as `Selection` documents it.

use std::collections::{BTreeSet, HashMap};

use mask::{Class, Selection};
use protox::prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage, Value,
};

pub(crate) struct Reference {
    pool: DescriptorPool,
    classes: BTreeSet<Class>,
    paths: BTreeSet<String>,
}

/// Where a message lies.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Around {
    path: String,
    strictest: Class,
    ceiling: Option<Class>,
}

impl Reference {
    pub(crate) fn new(pool: DescriptorPool, selection: &Selection) -> Self {
        let paths = selection.paths().map(str::to_owned).collect();
        Self { pool, classes: selection.classes().collect(), paths }
    }

    /// The message with only what is selected.
    pub(crate) fn filtered(&self, message: &DynamicMessage) -> DynamicMessage {
        let around = Around { path: String::new(), strictest: Class::Open, ceiling: None };
        self.within(message, &around)
    }

    /// The subjects of a message, kept or not.
    pub(crate) fn subjects(&self, message: &DynamicMessage, found: &mut Vec<String>) {
        for (field, value) in message.fields() {
            let is_subject = self.option(field.options(), "subject").as_bool() == Some(true);
            match value {
                Value::Map(pairs) => pairs.values().for_each(|value| self.one(false, value, found)),
                Value::List(list) => list.iter().for_each(|v| self.one(is_subject, v, found)),
                value => self.one(is_subject, value, found),
            }
        }
    }

    fn one(&self, is_subject: bool, value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Message(message) => self.subjects(message, found),
            Value::String(text) if is_subject && !text.is_empty() => found.push(text.clone()),
            _ => {}
        }
    }

    fn option(&self, options: DynamicMessage, name: &str) -> Value {
        let name = format!("giaolien.annotations.v1.{name}");
        options.get_extension(&self.pool.get_extension_by_name(&name).unwrap()).into_owned()
    }

    fn class(&self, field: &FieldDescriptor) -> Class {
        match self.option(field.options(), "class").as_enum_number() {
            Some(1) => Class::Open,
            Some(2) => Class::Basic,
            Some(4) => Class::Secret,
            _ => Class::Sensitive,
        }
    }

    fn within(&self, message: &DynamicMessage, around: &Around) -> DynamicMessage {
        let mut kept = DynamicMessage::new(message.descriptor());
        for (field, value) in message.fields() {
            if let Some(inside) = self.inside(&field, around) {
                kept.set_field(&field, self.value(value, &inside));
            }
        }
        kept
    }

    fn value(&self, value: &Value, inside: &Around) -> Value {
        match value {
            Value::Message(message) => Value::Message(self.within(message, inside)),
            Value::List(list) => Value::List(list.iter().map(|v| self.value(v, inside)).collect()),
            Value::Map(pairs) => {
                let masked = |value| self.value(value, inside);
                let pairs = pairs.iter().map(|(key, value)| (key.clone(), masked(value)));
                Value::Map(pairs.collect::<HashMap<_, _>>())
            }
            value => value.clone(),
        }
    }

    /// What holds inside a field that is given, at least in part.
    fn inside(&self, field: &FieldDescriptor, around: &Around) -> Option<Around> {
        let (inside, is_released) = self.look(field, around)?;
        let held = match field.kind() {
            Kind::Message(entry) if field.is_map() => match entry.map_entry_value_field().kind() {
                Kind::Message(held) => Some(held),
                _ => None,
            },
            Kind::Message(held) => Some(held),
            _ => None,
        };
        let gives = || held.is_some_and(|held| self.gives(&held, &inside, &mut Vec::new()));
        (is_released || gives()).then_some(inside)
    }

    fn look(&self, field: &FieldDescriptor, around: &Around) -> Option<(Around, bool)> {
        let own = self.class(field);
        if own == Class::Secret {
            return None;
        }
        let path = match around.path.as_str() {
            "" => field.name().to_owned(),
            before => format!("{before}.{}", field.name()),
        };
        let strictest = around.strictest.max(own);
        let mut ceiling = around.ceiling.filter(|ceiling| own <= *ceiling);
        if self.paths.contains(&path) {
            ceiling = ceiling.max(Some(own));
        }
        let is_released = ceiling.is_some() || self.classes.contains(&strictest);
        Some((Around { path, strictest, ceiling }, is_released))
    }

    /// Whether anything in a message of this type could be given.
    fn gives(
        &self,
        message: &MessageDescriptor,
        around: &Around,
        seen: &mut Vec<(String, Around)>,
    ) -> bool {
        let mut around = around.clone();
        // Types may hold themselves. Where no path leads further, the way there does not matter.
        let further = format!("{}.", around.path);
        if !self.paths.iter().any(|path| path.starts_with(&further)) {
            around.path = "-".into();
        }
        let place = (message.full_name().to_owned(), around.clone());
        if seen.contains(&place) {
            return false;
        }
        seen.push(place);
        message.fields().any(|field| {
            let Some((inside, is_released)) = self.look(&field, &around) else {
                return false;
            };
            let held = match field.kind() {
                Kind::Message(entry) if field.is_map() => entry.map_entry_value_field().kind(),
                kind => kind,
            };
            is_released || matches!(held, Kind::Message(held) if self.gives(&held, &inside, seen))
        })
    }
}
