//! A whole world: policies, entities, schema and the requests to put to it.

use std::collections::HashMap;

use serde_json::Value as Json;

use super::choices::Choices;
use super::data::{self, Name, Value};
use super::paths::{Path, Situation, paths};
use super::policy::{Aim, Form, Piece, Style, link, policy};
use super::vocabulary::{ACTION, Vocabulary};

/// Everything that decisions are made of, as text and data that can be printed and cut down.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) schema: Option<Json>,
    pub(crate) pieces: Vec<Piece>,
    pub(crate) entities: Vec<Json>,
    pub(crate) contexts: Vec<Json>,
    pub(crate) asks: Vec<Ask>,
}

/// A request; its context is one of the world's.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) principal: Name,
    pub(crate) action: Name,
    pub(crate) resource: Name,
    pub(crate) context: usize,
}

/// How large a world is.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) policies: usize,
    pub(crate) asks: usize,
}

impl Size {
    /// Sizes as they should come up in long runs. Large sets get few requests, because the
    /// reference looks at every policy for each.
    pub(crate) fn any(choices: &mut Choices<'_>) -> Self {
        let (policies, asks) = match choices.weighted(&[25, 46, 26, 2, 1]) {
            0 => (choices.between(1, 8), 600),
            1 => (choices.between(20, 80), 600),
            2 => (choices.between(81, 200), 400),
            3 => (choices.between(300, 1000), 100),
            _ => (choices.between(1500, 4000), 60),
        };
        Self { policies, asks }
    }
}

const CONTEXTS: usize = 24;
/// From so many policies on a set is large: its policies are simple, its strings are many.
const LARGE: usize = 81;

pub(crate) fn world(size: Size, choices: &mut Choices<'_>) -> World {
    let strict = choices.percent(35);
    let large = size.policies >= LARGE;
    let words = Vocabulary::new(strict, large, choices);
    let mut aims = Vec::new();
    let pieces = pieces(&words, size, &mut aims, choices);
    let entities = data::entities(&words, choices);
    let mut contexts = Vec::new();
    for at in 0..words.actions.len() {
        for _ in 0..CONTEXTS.div_ceil(words.actions.len()) {
            let record = data::record(&words, &words.actions[at].context, choices);
            contexts.push((at, Value::Record(record).json()));
        }
    }
    let asks = (0..size.asks).map(|_| ask(&words, &contexts, &aims, choices)).collect();
    let contexts = contexts.into_iter().map(|(_, context)| context).collect();
    World { schema: strict.then(|| words.schema()), pieces, entities, contexts, asks }
}

fn style(large: bool, choices: &mut Choices<'_>) -> Style {
    let permits = *choices.pick(&[50, 65, 80, 92, 97, 100]);
    if large {
        let shapes = *choices.pick(&[[8, 4, 1], [2, 16, 1], [20, 1, 0], [1, 30, 0], [4, 4, 4]]);
        return Style { shapes, depth: choices.between(1, 2), permits, fuel: 12 };
    }
    let shapes = *choices.pick(&[[1, 1, 4], [3, 2, 1], [1, 6, 1], [0, 0, 1]]);
    Style { shapes, depth: choices.between(1, 4), permits, fuel: *choices.pick(&[12, 30, 80]) }
}

fn situation(words: &Vocabulary, choices: &mut Choices<'_>) -> Situation {
    let at = choices.below(words.actions.len());
    let action = &words.actions[at];
    Situation {
        principal: *choices.pick(&action.principals),
        action: at,
        resource: *choices.pick(&action.resources),
    }
}

fn pieces(
    words: &Vocabulary,
    size: Size,
    aims: &mut Vec<Aim>,
    choices: &mut Choices<'_>,
) -> Vec<Piece> {
    let style = style(size.policies >= LARGE, choices);
    let linked = *choices.pick(&[0, 0, 10, 40]);
    let mut known: HashMap<Situation, Vec<Path>> = HashMap::new();
    let mut templates: Vec<(String, Situation, [bool; 2])> = Vec::new();
    let mut pieces = Vec::with_capacity(size.policies + 4);
    let mut policies = 0;
    while policies < size.policies {
        let situation = situation(words, choices);
        let reach = known.entry(situation).or_insert_with(|| paths(words, situation, choices));
        let id = id(pieces.len(), choices);
        if !choices.percent(linked) {
            let (text, aim) = policy(words, situation, reach, style, [false; 2], choices);
            aims.push(aim);
            let form = [Form::Text, Form::Json, Form::Tree][choices.weighted(&[8, 1, 1])];
            pieces.push(Piece::Policy { id, text, form });
            policies += 1;
        } else if templates.is_empty() || choices.percent(10) {
            let slots = *choices.pick(&[[true, true], [true, false], [false, true]]);
            let (text, _) = policy(words, situation, reach, style, slots, choices);
            pieces.push(Piece::Template { id: id.clone(), text });
            templates.push((id, situation, slots));
            // Bytes that run out would make templates for ever.
            policies += usize::from(templates.len() > size.policies);
        } else {
            let (template, situation, slots) = choices.pick(&templates);
            let (principal, resource) = link(words, *situation, *slots, choices);
            aims.push(Aim {
                situation: *situation,
                principal: principal.clone(),
                resource: resource.clone(),
            });
            pieces.push(Piece::Link { template: template.clone(), id, principal, resource });
            policies += 1;
        }
    }
    pieces
}

/// Ids that are unique, and do not sort as they were made.
fn id(at: usize, choices: &mut Choices<'_>) -> String {
    match choices.below(8) {
        0 => format!("chính sách {at}"),
        1 => format!("{at}"),
        2 => format!("z\"{at}\""),
        _ => format!("policy{at}"),
    }
}

fn ask(
    words: &Vocabulary,
    contexts: &[(usize, Json)],
    aims: &[Aim],
    choices: &mut Choices<'_>,
) -> Ask {
    let aimed = !aims.is_empty() && choices.percent(75);
    let aim = aimed.then(|| choices.pick(aims).clone());
    let at =
        aim.as_ref().map_or_else(|| choices.below(words.actions.len()), |aim| aim.situation.action);
    let usual: Vec<usize> = (0..contexts.len()).filter(|place| contexts[*place].0 == at).collect();
    let odd = choices.percent(5);
    let context = if odd { choices.below(contexts.len()) } else { *choices.pick(&usual) };
    let action = &words.actions[at];
    let mut end = |list: &[usize], aimed: Option<usize>, named: Option<&Name>| {
        if let Some(name) = named
            && choices.percent(60)
        {
            return name.clone();
        }
        let odd = choices.percent(6);
        let usual = aimed.unwrap_or_else(|| *choices.pick(list));
        let at = if odd { choices.below(words.types.len()) } else { usual };
        data::name(words, at, choices)
    };
    let to = aim.as_ref();
    let principal = end(
        &action.principals,
        to.map(|aim| aim.situation.principal),
        to.and_then(|aim| aim.principal.as_ref()),
    );
    let resource = end(
        &action.resources,
        to.map(|aim| aim.situation.resource),
        to.and_then(|aim| aim.resource.as_ref()),
    );
    let name = if choices.percent(2) { "no such action" } else { action.id.as_str() };
    let kind = words.types[if choices.percent(1) { 1 } else { ACTION }].name.clone();
    let action = Name { kind, id: name.to_owned() };
    Ask { principal, action, resource, context }
}
