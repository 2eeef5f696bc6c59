//! The compiled registry: members, systems, nodes and purposes, by index and by name.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;
use mask::Watch;
use model::{CertificateDigest, Effect, PurposeCode};

use crate::names::Names;
use crate::routes::Rules;
use crate::source::{Class, Consumer, Member, Node, System, Zone};
use crate::zones::Zones;

/// Index of an object in its table. A snapshot holds fewer than `u32::MAX` of each kind.
pub(crate) type Ix = u32;

/// A map whose keys come from operators, so that nobody else can choose them to collide.
pub(crate) type Table<K, V> = HashMap<K, V, FixedState>;

/// What changes rarely and is shared by revisions that differ in agreements alone.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    pub(crate) classes: Vec<Class>,
    pub(crate) members: Vec<MemberRow>,
    pub(crate) systems: Vec<System>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) services: Vec<ServiceRow>,
    pub(crate) methods: Vec<MethodRow>,
    pub(crate) purposes: Vec<PurposeCode>,
    pub(crate) zones: Vec<Zone>,
    pub(crate) names: Index,
    /// What a call asks of its system, beside the systems and close together.
    pub(crate) standings: Vec<Standing>,
    /// Ancestors that have no room in a standing.
    pub(crate) ancestors: Vec<ConsumerIx>,
    /// Which zone holds an address.
    pub(crate) zone_of: Zones,
}

/// Where the objects are found by name.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) classes: Names,
    pub(crate) members: Names,
    pub(crate) systems: Names,
    pub(crate) nodes: Names,
    pub(crate) services: Names,
    pub(crate) paths: Names,
    pub(crate) purposes: Names,
    pub(crate) zones: Names,
    pub(crate) certificates: Table<CertificateDigest, Ix>,
}

#[derive(Debug)]
pub(crate) struct MemberRow {
    pub(crate) member: Member,
    pub(crate) parent: Option<Ix>,
    pub(crate) classes: Box<[Ix]>,
}

/// Where a system stands: its member, and the consumers above the member. Half a cache line.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
pub(crate) struct Standing {
    pub(crate) member: Ix,
    /// How many consumers stand above the member.
    above: u32,
    /// They, nearest first; or where their stretch of `ancestors` starts, if they are more.
    nearest: [ConsumerIx; NEAREST],
}

/// Consumers that a standing has room for.
const NEAREST: usize = 6;

#[derive(Debug)]
pub(crate) struct ServiceRow {
    pub(crate) name: Box<str>,
    pub(crate) node: Ix,
    /// Its methods stand together in the table: start and end.
    pub(crate) methods: (Ix, Ix),
}

#[derive(Debug)]
pub(crate) struct MethodRow {
    pub(crate) path: Box<str>,
    pub(crate) service: Ix,
    /// Where it stands in its service.
    pub(crate) place: Ix,
    pub(crate) node: Ix,
    pub(crate) effect: Effect,
    pub(crate) rules: Rules,
    /// What the contract says; `None` where it does not know the method.
    pub(crate) contracted: Option<Box<Contracted>>,
}

/// What the contract says of a method.
#[derive(Debug)]
pub(crate) struct Contracted {
    pub(crate) request: Side,
    pub(crate) answer: Side,
}

/// What the contract says of the requests or answers of a method.
#[derive(Clone, Debug)]
pub(crate) struct Side {
    /// The full name of their type.
    pub(crate) message: Arc<str>,
    /// Whether anything in them is secret.
    pub(crate) has_secret: bool,
    /// Reads whom they are about, if they say it.
    pub(crate) watch: Option<Arc<Watch>>,
}

/// A consumer as one number: systems come first, then members, then classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ConsumerIx(pub(crate) Ix);

impl Registry {
    pub(crate) fn consumer_of_system(&self, system: Ix) -> ConsumerIx {
        ConsumerIx(system)
    }

    pub(crate) fn consumer_of_member(&self, member: Ix) -> ConsumerIx {
        ConsumerIx(count(&self.systems) + member)
    }

