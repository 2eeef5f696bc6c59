//! Objects on their way to a source: each with its place, the broken ones known by their id.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::hash::Hash;
use std::sync::Arc;

use model::{AgreementId, ClassId, MemberId, NodeId, PurposeCode, RevisionId, SystemId, ZoneId};
use policy::source::{Agreement, Class, Member, Node, Purpose, RouteRule, Source, System, Zone};
use policy::{Problem as Semantic, Subject};

use crate::fields::items;
use crate::problem::{Position, Report};
use crate::yaml;

/// Where an object stands.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The file.
    pub(crate) file: Arc<str>,
    /// Its number in the list of its kind.
    pub(crate) item: usize,
    /// Where its id stands.
    pub(crate) at: Position,
    /// Whether it could be decoded. If not, it is missing in the source.
    whole: bool,
}

/// What decoding gave.
pub(crate) struct Decoded<K, T> {
    /// The object's id and where it stands, if it could be read.
    pub(crate) id: Option<(Position, K)>,
    /// The object, if all that references depend on could be read.
    pub(crate) object: Option<T>,
}

impl<K, T> Decoded<K, T> {
    /// Nothing could be read.
    pub(crate) const NOTHING: Self = Self { id: None, object: None };
}

/// All objects of one kind.
pub(crate) struct Table<K, T> {
    /// The kind, as problems name it.
    kind: &'static str,
    rows: Vec<T>,
    places: HashMap<K, Place>,
    /// Whether there may be more than was read: an id or a whole file could not be.
    partial: bool,
}

impl<K: Clone + Eq + Hash + Display, T> Table<K, T> {
    fn new(kind: &'static str) -> Self {
        Self { kind, rows: Vec::new(), places: HashMap::new(), partial: false }
    }

    /// Decodes the list that `node` holds.
    pub(crate) fn extend(
        &mut self,
        node: &yaml::Node<'_>,
        report: &mut Report,
        mut decode: impl FnMut(&yaml::Node<'_>, &mut Report) -> Decoded<K, T>,
    ) {
        let Some(items) = items(node, report) else {
            self.partial = true;
            return;
        };
        for (item, number) in items.iter().zip(0..) {
            if report.is_full() {
                self.partial = true;
                return;
            }
            let decoded = decode(item, report);
            self.add(number, decoded, report);
        }
    }

    fn add(&mut self, item: usize, decoded: Decoded<K, T>, report: &mut Report) {
        let Some((at, id)) = decoded.id else {
            self.partial = true;
            return;
        };
        let whole = decoded.object.is_some();
        match self.places.entry(id) {
            Entry::Vacant(entry) => {
                entry.insert(Place { file: report.file(), item, at, whole });
                self.rows.extend(decoded.object);
            }
            Entry::Occupied(entry) => {
                let (id, first) = (entry.key(), entry.get());
                let hint = format!("the first stands at {}:{}", first.file, first.at.line);
                let expected = format!("one {} with this id", self.kind);
                report.add(at, format!("`{id}` a second time"), expected, Some(hint));
            }
        }
    }

    /// Whether an object that the source lacks may exist, so that a reference to it is no problem.
    fn may_hold(&self, id: &str) -> bool
    where
        K: std::borrow::Borrow<str>,
    {
        self.partial || self.places.get(id).is_some_and(|place| !place.whole)
    }

    /// Whether any object is missing in the source.
    fn is_incomplete(&self) -> bool {
        self.partial || self.places.values().any(|place| !place.whole)
    }

    /// Takes the objects, in the order of their ids.
    fn take<O: Ord>(&mut self, id: impl Fn(&T) -> O) -> Vec<T> {
        let mut rows = std::mem::take(&mut self.rows);
        rows.sort_by_key(id);
        rows
    }
}

/// Everything that was decoded.
pub(crate) struct Draft {
    pub(crate) classes: Table<ClassId, Class>,
    pub(crate) zones: Table<ZoneId, Zone>,
    pub(crate) members: Table<MemberId, Member>,
    pub(crate) systems: Table<SystemId, System>,
    pub(crate) nodes: Table<NodeId, Node>,
    pub(crate) purposes: Table<PurposeCode, Purpose>,
    pub(crate) agreements: Table<AgreementId, Agreement>,
    /// The digest of each agreement's text, in the order of the files.
    pub(crate) digests: Vec<(AgreementId, yaml::NodeDigest)>,
    pub(crate) routes: Vec<(Place, RouteRule)>,
    /// Whether a contract could not be read: any service may be in it.
    pub(crate) contracts_are_partial: bool,
    /// Where each policy stands.
    pub(crate) policies: BTreeMap<Box<str>, Place>,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            classes: Table::new("class"),
            zones: Table::new("zone"),
            members: Table::new("member"),
            systems: Table::new("system"),
            nodes: Table::new("node"),
            purposes: Table::new("purpose"),
            agreements: Table::new("agreement"),
            digests: Vec::new(),
            routes: Vec::new(),
            contracts_are_partial: false,
            policies: BTreeMap::new(),
        }
    }
}

impl Draft {
    /// A part of the registry could not be read: any object may be in it.
    pub(crate) fn registry_is_partial(&mut self) {
        self.classes.partial = true;
        self.zones.partial = true;
        self.members.partial = true;
        self.systems.partial = true;
        self.nodes.partial = true;
        self.purposes.partial = true;
    }

