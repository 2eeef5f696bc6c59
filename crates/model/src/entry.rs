//! What the ledger says: one entry when a call is admitted or refused, one when it is finished.
//!
//! No entry holds a payload, a token or a person's data; only identifiers, sizes, digests and
//! pseudonyms.

use std::net::IpAddr;

use crate::{
    AgreementId, CertificateDigest, Code, Effect, ExchangeId, MemberId, NodeId, Period, Pseudonym,
    PurposeCode, Reason, RevisionId, Subject, SystemId, Timestamp,
};

/// Most bytes of the fields of an entry, with one for the end of each. The receipt carries them.
pub const FIELDS_BYTES_MAX: usize = 1024;

/// One statement in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The ledger was opened. Calls admitted before and not finished were cut by a crash.
    Opened(Opened),
    /// A call was allowed. Written before any byte of its answer is released, and for an update
    /// before the call is forwarded.
    Admitted(Admitted),
    /// A call, or a connection, was declined.
    Refused(Refused),
    /// An admitted call ended.
    Finished(Finished),
    /// An admitted call goes on; so much has passed until now.
    Passed(Passed),
    /// An admitted call turned out to concern these persons too.
    Concerned(Concerned),
    /// Somebody read the ledger through the gateway. Written before the answer is given.
    LedgerRead(LedgerRead),
    /// An operator changed something.
    AdminAction(AdminAction),
    /// An operator has the entries of a segment removed. Written before anything is deleted.
    SegmentRemoved(SegmentRemoved),
}

/// The ledger was opened for writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// When.
    pub time: Timestamp,
    /// The gateway's version.
    pub version: String,
    /// Bytes of a torn, never acknowledged write that recovery cut off.
    pub discarded_bytes: u64,
}

/// A call was allowed, under exactly one agreement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The call.
    pub exchange: ExchangeId,
    /// When it arrived.
    pub time: Timestamp,
    /// The consumer's certificate.
    pub certificate: CertificateDigest,
    /// The consumer's system.
    pub system: SystemId,
    /// The member that the system belongs to.
    pub member: MemberId,
    /// The provider's node.
    pub node: NodeId,
    /// The method path.
    pub method: Box<str>,
    /// What the method does.
    pub effect: Effect,
    /// The governing agreement.
    pub agreement: AgreementId,
    /// The purpose.
    pub purpose: PurposeCode,
    /// The case number, if the caller gave one.
    pub dossier: Option<Box<str>>,
    /// The public-service code, if the caller gave one.
    pub procedure: Option<Box<str>>,
    /// The revision that decided.
    pub revision: RevisionId,
    /// Where the call came from.
    pub source: IpAddr,
    /// The node that gets a copy of the request, if one does; its answer is compared and dropped.
    pub shadow_node: Option<NodeId>,
    /// The person whom the call is about, if known.
    pub subject: Option<Subject>,
    /// The fields that the agreement names, in its order; none where it covers all. At most
    /// [`FIELDS_BYTES_MAX`] bytes with one for the end of each; `…` stands for those beyond.
    pub fields: Vec<Box<str>>,
}

/// A call, or a connection, was declined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The call; a refused connection gets an id too.
    pub exchange: ExchangeId,
    /// When it arrived.
    pub time: Timestamp,
    /// Why.
    pub reason: Reason,
    /// The certificate presented, if any was readable.
    pub certificate: Option<CertificateDigest>,
    /// The consumer's system, if known.
    pub system: Option<SystemId>,
    /// The member that the system belongs to, if known.
    pub member: Option<MemberId>,
    /// The method path asked for; cut at 256 bytes.
    pub method: Option<Box<str>>,
    /// The agreement that determined the refusal, if one did.
    pub agreement: Option<AgreementId>,
    /// The purpose stated, if any.
    pub purpose: Option<PurposeCode>,
    /// The case number, if the caller gave one.
    pub dossier: Option<Box<str>>,
    /// The public-service code, if the caller gave one.
    pub procedure: Option<Box<str>>,
    /// The revision that decided.
    pub revision: RevisionId,
    /// Where the call came from.
    pub source: IpAddr,
    /// Refusals of connections that were not recorded one by one since the last such entry.
    pub suppressed: u64,
}

