//! From source to snapshot: every reference resolved, every problem found in one pass.

use std::collections::{BTreeMap, HashMap, HashSet};

use model::{Effect, MemberId, PurposeCode};

use crate::problem::{Problem, Subject};
use crate::snapshot::{AgreementRow, ConsumerKey, Ix, MemberRow, MethodRow, Snapshot, SystemRow};
use crate::source::{Agreement, Consumer, Methods, Node, RouteRule, Source, System};

/// Problems that get a hint. Each hint compares the word with every known one.
const HINTED_PROBLEMS_MAX: usize = 100;

impl Snapshot {
    /// Compiles `source`.
    ///
    /// # Errors
    ///
    /// Returns every problem found, not only the first.
    pub fn compile(source: Source) -> Result<Self, Vec<Problem>> {
        let mut compiler = Compiler::default();
        compiler.snapshot.revision = source.revision;
        compiler.members(source.members);
        compiler.systems(source.systems);
        compiler.snapshot.purposes = source.purposes.into_iter().map(|p| p.code).collect();
        compiler.nodes(source.nodes);
        compiler.routes(&source.routes);
        compiler.agreements(source.agreements);
        compiler.snapshot.revoked = source.revoked.into_iter().collect();
        match compiler.problems.is_empty() {
            true => Ok(compiler.snapshot),
            false => Err(compiler.problems),
        }
    }
}

#[derive(Default)]
struct Compiler {
    snapshot: Snapshot,
    problems: Vec<Problem>,
    members: HashMap<String, Ix>,
    systems: HashMap<String, Ix>,
    nodes: HashMap<String, Ix>,
    /// Services by name: index of the service, of its node.
    services: HashMap<String, (Ix, Ix)>,
}

impl Compiler {
    fn problem(&mut self, subject: Subject, field: &str, found: String, expected: &str) {
        self.problems.push(Problem {
            subject,
            field: field.to_owned(),
            found,
            expected: expected.to_owned(),
            hint: None,
        });
    }

    /// The word that may have been meant by `id`, for as long as looking it up is worth the time.
    fn near<W: AsRef<str>>(&self, id: &str, known: impl Iterator<Item = W>) -> Option<String> {
        (self.problems.len() < HINTED_PROBLEMS_MAX).then(|| nearest(id, known)).flatten()
    }

    fn unknown(
        &mut self,
        subject: Subject,
        field: &str,
        id: &str,
        kind: &str,
        near: Option<String>,
    ) {
        self.problems.push(Problem {
            subject,
            field: field.to_owned(),
            found: format!("`{id}`"),
            expected: format!("a registered {kind}"),
            hint: near.map(|near| format!("did you mean `{near}`?")),
        });
    }

    fn members(&mut self, members: Vec<crate::source::Member>) {
        for (member, at) in members.iter().zip(0..) {
            if self.members.insert(member.id.to_string(), at).is_some() {
                let subject = Subject::Member(member.id.to_string());
                self.problem(subject, "id", "a second one".into(), "one member with this id");
            }
        }
        let rows: Vec<_> = members
            .into_iter()
            .map(|member| {
                let parent = member.parent.as_ref().and_then(|id| self.parent(&member.id, id));
                MemberRow { member, parent }
            })
            .collect();
        self.snapshot.members = rows;
        self.cut_cycles();
    }

    fn parent(&mut self, member: &MemberId, parent: &MemberId) -> Option<Ix> {
        let found = self.members.get(parent.as_str()).copied();
        if found.is_none() {
            let near = self.near(parent.as_str(), self.members.keys());
            let subject = Subject::Member(member.to_string());
            self.unknown(subject, "parent", parent.as_str(), "member", near);
        }
        found
    }

    /// Reports members that stand above themselves, and cuts the loop there.
    fn cut_cycles(&mut self) {
        let count = self.snapshot.members.len();
        for at in 0..count {
            let mut above = self.parent_of(at);
            for _ in 0..=count {
                match above {
                    Some(ix) if ix == at => {
                        let Some(row) = self.snapshot.members.get_mut(at) else { break };
                        row.parent = None;
                        let subject = Subject::Member(row.member.id.to_string());
                        let found = "a member that stands below this one".to_owned();
                        self.problem(subject, "parent", found, "a tree");
                        break;
                    }
                    Some(ix) => above = self.parent_of(ix),
                    None => break,
                }
            }
        }
    }

    fn parent_of(&self, at: usize) -> Option<usize> {
        self.snapshot.members.get(at)?.parent.and_then(|ix| usize::try_from(ix).ok())
    }

