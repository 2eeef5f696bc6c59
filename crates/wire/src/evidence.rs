//! Entries and receipts, as they are kept and as callers carry them away.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::{
    Admitted, CertificateDigest, Effect, Entry, ExchangeId, FIELDS_BYTES_MAX, IdError, Opened,
    Pseudonym, Reason, Receipt, Refused, RevisionId, Subject, Timestamp,
};
use prost::Message;
use thiserror::Error;

use crate::generated::evidence as pb;
use crate::{calls, operators};

/// Why bytes are not an entry or a receipt.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EvidenceError {
    /// Not protobuf of the expected message.
    #[error("not the protobuf encoding: {0}")]
    Encoding(String),
    /// Protobuf, but not the canonical encoding.
    #[error("not the canonical encoding")]
    NotCanonical,
    /// A field is missing or does not hold what it should.
    #[error("field `{field}` {problem}")]
    Field {
        /// Its name.
        field: &'static str,
        /// What is wrong.
        problem: String,
    },
}

pub(crate) fn wrong(field: &'static str, problem: impl ToString) -> EvidenceError {
    EvidenceError::Field { field, problem: problem.to_string() }
}

/// The canonical bytes of `entry`.
pub fn encode_entry(entry: &Entry) -> Vec<u8> {
    let kind = match entry {
        Entry::Opened(opened) => pb::entry::Kind::Opened(pb::Opened {
            time_us: opened.time.as_micros(),
            version: opened.version.clone(),
            discarded_bytes: opened.discarded_bytes,
        }),
        Entry::Admitted(admitted) => pb::entry::Kind::Admitted(from_admitted(admitted)),
        Entry::Refused(refused) => pb::entry::Kind::Refused(from_refused(refused)),
        Entry::Finished(finished) => pb::entry::Kind::Finished(calls::from_finished(finished)),
        Entry::Passed(passed) => pb::entry::Kind::Passed(calls::from_passed(passed)),
        Entry::Concerned(persons) => pb::entry::Kind::Concerned(calls::from_concerned(persons)),
        Entry::LedgerRead(read) => pb::entry::Kind::LedgerRead(operators::from_read(read)),
        Entry::AdminAction(action) => pb::entry::Kind::AdminAction(operators::from_action(action)),
        Entry::SegmentRemoved(removed) => {
            pb::entry::Kind::SegmentRemoved(operators::from_removal(removed))
        }
    };
    pb::Entry { kind: Some(kind) }.encode_to_vec()
}

/// Whether an entry says that a call was admitted, went on or ended, as most do: told by its first
/// byte, so that others are found quickly.
pub fn is_of_a_call(entry: &[u8]) -> bool {
    // Key of field 2, 4, 8 or 9 of `Entry`, all messages.
    matches!(entry.first(), Some(0x12 | 0x22 | 0x42 | 0x4a))
}

/// Reads an entry.
///
/// # Errors
///
/// Fails unless `bytes` are exactly what [`encode_entry`] makes of the entry.
pub fn decode_entry(bytes: &[u8]) -> Result<Entry, EvidenceError> {
    let entry = read_entry(bytes)?;
    match encode_entry(&entry) == bytes {
        true => Ok(entry),
        false => Err(EvidenceError::NotCanonical),
    }
}

fn read_entry(bytes: &[u8]) -> Result<Entry, EvidenceError> {
    let message = decode::<pb::Entry>(bytes)?;
    Ok(match message.kind.ok_or_else(|| wrong("kind", "is missing"))? {
        pb::entry::Kind::Opened(opened) => Entry::Opened(Opened {
            time: Timestamp::from_micros(opened.time_us),
            version: opened.version,
            discarded_bytes: opened.discarded_bytes,
        }),
        pb::entry::Kind::Admitted(admitted) => Entry::Admitted(to_admitted(admitted)?),
        pb::entry::Kind::Refused(refused) => Entry::Refused(to_refused(refused)?),
        pb::entry::Kind::Finished(finished) => Entry::Finished(calls::to_finished(finished)?),
        pb::entry::Kind::Passed(passed) => Entry::Passed(calls::to_passed(passed)?),
        pb::entry::Kind::Concerned(persons) => Entry::Concerned(calls::to_concerned(persons)?),
        pb::entry::Kind::LedgerRead(read) => Entry::LedgerRead(operators::to_read(read)?),
        pb::entry::Kind::AdminAction(done) => Entry::AdminAction(operators::to_action(done)?),
        pb::entry::Kind::SegmentRemoved(removed) => {
            Entry::SegmentRemoved(operators::to_removal(removed)?)
        }
    })
}

