//! What a world may speak of: entity types, actions, attributes and their kinds. It is the schema
//! of worlds that have one, and what is usual in worlds that have none.

use serde_json::{Map, Value as Json, json};

use super::choices::Choices;
use super::strings::{EXTENSIONS, Extension, NAMES, PLAIN, QUOTED};

/// The type of a value, as far as the generator cares.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Kind {
    Bool,
    Long,
    Text,
    /// A string that the constructor of an extension mostly takes.
    Numeral(Extension),
    Extension(Extension),
    /// An entity of one of the vocabulary's types.
    Entity(usize),
    Set(Box<Kind>),
    Record(Vec<Field>),
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) required: bool,
}

#[derive(Clone)]
pub(crate) struct EntityType {
    pub(crate) name: String,
    pub(crate) ids: Vec<String>,
    pub(crate) fields: Vec<Field>,
    pub(crate) tags: Option<Kind>,
    pub(crate) member_of: Vec<usize>,
}

#[derive(Clone)]
pub(crate) struct Action {
    pub(crate) id: String,
    pub(crate) principals: Vec<usize>,
    pub(crate) resources: Vec<usize>,
    pub(crate) context: Vec<Field>,
    /// Later actions, by index.
    pub(crate) member_of: Vec<usize>,
}

/// The type of actions is the first of the types.
pub(crate) const ACTION: usize = 0;

pub(crate) struct Vocabulary {
    pub(crate) types: Vec<EntityType>,
    pub(crate) actions: Vec<Action>,
    pub(crate) longs: Vec<i64>,
    pub(crate) strings: Vec<String>,
    /// Whether worlds keep to it, and policies should pass strict validation.
    pub(crate) strict: bool,
    /// How many subexpressions in a thousand are of another type than is wanted.
    pub(crate) odd: usize,
    /// How many accesses in a hundred go to attributes that may be missing without asking first.
    pub(crate) unguarded: usize,
}

const TYPE_NAMES: &[&str] =
    &["User", "Org::Unit", "Doc", "Org::Sub::Office", "Group", "vn::Ward", "_Area2", "Folder"];
const ACTION_IDS: &[&str] = &["read", "write", "đọc", "all", "a \"b\"", "", "tra/cứu", "some", "x"];
const LONGS: &[i64] =
    &[0, 1, -1, 2, 7, 100, 3_000_000_000, i64::MAX, i64::MIN, i64::MAX - 1, i64::MIN + 1];

impl Vocabulary {
    pub(crate) fn new(strict: bool, wide: bool, choices: &mut Choices<'_>) -> Self {
        let count = choices.between(1, 4);
        let ids = if wide { 24 } else { choices.between(2, 9) };
        let mut types = vec![entity_type("Action", &[], ids)];
        let first = choices.below(TYPE_NAMES.len());
        let name = |at: usize| TYPE_NAMES[(first + at) % TYPE_NAMES.len()];
        types.extend((0..count).map(|at| entity_type(name(at), PLAIN, ids)));
        let mut strings = choices.some(PLAIN, 40);
        strings.push("a");
        let mut strings: Vec<String> = strings.into_iter().map(str::to_owned).collect();
        strings.extend((0..if wide { 40 } else { 2 }).map(|number| format!("s{number}")));
        let mut vocabulary = Self {
            types,
            actions: Vec::new(),
            longs: choices.some(LONGS, 60),
            strings,
            strict,
            odd: if strict { 0 } else { *choices.pick(&[0, 2, 10, 40, 150]) },
            unguarded: if strict { 0 } else { *choices.pick(&[0, 5, 20, 60]) },
        };
        vocabulary.longs.push(1);
        let common = vocabulary.fields(choices, 14, 2);
        vocabulary.describe_types(&common, choices);
        vocabulary.describe_actions(&common, choices);
        vocabulary
    }

    fn describe_types(&mut self, common: &[Field], choices: &mut Choices<'_>) {
        for at in ACTION..self.types.len() {
            let fields = if at == ACTION && self.strict { vec![] } else { part(common, choices) };
            let tags = (at != ACTION && choices.percent(50)).then(|| self.kind(choices, 1));
            let later: Vec<usize> = (at.max(1)..self.types.len()).collect();
            let ty = &mut self.types[at];
            ty.fields = fields;
            ty.tags = tags;
            ty.member_of = if at == ACTION { vec![ACTION] } else { choices.some(&later, 60) };
        }
    }

    fn describe_actions(&mut self, common: &[Field], choices: &mut Choices<'_>) {
        let all: Vec<usize> = (1..self.types.len()).collect();
        let count = *choices.pick(&[1, 2, 3, 4, 5, ACTION_IDS.len()]);
        for (at, id) in ACTION_IDS.iter().enumerate().take(count) {
            let mut principals = choices.some(&all, 50);
            let mut resources = choices.some(&all, 50);
            principals.push(*choices.pick(&all));
            resources.push(*choices.pick(&all));
            for list in [&mut principals, &mut resources] {
                list.sort_unstable();
                list.dedup();
            }
            let later: Vec<usize> = (at + 1..count).collect();
            self.actions.push(Action {
                id: (*id).to_owned(),
                principals,
                resources,
                context: part(common, choices),
                member_of: choices.some(&later, 30),
            });
        }
        self.types[ACTION].ids = self.actions.iter().map(|action| action.id.clone()).collect();
    }

