//! A small ledger with a fixed key, and changes of it made from bytes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use audit::{Durable, Keys, Log, Options, SEGMENT_BYTES_MIN, Sealing};
use tlog::{Origin, Signer};

const PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n\
    -----END PRIVATE KEY-----\n";
/// Entries of a ledger with a few segments.
pub const ENTRIES: u64 = 120;

pub fn signer() -> Arc<Signer> {
    let origin: Origin = "ledger.example.vn".parse().unwrap();
    Arc::new(Signer::from_pkcs8_pem(PEM, origin).unwrap())
}

pub fn options(folder: &Path) -> Options {
    let signer = signer();
    let mut options = Options::new(folder.into(), signer.origin().clone(), signer);
    options.segment_bytes = SEGMENT_BYTES_MIN;
    options
}

pub fn entry(number: u64) -> Vec<u8> {
    let mut entry = format!("entry {number} ").into_bytes();
    entry.resize(20 + (number * 997 % 6000) as usize, b'a' + (number % 26) as u8);
    entry
}

/// Writes the ledger, and seals its first segments or not; returns what was said of the entries.
pub fn write(folder: &Path, seals: bool) -> Vec<Durable> {
    let mut options = options(folder);
    if seals {
        // Not encrypted, so that changes reach what reads a sealed segment.
        options.sealing = Some(Sealing::new(Keys::default(), None));
    }
    let (log, _) = Log::open(options).unwrap();
    let mut durable = Vec::new();
    for first in (0..ENTRIES).step_by(4) {
        let tickets: Vec<_> =
            (first..first + 4).map(|number| log.append(&entry(number)).unwrap()).collect();
        durable.extend(tickets.iter().map(|ticket| ticket.wait().unwrap()));
    }
    let raw = folder.join("segment-0000000000.log");
    while seals && raw.exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    log.close().unwrap();
    durable
}