/// The bytes of `receipt`, as in the trailer `exchange-receipt-bin`.
pub fn encode_receipt(receipt: &Receipt) -> Vec<u8> {
    pb::Receipt {
        entry: receipt.entry.clone(),
        index: receipt.index,
        first: receipt.first,
        count: receipt.count,
        path: receipt.path.concat(),
        tree_size: receipt.tree_size,
        root_hash: receipt.root_hash.to_vec(),
        time_us: receipt.time.as_micros(),
        key_id: receipt.key_id,
        signature: receipt.signature.to_vec(),
    }
    .encode_to_vec()
}

/// Reads a receipt.
///
/// # Errors
///
/// Fails unless `bytes` are exactly what [`encode_receipt`] makes of the receipt.
pub fn decode_receipt(bytes: &[u8]) -> Result<Receipt, EvidenceError> {
    let message = decode::<pb::Receipt>(bytes)?;
    if message.encode_to_vec() != bytes {
        return Err(EvidenceError::NotCanonical);
    }
    let (path, rest) = message.path.as_chunks::<16>();
    if !rest.is_empty() {
        return Err(wrong("path", "is not a whole number of 16-byte nodes"));
    }
    Ok(Receipt {
        entry: message.entry,
        index: message.index,
        first: message.first,
        count: message.count,
        path: path.to_vec(),
        tree_size: message.tree_size,
        root_hash: fixed("root_hash", &message.root_hash)?,
        time: Timestamp::from_micros(message.time_us),
        key_id: message.key_id,
        signature: fixed("signature", &message.signature)?,
    })
}

fn decode<M: Message + Default>(bytes: &[u8]) -> Result<M, EvidenceError> {
    M::decode(bytes).map_err(|error| EvidenceError::Encoding(error.to_string()))
}

fn from_admitted(admitted: &Admitted) -> pb::Admitted {
    let subject = admitted.subject.as_ref();
    pb::Admitted {
        exchange_id: admitted.exchange.as_bytes().to_vec(),
        time_us: admitted.time.as_micros(),
        certificate_sha256: admitted.certificate.0.to_vec(),
        system: admitted.system.to_string(),
        member: admitted.member.to_string(),
        node: admitted.node.to_string(),
        method: admitted.method.to_string(),
        effect: match admitted.effect {
            Effect::Query => pb::Effect::Query,
            Effect::Update => pb::Effect::Update,
        }
        .into(),
        agreement: admitted.agreement.to_string(),
        purpose: admitted.purpose.to_string(),
        dossier: text_of(admitted.dossier.as_deref()),
        procedure: text_of(admitted.procedure.as_deref()),
        revision: admitted.revision.0,
        source_address: address_bytes(admitted.source),
        shadow_node: text_of(admitted.shadow_node.as_ref().map(|id| id.as_str())),
        subject_pseudonym: subject.map(|subject| subject.pseudonym.0.to_vec()).unwrap_or_default(),
        subject_period: text_of(subject.map(|subject| subject.period.as_str())),
        fields: admitted.fields.iter().map(ToString::to_string).collect(),
    }
}

fn to_admitted(message: pb::Admitted) -> Result<Admitted, EvidenceError> {
    let subject = subject(&message.subject_pseudonym, &message.subject_period)?;
    let fields: Vec<Box<str>> = message.fields.iter().map(|field| field.as_str().into()).collect();
    if fields.iter().map(|field| field.len() + 1).sum::<usize>() > FIELDS_BYTES_MAX {
        return Err(wrong("fields", format!("has more than {FIELDS_BYTES_MAX} bytes")));
    }
    Ok(Admitted {
        exchange: exchange(&message.exchange_id)?,
        time: Timestamp::from_micros(message.time_us),
        certificate: CertificateDigest(fixed("certificate_sha256", &message.certificate_sha256)?),
        system: id("system", &message.system)?,
        member: id("member", &message.member)?,
        node: id("node", &message.node)?,
        effect: match message.effect() {
            pb::Effect::Query => Effect::Query,
            pb::Effect::Update => Effect::Update,
            pb::Effect::Unspecified => return Err(wrong("effect", "is missing or unknown")),
        },
        agreement: id("agreement", &message.agreement)?,
        purpose: id("purpose", &message.purpose)?,
        method: message.method.into(),
        dossier: text(message.dossier),
        procedure: text(message.procedure),
        revision: RevisionId(message.revision),
        source: address("source_address", &message.source_address)?,
        shadow_node: optional("shadow_node", &message.shadow_node)?,
        subject,
        fields,
    })
}

