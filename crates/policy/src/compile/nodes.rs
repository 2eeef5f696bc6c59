//! Compiles nodes, their services and methods.

use mask::Contract;

use crate::compile::contracts::Sides;
use crate::compile::{Problems, attributes, enroll, resolve};
use crate::problem::Subject;
use crate::registry::{Ix, MethodRow, Registry, ServiceRow, count};
use crate::routes::Rules;
use crate::source::{Node, Service};

pub(super) fn compile(
    registry: &mut Registry,
    problems: &mut Problems,
    nodes: Vec<Node>,
    contract: Option<&Contract>,
) {
    let mut sides = Sides::new(contract);
    for (node, ix) in nodes.into_iter().zip(0..) {
        let subject = Subject::Node(node.id.to_string());
        enroll(problems, &mut registry.names.nodes, &subject, node.id.as_str());
        let (members, provider) = (&registry.names.members, node.provider.as_str());
        resolve(problems, members, &subject, "provider", provider, "member");
        let offered = node.services.iter().flat_map(|service| {
            let methods = service.methods.iter().map(|method| &method.attributes);
            std::iter::once(&service.attributes).chain(methods)
        });
        for stated in std::iter::once(&node.attributes).chain(offered) {
            attributes(problems, &subject, stated);
        }
        if node.endpoints.is_empty() {
            problems.add(&subject, "endpoints", "none", "at least one `host:port`");
        }
        for (service, n) in node.services.iter().zip(0..) {
            let field = format!("services[{n}]");
            compile_service(registry, problems, &mut sides, (&subject, &field), service, ix);
        }
        registry.nodes.push(node);
    }
}

fn compile_service(
    registry: &mut Registry,
    problems: &mut Problems,
    sides: &mut Sides<'_>,
    (subject, field): (&Subject, &str),
    service: &Service,
    node: Ix,
) {
    if registry.names.services.get(&service.name).is_some() {
        let found = format!("`{}`, which another node offers already", service.name);
        problems.add(subject, field, found, "a service with one authoritative node");
        return;
    }
    let service_ix = count(&registry.services);
    registry.names.services.push(&service.name);
    let first = count(&registry.methods);
    let is_known = sides.knows(&service.name);
    for (method, place) in service.methods.iter().zip(0..) {
        let path: Box<str> = format!("/{}/{}", service.name, method.name).into();
        if !registry.names.paths.push(&path) {
            let found = format!("method `{}` a second time", method.name);
            problems.add(subject, field, found, "each method once");
        }
        let at = format!("{field}.methods[{place}]");
        let contracted = match is_known {
            true => sides.method(problems, subject, &at, &path),
            false => None,
        };
        registry.methods.push(MethodRow {
            path,
            service: service_ix,
            place,
            node,
            effect: method.effect,
            rules: Rules::default(),
            contracted,
        });
    }
    let methods = (first, count(&registry.methods));
    registry.services.push(ServiceRow { name: service.name.as_str().into(), node, methods });
}
