//! Compiles what differs from the default for some services or methods.

use crate::compile::{Problems, resolve};
use crate::problem::Subject;
use crate::registry::{Ix, Registry};
use crate::routes::{Rules, SplitRow};
use crate::source::{RouteRule, Share, Split};

/// A rule for a method goes before one for its service, in whatever order they stand.
pub(super) fn compile(registry: &mut Registry, problems: &mut Problems, rules: &[RouteRule]) {
    let mut rules: Vec<(&RouteRule, usize)> = rules.iter().zip(0..).collect();
    rules.sort_by_key(|(rule, _)| rule.method.is_some());
    for (rule, at) in rules {
        let subject = Subject::Route(at);
        let services = &registry.names.services;
        let found = resolve(problems, services, &subject, "service", &rule.service, "service");
        let Some(service) = found else { continue };
        let splits = splits(registry, problems, &subject, &rule.splits);
        let shadow = shadow(registry, problems, &subject, rule);
        let mut matched = false;
        for method in registry.methods.iter_mut().filter(|method| method.service == service) {
            let name = method.path.rsplit('/').next();
            if rule.method.is_none() || rule.method.as_deref() == name {
                matched = true;
                apply(&mut method.rules, rule, &splits, shadow);
            }
        }
        if !matched {
            let name = rule.method.clone().unwrap_or_default();
            let known = registry.methods_of(service).iter();
            let known = known.filter_map(|method| method.path.rsplit('/').next());
            problems.unknown(&subject, "method", &name, "method of the service", known);
        }
    }
}

fn apply(rules: &mut Rules, rule: &RouteRule, splits: &[SplitRow], shadow: Option<(Ix, Share)>) {
    let limits = &mut rules.limits;
    limits.deadline_max = rule.deadline_max.or(limits.deadline_max);
    limits.pass_authorization = rule.pass_authorization.unwrap_or(limits.pass_authorization);
    limits.retries_max = rule.retries_max.unwrap_or(limits.retries_max);
    limits.request_bytes_max = rule.request_bytes_max.or(limits.request_bytes_max);
    limits.answer_bytes_max = rule.answer_bytes_max.or(limits.answer_bytes_max);
    rules.shadow = shadow.or(rules.shadow);
    if !splits.is_empty() {
        rules.splits = splits.into();
    }
}

fn splits(
    registry: &Registry,
    problems: &mut Problems,
    subject: &Subject,
    splits: &[Split],
) -> Vec<SplitRow> {
    let names = &registry.names;
    let mut rows = Vec::with_capacity(splits.len());
    let mut covered = 0;
    for (split, n) in splits.iter().zip(0..) {
        let field = |name: &str| format!("splits[{n}].{name}");
        let node = split.node.as_str();
        let node = resolve(problems, &names.nodes, subject, &field("node"), node, "node");
        let member = split.member.as_ref().and_then(|id| {
            resolve(problems, &names.members, subject, &field("member"), id.as_str(), "member")
        });
        let zone = split.zone.as_ref().and_then(|id| {
            resolve(problems, &names.zones, subject, &field("zone"), id.as_str(), "zone")
        });
        if covered >= Share::ALL.hundredths() {
            let found = "a split after those that take every call";
            problems.add(subject, &format!("splits[{n}]"), found, "splits that can be reached");
        }
        let unconditional =
            split.member.is_none() && split.zone.is_none() && split.header.is_none();
        if unconditional {
            covered += split.share.unwrap_or(Share::ALL).hundredths().min(Share::ALL.hundredths());
        }
        let header = split.header.as_ref();
        rows.extend(node.map(|node| SplitRow {
            node,
            member,
            zone,
            header: header.map(|(name, value)| (name.as_str().into(), value.as_str().into())),
            share: split.share,
        }));
    }
    rows
}

fn shadow(
    registry: &Registry,
    problems: &mut Problems,
    subject: &Subject,
    rule: &RouteRule,
) -> Option<(Ix, Share)> {
    let shadow = rule.shadow.as_ref()?;
    let (nodes, node) = (&registry.names.nodes, shadow.node.as_str());
    let node = resolve(problems, nodes, subject, "shadow.node", node, "node")?;
    Some((node, shadow.share))
}