fn subject(pseudonym: &[u8], period: &str) -> Result<Option<Subject>, EvidenceError> {
    match (pseudonym, period) {
        ([], "") => Ok(None),
        (pseudonym, period) => Ok(Some(Subject {
            pseudonym: Pseudonym(fixed("subject_pseudonym", pseudonym)?),
            period: id("subject_period", period)?,
        })),
    }
}

fn from_refused(refused: &Refused) -> pb::Refused {
    pb::Refused {
        exchange_id: refused.exchange.as_bytes().to_vec(),
        time_us: refused.time.as_micros(),
        reason: refused.reason.number(),
        certificate_sha256: refused.certificate.map(|digest| digest.0.to_vec()).unwrap_or_default(),
        system: text_of(refused.system.as_ref().map(|id| id.as_str())),
        member: text_of(refused.member.as_ref().map(|id| id.as_str())),
        method: text_of(refused.method.as_deref()),
        agreement: text_of(refused.agreement.as_ref().map(|id| id.as_str())),
        purpose: text_of(refused.purpose.as_ref().map(|id| id.as_str())),
        dossier: text_of(refused.dossier.as_deref()),
        procedure: text_of(refused.procedure.as_deref()),
        revision: refused.revision.0,
        source_address: address_bytes(refused.source),
        suppressed: refused.suppressed,
    }
}

fn to_refused(message: pb::Refused) -> Result<Refused, EvidenceError> {
    let certificate = match message.certificate_sha256.is_empty() {
        true => None,
        false => Some(fixed("certificate_sha256", &message.certificate_sha256)?),
    };
    Ok(Refused {
        exchange: exchange(&message.exchange_id)?,
        time: Timestamp::from_micros(message.time_us),
        reason: reason(message.reason)?,
        certificate: certificate.map(CertificateDigest),
        system: optional("system", &message.system)?,
        member: optional("member", &message.member)?,
        method: text(message.method),
        agreement: optional("agreement", &message.agreement)?,
        purpose: optional("purpose", &message.purpose)?,
        dossier: text(message.dossier),
        procedure: text(message.procedure),
        revision: RevisionId(message.revision),
        source: address("source_address", &message.source_address)?,
        suppressed: message.suppressed,
    })
}

pub(crate) fn text_of(text: Option<&str>) -> String {
    text.unwrap_or_default().to_owned()
}

pub(crate) fn text(text: String) -> Option<Box<str>> {
    (!text.is_empty()).then(|| text.into())
}

pub(crate) fn fixed<const N: usize>(
    field: &'static str,
    bytes: &[u8],
) -> Result<[u8; N], EvidenceError> {
    let found = bytes.len();
    bytes.try_into().map_err(|_| wrong(field, format!("has {found} bytes instead of {N}")))
}

pub(crate) fn exchange(bytes: &[u8]) -> Result<ExchangeId, EvidenceError> {
    fixed("exchange_id", bytes).map(ExchangeId::from_bytes)
}

pub(crate) fn id<T: std::str::FromStr<Err = IdError>>(
    field: &'static str,
    text: &str,
) -> Result<T, EvidenceError> {
    text.parse().map_err(|error| wrong(field, error))
}

pub(crate) fn optional<T: std::str::FromStr<Err = IdError>>(
    field: &'static str,
    text: &str,
) -> Result<Option<T>, EvidenceError> {
    match text {
        "" => Ok(None),
        text => id(field, text).map(Some),
    }
}

pub(crate) fn reason(number: u32) -> Result<Reason, EvidenceError> {
    Reason::from_number(number).ok_or_else(|| wrong("reason", format!("has no meaning: {number}")))
}

fn address_bytes(address: IpAddr) -> Vec<u8> {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn address(field: &'static str, bytes: &[u8]) -> Result<IpAddr, EvidenceError> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Ok(Ipv4Addr::from(v4).into());
    }
    fixed::<16>(field, bytes).map(|v6| Ipv6Addr::from(v6).into())
}

#[cfg(test)]
mod tests {
    use model::{Code, Finished, Traffic};

    use super::*;

    fn admitted() -> Entry {
        Entry::Admitted(Admitted {
            exchange: ExchangeId::from_bytes([7; 16]),
            time: Timestamp::from_secs(1_795_000_000),
            certificate: CertificateDigest([1; 32]),
            system: "sys-ward".parse().unwrap(),
            member: "H26.12".parse().unwrap(),
            node: "population".parse().unwrap(),
            method: "/vn.population.v1.PopulationService/VerifyPerson".into(),
            effect: Effect::Query,
            agreement: "population-for-communes".parse().unwrap(),
            purpose: "residence".parse().unwrap(),
            dossier: Some("000.00.26.H26-261121-0001".into()),
            procedure: None,
            revision: RevisionId(3),
            source: "192.0.2.7".parse().unwrap(),
            shadow_node: None,
            subject: None,
            fields: Vec::new(),
        })
    }

