//! A world in which the two sides disagree, cut down to what is needed for that.

use std::fmt::Write;

use cedar::Workspace;
use cedar_policy::{Policy, PolicyId};
use serde_json::Value as Json;

use super::check::{Built, Trouble};
use super::policy::{Form, Piece};
use super::world::{Ask, World};

/// How many smaller worlds are tried.
const TRIES_MAX: usize = 3_000;

/// A world that fails, and how many smaller ones have been tried.
struct Cutter {
    world: World,
    tries: usize,
}

/// The smallest world found that still fails with this request, as text to copy into a test.
pub(crate) fn report(world: &World, ask: &Ask) -> String {
    let mut world = world.clone();
    world.asks = vec![Ask { context: 0, ..ask.clone() }];
    world.contexts = vec![world.contexts[ask.context].clone()];
    // Failures that depend on what a workspace held before cannot be cut down.
    if complaint(&world).is_some() {
        let mut cutter = Cutter { world, tries: 0 };
        cutter.cut();
        world = cutter.world;
    }
    let told = complaint(&world).unwrap_or_else(|| "only after other requests".to_owned());
    format!("{told}\n{}", print(&world))
}

/// What is wrong with the world's only request, if the two sides disagree.
fn complaint(world: &World) -> Option<String> {
    let failed = match Built::new(world) {
        Ok(built) => built.check(world.asks.first()?, &mut Workspace::default()).err()?,
        Err(trouble) => trouble,
    };
    match failed {
        Trouble::Mismatch(told) => Some(told),
        Trouble::Refused(_) => None,
    }
}

impl Cutter {
    fn cut(&mut self) {
        loop {
            let before = self.size();
            self.drop_some(|world| &mut world.pieces);
            self.drop_some(|world| &mut world.entities);
            for at in 0..self.world.pieces.len() {
                self.simplify_policy(at);
            }
            for at in 0..self.world.entities.len() {
                for member in ["attrs", "parents", "tags"] {
                    self.drop_members(|world| world.entities.get_mut(at)?.get_mut(member));
                }
            }
            self.drop_members(|world| world.contexts.first_mut());
            if self.size() >= before {
                return;
            }
        }
    }

    fn size(&self) -> usize {
        print(&self.world).len()
    }

    /// Takes the smaller world if it fails too.
    fn take(&mut self, smaller: World) -> bool {
        self.tries += 1;
        let taken = self.tries <= TRIES_MAX && complaint(&smaller).is_some();
        if taken {
            self.world = smaller;
        }
        taken
    }

    /// Drops halves, quarters and so on, as long as the failure stays.
    fn drop_some<T: Clone>(&mut self, list: impl Fn(&mut World) -> &mut Vec<T>) {
        let mut chunk = list(&mut self.world).len().div_ceil(2);
        while chunk > 0 {
            let mut at = 0;
            while at < list(&mut self.world).len() {
                let mut smaller = self.world.clone();
                let end = (at + chunk).min(list(&mut smaller).len());
                list(&mut smaller).drain(at..end);
                if !self.take(smaller) {
                    at += chunk;
                }
            }
            chunk /= 2;
        }
    }

    /// Drops members of an object or items of an array one by one.
    fn drop_members(&mut self, place: impl Fn(&mut World) -> Option<&mut Json>) {
        let mut at = 0;
        loop {
            let mut smaller = self.world.clone();
            match place(&mut smaller) {
                Some(Json::Object(members)) if at < members.len() => {
                    let Some(name) = members.keys().nth(at).cloned() else { return };
                    members.remove(&name);
                }
                Some(Json::Array(items)) if at < items.len() => drop(items.remove(at)),
                _ => return,
            }
            if !self.take(smaller) {
                at += 1;
            }
        }
    }

    /// Replaces parts of a policy's conditions by parts of themselves, or drops them.
    fn simplify_policy(&mut self, at: usize) {
        let Some(Piece::Policy { id, text, form }) = self.world.pieces.get(at).cloned() else {
            return;
        };
        let Ok(policy) = Policy::parse(None, &text) else { return };
        let Ok(mut json) = policy.to_json() else { return };
        'again: loop {
            for smaller in smaller(&json) {
                let policy = Policy::from_json(Some(PolicyId::new(&id)), smaller.clone());
                let Some(text) = policy.ok().and_then(|policy| policy.to_cedar()) else { continue };
                let mut candidate = self.world.clone();
                candidate.pieces[at] = Piece::Policy { id: id.clone(), text, form };
                if self.take(candidate) {
                    json = smaller;
                    continue 'again;
                }
            }
            return;
        }
    }
}

/// Policies with one condition less, or one expression replaced by one inside it.
fn smaller(json: &Json) -> Vec<Json> {
    let mut found = Vec::new();
    let conditions = json["conditions"].as_array().map_or(0, Vec::len);
    for at in 0..conditions {
        let mut copy = json.clone();
        if let Some(list) = copy["conditions"].as_array_mut() {
            list.remove(at);
        }
        found.push(copy);
        let root = format!("/conditions/{at}/body");
        let Some(body) = json.pointer(&root) else { continue };
        for (place, replacement) in replacements(body) {
            let mut copy = json.clone();
            if let Some(slot) = copy.pointer_mut(&format!("{root}{place}")) {
                *slot = replacement;
                found.push(copy);
            }
        }
    }
    found
}

/// Each node of an expression with what it could be replaced by.
fn replacements(node: &Json) -> Vec<(String, Json)> {
    let mut found = Vec::new();
    let inner = children(node);
    found.extend(inner.iter().map(|(_, child)| (String::new(), (*child).clone())));
    for (step, child) in &inner {
        for (place, replacement) in replacements(child) {
            found.push((format!("/{step}{place}"), replacement));
        }
    }
    found
}

/// The expressions directly inside a node; between node and expression there may be an operator.
fn children(node: &Json) -> Vec<(String, &Json)> {
    let escape = |name: &str| name.replace('~', "~0").replace('/', "~1");
    let mut found = Vec::new();
    let Some((operator, body)) = node.as_object().and_then(|node| node.iter().next()) else {
        return found;
    };
    let operator = escape(operator);
    match body {
        Json::Array(items) => {
            let step = |(at, item)| (format!("{operator}/{at}"), item);
            found.extend(items.iter().enumerate().map(step));
        }
        Json::Object(members) => {
            let nodes = members.iter().filter(|(_, member)| member.is_object());
            found.extend(nodes.map(|(name, node)| (format!("{operator}/{}", escape(name)), node)));
        }
        _ => {}
    }
    found
}

/// Policies, entities and request as text.
fn print(world: &World) -> String {
    let mut out = String::new();
    for piece in &world.pieces {
        let _ = match piece {
            Piece::Policy { id, text, form: Form::Text } => writeln!(out, "// {id}\n{text}"),
            Piece::Policy { id, text, form } => writeln!(out, "// {id}, by {form:?}\n{text}"),
            Piece::Template { id, text } => writeln!(out, "// template {id}\n{text}"),
            Piece::Link { .. } => writeln!(out, "// {piece:?}"),
        };
    }
    let entities = Json::Array(world.entities.clone());
    let _ = writeln!(out, "entities: {entities}");
    for ask in &world.asks {
        let context = &world.contexts[ask.context];
        let ends = [&ask.principal, &ask.action, &ask.resource].map(|name| name.json().to_string());
        let _ = writeln!(out, "request: {} context: {context}", ends.join(" "));
    }
    if world.schema.is_some() {
        out.push_str("with a schema\n");
    }
    out
}