    fn systems(&mut self, systems: Vec<System>) {
        for (system, at) in systems.into_iter().zip(0..) {
            let subject = Subject::System(system.id.to_string());
            if self.systems.insert(system.id.to_string(), at).is_some() {
                let expected = "one system with this id";
                self.problem(subject.clone(), "id", "a second one".into(), expected);
            }
            for (digest, n) in system.certificates.iter().zip(0..) {
                if self.snapshot.certificates.insert(*digest, at).is_some() {
                    let found = format!("certificate {digest}, which is registered already");
                    let field = format!("certificates[{n}]");
                    self.problem(subject.clone(), &field, found, "a certificate of one system");
                }
            }
            let member = self.members.get(system.member.as_str()).copied();
            if member.is_none() {
                let near = self.near(system.member.as_str(), self.members.keys());
                self.unknown(subject, "member", system.member.as_str(), "member", near);
            }
            self.snapshot.systems.push(SystemRow { system, member: member.unwrap_or(Ix::MAX) });
        }
    }

    fn nodes(&mut self, nodes: Vec<Node>) {
        for (node, at) in nodes.into_iter().zip(0..) {
            let subject = Subject::Node(node.id.to_string());
            if self.nodes.insert(node.id.to_string(), at).is_some() {
                let expected = "one node with this id";
                self.problem(subject.clone(), "id", "a second one".into(), expected);
            }
            if !self.members.contains_key(node.provider.as_str()) {
                let provider = node.provider.as_str();
                let near = self.near(provider, self.members.keys());
                self.unknown(subject.clone(), "provider", provider, "member", near);
            }
            if node.endpoints.is_empty() {
                let expected = "at least one `host:port`";
                self.problem(subject.clone(), "endpoints", "none".into(), expected);
            }
            self.services(&node, at);
            self.snapshot.nodes.push(node);
        }
    }

    fn services(&mut self, node: &Node, node_ix: Ix) {
        for (service, n) in node.services.iter().zip(0..) {
            let ix = Ix::try_from(self.services.len()).unwrap_or(Ix::MAX);
            if self.services.contains_key(&service.name) {
                let subject = Subject::Node(node.id.to_string());
                let found = format!("`{}`, which another node offers already", service.name);
                let expected = "a service with one authoritative node";
                self.problem(subject, &format!("services[{n}]"), found, expected);
                continue;
            }
            self.services.insert(service.name.clone(), (ix, node_ix));
            for method in &service.methods {
                self.method(&service.name, ix, node_ix, &method.name, method.effect);
            }
        }
    }

    fn method(&mut self, service: &str, service_ix: Ix, node: Ix, name: &str, effect: Effect) {
        let path: Box<str> = format!("/{service}/{name}").into();
        let ix = Ix::try_from(self.snapshot.methods.len()).unwrap_or(Ix::MAX);
        self.snapshot.paths.insert(path.clone(), ix);
        self.snapshot.methods.push(MethodRow {
            path,
            service: service_ix,
            node,
            effect,
            deadline_max: None,
            pass_authorization: false,
        });
    }

    /// A rule for a method goes before one for its service, in whatever order they stand.
    fn routes(&mut self, rules: &[RouteRule]) {
        let mut rules: Vec<(&RouteRule, usize)> = rules.iter().zip(0..).collect();
        rules.sort_by_key(|(rule, _)| rule.method.is_some());
        for (rule, at) in rules {
            let subject = Subject::Route(at);
            let Some((service, _)) = self.services.get(&rule.service).copied() else {
                let near = self.near(&rule.service, self.services.keys());
                self.unknown(subject, "service", &rule.service, "service", near);
                continue;
            };
            let only = rule.method.as_ref().map(|method| format!("/{}/{method}", rule.service));
            let mut matched = false;
            for method in &mut self.snapshot.methods {
                let named = only.as_ref().is_none_or(|path| **path == *method.path);
                if method.service == service && named {
                    matched = true;
                    method.deadline_max = rule.deadline_max.or(method.deadline_max);
                    method.pass_authorization =
                        rule.pass_authorization.unwrap_or(method.pass_authorization);
                }
            }
            if !matched {
                let name = rule.method.clone().unwrap_or_default();
                let near = self.near(&name, self.method_names(&rule.service).iter());
                self.unknown(subject, "method", &name, "method of the service", near);
            }
        }
    }

    fn agreements(&mut self, agreements: Vec<Agreement>) {
        let mut lists: HashMap<(ConsumerKey, Ix), BTreeMap<String, Ix>> = HashMap::new();
        let mut ids = HashSet::new();
        for agreement in agreements {
            let at = Ix::try_from(self.snapshot.agreements.len()).unwrap_or(Ix::MAX);
            let subject = Subject::Agreement(agreement.id.to_string());
            if !ids.insert(agreement.id.clone()) {
                let expected = "one agreement with this id";
                self.problem(subject.clone(), "id", "a second one".into(), expected);
            }
            self.terms(&subject, &agreement);
            let consumer = self.consumer(&subject, &agreement.consumer);
            let service = self.service(&subject, &agreement);
            let methods = self.methods(&subject, &agreement);
            if let (Some(consumer), Some(service)) = (consumer, service) {
                lists.entry((consumer, service)).or_default().insert(agreement.id.to_string(), at);
            }
            self.snapshot.agreements.push(AgreementRow { agreement, methods });
        }
        let sorted = |(key, list): (_, BTreeMap<String, Ix>)| (key, list.into_values().collect());
        self.snapshot.governing = lists.into_iter().map(sorted).collect();
    }

