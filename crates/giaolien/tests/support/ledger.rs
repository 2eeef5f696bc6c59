//! A ledger folder read back, as an auditor does, and asked about single calls.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use audit::{Verified, VerifyError, verify_folder};
use model::{Effect, Entry, Receipt};
use tlog::VerifyingKey;

use super::Taken;

/// The entries of a ledger that is whole.
pub struct Ledger {
    pub verified: Verified,
    pub entries: Vec<Entry>,
    bytes: Vec<Vec<u8>>,
    admitted: HashMap<String, usize>,
}

impl Ledger {
    /// Reads and verifies a folder; a gateway may be writing it.
    pub fn read(folder: &Path, key: &VerifyingKey) -> Result<Self, VerifyError> {
        let (mut entries, mut bytes) = (Vec::new(), Vec::new());
        let mut take = |_: u64, entry: &[u8]| {
            entries.push(wire::evidence::decode_entry(entry).map_err(|error| error.to_string())?);
            bytes.push(entry.to_vec());
            Ok(())
        };
        let verified = verify_folder(folder, Some(key), &mut take, &mut |_, _| {})?;
        let mut admitted = HashMap::new();
        for (index, entry) in entries.iter().enumerate() {
            if let Entry::Admitted(call) = entry {
                let before = admitted.insert(call.exchange.to_string(), index);
                assert_eq!(before, None, "{} was admitted twice", call.exchange);
            }
        }
        Ok(Self { verified, entries, bytes, admitted })
    }

    /// Checks that what a caller took away is the admission of its call.
    pub fn check(&self, taken: &Taken) {
        self.check_receipt(&taken.receipt);
        let admitted = self.admitted.get(&taken.exchange).copied();
        assert_eq!(admitted, usize::try_from(taken.receipt.index).ok(), "{}", taken.exchange);
    }

    /// Checks that the entry in a receipt stands in the ledger at the place it says.
    pub fn check_receipt(&self, receipt: &Receipt) {
        let stands = self.bytes.get(usize::try_from(receipt.index).unwrap());
        assert_eq!(stands, Some(&receipt.entry), "entry {} is another", receipt.index);
    }

    /// Whether a call was admitted as an update.
    pub fn admitted_update(&self, exchange: &str) -> bool {
        let entry = self.admitted.get(exchange).map(|index| &self.entries[*index]);
        matches!(entry, Some(Entry::Admitted(call)) if call.effect == Effect::Update)
    }

    /// Checks that every call has one end at most: a refusal and nothing else, or what names its
    /// own admission.
    pub fn check_ends(&self) {
        let mut ended = HashSet::new();
        for entry in &self.entries {
            let (exchange, admitted) = match entry {
                Entry::Finished(call) => (call.exchange, usize::try_from(call.admitted).ok()),
                Entry::Refused(call) => (call.exchange, None),
                _ => continue,
            };
            let own = self.admitted.get(&exchange.to_string()).copied();
            assert_eq!(admitted, own, "the admission of {exchange}");
            assert!(ended.insert(exchange), "{exchange} ended twice");
        }
    }

    /// Whether a call was admitted.
    pub fn is_admitted(&self, exchange: &str) -> bool {
        self.admitted.contains_key(exchange)
    }

    /// Whether a call was refused.
    pub fn refused(&self, exchange: &str) -> bool {
        let refused = |entry: &Entry| matches!(entry, Entry::Refused(call) if call.exchange.to_string() == exchange);
        self.entries.iter().any(refused)
    }

    /// How many entries are of a kind.
    pub fn count(&self, kind: impl Fn(&Entry) -> bool) -> usize {
        self.entries.iter().filter(|entry| kind(entry)).count()
    }
}
