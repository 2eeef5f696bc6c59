//! Expressions in Cedar's text form, made for a wanted kind so that most of them can be evaluated.

use super::choices::Choices;
use super::data::{self, Name};
use super::paths::{self, Path};
use super::strings::{EXTENSIONS, Extension, literal};
use super::vocabulary::{ACTION, Kind, Vocabulary};

/// Text of an expression, and whether it may stand beside an operator without parentheses.
pub(crate) struct Expression {
    pub(crate) text: String,
    tight: bool,
}

pub(crate) fn tight(text: impl Into<String>) -> Expression {
    Expression { text: text.into(), tight: true }
}

pub(crate) fn loose(text: impl Into<String>) -> Expression {
    Expression { text: text.into(), tight: false }
}

impl Expression {
    /// As an operand.
    pub(crate) fn operand(self) -> String {
        if self.tight { self.text } else { format!("({})", self.text) }
    }
}

/// Writes the expressions of one policy.
pub(crate) struct Writer<'w, 'c, 'b> {
    pub(crate) words: &'w Vocabulary,
    pub(crate) choices: &'c mut Choices<'b>,
    pub(crate) paths: &'w [Path],
    /// What the expression under way must ask before it reads.
    guards: Vec<String>,
    /// How many expressions may still be nested.
    fuel: usize,
}

impl<'w, 'c, 'b> Writer<'w, 'c, 'b> {
    pub(crate) fn new(
        words: &'w Vocabulary,
        paths: &'w [Path],
        choices: &'c mut Choices<'b>,
        fuel: usize,
    ) -> Self {
        Self { words, choices, paths, guards: Vec::new(), fuel }
    }

    /// A condition, with what it asks first.
    pub(crate) fn condition(&mut self, depth: usize) -> Expression {
        let outer = std::mem::take(&mut self.guards);
        let inner = self.of(&Kind::Bool, depth);
        let guards = std::mem::replace(&mut self.guards, outer);
        self.guarded(&guards, inner)
    }

    pub(crate) fn guarded(&mut self, guards: &[String], inner: Expression) -> Expression {
        if guards.is_empty() || self.choices.percent(self.words.unguarded) {
            return inner;
        }
        let mut terms: Vec<String> = Vec::new();
        for guard in guards {
            if !terms.contains(guard) {
                terms.push(guard.clone());
            }
        }
        terms.push(inner.operand());
        loose(terms.join(" && "))
    }

    /// An expression of a kind, rarely of another.
    pub(crate) fn of(&mut self, kind: &Kind, depth: usize) -> Expression {
        if self.choices.permille(self.words.odd) {
            let other = self.words.kind(self.choices, 1);
            return self.written(&other, depth);
        }
        self.written(kind, depth)
    }

    fn written(&mut self, kind: &Kind, depth: usize) -> Expression {
        let depth = if self.fuel == 0 { 0 } else { depth };
        self.fuel = self.fuel.saturating_sub(1);
        if *kind == Kind::Bool {
            return self.boolean(depth);
        }
        let simple = if matches!(kind, Kind::Extension(_)) { 25 } else { 45 };
        if depth == 0 || self.choices.percent(simple) {
            return self.leaf(kind);
        }
        let depth = depth - 1;
        match self.choices.weighted(&[2, 1, 1, 8]) {
            0 => self.either(kind, depth),
            1 => self.field_of_record(kind, depth),
            2 => self.tag(kind, depth),
            _ => match kind {
                Kind::Bool => self.boolean(depth),
                Kind::Long => self.long(depth),
                Kind::Extension(ext) => self.extension(*ext, depth),
                Kind::Set(inner) => self.set(inner, depth),
                Kind::Record(fields) => self.record(fields, depth),
                Kind::Text | Kind::Numeral(_) | Kind::Entity(_) => self.leaf(kind),
            },
        }
    }

