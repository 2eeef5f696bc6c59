//! Policies, templates and links in Cedar's text form: all shapes of scopes, several clauses.

use super::choices::Choices;
use super::data::{self, Name};
use super::expression::{self, Expression, Writer};
use super::paths::{Path, Situation};
use super::vocabulary::{ACTION, Vocabulary};

/// A part of a policy set.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    Policy { id: String, text: String, form: Form },
    Template { id: String, text: String },
    Link { template: String, id: String, principal: Option<Name>, resource: Option<Name> },
}

/// Through which of its forms a policy comes into the set.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    Text,
    Json,
    Tree,
}

/// How the policies of a world are written.
#[derive(Clone, Copy)]
pub(crate) struct Style {
    /// Weights of policies for few, for everybody with a comparison first, and of any shape.
    pub(crate) shapes: [usize; 3],
    pub(crate) depth: usize,
    pub(crate) permits: usize,
    pub(crate) fuel: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Shape {
    Narrow,
    Leading,
    Any,
}

/// A request that a policy is likely to apply to.
#[derive(Clone, Debug)]
pub(crate) struct Aim {
    pub(crate) situation: Situation,
    pub(crate) principal: Option<Name>,
    pub(crate) resource: Option<Name>,
}

/// Text of a policy, or of a template when slots are wanted, and what it is aimed at.
pub(crate) fn policy(
    words: &Vocabulary,
    situation: Situation,
    paths: &[Path],
    style: Style,
    slots: [bool; 2],
    choices: &mut Choices<'_>,
) -> (String, Aim) {
    let shapes = [Shape::Narrow, Shape::Leading, Shape::Any];
    let shape = shapes[choices.weighted(&style.shapes)];
    let mut writer = Writer::new(words, paths, choices, style.fuel);
    let mut text = writer.annotations();
    text.push_str(if writer.choices.percent(style.permits) { "permit" } else { "forbid" });
    let wide = if shape == Shape::Narrow { 1 } else { 8 };
    let principal = writer.end("principal", situation.principal, wide, slots[0]);
    let action = writer.action(situation.action, wide);
    let resource = writer.end("resource", situation.resource, wide, slots[1]);
    let pinned = principal.pinned && action.pinned && resource.pinned;
    text.push_str(&format!("({},{},{})", principal.text, action.text, resource.text));
    if !pinned && (words.strict || (shape == Shape::Any && writer.choices.percent(30))) {
        text.push_str(&writer.pin(situation));
    }
    for condition in writer.conditions(shape, style.depth) {
        text.push_str(&condition);
    }
    text.push(';');
    (text, Aim { situation, principal: principal.named, resource: resource.named })
}

/// A part of a scope, whether it leaves the situation as the only one, and the entity it names.
struct Part {
    text: String,
    pinned: bool,
    named: Option<Name>,
}

impl Writer<'_, '_, '_> {
    fn annotations(&mut self) -> String {
        match self.choices.below(12) {
            1 => "@note(\"\")\n".to_owned(),
            2 => "@advice(\"số 1\") @level(\"2\")\n".to_owned(),
            3 => "@empty\n".to_owned(),
            _ => String::new(),
        }
    }

    /// The constraint of principal or resource.
    fn end(&mut self, variable: &str, at: usize, wide: usize, slot: bool) -> Part {
        let part = |text: String, pinned| Part { text, pinned, named: None };
        let ty = self.words.types[at].name.clone();
        let stray = !self.words.strict && self.choices.percent(3);
        let ty = if stray { "No::Such".to_owned() } else { ty };
        if slot {
            return match self.choices.below(3) {
                0 => part(format!("{variable} == ?{variable}"), false),
                1 => part(format!("{variable} in ?{variable}"), false),
                _ => part(format!("{variable} is {ty} in ?{variable}"), true),
            };
        }
        let form = self.choices.weighted(&[3 * wide, 6, 4, wide, 2]);
        let own = form == 1 || self.choices.percent(50);
        let above = if own { at } else { self.any_type() };
        let name = self.named(if above == ACTION { at } else { above });
        let uid = self.spelled(&name);
        let part = match form {
            0 => return part(variable.to_owned(), false),
            1 => part(format!("{variable} == {uid}"), true),
            2 => part(format!("{variable} in {uid}"), false),
            3 => return part(format!("{variable} is {ty}"), true),
            _ => part(format!("{variable} is {ty} in {uid}"), true),
        };
        Part { named: Some(name), ..part }
    }