    /// Whether references cannot be told apart from references to what could not be read.
    fn nothing_is_certain(&self) -> bool {
        self.members.partial && self.systems.partial && self.nodes.partial && self.purposes.partial
    }

    /// Adds the rule at `item` of the list of routes.
    pub(crate) fn add_route(
        &mut self,
        at: Position,
        item: usize,
        rule: RouteRule,
        report: &Report,
    ) {
        self.routes.push((Place { file: report.file(), item, at, whole: true }, rule));
    }

    /// Adds the place of a policy.
    pub(crate) fn add_policy(&mut self, id: &str, file: &str, at: Position) {
        let place = Place { file: file.into(), item: 0, at, whole: true };
        self.policies.insert(id.into(), place);
    }

    /// Gives `authorities` to the nodes that name none.
    pub(crate) fn default_authorities(
        &mut self,
        authorities: Option<&Arc<[Vec<u8>]>>,
        report: &mut Report,
    ) {
        for node in self.nodes.rows.iter_mut().filter(|node| node.authorities.is_empty()) {
            match (authorities, self.nodes.places.get(&node.id)) {
                (Some(authorities), _) => node.authorities = Arc::clone(authorities),
                (None, Some(place)) => {
                    report.enter(Arc::clone(&place.file));
                    let expected = "`authorities` here, or under `upstream` in gateway.yaml";
                    report.add(place.at, "a node that no authority vouches for", expected, None);
                }
                (None, None) => {}
            }
        }
    }

    /// Moves the objects into a source, in an order that does not depend on files. Leaves the
    /// agreements out where all that could be said about them would be consequences: looking for
    /// what each reference may mean takes its time.
    pub(crate) fn take_source(&mut self, revision: RevisionId) -> Source {
        if self.nothing_is_certain() {
            self.agreements.rows.clear();
        }
        Source {
            revision,
            classes: self.classes.take(|class| class.id.clone()),
            zones: self.zones.take(|zone| zone.id.clone()),
            members: self.members.take(|member| member.id.clone()),
            systems: self.systems.take(|system| system.id.clone()),
            nodes: self.nodes.take(|node| node.id.clone()),
            purposes: self.purposes.take(|purpose| purpose.code.clone()),
            agreements: self.take_agreements(),
            routes: self.routes.iter().map(|(_, rule)| rule.clone()).collect(),
            ..Source::default()
        }
    }

    /// Takes the agreements alone, in the order of their ids.
    pub(crate) fn take_agreements(&mut self) -> Vec<Agreement> {
        self.agreements.take(|agreement| agreement.id.clone())
    }

    /// Where the subject of a problem stands, and the list that holds it.
    pub(crate) fn place(&self, subject: &Subject) -> Option<(&'static str, &Place)> {
        match subject {
            Subject::Class(id) => self.classes.places.get(id.as_str()).map(|at| ("classes", at)),
            Subject::Zone(id) => self.zones.places.get(id.as_str()).map(|at| ("zones", at)),
            Subject::Policy(id) => self.policies.get(id.as_str()).map(|at| ("policies", at)),
            Subject::Member(id) => self.members.places.get(id.as_str()).map(|at| ("members", at)),
            Subject::System(id) => self.systems.places.get(id.as_str()).map(|at| ("systems", at)),
            Subject::Node(id) => self.nodes.places.get(id.as_str()).map(|at| ("nodes", at)),
            Subject::Purpose(id) => {
                self.purposes.places.get(id.as_str()).map(|at| ("purposes", at))
            }
            Subject::Agreement(id) => {
                self.agreements.places.get(id.as_str()).map(|at| ("agreements", at))
            }
            Subject::Route(number) => self.routes.get(*number).map(|(at, _)| ("routes", at)),
        }
    }

    /// Whether a problem may only be there because something it refers to could not be decoded.
    pub(crate) fn is_consequence(&self, problem: &Semantic) -> bool {
        let id = problem.found.trim_matches('`');
        let field = problem.field.split('[').next().unwrap_or_default();
        // `splits[2].zone` is about a zone.
        let last = problem.field.rsplit('.').next().unwrap_or_default();
        match (&problem.subject, field) {
            (Subject::Member(_), "parent")
            | (Subject::System(_), "member")
            | (Subject::Node(_), "provider") => self.members.may_hold(id),
            (Subject::Member(_), "classes") => self.classes.may_hold(id),
            (Subject::Agreement(_), "consumer") => {
                self.members.may_hold(id) || self.systems.may_hold(id) || self.classes.may_hold(id)
            }
            (Subject::Agreement(_), "node") => self.nodes.may_hold(id),
            (Subject::Agreement(_), "purposes") => self.purposes.may_hold(id),
            (Subject::Agreement(_), "fields" | "request_fields" | "subjects") => {
                self.contracts_are_partial
            }
            (Subject::Route(_), "service") => self.nodes.is_incomplete(),
            (Subject::Route(_), "splits" | "shadow" | "shadow.node") => match last {
                "member" => self.members.may_hold(id),
                "zone" => self.zones.may_hold(id),
                _ => self.nodes.may_hold(id) || self.nodes.is_incomplete(),
            },
            // What a policy speaks of may be an attribute of something that could not be read.
            (Subject::Policy(_), _) => self.registry_is_incomplete(),
            _ => false,
        }
    }

    fn registry_is_incomplete(&self) -> bool {
        self.members.is_incomplete()
            || self.systems.is_incomplete()
            || self.nodes.is_incomplete()
            || self.classes.is_incomplete()
    }
}
