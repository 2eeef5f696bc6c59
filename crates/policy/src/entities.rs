//! The registry as Cedar policies see it.

use cedar::{Datum, Entity, Uid};

use crate::problem::Subject;
use crate::source::{Attributes, Source};

/// Attributes that the registry itself gives an entity.
pub(crate) const GIVEN: [&str; 3] = ["member", "node", "provider"];

/// The objects of a source as entities, each with the object whose attributes it has.
///
/// A member is in the member above it and in its classes, a system in its member, a method in its
/// service, a service in its node.
pub fn entities(source: &Source) -> Vec<(Subject, Entity)> {
    let mut entities = Vec::new();
    for class in &source.classes {
        let subject = Subject::Class(class.id.to_string());
        entities.push((subject, Entity::new(Uid::new("Class", class.id.as_str()))));
    }
    for member in &source.members {
        let above = member.parent.iter().map(|id| Uid::new("Member", id.as_str()));
        let classes = member.classes.iter().map(|id| Uid::new("Class", id.as_str()));
        let made = entity(Uid::new("Member", member.id.as_str()), &member.attributes);
        let made = Entity { parents: above.chain(classes).collect(), ..made };
        entities.push((Subject::Member(member.id.to_string()), made));
    }
    for system in &source.systems {
        let member = Uid::new("Member", system.member.as_str());
        let made = entity(Uid::new("System", system.id.as_str()), &system.attributes);
        let made = within(given(made, "member", &member), member);
        entities.push((Subject::System(system.id.to_string()), made));
    }
    nodes(source, &mut entities);
    entities
}

fn nodes(source: &Source, entities: &mut Vec<(Subject, Entity)>) {
    for node in &source.nodes {
        let subject = Subject::Node(node.id.to_string());
        let uid = Uid::new("Node", node.id.as_str());
        let provider = Uid::new("Member", node.provider.as_str());
        let made = given(entity(uid.clone(), &node.attributes), "provider", &provider);
        entities.push((subject.clone(), made));
        for service in &node.services {
            let offered = Uid::new("Service", service.name.as_str());
            let made = within(entity(offered.clone(), &service.attributes), uid.clone());
            entities.push((subject.clone(), made));
            for method in &service.methods {
                let path = format!("/{}/{}", service.name, method.name);
                let made = entity(Uid::new("Method", path), &method.attributes);
                let made = within(given(made, "node", &uid), offered.clone());
                entities.push((subject.clone(), made));
            }
        }
    }
}

fn entity(uid: Uid, attributes: &Attributes) -> Entity {
    Entity { attributes: attributes.clone(), ..Entity::new(uid) }
}

fn given(mut entity: Entity, name: &str, other: &Uid) -> Entity {
    entity.attributes.insert(name.into(), Datum::Entity(other.clone()));
    entity
}

fn within(mut entity: Entity, other: Uid) -> Entity {
    entity.parents.push(other);
    entity
}