    fn action(&mut self, at: usize, wide: usize) -> Part {
        let part = |text: &str, pinned| Part { text: text.to_owned(), pinned, named: None };
        let id = self.words.actions[at].id.clone();
        let own = format!("Action::{}", super::strings::literal(&id, self.choices));
        match self.choices.weighted(&[3 * wide, 6, 2, 3]) {
            0 => part("action", false),
            1 => part(&format!("action == {own}"), true),
            2 => part(&format!("action in {}", self.uid(ACTION)), false),
            _ => {
                let mut list: Vec<String> = vec![own];
                for _ in 0..self.choices.below(4) {
                    list.push(self.uid(ACTION));
                }
                part(&format!("action in [{}]", list.join(", ")), false)
            }
        }
    }

    /// A clause that holds only in the situation.
    fn pin(&mut self, situation: Situation) -> String {
        let types = &self.words.types;
        let id = &self.words.actions[situation.action].id;
        format!(
            " when {{ principal is {} && resource is {} && action == Action::{} }}",
            types[situation.principal].name,
            types[situation.resource].name,
            super::strings::literal(id, self.choices),
        )
    }

    fn conditions(&mut self, shape: Shape, depth: usize) -> Vec<String> {
        let mut clauses = Vec::new();
        let count = match shape {
            Shape::Narrow => self.choices.weighted(&[3, 5, 1]),
            Shape::Leading => 1 + self.choices.weighted(&[5, 1]),
            Shape::Any => self.choices.weighted(&[1, 6, 3, 1]),
        };
        for number in 0..count {
            let condition = match shape {
                Shape::Leading if number == 0 => self.led(depth),
                Shape::Narrow => self.condition(depth.min(1)),
                _ => self.condition(depth),
            };
            let condition =
                if self.choices.permille(3) { self.buried(condition) } else { condition };
            let word = if self.choices.percent(75) { "when" } else { "unless" };
            clauses.push(format!(" {word} {{ {} }}", condition.text));
        }
        clauses
    }

    /// The same under so many levels that an engine that recurses may want to leave it to others.
    fn buried(&mut self, mut inner: Expression) -> Expression {
        for _ in 0..self.choices.between(20, 110) {
            let text = inner.text;
            inner = match self.choices.below(3) {
                0 => expression::loose(format!("!!({text})")),
                1 => expression::loose(format!("if true then {text} else false")),
                _ => expression::tight(format!("{{a: {text}}}.a")),
            };
        }
        inner
    }

    /// A comparison, and perhaps more.
    fn led(&mut self, depth: usize) -> Expression {
        let first = self.leading();
        match self.choices.weighted(&[5, 7, 1]) {
            0 => first,
            1 => {
                let rest = self.condition(depth.saturating_sub(1)).operand();
                expression::loose(format!("{} && {rest}", first.operand()))
            }
            _ => {
                let rest = self.condition(depth.saturating_sub(1)).operand();
                expression::loose(format!("{} || {rest}", first.operand()))
            }
        }
    }
}

/// What a link puts into the slots of a template.
pub(crate) fn link(
    words: &Vocabulary,
    situation: Situation,
    slots: [bool; 2],
    choices: &mut Choices<'_>,
) -> (Option<Name>, Option<Name>) {
    let mut fill = |wanted: bool, at: usize| {
        wanted.then(|| {
            let at = if words.strict || choices.percent(70) {
                at
            } else {
                choices.below(words.types.len())
            };
            data::name(words, at, choices)
        })
    };
    (fill(slots[0], situation.principal), fill(slots[1], situation.resource))
}
