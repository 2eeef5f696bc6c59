//! How large the lists in policies may be, and why a policy gets no program.

use cedar_policy::Policy;
use serde_json::Value as Json;

use crate::ConvertError;
use crate::program::{Node, Span};

/// How many members a constant set or record may have in a policy, and actions a scope.
const MEMBERS_MAX: usize = 65_536;
/// How many members a set or record may have that is made anew for each request, with those of
/// sets and records in it. They are in no order, so comparing two takes a step for each pair.
const MADE_MAX: usize = 256;

/// Why a policy gets no program.
#[derive(Debug)]
pub(crate) enum Obstacle {
    /// It is left to the reference.
    Left(String),
    /// It is refused: both here and in the reference it would take too long.
    TooLarge(TooLarge),
}

impl From<&str> for Obstacle {
    fn from(reason: &str) -> Self {
        Obstacle::Left(reason.to_owned())
    }
}

/// A list with too many members.
#[derive(Debug, thiserror::Error)]
#[error("found {found} {what}, expected at most {max}")]
pub(crate) struct TooLarge {
    pub(crate) found: usize,
    pub(crate) what: &'static str,
    pub(crate) max: usize,
}

pub(crate) type Result<T> = std::result::Result<T, Obstacle>;

fn within(found: usize, what: &'static str, max: usize) -> Result<()> {
    match found > max {
        true => Err(Obstacle::TooLarge(TooLarge { found, what, max })),
        false => Ok(()),
    }
}

/// Bounds the actions of a scope.
pub(crate) fn actions(count: usize) -> Result<()> {
    within(count, "actions in a scope", MEMBERS_MAX)
}

/// Bounds a set or a record of any kind.
pub(crate) fn members(count: usize) -> Result<()> {
    within(count, "members of a set or record", MEMBERS_MAX)
}

/// Bounds a set or a record that is made anew for each request.
pub(crate) fn made(members: &[Node], nodes: &[Node]) -> Result<()> {
    let what = "members of a set or record that depends on the request";
    within(members.iter().map(|node| 1 + weight(node, nodes)).sum(), what, MADE_MAX)
}

/// How many members are made with a node.
fn weight(node: &Node, nodes: &[Node]) -> usize {
    let at = |ix: u32| nodes.get(ix as usize).map_or(0, |node| weight(node, nodes));
    let all = |span: Span| span.of(nodes).iter().map(|node| 1 + weight(node, nodes)).sum();
    match *node {
        Node::Set(span) | Node::Record(span, _) => all(span),
        Node::If(_, then, other) => at(then).max(at(other)),
        _ => 0,
    }
}

/// Bounds every list of a policy that is left to the reference, which makes all of them anew for
/// each request.
pub(crate) fn left(policy: &Policy) -> std::result::Result<Option<TooLarge>, ConvertError> {
    let json = policy.to_json().map_err(|error| ConvertError(error.to_string()))?;
    let what = "members of a list in a policy that is left to the reference evaluator";
    let mut open = vec![&json];
    while let Some(value) = open.pop() {
        let found = match value {
            Json::Array(all) => {
                open.extend(all);
                all.len()
            }
            Json::Object(all) => {
                open.extend(all.values());
                all.len()
            }
            _ => continue,
        };
        if found > MADE_MAX {
            return Ok(Some(TooLarge { found, what, max: MADE_MAX }));
        }
    }
    Ok(None)
}
