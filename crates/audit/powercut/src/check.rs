//! What survived a cut, held against what was acknowledged.

use std::collections::BTreeMap;
use std::path::Path;

use audit::{Log, verify};
use tlog::tree;

use crate::child::{self, Keeping, Record};

/// Entries appended to see that the ledger goes on.
const MORE: u64 = 20;

/// What is known of the ledger on one disk, over all its cuts.
pub(crate) struct Ledger {
    pub(crate) keeping: Keeping,
    durable: BTreeMap<u64, tree::Hash>,
    contradiction: Option<String>,
}

/// What a whole ledger had beside the acknowledged entries.
pub(crate) struct Found {
    pub(crate) unacknowledged: u64,
    pub(crate) discarded_bytes: u64,
    pub(crate) sealed_segments: u64,
}

impl Ledger {
    /// One that has no entries yet.
    pub(crate) fn new(keeping: Keeping) -> Self {
        Self { keeping, durable: BTreeMap::new(), contradiction: None }
    }

    /// Notes what a process reported.
    pub(crate) fn acknowledged(&mut self, records: &[Record]) {
        for record in records {
            match record {
                Record::Opened(entries) => {
                    if self.durable.range(entries..).next().is_some() {
                        let what = format!("a start found only {entries} entries");
                        self.contradiction.get_or_insert(what);
                    }
                }
                Record::Done => {}
                Record::Durable(index, hash) => {
                    if self.durable.insert(*index, *hash).is_some() {
                        let what = format!("index {index} was given out again");
                        self.contradiction.get_or_insert(what);
                    }
                }
            }
        }
    }
}

/// Opens the ledger as a start after the cut does; `Err` says what is wrong.
pub(crate) fn check(folder: &Path, ledger: &Ledger) -> Result<Found, String> {
    if let Some(what) = &ledger.contradiction {
        return Err(what.clone());
    }
    let options =
        child::options(folder.to_owned(), ledger.keeping).map_err(|error| error.to_string())?;
    let (key, source) = (options.signer.verifying_key(), options.source());
    let (log, recovered) =
        Log::open(options).map_err(|error| format!("it does not open: {error}"))?;
    for number in 0..MORE {
        let entry = format!("after the cut {number}").into_bytes();
        let told = log.append(&entry).map_err(|error| error.to_string())?;
        let durable = told.wait().map_err(|error| format!("it does not go on: {error}"))?;
        if durable.index() != recovered.entries + number {
            return Err(format!("it goes on at index {}", durable.index()));
        }
    }
    log.close().map_err(|error| format!("it does not close: {error}"))?;
    let mut matched = 0;
    let mut on_entry = |index: u64, entry: &[u8]| match ledger.durable.get(&index) {
        Some(hash) if *hash != tree::leaf_hash(entry) => Err("is not the entry".to_owned()),
        Some(_) => {
            matched += 1;
            Ok(())
        }
        None => Ok(()),
    };
    let verified = verify(&source, Some(&key), &mut on_entry, &mut |_, _| {})
        .map_err(|error| format!("it is not whole: {error}"))?;
    let acknowledged = ledger.durable.len() as u64;
    if matched != acknowledged {
        let lost = acknowledged - matched;
        return Err(format!("{lost} of {acknowledged} acknowledged entries are lost"));
    }
    if verified.checkpoint_size != verified.entries {
        return Err("the last checkpoint does not cover all".to_owned());
    }
    Ok(Found {
        unacknowledged: recovered.entries - acknowledged,
        discarded_bytes: recovered.discarded_bytes,
        sealed_segments: verified.sealed_segments,
    })
}