    /// Attributes of a world: names once, so that an attribute is mostly of one kind everywhere.
    fn fields(&self, choices: &mut Choices<'_>, count_max: usize, depth: usize) -> Vec<Field> {
        let mut fields: Vec<Field> = Vec::new();
        for _ in 0..choices.between(1, count_max) {
            let list = if choices.percent(85) { NAMES } else { QUOTED };
            let name = *choices.pick(list);
            if fields.iter().all(|field| field.name != name) {
                let kind = self.kind(choices, depth);
                fields.push(Field { name: name.to_owned(), kind, required: choices.percent(60) });
            }
        }
        fields
    }

    /// Any kind, nested no deeper than so.
    pub(crate) fn kind(&self, choices: &mut Choices<'_>, depth: usize) -> Kind {
        let nested = if depth == 0 { 0 } else { 3 };
        match choices.weighted(&[4, 4, 5, 2, 5, 4, nested, nested]) {
            0 => Kind::Bool,
            1 => Kind::Long,
            2 => Kind::Text,
            3 => Kind::Numeral(*choices.pick(&EXTENSIONS)),
            4 => Kind::Extension(*choices.pick(&EXTENSIONS)),
            5 => Kind::Entity(choices.between(1, self.types.len() - 1)),
            6 => Kind::Set(Box::new(self.kind(choices, depth - 1))),
            _ => Kind::Record(self.fields(choices, 4, depth - 1)),
        }
    }

    /// The schema in Cedar's JSON form.
    pub(crate) fn schema(&self) -> Json {
        let mut spaces = Map::new();
        spaces.insert(String::new(), json!({ "entityTypes": {}, "actions": {} }));
        for ty in self.types.iter().skip(1) {
            let (space, name) = ty.name.rsplit_once("::").unwrap_or(("", &ty.name));
            let fresh = || json!({ "entityTypes": {}, "actions": {} });
            let space = spaces.entry(space).or_insert_with(fresh);
            space["entityTypes"][name] = self.entity_schema(ty);
        }
        for action in &self.actions {
            spaces[""]["actions"][&action.id] = json!({
                "memberOf": action.member_of.iter()
                    .map(|at| json!({ "id": self.actions[*at].id })).collect::<Vec<_>>(),
                "appliesTo": {
                    "principalTypes": self.names(&action.principals),
                    "resourceTypes": self.names(&action.resources),
                    "context": self.record_schema(&action.context),
                },
            });
        }
        Json::Object(spaces)
    }

    fn entity_schema(&self, ty: &EntityType) -> Json {
        let mut schema = json!({
            "memberOfTypes": self.names(&ty.member_of),
            "shape": self.record_schema(&ty.fields),
        });
        if let Some(tags) = &ty.tags {
            schema["tags"] = self.kind_schema(tags);
        }
        schema
    }

    fn names(&self, types: &[usize]) -> Vec<&str> {
        types.iter().map(|at| self.types[*at].name.as_str()).collect()
    }

    fn record_schema(&self, fields: &[Field]) -> Json {
        let mut attributes = Map::new();
        for field in fields {
            let mut schema = self.kind_schema(&field.kind);
            schema["required"] = field.required.into();
            attributes.insert(field.name.clone(), schema);
        }
        json!({ "type": "Record", "attributes": attributes })
    }

    fn kind_schema(&self, kind: &Kind) -> Json {
        match kind {
            Kind::Bool => json!({ "type": "Boolean" }),
            Kind::Long => json!({ "type": "Long" }),
            Kind::Text | Kind::Numeral(_) => json!({ "type": "String" }),
            Kind::Extension(ext) => json!({ "type": "Extension", "name": ext.type_name() }),
            Kind::Entity(at) => json!({ "type": "Entity", "name": self.types[*at].name }),
            Kind::Set(kind) => json!({ "type": "Set", "element": self.kind_schema(kind) }),
            Kind::Record(fields) => self.record_schema(fields),
        }
    }
}

fn entity_type(name: &str, ids: &[&str], count: usize) -> EntityType {
    let mut ids: Vec<String> = ids.iter().take(count).map(|id| (*id).to_owned()).collect();
    ids.extend((ids.len()..count).map(|number| format!("e{number}")));
    EntityType { name: name.to_owned(), ids, fields: vec![], tags: None, member_of: vec![] }
}

/// Most of the common attributes, some of them required here and not there, a few of another kind.
fn part(common: &[Field], choices: &mut Choices<'_>) -> Vec<Field> {
    let mut fields = choices.some(common, 70);
    for field in &mut fields {
        if choices.percent(15) {
            field.required = !field.required;
        }
        if choices.percent(4) {
            field.kind = Kind::Text;
        }
    }
    fields
}