    fn shadowed() -> Entry {
        let Entry::Admitted(admitted) = admitted() else { panic!("not an admission") };
        let shadow_node = Some("population-new".parse().unwrap());
        Entry::Admitted(Admitted { shadow_node, ..admitted })
    }

    fn others() -> [Entry; 3] {
        let traffic = Traffic { messages: 1, bytes: 105, digest: [3; 32] };
        [
            Entry::Opened(Opened {
                time: Timestamp::from_secs(1),
                version: "0.1.0".into(),
                discarded_bytes: 0,
            }),
            Entry::Refused(Refused {
                exchange: ExchangeId::from_bytes([8; 16]),
                time: Timestamp::from_secs(2),
                reason: Reason::AgreementMissing,
                certificate: None,
                system: None,
                member: Some("H26".parse().unwrap()),
                method: None,
                agreement: None,
                purpose: None,
                dossier: None,
                procedure: Some("1.001".into()),
                revision: RevisionId(1),
                source: "2001:db8::1".parse().unwrap(),
                suppressed: 4,
            }),
            Entry::Finished(Finished {
                exchange: ExchangeId::from_bytes([7; 16]),
                admitted: 41,
                time: Timestamp::from_secs(3),
                code: Code::Ok,
                reason: Some(Reason::Cancelled),
                request: traffic,
                response: Traffic { messages: 0, ..traffic },
                request_masked: None,
                response_masked: None,
            }),
        ]
    }

    #[test]
    fn every_kind_of_entry_comes_back() {
        for entry in others().into_iter().chain([admitted(), shadowed()]) {
            assert_eq!(decode_entry(&encode_entry(&entry)), Ok(entry));
        }
    }

    #[test]
    fn an_entry_without_a_shadow_has_no_trace_of_one() {
        let (plain, shadowed) = (encode_entry(&admitted()), encode_entry(&shadowed()));
        // Field 15 with its length and text; the message around it grew by as much.
        assert!(shadowed.ends_with(b"\x7a\x0epopulation-new"));
        assert_eq!(shadowed.len(), plain.len() + 16);
    }

    #[test]
    fn an_entry_that_is_not_canonical_is_refused() {
        let mut bytes = encode_entry(&admitted());
        bytes.extend([0xc0, 0x3e, 0x01]); // field 1000, unknown
        assert_eq!(decode_entry(&bytes), Err(EvidenceError::NotCanonical));
        assert_eq!(decode_entry(&[]).unwrap_err().to_string(), "field `kind` is missing");
    }

    #[test]
    fn a_code_or_an_address_that_reads_as_another_is_refused() {
        let Entry::Finished(finished) = &others()[2] else { panic!("not the end of a call") };
        let message = pb::Finished { code: 99, ..calls::from_finished(finished) };
        let entry = pb::Entry { kind: Some(pb::entry::Kind::Finished(message)) };
        assert_eq!(decode_entry(&entry.encode_to_vec()), Err(EvidenceError::NotCanonical));
    }

    #[test]
    fn a_receipt_comes_back_and_fits_its_bound() {
        let receipt = Receipt {
            entry: encode_entry(&admitted()),
            index: 10_000_003,
            first: 10_000_000,
            count: 16,
            path: vec![[9; 16]; 4],
            tree_size: 10_000_016,
            root_hash: [5; 32],
            time: Timestamp::from_secs(1_795_000_000),
            key_id: 0x0102_0304,
            signature: [6; 64],
        };
        let bytes = encode_receipt(&receipt);
        assert!(bytes.len() <= 512, "{} bytes", bytes.len());
        assert_eq!(decode_receipt(&bytes), Ok(receipt.clone()));
        // A known subject makes the entry longer by its 16 bytes, the period and their tags.
        let Entry::Admitted(call) = admitted() else { panic!("not an admission") };
        let subject = Subject { pseudonym: Pseudonym([9; 16]), period: "2026".parse().unwrap() };
        let known = Entry::Admitted(Admitted { subject: Some(subject), ..call });
        let known = encode_receipt(&Receipt { entry: encode_entry(&known), ..receipt });
        assert_eq!(known.len(), bytes.len() + 26);
        assert!(known.len() <= 512, "{} bytes", known.len());
    }
}
