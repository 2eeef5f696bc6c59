//! What a snapshot is compiled from: the objects that operators describe, already typed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use model::{
    AgreementId, CertificateDigest, Effect, IssuerSerial, MemberId, NodeId, PurposeCode,
    RevisionId, SystemId, Timestamp,
};

/// A whole revision, before it is checked and compiled.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// Its number.
    pub revision: RevisionId,
    /// Agencies and units.
    pub members: Vec<Member>,
    /// Their information systems.
    pub systems: Vec<System>,
    /// Providers' database services.
    pub nodes: Vec<Node>,
    /// Registered purposes.
    pub purposes: Vec<Purpose>,
    /// Agreements between providers and consumers.
    pub agreements: Vec<Agreement>,
    /// What differs from the default for some services or methods.
    pub routes: Vec<RouteRule>,
    /// Certificates on the revocation lists.
    pub revoked: Vec<IssuerSerial>,
}

/// An agency or unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Usually the agency code.
    pub id: MemberId,
    /// The name people know it by.
    pub name: String,
    /// The unit above; `None` at the top of the tree.
    pub parent: Option<MemberId>,
}

/// A member's information system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct System {
    /// Its identifier.
    pub id: SystemId,
    /// The name people know it by.
    pub name: String,
    /// The member that answers for it.
    pub member: MemberId,
    /// Its certificates; several while one is being renewed.
    pub certificates: Vec<CertificateDigest>,
}

/// A provider's database service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its identifier.
    pub id: NodeId,
    /// The name people know it by.
    pub name: String,
    /// The member that provides it.
    pub provider: MemberId,
    /// The gRPC services it offers. A service has one authoritative node.
    pub services: Vec<Service>,
    /// Where it listens. At least one.
    pub endpoints: Vec<Endpoint>,
    /// Certificate authorities that may vouch for its endpoints, in DER.
    pub authorities: Arc<[Vec<u8>]>,
    /// The name its certificate must bear, where it is not the endpoint's host.
    pub server_name: Option<String>,
}

/// A gRPC service of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Full name, `vn.population.v1.PopulationService`.
    pub name: String,
    /// Its methods; others are refused.
    pub methods: Vec<Method>,
}

/// A method of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method {
    /// The method's name.
    pub name: String,
    /// What it does to the provider's data.
    pub effect: Effect,
}

/// Where a node listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// A DNS name or an IP address.
    pub host: String,
    /// A TCP port.
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// A registered purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purpose {
    /// Its code.
    pub code: PurposeCode,
    /// The name people know it by.
    pub name: String,
}

/// Who may call under an agreement.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Consumer {
    /// Every system of the member and of the members below it.
    Member(MemberId),
    /// One system.
    System(SystemId),
}

/// How the agreement came about (Decree 194/2025/NĐ-CP).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Sharing by default between state agencies.
    ByDefault,
    /// Sharing under a special agreement.
    ByAgreement,
}

/// Where an agreement stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Being prepared.
    Draft,
    /// In force within its validity.
    Active,
    /// Stopped for a while.
    Suspended,
    /// Over.
    Ended,
}

/// Which methods of the service an agreement covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Methods {
    /// All that the node registers.
    All,
    /// These.
    Named(Vec<String>),
}

/// An agreement between a provider and a consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// Its identifier.
    pub id: AgreementId,
    /// Who may call.
    pub consumer: Consumer,
    /// The provider's node.
    pub node: NodeId,
    /// The service on that node.
    pub service: String,
    /// The methods of that service.
    pub methods: Methods,
    /// For what. At least one.
    pub purposes: Vec<PurposeCode>,
    /// The law or document it rests on.
    pub legal_basis: String,
    /// How it came about.
    pub mode: Mode,
    /// Valid from this moment.
    pub valid_from: Timestamp,
    /// Valid until just before this moment.
    pub valid_until: Timestamp,
    /// Where it stands.
    pub state: State,
    /// Bounds on the calls under it, all systems together. Every one must hold.
    pub quota: Vec<Quota>,
}

/// At most `calls` in `period` on average, at most `burst` at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Calls per period. At least one.
    pub calls: u32,
    /// The period.
    pub period: Duration,
    /// Calls that may come at once. At least one.
    pub burst: u32,
}

/// What differs from the default for a service, or for one of its methods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteRule {
    /// The service.
    pub service: String,
    /// One method of it, or all.
    pub method: Option<String>,
    /// The longest a call may take, where it is not the gateway's default.
    pub deadline_max: Option<Duration>,
    /// Whether the caller's `authorization` is passed on to the node; `None` leaves it as it is.
    pub pass_authorization: Option<bool>,
}
