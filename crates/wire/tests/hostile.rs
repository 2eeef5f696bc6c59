//! Bytes that nobody here wrote: whatever they are, they are read or refused, never worse.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use model::{Code, Entry, ExchangeId, Finished, Receipt, Timestamp, Traffic};
use proptest::prelude::*;
use wire::certificate;
use wire::evidence::{decode_entry, decode_receipt, encode_entry, encode_receipt};
use wire::health::HealthCheckRequest;

fn finished(index: u64, digest: [u8; 32]) -> Vec<u8> {
    let traffic = Traffic { messages: index, bytes: index, digest };
    encode_entry(&Entry::Finished(Finished {
        exchange: ExchangeId::from_bytes([7; 16]),
        admitted: index,
        time: Timestamp::from_micros(index),
        code: Code::Ok,
        reason: None,
        request: traffic,
        response: traffic,
    }))
}

fn receipt(index: u64, path: Vec<[u8; 16]>) -> Vec<u8> {
    encode_receipt(&Receipt {
        entry: finished(index, [1; 32]),
        index,
        first: index / 16 * 16,
        count: 16,
        path,
        tree_size: index.saturating_add(1),
        root_hash: [2; 32],
        time: Timestamp::from_micros(index),
        key_id: 7,
        signature: [3; 64],
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        if let Ok(entry) = decode_entry(&bytes) {
            prop_assert_eq!(encode_entry(&entry), bytes.clone());
        }
        if let Ok(receipt) = decode_receipt(&bytes) {
            prop_assert_eq!(encode_receipt(&receipt), bytes.clone());
        }
        drop(certificate::parse(&bytes));
        drop(certificate::parse_revocation_list(&bytes));
        drop(HealthCheckRequest::from_frame(&bytes));
    }

    #[test]
    fn a_changed_byte_never_reads_as_the_same_entry(
        index in any::<u64>(),
        digest in any::<[u8; 32]>(),
        at in any::<prop::sample::Index>(),
        flip in 1..=255_u8,
    ) {
        let bytes = finished(index, digest);
        let mut changed = bytes.clone();
        changed[at.index(bytes.len())] ^= flip;
        prop_assert_ne!(decode_entry(&changed).ok(), decode_entry(&bytes).ok());
    }

    #[test]
    fn a_changed_byte_never_reads_as_the_same_receipt(
        index in any::<u64>(),
        path in proptest::collection::vec(any::<[u8; 16]>(), 0..5),
        at in any::<prop::sample::Index>(),
        flip in 1..=255_u8,
    ) {
        let bytes = receipt(index, path);
        let mut changed = bytes.clone();
        changed[at.index(bytes.len())] ^= flip;
        prop_assert_ne!(decode_receipt(&changed).ok(), decode_receipt(&bytes).ok());
    }

    #[test]
    fn a_certificate_with_a_changed_byte_is_read_or_refused(
        at in any::<prop::sample::Index>(),
        flip in 1..=255_u8,
    ) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["x".to_owned()]).unwrap();
        let mut der = params.self_signed(&key).unwrap().der().to_vec();
        let at = at.index(der.len());
        der[at] ^= flip;
        drop(certificate::parse(&der));
    }
}
