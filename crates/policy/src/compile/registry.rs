//! Compiles classes, members, systems, purposes and zones.

use crate::compile::{Problems, enroll, resolve};
use crate::problem::Subject;
use crate::registry::{ConsumerIx, Ix, MemberRow, Registry, SystemRow, count, row};
use crate::source::{Class, Member, Network, Purpose, System, Zone};

pub(super) fn classes(registry: &mut Registry, problems: &mut Problems, classes: Vec<Class>) {
    for (class, ix) in classes.iter().zip(0..) {
        let subject = Subject::Class(class.id.to_string());
        enroll(problems, &mut registry.names.classes, &subject, class.id.as_str(), ix);
    }
    registry.classes = classes;
}

pub(super) fn members(registry: &mut Registry, problems: &mut Problems, members: Vec<Member>) {
    for (member, ix) in members.iter().zip(0..) {
        let subject = Subject::Member(member.id.to_string());
        enroll(problems, &mut registry.names.members, &subject, member.id.as_str(), ix);
    }
    for member in members {
        let subject = Subject::Member(member.id.to_string());
        let names = &registry.names;
        let parent = member.parent.as_ref().and_then(|id| {
            resolve(problems, &names.members, &subject, "parent", id.as_str(), "member")
        });
        let mut classes = Vec::with_capacity(member.classes.len());
        for (id, n) in member.classes.iter().zip(0..) {
            let field = format!("classes[{n}]");
            let class = resolve(problems, &names.classes, &subject, &field, id.as_str(), "class");
            classes.extend(class);
        }
        classes.sort_by_key(|ix| row(&registry.classes, *ix).map(|class| class.id.clone()));
        classes.dedup();
        registry.members.push(MemberRow { member, parent, classes: classes.into() });
    }
    cut_cycles(registry, problems);
}

/// Reports members that stand above themselves, and cuts the loop there.
fn cut_cycles(registry: &mut Registry, problems: &mut Problems) {
    for at in 0..count(&registry.members) {
        // Below this member every loop has been cut, so that the way up ends or comes back here.
        let above = registry.ancestry(at).skip(1).take(registry.members.len());
        if !above.into_iter().any(|ix| ix == at) {
            continue;
        }
        let place = usize::try_from(at).ok().and_then(|at| registry.members.get_mut(at));
        if let Some(row) = place {
            row.parent = None;
            let subject = Subject::Member(row.member.id.to_string());
            problems.add(&subject, "parent", "a member that stands below this one", "a tree");
        }
    }
}

pub(super) fn systems(registry: &mut Registry, problems: &mut Problems, systems: Vec<System>) {
    for (system, ix) in systems.into_iter().zip(0..) {
        let subject = Subject::System(system.id.to_string());
        enroll(problems, &mut registry.names.systems, &subject, system.id.as_str(), ix);
        for (digest, n) in system.certificates.iter().zip(0..) {
            if registry.names.certificates.insert(*digest, ix).is_some() {
                let found = format!("certificate {digest}, which is registered already");
                let field = format!("certificates[{n}]");
                problems.add(&subject, &field, found, "a certificate of one system");
            }
        }
        let members = &registry.names.members;
        let id = system.member.as_str();
        let member = resolve(problems, members, &subject, "member", id, "member");
        let member = member.unwrap_or(Ix::MAX);
        registry.systems.push(SystemRow { system, member, chain: (0, 0) });
    }
    for ix in 0..count(&registry.systems) {
        chain(registry, ix);
    }
}

/// Lists the consumers that stand for a system, nearest first.
fn chain(registry: &mut Registry, system: Ix) {
    let Some(member) = row(&registry.systems, system).map(|row| row.member) else { return };
    let mut chain: Vec<ConsumerIx> = vec![registry.consumer_of_system(system)];
    for ix in registry.ancestry(member) {
        let Some(row) = row(&registry.members, ix) else { break };
        chain.push(registry.consumer_of_member(ix));
        chain.extend(row.classes.iter().map(|class| registry.consumer_of_class(*class)));
    }
    let start = count(&registry.chains);
    registry.chains.extend(chain);
    let end = count(&registry.chains);
    let place = usize::try_from(system).ok().and_then(|at| registry.systems.get_mut(at));
    if let Some(row) = place {
        row.chain = (start, end);
    }
}

pub(super) fn purposes(registry: &mut Registry, problems: &mut Problems, purposes: Vec<Purpose>) {
    for (purpose, ix) in purposes.into_iter().zip(0..) {
        let subject = Subject::Purpose(purpose.code.to_string());
        enroll(problems, &mut registry.names.purposes, &subject, purpose.code.as_str(), ix);
        registry.purposes.push(purpose.code);
    }
}

pub(super) fn zones(registry: &mut Registry, problems: &mut Problems, zones: Vec<Zone>) {
    for (zone, ix) in zones.iter().zip(0..) {
        let subject = Subject::Zone(zone.id.to_string());
        enroll(problems, &mut registry.names.zones, &subject, zone.id.as_str(), ix);
        for (network, n) in zone.networks.iter().zip(0..) {
            let field = format!("networks[{n}]");
            network_of(registry, problems, &subject, &field, *network, ix);
        }
    }
    registry.networks.sort_by_key(|(network, _)| std::cmp::Reverse(network.prefix));
    registry.zones = zones;
}

fn network_of(
    registry: &mut Registry,
    problems: &mut Problems,
    subject: &Subject,
    field: &str,
    network: Network,
    zone: Ix,
) {
    let bits = if network.address.is_ipv4() { 32 } else { 128 };
    if network.prefix > bits {
        let found = format!("a prefix of {} bits", network.prefix);
        problems.add(subject, field, found, &format!("at most {bits} bits"));
    }
    let taken = registry.networks.iter().find(|(other, _)| *other == network);
    if taken.is_some() {
        problems.add(subject, field, "a network of a zone already", "a network of one zone");
    }
    registry.networks.push((network, zone));
}
