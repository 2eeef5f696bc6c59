//! The encoding of entries is a promise: a ledger holds them for years, and their hashes for ever.
//!
//! To add a kind or a field, add an entry that has it, and write the file anew with
//! `UPDATE_GOLDEN=1 cargo test -p wire --test entries`. A line that was there before never changes.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::fs;
use std::path::Path;

use model::{
    Action, AdminAction, Admitted, CertificateDigest, Code, Concerned, Effect, Entry, ExchangeId,
    Finished, LedgerRead, Masked, Opened, Operator, Passed, Pseudonym, Reading, Reason, Refused,
    RevisionId, SegmentRemoved, Subject, Timestamp, Traffic,
};
use wire::evidence::{decode_entry, encode_entry};

const TIME: Timestamp = Timestamp::from_secs(1_795_000_000);

fn admitted() -> Admitted {
    Admitted {
        exchange: ExchangeId::from_bytes([7; 16]),
        time: TIME,
        certificate: CertificateDigest([1; 32]),
        system: "sys-ward".parse().unwrap(),
        member: "H26.12".parse().unwrap(),
        node: "population".parse().unwrap(),
        method: "/vn.population.v1.PopulationService/VerifyPerson".into(),
        effect: Effect::Query,
        agreement: "population-for-communes".parse().unwrap(),
        purpose: "residence".parse().unwrap(),
        dossier: Some("000.00.26.H26-261121-0001".into()),
        procedure: Some("1.004222".into()),
        revision: RevisionId(1_795_000_000),
        source: "192.0.2.7".parse().unwrap(),
        shadow_node: None,
        subject: None,
        fields: Vec::new(),
    }
}

fn refused() -> Refused {
    Refused {
        exchange: ExchangeId::from_bytes([8; 16]),
        time: TIME,
        reason: Reason::AgreementMissing,
        certificate: Some(CertificateDigest([1; 32])),
        system: Some("sys-ward".parse().unwrap()),
        member: Some("H26.12".parse().unwrap()),
        method: Some("/vn.population.v1.PopulationService/LookUpPerson".into()),
        agreement: None,
        purpose: Some("residence".parse().unwrap()),
        dossier: None,
        procedure: None,
        revision: RevisionId(1_795_000_000),
        source: "2001:db8::1".parse().unwrap(),
        suppressed: 4,
    }
}

fn finished() -> Finished {
    let traffic = Traffic { messages: 1, bytes: 105, digest: [3; 32] };
    Finished {
        exchange: ExchangeId::from_bytes([7; 16]),
        admitted: 41,
        time: TIME,
        code: Code::Ok,
        reason: Some(Reason::Cancelled),
        request: traffic,
        response: Traffic { messages: 0, ..traffic },
        request_masked: None,
        response_masked: None,
    }
}

/// Entries by name, in the order in which they were added.
fn entries() -> Vec<(&'static str, Entry)> {
    let opened = Opened { time: TIME, version: "0.1.0".into(), discarded_bytes: 512 };
    let shadow_node = Some("population-new".parse().unwrap());
    let subject = Some(Subject { pseudonym: Pseudonym([9; 16]), period: "2026".parse().unwrap() });
    let fields = ["citizen.full_name", "citizen.birth_date"].map(Box::from).to_vec();
    let operator =
        Operator { certificate: CertificateDigest([2; 32]), name: Some("operator".into()) };
    let read = LedgerRead {
        time: TIME,
        operator: operator.clone(),
        reading: Reading::Subject,
        criteria: "subject=2026:09090909090909090909090909090909".into(),
        why: "request of the person, 17/2026".into(),
        results: 3,
    };
    let revision = RevisionId(1_795_000_000);
    let Finished { exchange, admitted: of, time, request, response, .. } = finished();
    let masked = Masked { mask: [6; 32], withheld: 300, fields: vec![1, 2, 700] };
    let response_masked = Some(masked);
    let pseudonyms = vec![Pseudonym([8; 16]), Pseudonym([9; 16])];
    let period = "2026".parse().unwrap();
    let concerned = Concerned { exchange, admitted: of, time, period, pseudonyms };
    let passed = Passed { exchange, admitted: of, time, request, response };
    let acts = LedgerRead { reading: Reading::Acts, ..read.clone() };
    let export = LedgerRead { reading: Reading::Export, ..read.clone() };
    let removed = SegmentRemoved {
        time: TIME,
        operator: operator.clone(),
        segment: 7,
        first: 1000,
        count: 20,
        root_hash: [5; 32],
        keep_until: Timestamp::from_secs(1_794_000_000),
        why: "term over, order 12/2036".into(),
    };
    let action = AdminAction { time: TIME, operator, action: Action::Apply, revision };
    vec![
        ("opened", Entry::Opened(opened)),
        ("admitted", Entry::Admitted(admitted())),
        ("admitted with a shadow", Entry::Admitted(Admitted { shadow_node, ..admitted() })),
        ("refused", Entry::Refused(refused())),
        ("finished", Entry::Finished(finished())),
        ("admitted with a subject", Entry::Admitted(Admitted { subject, ..admitted() })),
        ("admitted with fields", Entry::Admitted(Admitted { fields, ..admitted() })),
        ("ledger read", Entry::LedgerRead(read)),
        ("admin action", Entry::AdminAction(action)),
        ("passed", Entry::Passed(passed)),
        ("finished with a mask", Entry::Finished(Finished { response_masked, ..finished() })),
        ("concerned", Entry::Concerned(concerned)),
        ("acts of operators read", Entry::LedgerRead(acts)),
        ("entries exported", Entry::LedgerRead(export)),
        ("segment removed", Entry::SegmentRemoved(removed)),
    ]
}

#[test]
fn entries_are_encoded_as_they_always_were() {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let line = |(name, entry): &(&str, Entry)| format!("{name}: {}\n", hex(&encode_entry(entry)));
    let lines: String = entries().iter().map(line).collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/entries.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &lines).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), lines);
}

#[test]
fn entries_come_back() {
    for (name, entry) in entries() {
        assert_eq!(decode_entry(&encode_entry(&entry)), Ok(entry), "{name}");
    }
}
