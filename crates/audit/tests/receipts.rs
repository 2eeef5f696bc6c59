//! Receipts hold for what was appended, and for nothing else.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that fails may panic"
)]

mod common;

use audit::{Log, ReceiptError, verify_receipt};
use common::{entry, options, origin, signer};
use model::{Receipt, Timestamp};
use tlog::{Origin, Signer};

/// Receipts of one batch of many groups: the first append keeps the writer busy, the rest
/// gathers behind it.
fn receipts(count: u64) -> Vec<Receipt> {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(options(folder.path())).unwrap();
    let tickets: Vec<_> = (0..count).map(|n| log.append(&entry(n)).unwrap()).collect();
    let durable = tickets.iter().map(|ticket| ticket.wait().unwrap());
    (0..).zip(durable).map(|(n, durable)| durable.receipt(&entry(n))).collect()
}

#[test]
fn a_group_shares_a_signature() {
    let receipts = receipts(200);
    let key = signer().verifying_key();
    for receipt in &receipts {
        assert!(receipt.count <= 16 && receipt.path.len() <= 4);
        verify_receipt(receipt, &key).unwrap();
        let same = receipts.iter().filter(|other| other.signature == receipt.signature);
        assert_eq!(same.count(), receipt.count as usize);
    }
    assert!(receipts.iter().any(|receipt| receipt.count == 16));
}

#[test]
fn every_changed_byte_is_refused() {
    let key = signer().verifying_key();
    let good = receipts(60).into_iter().max_by_key(|receipt| receipt.path.len()).unwrap();
    verify_receipt(&good, &key).unwrap();
    let refused = |changed: Receipt| assert!(verify_receipt(&changed, &key).is_err());
    let with = |change: &dyn Fn(&mut Receipt)| {
        let mut receipt = good.clone();
        change(&mut receipt);
        refused(receipt);
    };
    for bit in 0..8 {
        (0..good.entry.len()).for_each(|at| with(&|r| r.entry[at] ^= 1 << bit));
        (0..good.path.len() * 16).for_each(|at| with(&|r| r.path[at / 16][at % 16] ^= 1 << bit));
        (0..32).for_each(|at| with(&|r| r.root_hash[at] ^= 1 << bit));
        (0..64).for_each(|at| with(&|r| r.signature[at] ^= 1 << bit));
    }
    for bit in 0..64 {
        with(&|r| r.index ^= 1 << bit);
        with(&|r| r.first ^= 1 << bit);
        with(&|r| r.tree_size ^= 1 << bit);
        with(&|r| r.time = Timestamp::from_micros(r.time.as_micros() ^ (1 << bit)));
    }
    for bit in 0..32 {
        with(&|r| r.count ^= 1 << bit);
        with(&|r| r.key_id ^= 1 << bit);
    }
    with(&|r| r.path.push([0; 16]));
    with(&|r| r.path.truncate(r.path.len() - 1));
    with(&|r| r.entry.push(0));
}

#[test]
fn another_ledger_of_the_same_name_is_refused() {
    let (other, _) = Signer::generate(origin()).unwrap();
    let receipt = receipts(1).pop().unwrap();
    let refusal = verify_receipt(&receipt, &other.verifying_key());
    assert!(matches!(refusal, Err(ReceiptError::Key { .. })));
}

#[test]
fn keys_are_read_as_they_are_written() {
    let (signer, pem) = Signer::generate(origin()).unwrap();
    let again = Signer::from_pkcs8_pem(&pem, origin()).unwrap();
    assert_eq!(again.key_id(), signer.key_id());
    let line = signer.verifying_key().to_string();
    assert_eq!(line.parse::<tlog::VerifyingKey>().unwrap(), signer.verifying_key());
    let shown = format!("{signer:?}");
    assert_eq!(shown, format!("Signer({line})"));
    for bad in ["", "a b", "a+b", "tab\there", "line\nbreak", &"x".repeat(256)] {
        assert!(bad.parse::<Origin>().is_err(), "{bad:?}");
    }
    for bad in ["", "name", "name+00000000", "name+0000000g+AQ==", &line.replacen("+", "x+", 1)] {
        assert!(bad.parse::<tlog::VerifyingKey>().is_err(), "{bad:?}");
    }
}
