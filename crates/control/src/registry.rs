//! Reads `registry/`: members and their classes, systems, nodes, purposes, zones.

use std::collections::HashSet;

use model::{CertificateDigest, ClassId, Effect, MemberId, NodeId, PurposeCode, SystemId, ZoneId};
use policy::source::{Attributes, Class, Member, Method, Node, Purpose, Service, System, Zone};

use crate::attributes;
use crate::draft::{Decoded, Draft};
use crate::fields::{Fields, at_most, list, located, scalar, some};
use crate::material;
use crate::problem::{Report, quoted};
use crate::scalar::{
    Mismatch, agency_code, endpoint, host_name, identifier, method_name, network, service_name,
    text, word,
};
use crate::yaml::{self, Value};

const KEYS: [&str; 6] = ["classes", "members", "systems", "nodes", "purposes", "zones"];
const CLASS_KEYS: [&str; 2] = ["id", "name"];
const ZONE_KEYS: [&str; 3] = ["id", "name", "networks"];
const MEMBER_KEYS: [&str; 5] = ["id", "name", "parent", "classes", "attributes"];
const SYSTEM_KEYS: [&str; 5] = ["id", "name", "member", "certificates", "attributes"];
const CERTIFICATE_KEYS: [&str; 2] = ["file", "sha256"];
const NODE_KEYS: [&str; 8] =
    ["id", "name", "provider", "endpoints", "server_name", "authorities", "services", "attributes"];
const SERVICE_KEYS: [&str; 3] = ["name", "methods", "attributes"];
const METHOD_KEYS: [&str; 3] = ["name", "effect", "attributes"];
const PURPOSE_KEYS: [&str; 2] = ["code", "name"];
const EFFECTS: [(&str, Effect); 2] = [("query", Effect::Query), ("update", Effect::Update)];

/// Most classes of a member.
const CLASSES_MAX: usize = 64;
/// Most blocks of addresses of a zone.
const NETWORKS_MAX: usize = 1024;
/// Most certificates of a system.
const CERTIFICATES_MAX: usize = 256;
/// Most endpoints of a node.
const ENDPOINTS_MAX: usize = 256;
/// Most services of a node.
const SERVICES_MAX: usize = 1024;
/// Most methods of a service.
const METHODS_MAX: usize = 4096;

/// Reads the root of a file of the registry.
pub(crate) fn registry(root: &yaml::Node<'_>, draft: &mut Draft, report: &mut Report) {
    let Some(fields) = Fields::of(root, &KEYS, report) else {
        return draft.registry_is_partial();
    };
    // A list may stand under a misspelt or repeated key.
    if !report.file_is_clean() {
        draft.registry_is_partial();
    }
    if let Some(classes) = fields.get("classes") {
        draft.classes.extend(classes, report, class);
    }
    if let Some(zones) = fields.get("zones") {
        draft.zones.extend(zones, report, zone);
    }
    if let Some(members) = fields.get("members") {
        draft.members.extend(members, report, member);
    }
    if let Some(systems) = fields.get("systems") {
        draft.systems.extend(systems, report, system);
    }
    if let Some(nodes) = fields.get("nodes") {
        draft.nodes.extend(nodes, report, node);
    }
    if let Some(purposes) = fields.get("purposes") {
        draft.purposes.extend(purposes, report, purpose);
    }
}

fn class(item: &yaml::Node<'_>, report: &mut Report) -> Decoded<ClassId, Class> {
    let Some(fields) = Fields::of(item, &CLASS_KEYS, report) else { return Decoded::NOTHING };
    let id = fields.required("id", located(scalar(identifier)), report);
    let name = fields.required("name", scalar(text), report).unwrap_or_default();
    let object = id.as_ref().map(|(_, id): &(_, ClassId)| Class { id: id.clone(), name });
    Decoded { id, object }
}

fn zone(item: &yaml::Node<'_>, report: &mut Report) -> Decoded<ZoneId, Zone> {
    let Some(fields) = Fields::of(item, &ZONE_KEYS, report) else { return Decoded::NOTHING };
    let id = fields.required("id", located(scalar(identifier)), report);
    let name = fields.required("name", scalar(text), report).unwrap_or_default();
    let networks = at_most(NETWORKS_MAX, some(scalar(network)));
    let networks = fields.required("networks", networks, report);
    let object = || {
        let id = id.as_ref().map(|(_, id): &(_, ZoneId)| id.clone())?;
        Some(Zone { id, name, networks: networks? })
    };
    let object = object();
    Decoded { id, object }
}

/// What policies may ask of the object. What could not be read was reported.
fn attributes_of(fields: &Fields<'_, '_>, report: &mut Report) -> Attributes {
    fields.optional("attributes", attributes::attributes, report).unwrap_or_default()
}

fn member(item: &yaml::Node<'_>, report: &mut Report) -> Decoded<MemberId, Member> {
    let Some(fields) = Fields::of(item, &MEMBER_KEYS, report) else { return Decoded::NOTHING };
    let id = fields.required("id", located(scalar(agency_code)), report);
    let name = fields.required("name", scalar(text), report).unwrap_or_default();
    let parent = fields.optional("parent", scalar(identifier), report);
    let classes = at_most(CLASSES_MAX, list(scalar(identifier)));
    let classes = fields.optional("classes", classes, report).unwrap_or_default();
    let attributes = attributes_of(&fields, report);
    let object = id.as_ref().map(|(_, id): &(_, MemberId)| Member {
        id: id.clone(),
        name,
        parent,
        classes,
        attributes,
    });
    Decoded { id, object }
}

