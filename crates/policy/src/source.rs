//! What a snapshot is compiled from: the objects that operators describe, already typed.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use cedar::Datum;
use model::{
    AgreementId, CertificateDigest, ClassId, Effect, IssuerSerial, MemberId, NodeId, PurposeCode,
    RevisionId, SystemId, Timestamp, ZoneId,
};

/// A whole revision, before it is checked and compiled.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// Its number.
    pub revision: RevisionId,
    /// Classes of members.
    pub classes: Vec<Class>,
    /// Agencies and units.
    pub members: Vec<Member>,
    /// Their information systems.
    pub systems: Vec<System>,
    /// Providers' database services.
    pub nodes: Vec<Node>,
    /// Registered purposes.
    pub purposes: Vec<Purpose>,
    /// Network zones that calls come from.
    pub zones: Vec<Zone>,
    /// Agreements between providers and consumers.
    pub agreements: Vec<Agreement>,
    /// What differs from the default for some services or methods.
    pub routes: Vec<RouteRule>,
    /// Cedar policies over all agreements; `None` without any.
    pub policies: Option<Arc<cedar::text::Files>>,
    /// The actions with the groups they are in, as the schema of the policies has them; empty for
    /// the schema that holds by default, which has no groups.
    pub actions: Vec<cedar::Entity>,
    /// What local time is ahead of UTC, in minutes; policies ask for hours and weekdays in it.
    pub utc_offset_minutes: i32,
    /// Certificates on the revocation lists.
    pub revoked: Vec<IssuerSerial>,
    /// What the services' messages hold; `None` where nobody has said.
    pub contract: Option<Arc<mask::Contract>>,
}

/// What policies may ask of an object beside what the registry says anyway.
pub type Attributes = BTreeMap<Box<str>, Datum>;

/// A class of members, such as every commune.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// Its identifier.
    pub id: ClassId,
    /// The name people know it by.
    pub name: String,
}

/// A network zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Its identifier.
    pub id: ZoneId,
    /// The name people know it by.
    pub name: String,
    /// The addresses in it. The longest prefix decides where several zones hold an address.
    pub networks: Vec<Network>,
}

/// A block of addresses (CIDR, RFC 4632 and RFC 4291).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    /// Its first address.
    pub address: IpAddr,
    /// Bits that all its addresses share.
    pub prefix: u8,
}

impl Network {
    /// Whether `address` is in the block. An IPv4 address is in no block of IPv6.
    pub fn holds(&self, address: IpAddr) -> bool {
        let differ = match (self.address, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
            _ => return false,
        };
        differ >= u32::from(self.prefix)
    }
}

/// An agency or unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Usually the agency code.
    pub id: MemberId,
    /// The name people know it by.
    pub name: String,
    /// The unit above; `None` at the top of the tree.
    pub parent: Option<MemberId>,
    /// The classes it belongs to, and with it the members below it.
    pub classes: Vec<ClassId>,
    /// What policies may ask of it.
    pub attributes: Attributes,
}

/// A member's information system.
#[derive(Clone, Debug, PartialEq)]
pub struct System {
    /// Its identifier.
    pub id: SystemId,
    /// The name people know it by.
    pub name: String,
    /// The member that answers for it.
    pub member: MemberId,
    /// Its certificates; several while one is being renewed.
    pub certificates: Vec<CertificateDigest>,
    /// What policies may ask of it.
    pub attributes: Attributes,
}

/// A provider's database service.
#[derive(Clone, Debug, PartialEq)]
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
    /// What policies may ask of it.
    pub attributes: Attributes,
}

/// A gRPC service of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// Full name, `vn.population.v1.PopulationService`.
    pub name: String,
    /// Its methods; others are refused.
    pub methods: Vec<Method>,
    /// What policies may ask of it.
    pub attributes: Attributes,
}

/// A method of a service.
#[derive(Clone, Debug, PartialEq)]
pub struct Method {
    /// The method's name.
    pub name: String,
    /// What it does to the provider's data.
    pub effect: Effect,
    /// What policies may ask of it.
    pub attributes: Attributes,
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
    /// Every system of the members of the class and of the members below them.
    Class(ClassId),
}

/// How the agreement came about (Decree 194/2025/NĐ-CP).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Sharing by default between state agencies.
    ByDefault,
    /// Sharing under a special agreement.
    ByAgreement,
}

impl Mode {
    /// The word used in configuration and in policies.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ByDefault => "by_default",
            Self::ByAgreement => "by_agreement",
        }
    }
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
    /// The fields of answers that it covers.
    pub fields: Fields,
    /// The fields of requests that it covers, for methods that update.
    pub request_fields: Fields,
    /// Bounds on the calls under it, all systems together. Every one must hold.
    pub quota: Vec<Quota>,
    /// Bounds on the persons a system may ask about; `None` without any.
    pub subjects: Option<SubjectBudget>,
}

/// The fields that an agreement covers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Fields {
    /// All but what the contract calls secret.
    #[default]
    All,
    /// These, by path or by class, as [`mask::Selection::from_items`] takes them. An obligation:
    /// nothing else may pass.
    Named(Vec<String>),
}

/// At most so many different persons, for each system. At least one of the two is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SubjectBudget {
    /// In an hour.
    pub hour_max: Option<u32>,
    /// In a day.
    pub day_max: Option<u32>,
}

/// At most `calls` in `period` on average, at most `burst` at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quota {
    /// Calls per period. At least one.
    pub calls: u32,
    /// The period.
    pub period: Duration,
    /// Calls that may come at once. At least one.
    pub burst: u32,
}

/// What differs from the default for a service, or for one of its methods. What a rule for a
/// method leaves open is as the rule for its service says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteRule {
    /// The service.
    pub service: String,
    /// One method of it, or all.
    pub method: Option<String>,
    /// The longest a call may take, where it is not the gateway's default.
    pub deadline_max: Option<Duration>,
    /// Whether the caller's `authorization` is passed on to the node; `None` leaves it as it is.
    pub pass_authorization: Option<bool>,
    /// How often a query that failed before any answer may be sent again.
    pub retries_max: Option<u8>,
    /// Most bytes of a request, all its messages together, each with its five bytes of prefix.
    pub request_bytes_max: Option<u64>,
    /// Most bytes of an answer, all its messages together, each with its five bytes of prefix.
    pub answer_bytes_max: Option<u64>,
    /// Where calls go that do not go to the authoritative node: the first that fits.
    pub splits: Vec<Split>,
    /// Where a copy of the queries goes.
    pub shadow: Option<Shadow>,
}

/// Calls that go to another node than the authoritative one. All conditions given must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// The node.
    pub node: NodeId,
    /// Calls of the systems of this member and of the members below it.
    pub member: Option<MemberId>,
    /// Calls that come from this zone.
    pub zone: Option<ZoneId>,
    /// Calls with this metadata key and value.
    pub header: Option<(String, String)>,
    /// This share of the calls that the other conditions leave.
    pub share: Option<Share>,
}

/// A copy of queries, whose answers are compared and dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shadow {
    /// The node that gets the copies.
    pub node: NodeId,
    /// The share of the queries that are copied.
    pub share: Share,
}

/// A share of calls, in hundredths of a percent: 0 to 10,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u16);

impl Share {
    /// All calls.
    pub const ALL: Self = Self(10_000);

    /// So many hundredths of a percent; `None` beyond all calls.
    pub fn from_hundredths(hundredths: u16) -> Option<Self> {
        (hundredths <= Self::ALL.0).then_some(Self(hundredths))
    }

    /// The share in hundredths of a percent.
    pub fn hundredths(self) -> u16 {
        self.0
    }
}
