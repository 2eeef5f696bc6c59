//! Reads `tokens`: the issuers whose tokens tell who sits in front of a system.

use std::collections::HashSet;

use crate::fields::{Fields, at_most, list, located, scalar};
use crate::material::json_web_keys;
use crate::problem::{Report, quoted};
use crate::scalar::{claim, text};
use crate::settings::{Claims, TokenIssuer};
use crate::yaml::Node;

const ISSUER_KEYS: [&str; 4] = ["issuer", "audience", "keys", "claims"];
const CLAIM_KEYS: [&str; 3] = ["level", "unit", "roles"];
/// Most issuers.
const ISSUERS_MAX: usize = 16;

/// Reads the list of issuers, each of which stands there once.
pub(crate) fn issuers(node: &Node<'_>, report: &mut Report) -> Option<Vec<TokenIssuer>> {
    let issuers = at_most(ISSUERS_MAX, list(located(issuer)))(node, report)?;
    let mut known = HashSet::new();
    for (at, issuer) in &issuers {
        if !known.insert(issuer.issuer.as_str()) {
            let found = format!("issuer {} a second time", quoted(&issuer.issuer));
            report.add(*at, found, "each issuer once", None);
            return None;
        }
    }
    Some(issuers.into_iter().map(|(_, issuer)| issuer).collect())
}

fn issuer(node: &Node<'_>, report: &mut Report) -> Option<TokenIssuer> {
    let fields = Fields::of(node, &ISSUER_KEYS, report)?;
    let issuer = fields.required("issuer", scalar(text), report);
    let audience = fields.required("audience", scalar(text), report);
    let keys = fields.required("keys", json_web_keys, report);
    let claims = match fields.get("claims") {
        Some(node) => claims(node, report),
        None => Some(Claims::default()),
    };
    Some(TokenIssuer { issuer: issuer?, audience: audience?, keys: keys?, claims: claims? })
}

fn claims(node: &Node<'_>, report: &mut Report) -> Option<Claims> {
    let fields = Fields::of(node, &CLAIM_KEYS, report)?;
    let default = Claims::default();
    let mut name = |key: &str, default: String| match fields.get(key) {
        Some(node) => scalar(claim)(node, report),
        None => Some(default),
    };
    let (level, unit) = (name("level", default.level), name("unit", default.unit));
    let roles = name("roles", default.roles);
    Some(Claims { level: level?, unit: unit?, roles: roles? })
}