fn purpose(item: &yaml::Node<'_>, report: &mut Report) -> Decoded<PurposeCode, Purpose> {
    let Some(fields) = Fields::of(item, &PURPOSE_KEYS, report) else { return Decoded::NOTHING };
    let code = fields.required("code", located(scalar(identifier)), report);
    let name = fields.required("name", scalar(text), report).unwrap_or_default();
    let object =
        code.as_ref().map(|(_, code): &(_, PurposeCode)| Purpose { code: code.clone(), name });
    Decoded { id: code, object }
}

fn system(item: &yaml::Node<'_>, report: &mut Report) -> Decoded<SystemId, System> {
    let Some(fields) = Fields::of(item, &SYSTEM_KEYS, report) else { return Decoded::NOTHING };
    let id = fields.required("id", located(scalar(identifier)), report);
    let name = fields.required("name", scalar(text), report);
    let member = fields.required("member", scalar(identifier), report);
    let certificates = at_most(CERTIFICATES_MAX, list(certificate));
    let certificates = fields.required("certificates", certificates, report);
    let attributes = attributes_of(&fields, report);
    let object = || {
        Some(System {
            id: id.as_ref().map(|(_, id): &(_, SystemId)| id.clone())?,
            name: name.unwrap_or_default(),
            member: member?,
            certificates: certificates.unwrap_or_default(),
            attributes,
        })
    };
    let object = object();
    Decoded { id, object }
}

/// A certificate, by its file or by its digest.
pub(crate) fn certificate(node: &yaml::Node<'_>, report: &mut Report) -> Option<CertificateDigest> {
    let fields = Fields::of(node, &CERTIFICATE_KEYS, report)?;
    match (fields.get("file"), fields.get("sha256")) {
        (Some(file), None) => material::digest(file, report),
        (None, Some(digest)) => scalar(sha256)(digest, report),
        (Some(_), Some(_)) => {
            report.add(fields.at(), "both `file` and `sha256`", "one of them", None);
            None
        }
        (None, None) => {
            report.add(fields.at(), "neither `file` nor `sha256`", "one of them", None);
            None
        }
    }
}

fn sha256(text: &str) -> Result<CertificateDigest, Mismatch> {
    let hint = text.contains(':').then(|| "leave the colons out".to_owned());
    let expected = "64 hexadecimal digits, the SHA-256 of the certificate in DER".to_owned();
    text.parse().map_err(|_| Mismatch { expected, hint })
}

fn node(item: &yaml::Node<'_>, report: &mut Report) -> Decoded<NodeId, Node> {
    let Some(fields) = Fields::of(item, &NODE_KEYS, report) else { return Decoded::NOTHING };
    let id = fields.required("id", located(scalar(identifier)), report);
    let name = fields.required("name", scalar(text), report);
    let provider = fields.required("provider", scalar(identifier), report);
    let endpoints = at_most(ENDPOINTS_MAX, some(scalar(endpoint)));
    let endpoints = fields.required("endpoints", endpoints, report);
    let server_name = fields.optional("server_name", scalar(host_name), report);
    let authorities = fields.optional("authorities", material::authorities, report);
    let services = fields.required("services", at_most(SERVICES_MAX, list(service)), report);
    let attributes = attributes_of(&fields, report);
    let object = || {
        Some(Node {
            id: id.as_ref().map(|(_, id): &(_, NodeId)| id.clone())?,
            name: name.unwrap_or_default(),
            provider: provider?,
            services: services?,
            endpoints: endpoints?,
            authorities: authorities.unwrap_or_default().into(),
            server_name,
            attributes,
        })
    };
    let object = object();
    Decoded { id, object }
}

fn service(node: &yaml::Node<'_>, report: &mut Report) -> Option<Service> {
    let fields = Fields::of(node, &SERVICE_KEYS, report)?;
    let name = fields.required("name", scalar(service_name), report);
    let methods = at_most(METHODS_MAX, some(located(method)));
    let methods = fields.required("methods", methods, report);
    let attributes = attributes_of(&fields, report);
    let methods = methods?;
    let mut names = HashSet::new();
    for (at, method) in &methods {
        if !names.insert(&method.name) {
            let found = format!("method {} a second time", quoted(&method.name));
            report.add(*at, found, "each method once", None);
            return None;
        }
    }
    let methods = methods.into_iter().map(|(_, method)| method).collect();
    Some(Service { name: name?, methods, attributes })
}

/// A method as a mapping, or just its name. One without an effect counts as an update, which
/// needs the stricter treatment.
fn method(node: &yaml::Node<'_>, report: &mut Report) -> Option<Method> {
    if let Value::Scalar(_) = &node.value {
        let name = scalar(method_name)(node, report)?;
        return Some(Method { name, effect: Effect::Update, attributes: Attributes::new() });
    }
    let fields = Fields::of(node, &METHOD_KEYS, report)?;
    let name = fields.required("name", scalar(method_name), report);
    let effect = fields.optional("effect", scalar(word(&EFFECTS)), report);
    let attributes = attributes_of(&fields, report);
    Some(Method { name: name?, effect: effect.unwrap_or(Effect::Update), attributes })
}
