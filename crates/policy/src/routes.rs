//! Where a call goes and within which bounds, beside what the registry says.

use std::net::IpAddr;
use std::time::Duration;

use model::{ExchangeId, NodeId};

use crate::registry::{Ix, Registry, row};
use crate::snapshot::{Caller, Route, Snapshot};
use crate::source::{Node, Share};

/// What holds for the calls of a method.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// The longest a call may take, where it is not the gateway's default.
    pub deadline_max: Option<Duration>,
    /// Whether the caller's `authorization` goes on to the node.
    pub pass_authorization: bool,
    /// How often a query that failed before any answer may be sent again.
    pub retries_max: u8,
    /// Most bytes of a request, all its messages together, each with its five bytes of prefix.
    pub request_bytes_max: Option<u64>,
    /// Most bytes of an answer, all its messages together, each with its five bytes of prefix.
    pub answer_bytes_max: Option<u64>,
}

/// The rules of one method, compiled.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    pub(crate) limits: Limits,
    pub(crate) splits: Box<[SplitRow]>,
    pub(crate) shadow: Option<(Ix, Share)>,
}

#[derive(Clone, Debug)]
pub(crate) struct SplitRow {
    pub(crate) node: Ix,
    pub(crate) member: Option<Ix>,
    pub(crate) zone: Option<Ix>,
    pub(crate) header: Option<(Box<str>, Box<str>)>,
    pub(crate) share: Option<Share>,
}

/// What the choice of a node may depend on, beside caller and method.
#[derive(Clone, Copy)]
pub struct Selection<'a> {
    /// Where the call comes from.
    pub source: IpAddr,
    /// The value of a metadata key.
    pub header: &'a dyn Fn(&str) -> Option<&'a str>,
    /// A number from 0 to 9,999 that decides shares; see [`draw`].
    pub draw: u16,
}

/// The node that gets a call, and the one that gets a copy.
#[derive(Clone, Copy, Debug)]
pub struct Destination<'a> {
    /// The node.
    pub node: &'a Node,
    /// The node that gets a copy, whose answer is compared and dropped.
    pub shadow: Option<&'a Node>,
}

/// The number that decides about shares for a call: from its id alone, so that the choice can be
/// told afterwards.
pub fn draw(exchange: &ExchangeId) -> u16 {
    let [.., a, b, c, d] = *exchange.as_bytes();
    let draw = u64::from(u32::from_be_bytes([a, b, c, d])) * u64::from(Share::ALL.hundredths());
    u16::try_from(draw >> 32).unwrap_or_default()
}

impl Snapshot {
    /// Which node gets a call: the first split that fits, or the authoritative node.
    pub fn destination<'a>(
        &'a self,
        caller: &Caller<'_>,
        route: &Route<'a>,
        selection: &Selection<'_>,
    ) -> Destination<'a> {
        let rules = route.rules;
        let registry = &*self.registry;
        let split = match rules.splits.is_empty() {
            true => None,
            false => split(registry, &rules.splits, caller, selection),
        };
        let node = split.and_then(|ix| row(&registry.nodes, ix)).unwrap_or(route.node);
        // From the other end than splits, so that a node which gets some of the calls may get
        // copies of others.
        let draw = Share::ALL.hundredths().saturating_sub(selection.draw + 1);
        let copied = rules.shadow.filter(|(_, share)| draw < share.hundredths());
        let shadow = copied.and_then(|(ix, _)| row(&registry.nodes, ix));
        Destination { node, shadow: shadow.filter(|shadow| !same(&shadow.id, &node.id)) }
    }
}

fn same(a: &NodeId, b: &NodeId) -> bool {
    a == b
}

/// The node of the first split that fits. Shares of splits with the same conditions add up: a
/// call whose draw is beyond one share is measured against the next with what is left of it.
fn split(
    registry: &Registry,
    splits: &[SplitRow],
    caller: &Caller<'_>,
    selection: &Selection<'_>,
) -> Option<Ix> {
    let mut draw = selection.draw;
    for split in splits {
        if !fits(registry, split, caller, selection) {
            continue;
        }
        match split.share {
            None => return Some(split.node),
            Some(share) if draw < share.hundredths() => return Some(split.node),
            Some(share) => draw -= share.hundredths(),
        }
    }
    None
}

fn fits(
    registry: &Registry,
    split: &SplitRow,
    caller: &Caller<'_>,
    selection: &Selection<'_>,
) -> bool {
    let of_member = |member: Ix| registry.ancestry(caller.member_ix).any(|above| above == member);
    let with_header = |(name, value): &(Box<str>, Box<str>)| {
        (selection.header)(name).is_some_and(|found| *found == **value)
    };
    split.member.is_none_or(of_member)
        && split.zone.is_none_or(|zone| registry.zone_of.of(selection.source) == Some(zone))
        && split.header.as_ref().is_none_or(with_header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Timestamp;

    #[test]
    fn draws_cover_their_range() {
        let at = |random: u8| draw(&ExchangeId::new(Timestamp::from_secs(1), [random; 10]));
        assert_eq!(at(0), 0);
        assert_eq!(at(0xff), 9_999);
        assert_eq!(at(0x80), 5_019);
    }
}