/// What went one way during a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Whole messages.
    pub messages: u64,
    /// Bytes of message frames, five-byte prefixes included.
    pub bytes: u64,
    /// Chained over the whole messages: SHA-256 over the call's salt and the first message frame,
    /// then over the digest before and the next frame each time; over the salt alone without any.
    pub digest: [u8; 32],
}

/// An admitted call ended, well or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The call.
    pub exchange: ExchangeId,
    /// Index of its [`Admitted`] entry.
    pub admitted: u64,
    /// When it ended.
    pub time: Timestamp,
    /// The status that the caller got, or would have got.
    pub code: Code,
    /// Why the gateway itself ended the call, if it did.
    pub reason: Option<Reason>,
    /// From the consumer.
    pub request: Traffic,
    /// From the provider, as it reached the consumer.
    pub response: Traffic,
    /// What was withheld of the request; `None` if no mask was over it.
    pub request_masked: Option<Masked>,
    /// What was withheld of the answer; `None` if no mask was over it.
    pub response_masked: Option<Masked>,
}

/// Most fields that [`Masked::fields`] names.
pub const MASKED_FIELDS_MAX: usize = 256;

/// What a mask withheld in one direction of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Masked {
    /// The digest of the mask, which follows from contract, message and fields agreed.
    pub mask: [u8; 32],
    /// Fields withheld, counted as often as they came.
    pub withheld: u64,
    /// Which, by their ids in the mask, ascending; the first [`MASKED_FIELDS_MAX`].
    pub fields: Vec<u16>,
}

/// Most persons of one [`Concerned`].
pub const CONCERNED_MAX: usize = 1024;

/// Persons whom an admitted call concerns beside the one its admission names. Durable before the
/// message that speaks of them passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concerned {
    /// The call.
    pub exchange: ExchangeId,
    /// Index of its [`Admitted`] entry.
    pub admitted: u64,
    /// When.
    pub time: Timestamp,
    /// The period of the key that made the pseudonyms.
    pub period: Period,
    /// The persons, 1 to [`CONCERNED_MAX`] of them.
    pub pseudonyms: Vec<Pseudonym>,
}

/// How far an admitted call had got while it went on. Written from time to time during calls that
/// take long, so that a gateway that dies leaves evidence of what had passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// The call.
    pub exchange: ExchangeId,
    /// Index of its [`Admitted`] entry.
    pub admitted: u64,
    /// When.
    pub time: Timestamp,
    /// From the consumer.
    pub request: Traffic,
    /// From the provider.
    pub response: Traffic,
}

/// Who acted through the admin API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// The certificate shown.
    pub certificate: CertificateDigest,
    /// The common name in it, if it has one.
    pub name: Option<Box<str>>,
}

/// How the ledger was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Exchanges by what their entries say.
    Search,
    /// All that concerns one person.
    Subject,
    /// What operators did.
    Acts,
    /// Entries in order, as a whole.
    Export,
}

impl Reading {
    /// The word that stands for it in listings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Subject => "subject",
            Self::Acts => "acts",
            Self::Export => "export",
        }
    }
}

/// Somebody read the ledger through the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRead {
    /// When.
    pub time: Timestamp,
    /// Who.
    pub operator: Operator,
    /// How.
    pub reading: Reading,
    /// What was asked for, as text; persons by their pseudonyms.
    pub criteria: Box<str>,
    /// Why, in the operator's words.
    pub why: Box<str>,
    /// How many exchanges the answer has, or acts of operators; of an export, how many entries
    /// were read for it.
    pub results: u64,
}

/// What an operator did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Put a configuration in force.
    Apply,
}

impl Action {
    /// The word that stands for it in listings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "apply",
        }
    }
}

/// An operator changed something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminAction {
    /// When.
    pub time: Timestamp,
    /// Who.
    pub operator: Operator,
    /// What.
    pub action: Action,
    /// The revision that it brought.
    pub revision: RevisionId,
}

/// An operator has the entries of a segment removed, after their term. Their hashes stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentRemoved {
    /// When.
    pub time: Timestamp,
    /// Who.
    pub operator: Operator,
    /// Number of the segment.
    pub segment: u64,
    /// Index of its first entry.
    pub first: u64,
    /// How many entries it has.
    pub count: u64,
    /// Root hash of the tree after its last entry.
    pub root_hash: [u8; 32],
    /// Until when its entries had to be kept.
    pub keep_until: Timestamp,
    /// Why, in the operator's words.
    pub why: Box<str>,
}
