//! A little country's exchanges, written to a ledger as the gateway writes them.
#![allow(dead_code, reason = "each test file uses a part")]

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use audit::{Log, Options, SEGMENT_BYTES_MIN};
use model::{
    Admitted, CertificateDigest, Code, Effect, Entry, ExchangeId, Finished, PersonNumber,
    PseudonymKey, Pseudonyms, Reason, Refused, RevisionId, Subject, Timestamp, Traffic,
};
use tlog::Signer;

pub(crate) const BEGUN: u64 = 1_795_000_000_000_000;
const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

/// Opens a ledger with segments of the smallest length.
pub(crate) fn open(folder: &Path, origin: &str) -> (Log, Arc<Signer>) {
    let (signer, _) = Signer::generate(origin.parse().unwrap()).unwrap();
    let signer = Arc::new(signer);
    let mut options = Options::new(folder.to_owned(), origin.parse().unwrap(), Arc::clone(&signer));
    options.segment_bytes = SEGMENT_BYTES_MIN;
    (Log::open(options).unwrap().0, signer)
}

/// Appends entries in batches, and waits for the last.
pub(crate) fn append(log: &Log, entries: &[Entry]) {
    for some in entries.chunks(200) {
        let append = |entry| log.append(&wire::evidence::encode_entry(entry)).unwrap();
        let tickets: Vec<_> = some.iter().map(append).collect();
        drop(tickets.last().map(|ticket| ticket.wait().unwrap()));
    }
}

/// Keys of two years.
pub(crate) fn keys() -> [(model::Period, PseudonymKey); 2] {
    let key = |digits: &str| PseudonymKey::from_hex(&digits.repeat(16)).unwrap();
    [("2025".parse().unwrap(), key("01ab")), ("2026".parse().unwrap(), key("01ac"))]
}

/// What the person of this number is in the years 2025 and 2026.
pub(crate) fn subjects(number: u32) -> Vec<Subject> {
    let number = format!("9{number:011}");
    let person = PersonNumber::new("VN", "personal", &number).unwrap();
    Pseudonyms::new(keys().to_vec()).subjects(&person)
}

/// One call of a made country: everything follows from a few small numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) number: u64,
    pub(crate) member: u32,
    pub(crate) method: u32,
    pub(crate) purpose: u32,
    /// About the person of this number in the year 2025 or 2026.
    pub(crate) subject: Option<(u32, bool)>,
    pub(crate) dossier: Option<u32>,
    pub(crate) refused: bool,
    pub(crate) reason: Option<Reason>,
    pub(crate) ended: bool,
}

impl Call {
    pub(crate) fn time(&self) -> Timestamp {
        // Not quite in the order of the ledger.
        Timestamp::from_micros(BEGUN + self.number * 1500 + self.number % 7 * 10_000)
    }

    pub(crate) fn exchange(&self) -> ExchangeId {
        let [a, b, c, d, e, f, g, h] = (self.number + 1).to_be_bytes();
        ExchangeId::new(self.time(), [0, 0, a, b, c, d, e, f, g, h])
    }

    pub(crate) fn first(&self) -> Entry {
        let Self { member, method, purpose, .. } = *self;
        let dossier = self.dossier.map(|dossier| format!("000.00.26.{dossier}").into());
        let method = format!("/vn.example.v1.Service{}/Method{method}", method % 3);
        let (system, member) = (format!("sys-{member}"), format!("H{:02}", member % 50));
        if self.refused {
            return Entry::Refused(Refused {
                exchange: self.exchange(),
                time: self.time(),
                reason: self.reason.unwrap_or(Reason::AgreementMissing),
                certificate: Some(CertificateDigest([1; 32])),
                system: Some(system.parse().unwrap()),
                member: Some(member.parse().unwrap()),
                method: Some(method.into()),
                agreement: None,
                purpose: Some(format!("purpose-{purpose}").parse().unwrap()),
                dossier,
                procedure: None,
                revision: RevisionId(1),
                source: SOURCE,
                suppressed: 0,
            });
        }
        let subject = self.subject.map(|(number, later)| {
            let [first, second] = <[Subject; 2]>::try_from(subjects(number)).unwrap();
            if later { second } else { first }
        });
        Entry::Admitted(Admitted {
            exchange: self.exchange(),
            time: self.time(),
            certificate: CertificateDigest([1; 32]),
            agreement: format!("agreement-{member}").parse().unwrap(),
            system: system.parse().unwrap(),
            member: member.parse().unwrap(),
            node: format!("node-{}", self.method % 3).parse().unwrap(),
            method: method.into(),
            effect: Effect::Query,
            purpose: format!("purpose-{purpose}").parse().unwrap(),
            dossier,
            procedure: None,
            revision: RevisionId(1),
            source: SOURCE,
            shadow_node: None,
            subject,
            fields: Vec::new(),
        })
    }

    /// The end of the call, which was admitted at this index.
    pub(crate) fn end(&self, admitted: u64) -> Entry {
        let traffic = Traffic { messages: 1, bytes: 100, digest: [3; 32] };
        Entry::Finished(Finished {
            exchange: self.exchange(),
            admitted,
            time: self.time(),
            code: if self.reason.is_some() { Code::Unavailable } else { Code::Ok },
            reason: self.reason,
            request: traffic,
            response: traffic,
            request_masked: None,
            response_masked: None,
        })
    }
}

/// The entries of calls, from this index of the ledger on; an admitted call ends some entries
/// after it began.
pub(crate) fn entries(calls: &[Call], first: u64) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut open: std::collections::VecDeque<(Call, u64)> = Default::default();
    for call in calls {
        let index = first + entries.len() as u64;
        entries.push(call.first());
        if !call.refused && call.ended {
            open.push_back((*call, index));
        }
        if open.len() > call.number as usize % 40
            && let Some((call, admitted)) = open.pop_front()
        {
            entries.push(call.end(admitted));
        }
    }
    entries.extend(open.into_iter().map(|(call, admitted)| call.end(admitted)));
    entries
}
