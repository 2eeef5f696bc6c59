//! Compiles the Cedar policies, with the registry as their entities.

use cedar::text::Files;
use cedar::{Datum, Effect, Engine, Entity, EntityRef, Uid};

use crate::compile::Problems;
use crate::guards::{Guards, Keys};
use crate::problem::Subject;
use crate::registry::Registry;
use crate::source::Attributes;

/// Attributes that the registry itself gives an entity.
const GIVEN: [&str; 3] = ["member", "node", "provider"];

/// Compiles the policies; `None` without any, or after reporting why not.
pub(super) fn compile(
    registry: &Registry,
    problems: &mut Problems,
    files: Option<&Files>,
    utc_offset_minutes: i32,
) -> Option<Guards> {
    let before = problems.found.len();
    let entities = entities(registry, problems);
    let files = files?;
    if problems.found.len() > before {
        return None;
    }
    match Engine::compile(&files.policies, entities, Keys::NAMES) {
        Ok(engine) => guards(registry, engine, utc_offset_minutes),
        Err(error) => {
            let subject = Subject::Policy(String::new());
            problems.add(&subject, "", error.to_string(), "policies that compile");
            None
        }
    }
}

fn guards(registry: &Registry, engine: Engine, utc_offset_minutes: i32) -> Option<Guards> {
    let find = |kind, id: &str| engine.entity(kind, id);
    let systems = registry.systems.iter().map(|system| find("System", system.id.as_str()));
    let methods = registry.methods.iter().map(|row| find("Method", &row.path));
    let systems: Option<Vec<EntityRef>> = systems.collect();
    let methods: Option<Vec<EntityRef>> = methods.collect();
    Some(Guards {
        systems: systems?,
        methods: methods?,
        query: find("Action", "query")?,
        update: find("Action", "update")?,
        keys: Keys::find(&engine)?,
        engine,
        utc_offset_minutes,
    })
}

/// What operators should know about policies that are in order.
pub(super) fn notes(guards: &Guards) -> Vec<String> {
    let left = guards.engine.uncompiled().map(|(ix, why)| {
        let id = &guards.engine.policy(ix).id;
        format!("policy `{id}` is left to the reference evaluator, which is slow: {why}")
    });
    let permits = guards.engine.policies().filter(|(_, policy)| policy.effect == Effect::Permit);
    let permits = permits.map(|(_, policy)| {
        format!("policy `{}` permits, which allows no call: agreements do", policy.id)
    });
    left.chain(permits).collect()
}

/// The registry as Cedar sees it.
pub(super) fn entities(registry: &Registry, problems: &mut Problems) -> Vec<Entity> {
    let mut entities = vec![entity("Action", "query"), entity("Action", "update")];
    entities.extend(registry.classes.iter().map(|class| entity("Class", class.id.as_str())));
    for row in &registry.members {
        let member = &row.member;
        let subject = Subject::Member(member.id.to_string());
        let mut made = entity("Member", member.id.as_str());
        let parent = member.parent.iter().map(|id| Uid::new("Member", id.as_str()));
        let classes = member.classes.iter().map(|id| Uid::new("Class", id.as_str()));
        made.parents = parent.chain(classes).collect();
        describe(&mut made, problems, &subject, &member.attributes);
        entities.push(made);
    }
    for system in &registry.systems {
        let subject = Subject::System(system.id.to_string());
        let member = Uid::new("Member", system.member.as_str());
        let mut made = entity("System", system.id.as_str());
        made.attributes.insert("member".into(), Datum::Entity(member.clone()));
        made.parents.push(member);
        describe(&mut made, problems, &subject, &system.attributes);
        entities.push(made);
    }
    nodes(registry, problems, &mut entities);
    entities
}

fn nodes(registry: &Registry, problems: &mut Problems, entities: &mut Vec<Entity>) {
    for node in &registry.nodes {
        let subject = Subject::Node(node.id.to_string());
        let node_uid = Uid::new("Node", node.id.as_str());
        let mut made = Entity::new(node_uid.clone());
        let provider = Uid::new("Member", node.provider.as_str());
        made.attributes.insert("provider".into(), Datum::Entity(provider));
        describe(&mut made, problems, &subject, &node.attributes);
        entities.push(made);
        for service in &node.services {
            let service_uid = Uid::new("Service", service.name.as_str());
            let mut made = Entity::new(service_uid.clone());
            made.parents.push(node_uid.clone());
            describe(&mut made, problems, &subject, &service.attributes);
            entities.push(made);
            for method in &service.methods {
                let path = format!("/{}/{}", service.name, method.name);
                let mut made = Entity::new(Uid::new("Method", path));
                made.parents.push(service_uid.clone());
                made.attributes.insert("node".into(), Datum::Entity(node_uid.clone()));
                describe(&mut made, problems, &subject, &method.attributes);
                entities.push(made);
            }
        }
    }
}

fn entity(kind: &str, id: &str) -> Entity {
    Entity::new(Uid::new(kind, id))
}

/// Adds what operators say of the object.
fn describe(
    entity: &mut Entity,
    problems: &mut Problems,
    subject: &Subject,
    attributes: &Attributes,
) {
    for (name, value) in attributes {
        if GIVEN.contains(&&**name) {
            let found = format!("`{name}`, which the registry gives itself");
            problems.add(subject, "attributes", found, "another name");
        }
        entity.attributes.insert(name.clone(), value.clone());
    }
}
