//! A ledger with a fixed key and a fixed clock, in a folder of its own.
#![allow(dead_code, reason = "each test file uses a part")]

use std::path::Path;
use std::sync::Arc;

use audit::{Log, Options, SEGMENT_BYTES_MIN};
use model::{Clock, Timestamp};
use tlog::{Origin, Signer};

pub(crate) const PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n\
    -----END PRIVATE KEY-----\n";

pub(crate) struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_795_000_000)
    }
}

pub(crate) fn origin() -> Origin {
    "ledger.example.vn/2026".parse().unwrap()
}

pub(crate) fn signer() -> Arc<Signer> {
    Arc::new(Signer::from_pkcs8_pem(PEM, origin()).unwrap())
}

pub(crate) fn options(folder: &Path) -> Options {
    let mut options = Options::new(folder.to_owned(), origin(), signer());
    options.clock = Arc::new(StoppedClock);
    options.segment_bytes = SEGMENT_BYTES_MIN;
    options
}

/// An entry that tells its number, of a length that varies.
pub(crate) fn entry(number: u64) -> Vec<u8> {
    let mut entry = format!("entry {number} ").into_bytes();
    entry.resize(entry.len() + (number * 37 % 300) as usize, b'a' + (number % 26) as u8);
    entry
}

/// Appends entries one after the other, each in a batch of its own.
pub(crate) fn append(log: &Log, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let ticket = log.append(&entry(number)).unwrap();
        assert_eq!(ticket.index(), number);
        assert_eq!(ticket.wait().unwrap().index(), number);
    }
}
