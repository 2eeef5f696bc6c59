//! The compiled registry: members, systems, nodes and purposes, by index and by name.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;

use foldhash::fast::FixedState;
use model::{CertificateDigest, Effect, PurposeCode};

use crate::routes::Rules;
use crate::source::{Class, Consumer, Member, Node, System, Zone};

/// Index of an object in its table. A snapshot holds fewer than `u32::MAX` of each kind.
pub(crate) type Ix = u32;

/// A map whose keys come from the operators, so that nobody can choose them to collide.
pub(crate) type Table<K, V> = HashMap<K, V, FixedState>;

/// What changes rarely and is shared by revisions that differ in agreements alone.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    pub(crate) classes: Vec<Class>,
    pub(crate) members: Vec<MemberRow>,
    pub(crate) systems: Vec<SystemRow>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) services: Vec<ServiceRow>,
    pub(crate) methods: Vec<MethodRow>,
    pub(crate) purposes: Vec<PurposeCode>,
    pub(crate) zones: Vec<Zone>,
    pub(crate) names: Names,
    /// The consumers that stand for a system, nearest first: for each system a stretch of this.
    pub(crate) chains: Vec<ConsumerIx>,
    /// Blocks of addresses and their zones, longest prefix first.
    pub(crate) networks: Vec<(crate::source::Network, Ix)>,
}

/// Where the objects are found by name.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) classes: Table<Box<str>, Ix>,
    pub(crate) members: Table<Box<str>, Ix>,
    pub(crate) systems: Table<Box<str>, Ix>,
    pub(crate) nodes: Table<Box<str>, Ix>,
    pub(crate) services: Table<Box<str>, Ix>,
    pub(crate) paths: Table<Box<str>, Ix>,
    pub(crate) purposes: Table<Box<str>, Ix>,
    pub(crate) zones: Table<Box<str>, Ix>,
    pub(crate) certificates: Table<CertificateDigest, Ix>,
}

#[derive(Debug)]
pub(crate) struct MemberRow {
    pub(crate) member: Member,
    pub(crate) parent: Option<Ix>,
    pub(crate) classes: Box<[Ix]>,
}

#[derive(Debug)]
pub(crate) struct SystemRow {
    pub(crate) system: System,
    pub(crate) member: Ix,
    /// Start and end of its stretch of `chains`.
    pub(crate) chain: (Ix, Ix),
}

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
    pub(crate) node: Ix,
    pub(crate) effect: Effect,
    pub(crate) rules: Rules,
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
            row(&self.systems, ix).map(|row| Consumer::System(row.system.id.clone()))
        } else if ix < classes {
            row(&self.members, ix - members).map(|row| Consumer::Member(row.member.id.clone()))
        } else {
            row(&self.classes, ix - classes).map(|row| Consumer::Class(row.id.clone()))
        }
    }

    /// The consumer that operators write so.
    pub(crate) fn find_consumer(&self, consumer: &Consumer) -> Option<ConsumerIx> {
        Some(match consumer {
            Consumer::System(id) => self.consumer_of_system(*self.names.systems.get(id.as_str())?),
            Consumer::Member(id) => self.consumer_of_member(*self.names.members.get(id.as_str())?),
            Consumer::Class(id) => self.consumer_of_class(*self.names.classes.get(id.as_str())?),
        })
    }

    /// The consumers that stand for a system, nearest first.
    pub(crate) fn chain(&self, system: Ix) -> &[ConsumerIx] {
        let chain = row(&self.systems, system).and_then(|row| stretch(&self.chains, row.chain));
        chain.unwrap_or_default()
    }

    /// The member and those above it.
    pub(crate) fn ancestry(&self, member: Ix) -> impl Iterator<Item = Ix> {
        std::iter::successors(Some(member), |ix| row(&self.members, *ix)?.parent)
    }

    /// The zone that holds `address`.
    pub(crate) fn zone(&self, address: IpAddr) -> Option<Ix> {
        let address = address.to_canonical();
        let holds = |(network, _): &&(crate::source::Network, Ix)| network.holds(address);
        self.networks.iter().find(holds).map(|(_, zone)| *zone)
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