    fn terms(&mut self, subject: &Subject, agreement: &Agreement) {
        if agreement.purposes.is_empty() {
            let expected = "at least one purpose code";
            self.problem(subject.clone(), "purposes", "none".into(), expected);
        }
        for (code, n) in agreement.purposes.iter().zip(0..) {
            if !self.snapshot.purposes.contains(code) {
                let known = self.snapshot.purposes.iter().map(PurposeCode::as_str);
                let near = self.near(code.as_str(), known);
                let field = format!("purposes[{n}]");
                self.unknown(subject.clone(), &field, code.as_str(), "purpose", near);
            }
        }
        if agreement.valid_from >= agreement.valid_until {
            let found = format!("{}, not after the start", agreement.valid_until);
            let expected = "an end after the start of validity";
            self.problem(subject.clone(), "valid_until", found, expected);
        }
        for (quota, n) in agreement.quota.iter().zip(0..) {
            if quota.calls == 0 || quota.burst == 0 || quota.period.is_zero() {
                let field = format!("quota[{n}]");
                self.problem(subject.clone(), &field, "zero".into(), "at least one call");
            }
        }
    }

    fn consumer(&mut self, subject: &Subject, consumer: &Consumer) -> Option<ConsumerKey> {
        let (found, id, kind, table) = match consumer {
            Consumer::Member(id) => {
                let found = self.members.get(id.as_str()).map(|ix| ConsumerKey::Member(*ix));
                (found, id.as_str(), "member", &self.members)
            }
            Consumer::System(id) => {
                let found = self.systems.get(id.as_str()).map(|ix| ConsumerKey::System(*ix));
                (found, id.as_str(), "system", &self.systems)
            }
        };
        if found.is_none() {
            let near = self.near(id, table.keys());
            self.unknown(subject.clone(), "consumer", id, kind, near);
        }
        found
    }

    fn service(&mut self, subject: &Subject, agreement: &Agreement) -> Option<Ix> {
        let Some(node) = self.nodes.get(agreement.node.as_str()).copied() else {
            let near = self.near(agreement.node.as_str(), self.nodes.keys());
            self.unknown(subject.clone(), "node", agreement.node.as_str(), "node", near);
            return None;
        };
        match self.services.get(&agreement.service).copied() {
            Some((service, owner)) if owner == node => Some(service),
            _ => {
                let on_node = self.services.iter().filter(|(_, (_, owner))| *owner == node);
                let near = self.near(&agreement.service, on_node.map(|(name, _)| name));
                let kind = format!("service of node `{}`", agreement.node);
                self.unknown(subject.clone(), "service", &agreement.service, &kind, near);
                None
            }
        }
    }

    fn methods(&mut self, subject: &Subject, agreement: &Agreement) -> Option<Box<[Ix]>> {
        let Methods::Named(names) = &agreement.methods else { return None };
        if !self.services.contains_key(&agreement.service) {
            return Some(Box::default());
        }
        let mut covered = Vec::with_capacity(names.len());
        for (name, n) in names.iter().zip(0..) {
            let path = format!("/{}/{name}", agreement.service);
            match self.snapshot.paths.get(path.as_str()) {
                Some(ix) => covered.push(*ix),
                None => {
                    let near = self.near(name, self.method_names(&agreement.service).iter());
                    let field = format!("methods[{n}]");
                    self.unknown(subject.clone(), &field, name, "method of the service", near);
                }
            }
        }
        covered.sort_unstable();
        Some(covered.into())
    }

    fn method_names(&self, service: &str) -> Vec<String> {
        let prefix = format!("/{service}/");
        let paths = self.snapshot.methods.iter().map(|method| &method.path);
        paths.filter_map(|path| path.strip_prefix(&prefix).map(str::to_owned)).collect()
    }
}

/// The known word that differs least from `word`, if any is near.
pub fn nearest<W: AsRef<str>>(word: &str, known: impl Iterator<Item = W>) -> Option<String> {
    let bound = word.chars().count().div_ceil(3);
    let near = known.map(|other| (distance(word, other.as_ref()), other.as_ref().to_owned()));
    near.filter(|(d, _)| *d <= bound).min().map(|(_, other)| other)
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, y) in row.iter_mut().skip(1).zip(&b) {
            let next = (diagonal + usize::from(x != *y)).min(left + 1).min(*cell + 1);
            diagonal = *cell;
            left = next;
            *cell = next;
        }
    }
    row.last().copied().unwrap_or_default()
}
