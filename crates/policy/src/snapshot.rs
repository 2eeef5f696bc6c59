//! The compiled, immutable form of a revision: what the data plane asks, once per call.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::FixedState;
use mask::{Contract, Watch};
use model::{
    Certificate, Effect, IssuerSerial, MethodPath, PurposeCode, Reason, Refusal, RevisionId,
    Timestamp,
};

use crate::agreement::{Agreement, Coverage};
use crate::agreements::Agreements;
use crate::guards::Guards;
use crate::registry::{Contracted, Ix, Registry, row};
use crate::routes::{Limits, Rules};
use crate::source::{Member, Node, System, Zone};

/// What agreements cover, each once.
pub(crate) type Coverages = HashSet<Arc<Coverage>, FixedState>;

/// One revision, compiled. Immutable; shared by all calls that began under it.
#[derive(Debug, Default)]
pub struct Snapshot {
    pub(crate) revision: RevisionId,
    pub(crate) registry: Arc<Registry>,
    pub(crate) agreements: Agreements,
    pub(crate) guards: Option<Arc<Guards>>,
    pub(crate) revoked: Arc<HashSet<IssuerSerial, FixedState>>,
    pub(crate) notes: Arc<[String]>,
    pub(crate) contract: Option<Arc<Contract>>,
    /// What agreements cover, for those of later revisions that cover the same.
    pub(crate) coverages: Arc<Coverages>,
}

/// A caller that the registry knows. Made only by [`Snapshot::identify`] and
/// [`Snapshot::system`].
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
    /// What holds for its calls.
    pub limits: &'a Limits,
    pub(crate) rules: &'a Rules,
    pub(crate) contracted: Option<&'a Contracted>,
    pub(crate) service_ix: Ix,
    pub(crate) method_ix: Ix,
    /// Where the method stands in its service.
    pub(crate) place: Ix,
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
        &self.registry.nodes
    }

    /// Whether some node offers `service`.
    pub fn offers(&self, service: &str) -> bool {
        self.registry.names.services.get(service).is_some()
    }

    /// How many agreements there are.
    pub fn agreement_count(&self) -> usize {
        self.agreements.count()
    }

    /// How many Cedar policies there are.
    pub fn policy_count(&self) -> usize {
        self.guards.as_ref().map_or(0, |guards| guards.engine.policies().count())
    }

    /// The Cedar policy that a [`crate::Workspace`] names.
    pub fn policy(&self, ix: cedar::PolicyIx) -> Option<&cedar::PolicyInfo> {
        self.guards.as_ref().and_then(|guards| guards.engine.policy(ix))
    }

    /// What operators should know although nothing is wrong.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// What the services' messages hold; `None` where nobody has said.
    pub fn contract(&self) -> Option<&Arc<Contract>> {
        self.contract.as_ref()
    }

    /// Bytes on the heap that agreements and policies take, about. Revisions share most of them.
    /// Masks are not counted.
    pub fn memory_bytes(&self) -> usize {
        let guards = self.guards.as_ref().map_or(0, |guards| guards.engine.memory_bytes());
        self.agreements.memory_bytes() + guards
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
        let registered = self.registry.names.certificates.get(&certificate.digest);
        registered.and_then(|system| self.caller(*system)).ok_or_else(|| {
            Refusal::new(Reason::CertificateUnregistered).with("sha256", certificate.digest)
        })
    }

    /// Whether `certificate` is on a revocation list.
    pub fn is_revoked(&self, certificate: &Certificate) -> bool {
        !self.revoked.is_empty() && self.revoked.contains(&certificate.serial)
    }

    /// The system with this id as a caller, for asking what would be decided.
    pub fn system(&self, id: &str) -> Option<Caller<'_>> {
        self.caller(self.registry.names.systems.get(id)?)
    }

    fn caller(&self, system_ix: Ix) -> Option<Caller<'_>> {
        let system = row(&self.registry.systems, system_ix)?;
        let member_ix = row(&self.registry.standings, system_ix)?.member;
        let member = &row(&self.registry.members, member_ix)?.member;
        Some(Caller { system, member, system_ix, member_ix })
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
        let registry = &*self.registry;
        let method_ix = registry.names.paths.get(path)?;
        let method = row(&registry.methods, method_ix)?;
        Some(Route {
            node: row(&registry.nodes, method.node)?,
            path: &method.path,
            effect: method.effect,
            limits: &method.rules.limits,
            rules: &method.rules,
            contracted: method.contracted.as_deref(),
            service_ix: method.service,
            method_ix,
            place: method.place,
        })
    }

    /// The zone that holds `address`: the one with the longest prefix.
    pub fn zone(&self, address: IpAddr) -> Option<&Zone> {
        row(&self.registry.zones, self.registry.zone_of.of(address)?)
    }
}

impl<'a> Route<'a> {
    /// Reads whom a request of the method is about. `None` where the contract does not know the
    /// method, or no field of the request says whom.
    pub fn request_watch(&self) -> Option<&'a Arc<Watch>> {
        self.contracted?.request.watch.as_ref()
    }

    /// Reads whom an answer of the method is about. `None` where the contract does not know the
    /// method, or no field of the answer says whom.
    pub fn answer_watch(&self) -> Option<&'a Arc<Watch>> {
        self.contracted?.answer.watch.as_ref()
    }
}
