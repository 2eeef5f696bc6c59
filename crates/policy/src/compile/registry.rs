//! Compiles classes, members, systems, purposes and zones.

use std::collections::HashSet;

use crate::compile::{Problems, attributes, enroll, resolve};
use crate::problem::Subject;
use crate::registry::{Ix, MemberRow, Registry, count, row};
use crate::source::{Class, Member, Network, Purpose, System, Zone};
use crate::zones::Zones;

pub(super) fn classes(registry: &mut Registry, problems: &mut Problems, classes: Vec<Class>) {
    for class in &classes {
        let subject = Subject::Class(class.id.to_string());
        enroll(problems, &mut registry.names.classes, &subject, class.id.as_str());
    }
    registry.classes = classes;
}

pub(super) fn members(registry: &mut Registry, problems: &mut Problems, members: Vec<Member>) {
    for member in &members {
        let subject = Subject::Member(member.id.to_string());
        enroll(problems, &mut registry.names.members, &subject, member.id.as_str());
    }
    for member in members {
        let subject = Subject::Member(member.id.to_string());
        attributes(problems, &subject, &member.attributes);
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
    let mut owners = Vec::with_capacity(systems.len());
    for (system, ix) in systems.into_iter().zip(0..) {
        let subject = Subject::System(system.id.to_string());
        attributes(problems, &subject, &system.attributes);
        enroll(problems, &mut registry.names.systems, &subject, system.id.as_str());
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
        owners.push(member.unwrap_or(Ix::MAX));
        registry.systems.push(system);
    }
    // Consumers are numbered by the number of systems, which is known only now.
    owners.into_iter().for_each(|member| registry.stand(member));
}

pub(super) fn purposes(registry: &mut Registry, problems: &mut Problems, purposes: Vec<Purpose>) {
    for purpose in purposes {
        let subject = Subject::Purpose(purpose.code.to_string());
        enroll(problems, &mut registry.names.purposes, &subject, purpose.code.as_str());
        registry.purposes.push(purpose.code);
    }
}

pub(super) fn zones(registry: &mut Registry, problems: &mut Problems, zones: Vec<Zone>) {
    let mut networks: Vec<(Network, Ix)> = Vec::new();
    let mut taken = HashSet::new();
    for (zone, ix) in zones.iter().zip(0..) {
        let subject = Subject::Zone(zone.id.to_string());
        enroll(problems, &mut registry.names.zones, &subject, zone.id.as_str());
        for (network, n) in zone.networks.iter().zip(0..) {
            let field = format!("networks[{n}]");
            let bits = if network.address.is_ipv4() { 32 } else { 128 };
            if network.prefix > bits {
                let found = format!("a prefix of {} bits", network.prefix);
                problems.add(&subject, &field, found, &format!("at most {bits} bits"));
            }
            if !taken.insert(*network) {
                let found = "a network of a zone already";
                problems.add(&subject, &field, found, "a network of one zone");
            }
            networks.push((*network, ix));
        }
    }
    registry.zone_of = Zones::new(&networks);
    registry.zones = zones;
}
