//! The compiled, immutable form of a revision: what the data plane asks, once per call.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use model::{
    Certificate, CertificateDigest, Effect, IssuerSerial, MethodPath, PurposeCode, Reason, Refusal,
    RevisionId, Timestamp,
};

use crate::source::{Agreement, Member, Node, System};

/// Index of an object in its table. A snapshot holds at most `u32::MAX` of each kind.
pub(crate) type Ix = u32;

/// One revision, compiled. Immutable; shared by all calls that began under it.
#[derive(Debug, Default)]
pub struct Snapshot {
    pub(crate) revision: RevisionId,
    pub(crate) members: Vec<MemberRow>,
    pub(crate) systems: Vec<SystemRow>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) agreements: Vec<AgreementRow>,
    pub(crate) methods: Vec<MethodRow>,
    pub(crate) purposes: HashSet<PurposeCode>,
    pub(crate) certificates: HashMap<CertificateDigest, Ix>,
    pub(crate) revoked: HashSet<IssuerSerial>,
    pub(crate) paths: HashMap<Box<str>, Ix>,
    /// Agreements by consumer and service, each list in order of id.
    pub(crate) governing: HashMap<(ConsumerKey, Ix), Box<[Ix]>>,
}

#[derive(Debug)]
pub(crate) struct MemberRow {
    pub(crate) member: Member,
    pub(crate) parent: Option<Ix>,
}

#[derive(Debug)]
pub(crate) struct SystemRow {
    pub(crate) system: System,
    pub(crate) member: Ix,
}

#[derive(Debug)]
pub(crate) struct MethodRow {
    pub(crate) path: Box<str>,
    pub(crate) service: Ix,
    pub(crate) node: Ix,
    pub(crate) effect: Effect,
    pub(crate) deadline_max: Option<Duration>,
    pub(crate) pass_authorization: bool,
}

#[derive(Debug)]
pub(crate) struct AgreementRow {
    pub(crate) agreement: Agreement,
    /// Indexes into the methods table, sorted; `None` for all of the service.
    pub(crate) methods: Option<Box<[Ix]>>,
}

/// Who an agreement names, as an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ConsumerKey {
    Member(Ix),
    System(Ix),
}

/// A caller that the registry knows. Made only by [`Snapshot::identify`].
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// The system that holds the certificate.
    pub system: &'a System,
    /// The member that answers for the system.
    pub member: &'a Member,
    pub(crate) system_ix: Ix,
    pub(crate) member_ix: Ix,
}

/// Where a method leads. Made only by [`Snapshot::route`].
#[derive(Clone, Copy, Debug)]
pub struct Route<'a> {
    /// The authoritative node.
    pub node: &'a Node,
    /// The method path, as registered.
    pub path: &'a str,
    /// What the method does.
    pub effect: Effect,
    /// The longest a call may take, where it is not the gateway's default.
    pub deadline_max: Option<Duration>,
    /// Whether the caller's `authorization` goes on to the node.
    pub pass_authorization: bool,
    pub(crate) service_ix: Ix,
    pub(crate) method_ix: Ix,
}

/// A call that is allowed, under exactly one agreement. Made only by [`Snapshot::decide`].
#[derive(Clone, Copy, Debug)]
pub struct Decision<'a> {
    /// The governing agreement.
    pub agreement: &'a Agreement,
    /// The purpose, stated or implied by the agreement.
    pub purpose: &'a PurposeCode,
    /// The revision that decided.
    pub revision: RevisionId,
}

impl Snapshot {
    /// The revision this was compiled from.
    pub fn revision(&self) -> RevisionId {
        self.revision
    }

    /// The nodes, in the order of the source.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Whether some node offers `service`.
    pub fn offers(&self, service: &str) -> bool {
        self.nodes.iter().flat_map(|node| &node.services).any(|offered| offered.name == service)
    }

    /// How many agreements there are.
    pub fn agreement_count(&self) -> usize {
        self.agreements.len()
    }

    /// Who holds `certificate` at the time `now`.
    ///
    /// # Errors
    ///
    /// Refuses a certificate that is outside its validity, revoked, or not registered.
    pub fn identify(
        &self,
        certificate: &Certificate,
        now: Timestamp,
    ) -> Result<Caller<'_>, Refusal> {
        if now < certificate.not_before || now >= certificate.not_after {
            return Err(Refusal::new(Reason::CertificateExpired)
                .with("not_before", certificate.not_before)
                .with("not_after", certificate.not_after));
        }
        if self.is_revoked(certificate) {
            return Err(Refusal::new(Reason::CertificateRevoked));
        }
        self.registered(certificate).ok_or_else(|| {
            Refusal::new(Reason::CertificateUnregistered).with("sha256", certificate.digest)
        })
    }

    /// Whether `certificate` is on a revocation list.
    pub fn is_revoked(&self, certificate: &Certificate) -> bool {
        self.revoked.contains(&certificate.serial)
    }

    fn registered(&self, certificate: &Certificate) -> Option<Caller<'_>> {
        let system_ix = *self.certificates.get(&certificate.digest)?;
        let system = row(&self.systems, system_ix)?;
        let member = row(&self.members, system.member)?;
        Some(Caller {
            system: &system.system,
            member: &member.member,
            system_ix,
            member_ix: system.member,
        })
    }

    /// Where `path` leads.
    ///
    /// # Errors
    ///
    /// Refuses a method that no node registers.
    pub fn route(&self, path: MethodPath<'_>) -> Result<Route<'_>, Refusal> {
        self.registered_method(path.as_str())
            .ok_or_else(|| Refusal::new(Reason::MethodUnknown).with("method", path))
    }

    fn registered_method(&self, path: &str) -> Option<Route<'_>> {
        let method_ix = *self.paths.get(path)?;
        let method = row(&self.methods, method_ix)?;
        Some(Route {
            node: row(&self.nodes, method.node)?,
            path: &method.path,
            effect: method.effect,
            deadline_max: method.deadline_max,
            pass_authorization: method.pass_authorization,
            service_ix: method.service,
            method_ix,
        })
    }
}

/// The row at `ix`.
pub(crate) fn row<T>(table: &[T], ix: Ix) -> Option<&T> {
    usize::try_from(ix).ok().and_then(|at| table.get(at))
}
