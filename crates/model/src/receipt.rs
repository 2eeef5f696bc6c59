//! What a caller takes away: an entry, and the ledger's signed word that it stands there.

use crate::Timestamp;

/// A receipt. Signed over the group of entries that became durable together, so that one
/// signature serves them all; the path leads from this entry to the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The entry, as it stands in the ledger.
    pub entry: Vec<u8>,
    /// Its index.
    pub index: u64,
    /// Index of the first entry of its group.
    pub first: u64,
    /// How many entries the group has.
    pub count: u32,
    /// Nodes beside the way from the entry up to the group.
    pub path: Vec<[u8; 16]>,
    /// Size of the tree once the group was durable.
    pub tree_size: u64,
    /// Root hash of that tree.
    pub root_hash: [u8; 32],
    /// When the group became durable.
    pub time: Timestamp,
    /// Id of the signing key, as in C2SP signed notes.
    pub key_id: u32,
    /// Ed25519 signature over the group's statement.
    pub signature: [u8; 64],
}
