//! Compiles the Cedar policies, with the registry as their entities.

use cedar::text::Files;
use cedar::{Effect, Engine, Entity, EntityRef, Uid};

use crate::compile::Problems;
use crate::guards::{Guards, Keys};
use crate::problem::Subject;
use crate::registry::Registry;

/// Compiles the policies; `None` after reporting why not.
pub(super) fn compile(
    registry: &Registry,
    problems: &mut Problems,
    files: &Files,
    entities: Vec<Entity>,
    utc_offset_minutes: i32,
) -> Option<Guards> {
    match Engine::compile(&files.policies, entities, Keys::NAMES) {
        Ok(engine) => guards(registry, engine.with_places(&files.places), utc_offset_minutes),
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
    let left = guards.engine.uncompiled().filter_map(|(ix, why)| {
        let id = &guards.engine.policy(ix)?.id;
        Some(format!("policy `{id}` is left to the reference evaluator, which is slow: {why}"))
    });
    let permits = guards.engine.policies().filter(|(_, policy)| policy.effect == Effect::Permit);
    let permits = permits.map(|(_, policy)| {
        format!("policy `{}` permits, which allows no call: agreements do", policy.id)
    });
    left.chain(permits).collect()
}

/// The actions without groups, as the schema that holds by default has them.
pub(super) fn actions() -> Vec<Entity> {
    ["query", "update"].map(|action| Entity::new(Uid::new("Action", action))).into()
}