    /// A constant or a path.
    pub(crate) fn leaf(&mut self, kind: &Kind) -> Expression {
        if self.choices.percent(65)
            && let Some(path) = self.path(kind)
        {
            return path;
        }
        self.constant(kind)
    }

    pub(crate) fn path(&mut self, kind: &Kind) -> Option<Expression> {
        let fits = |path: &&Path| match (kind, &path.kind) {
            (Kind::Text | Kind::Numeral(_), Kind::Text | Kind::Numeral(_)) => true,
            (kind, other) => kind == other,
        };
        let count = self.paths.iter().filter(fits).count();
        if count == 0 {
            return None;
        }
        let path = self.paths.iter().filter(fits).nth(self.choices.below(count))?;
        self.guards.extend(path.guards.iter().cloned());
        Some(tight(path.text.clone()))
    }

    pub(crate) fn constant(&mut self, kind: &Kind) -> Expression {
        let choices = &mut *self.choices;
        match kind {
            Kind::Bool => tight(if choices.percent(60) { "true" } else { "false" }),
            Kind::Long => {
                let number = *choices.pick(&self.words.longs);
                if number < 0 { loose(number.to_string()) } else { tight(number.to_string()) }
            }
            Kind::Text => {
                let text = choices.pick(&self.words.strings);
                tight(literal(text, choices))
            }
            Kind::Numeral(ext) => {
                let text = ext.text(choices);
                tight(literal(&text, choices))
            }
            Kind::Extension(ext) => {
                let good = (*choices.pick(ext.good())).to_owned();
                let odd = self.words.odd > 0 && choices.percent(8);
                let text = if odd { ext.text(choices) } else { good };
                tight(format!("{}({})", ext.constructor(), literal(&text, choices)))
            }
            Kind::Entity(at) => tight(self.uid(*at)),
            Kind::Set(inner) => {
                let low = usize::from(self.words.strict);
                // What depends on the request is bounded by the engine; of plain values many are fine.
                let plain = !matches!(**inner, Kind::Set(_) | Kind::Record(_));
                let high = if plain && self.choices.percent(4) { 40 } else { 4 };
                let count = self.choices.between(low, high);
                let items: Vec<String> = (0..count).map(|_| self.constant(inner).text).collect();
                tight(format!("[{}]", items.join(", ")))
            }
            Kind::Record(fields) => self.record(fields, 0),
        }
    }

    /// A literal of an entity of a type.
    pub(crate) fn uid(&mut self, at: usize) -> String {
        let name = self.named(at);
        self.spelled(&name)
    }

    pub(crate) fn named(&mut self, at: usize) -> Name {
        let mut name = data::name(self.words, at, self.choices);
        // A schema knows all actions, but not all entities.
        if self.words.strict && at == ACTION && name.id == "nobody" {
            name.id.clone_from(&self.words.types[at].ids[0]);
        }
        name
    }

    pub(crate) fn spelled(&mut self, name: &Name) -> String {
        format!("{}::{}", name.kind, literal(&name.id, self.choices))
    }

    pub(crate) fn any_type(&mut self) -> usize {
        self.choices.below(self.words.types.len())
    }

    fn either(&mut self, kind: &Kind, depth: usize) -> Expression {
        let test = self.condition(depth).text;
        let (yes, no) = (self.of(kind, depth).text, self.of(kind, depth).text);
        loose(format!("if {test} then {yes} else {no}"))
    }

    fn field_of_record(&mut self, kind: &Kind, depth: usize) -> Expression {
        let value = self.of(kind, depth).text;
        let other = if self.choices.percent(30) { self.leaf(&Kind::Long).text } else { "1".into() };
        let name = if self.choices.permille(self.words.odd) { "c" } else { "a" };
        tight(format!("{{a: {value}, \"b b\": {other}}}.{name}"))
    }