    pub(crate) fn consumer_of_class(&self, class: Ix) -> ConsumerIx {
        ConsumerIx(count(&self.systems) + count(&self.members) + class)
    }

    /// How many consumers there are.
    pub(crate) fn consumers(&self) -> usize {
        self.systems.len() + self.members.len() + self.classes.len()
    }

    /// The consumer as operators write it.
    pub(crate) fn consumer(&self, ConsumerIx(ix): ConsumerIx) -> Option<Consumer> {
        let members = count(&self.systems);
        let classes = members + count(&self.members);
        if ix < members {
            row(&self.systems, ix).map(|system| Consumer::System(system.id.clone()))
        } else if ix < classes {
            row(&self.members, ix - members).map(|row| Consumer::Member(row.member.id.clone()))
        } else {
            row(&self.classes, ix - classes).map(|row| Consumer::Class(row.id.clone()))
        }
    }

    /// The consumer that operators write so.
    pub(crate) fn find_consumer(&self, consumer: &Consumer) -> Option<ConsumerIx> {
        Some(match consumer {
            Consumer::System(id) => self.consumer_of_system(self.names.systems.get(id.as_str())?),
            Consumer::Member(id) => self.consumer_of_member(self.names.members.get(id.as_str())?),
            Consumer::Class(id) => self.consumer_of_class(self.names.classes.get(id.as_str())?),
        })
    }

    /// The consumers that stand for a system, nearest first.
    pub(crate) fn chain(&self, system: Ix) -> impl Iterator<Item = ConsumerIx> {
        let standing = row(&self.standings, system);
        let above = standing.and_then(|standing| self.above(standing)).unwrap_or_default();
        let member = standing.map(|standing| self.consumer_of_member(standing.member));
        let own = [Some(self.consumer_of_system(system)), member];
        own.into_iter().flatten().chain(above.iter().copied())
    }

    fn above<'a>(&'a self, standing: &'a Standing) -> Option<&'a [ConsumerIx]> {
        let length = usize::try_from(standing.above).ok()?;
        match (standing.nearest.get(..length), standing.nearest) {
            (Some(nearest), _) => Some(nearest),
            (None, [ConsumerIx(start), ..]) => {
                stretch(&self.ancestors, (start, start.checked_add(standing.above)?))
            }
        }
    }

    /// Adds the standing of the next system, which belongs to `member`.
    pub(crate) fn stand(&mut self, member: Ix) {
        let mut above = Vec::new();
        for ix in self.ancestry(member) {
            let Some(row) = row(&self.members, ix) else { break };
            above.extend((ix != member).then(|| self.consumer_of_member(ix)));
            above.extend(row.classes.iter().map(|class| self.consumer_of_class(*class)));
        }
        let mut nearest = [ConsumerIx(count(&self.ancestors)); NEAREST];
        match nearest.get_mut(..above.len()) {
            Some(room) => room.copy_from_slice(&above),
            None => self.ancestors.extend(&above),
        }
        self.standings.push(Standing { member, above: count(&above), nearest });
    }

    /// The member and those above it.
    pub(crate) fn ancestry(&self, member: Ix) -> impl Iterator<Item = Ix> {
        std::iter::successors(Some(member), |ix| row(&self.members, *ix)?.parent)
    }

    /// The stretch of methods of a service.
    pub(crate) fn methods_of(&self, service: Ix) -> &[MethodRow] {
        let methods = row(&self.services, service).map(|row| row.methods);
        methods.and_then(|methods| stretch(&self.methods, methods)).unwrap_or_default()
    }
}

/// How many rows a table has.
pub(crate) fn count<T>(table: &[T]) -> Ix {
    Ix::try_from(table.len()).unwrap_or(Ix::MAX)
}

/// The row at `ix`.
pub(crate) fn row<T>(table: &[T], ix: Ix) -> Option<&T> {
    usize::try_from(ix).ok().and_then(|at| table.get(at))
}

/// The rows from `start` to just before `end`.
fn stretch<T>(table: &[T], (start, end): (Ix, Ix)) -> Option<&[T]> {
    table.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
}