    /// A tag of this kind, if there is a type that has such tags.
    fn tag(&mut self, kind: &Kind, depth: usize) -> Expression {
        let has = |ty: &super::vocabulary::EntityType| ty.tags.as_ref() == Some(kind);
        let Some(at) = self.words.types.iter().position(has) else { return self.leaf(kind) };
        let entity = self.of(&Kind::Entity(at), depth).operand();
        let key = self.leaf(&Kind::Text).text;
        self.guards.push(format!("{entity}.hasTag({key})"));
        tight(format!("{entity}.getTag({key})"))
    }

    fn long(&mut self, depth: usize) -> Expression {
        match self.choices.weighted(&[3, 2, 2, 2]) {
            0 | 1 => {
                let mut text = self.of(&Kind::Long, depth).operand();
                for _ in 0..self.choices.between(1, 2) {
                    let operator = *self.choices.pick(&["+", "-", "*"]);
                    let right = self.of(&Kind::Long, depth).operand();
                    text = format!("{text} {operator} {right}");
                }
                loose(text)
            }
            2 => {
                let inner = self.of(&Kind::Long, depth).operand();
                loose(format!("-{inner}"))
            }
            _ => {
                let units = ["toMilliseconds", "toSeconds", "toMinutes", "toHours", "toDays"];
                let unit = *self.choices.pick(&units);
                let inner = self.of(&Kind::Extension(Extension::Duration), depth).operand();
                tight(format!("{inner}.{unit}({})", self.surplus()))
            }
        }
    }

    /// Rarely an argument too many.
    pub(crate) fn surplus(&mut self) -> &'static str {
        if !self.words.strict && self.choices.permille(6) { "1" } else { "" }
    }

    fn extension(&mut self, ext: Extension, depth: usize) -> Expression {
        let datetime = Kind::Extension(Extension::Datetime);
        match (ext, self.choices.below(3)) {
            (_, 0) if !self.words.strict => {
                let text = self.of(&Kind::Numeral(ext), depth).text;
                tight(format!("{}({text})", ext.constructor()))
            }
            (Extension::Datetime, 1) => {
                let inner = self.of(&datetime, depth).operand();
                tight(format!("{inner}.toDate({})", self.surplus()))
            }
            (Extension::Datetime, _) => {
                let inner = self.of(&datetime, depth).operand();
                let by = self.of(&Kind::Extension(Extension::Duration), depth).text;
                tight(format!("{inner}.offset({by})"))
            }
            (Extension::Duration, 1) => {
                let inner = self.of(&datetime, depth).operand();
                tight(format!("{inner}.toTime({})", self.surplus()))
            }
            (Extension::Duration, _) => {
                let (left, right) = (self.of(&datetime, depth), self.of(&datetime, depth));
                tight(format!("{}.durationSince({})", left.operand(), right.text))
            }
            _ => self.leaf(&Kind::Extension(ext)),
        }
    }

    fn set(&mut self, inner: &Kind, depth: usize) -> Expression {
        let low = usize::from(self.words.strict);
        let count = self.choices.between(low, 4);
        let items: Vec<String> = (0..count).map(|_| self.of(inner, depth).text).collect();
        tight(format!("[{}]", items.join(", ")))
    }

    fn record(&mut self, fields: &[super::vocabulary::Field], depth: usize) -> Expression {
        let mut parts = Vec::new();
        for field in fields {
            if field.required || self.choices.percent(50) {
                let value = self.of(&field.kind, depth).text;
                parts.push(format!("{}: {value}", paths::key(&field.name, self.choices)));
            }
        }
        tight(format!("{{{}}}", parts.join(", ")))
    }

    pub(crate) fn any_kind(&mut self) -> Kind {
        // A kind of something that can be reached, mostly: fresh kinds meet no paths.
        if self.choices.percent(65) && !self.paths.is_empty() {
            return self.choices.pick(self.paths).kind.clone();
        }
        if self.choices.percent(40) {
            return Kind::Extension(*self.choices.pick(&EXTENSIONS));
        }
        self.words.kind(self.choices, 1)
    }
}
