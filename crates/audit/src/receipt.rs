//! Receipts: made when asked for, one signature for a group of entries; verified offline.
//!
//! The tree over a group has nodes of sixteen bytes, which halves the path that every receipt
//! carries. To make another entry fit a receipt takes 2^128 attempts all the same: two entries that
//! collide would have to be chosen beforehand, and entries hold ids that the gateway draws.

use std::fmt::Write;
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::{Receipt, Timestamp};
use sha2::{Digest, Sha256};
use thiserror::Error;

use tlog::sign::{Origin, Signer, VerifyingKey};
use tlog::tree::{self, Hash, Nodes};

/// Entries that share one signature, at most: four nodes in each receipt.
pub const GROUP_ENTRIES_MAX: usize = 16;

/// Why a receipt is not valid.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReceiptError {
    /// Signed with another key than the one given.
    #[error("receipt is signed with key `{found:08x}`, the key given is `{expected:08x}`")]
    Key {
        /// Key id in the receipt.
        found: u32,
        /// Key id of the key given.
        expected: u32,
    },
    /// The entry's index is not within its group.
    #[error("index {index} is outside its group of {count} from {first}")]
    Index {
        /// The entry's index.
        index: u64,
        /// First index of the group.
        first: u64,
        /// Entries in the group.
        count: u32,
    },
    /// The group lies beyond the end of the tree.
    #[error("group ends beyond the tree of {0} entries")]
    TreeSize(u64),
    /// The path has the wrong number of nodes.
    #[error("path has {0} nodes, which does not fit the group")]
    Path(usize),
    /// The signature does not hold for this content.
    #[error("signature does not match: entry, place or signature was changed")]
    Signature,
}

/// A node of the tree over a group.
type Node = [u8; 16];

/// The node of an entry: the first half of its leaf hash.
fn node_of(leaf: &Hash) -> Node {
    first_half(*leaf)
}

/// The node above two: the first half of SHA-256(0x01 || left || right).
fn join(left: &Node, right: &Node) -> Node {
    first_half(Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize())
}

fn first_half(hash: impl Into<Hash>) -> Node {
    let [first @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = hash.into();
    first
}

/// What one sync made durable, and all that receipts for it need.
#[derive(Debug)]
pub(crate) struct Commit {
    first: u64,
    tree_size: u64,
    root_hash: Hash,
    time: Timestamp,
    signer: Arc<Signer>,
    groups: Box<[Group]>,
}

#[derive(Debug)]
struct Group {
    first: u64,
    leaves: Box<[Hash]>,
    signed: OnceLock<Signed>,
}

#[derive(Debug)]
struct Signed {
    nodes: Nodes<Node>,
    signature: [u8; 64],
}

impl Commit {
    pub(crate) fn new(
        first: u64,
        leaves: &[Hash],
        root_hash: Hash,
        time: Timestamp,
        signer: Arc<Signer>,
    ) -> Self {
        let groups = leaves.chunks(GROUP_ENTRIES_MAX).zip((first..).step_by(GROUP_ENTRIES_MAX));
        let group = |(leaves, first): (&[Hash], u64)| Group {
            first,
            leaves: leaves.into(),
            signed: OnceLock::new(),
        };
        let tree_size = first + leaves.len() as u64;
        Self { first, tree_size, root_hash, time, signer, groups: groups.map(group).collect() }
    }

    /// The receipt of the entry at `index`, which must lie in this commit.
    pub(crate) fn receipt(&self, index: u64, entry: &[u8]) -> Receipt {
        let group = self.group(index);
        let place = (index - group.first) as usize;
        debug_assert_eq!(
            group.leaves.get(place),
            Some(&tree::leaf_hash(entry)),
            "a receipt must be asked for with the entry that was appended"
        );
        let signed = group.signed.get_or_init(|| self.sign(group));
        Receipt {
            entry: entry.to_vec(),
            index,
            first: group.first,
            count: group.leaves.len() as u32,
            path: signed.nodes.path(place),
            tree_size: self.tree_size,
            root_hash: self.root_hash,
            time: self.time,
            key_id: self.signer.key_id(),
            signature: signed.signature,
        }
    }

    #[expect(clippy::expect_used, reason = "indices come from tickets of this very batch")]
    fn group(&self, index: u64) -> &Group {
        let number = (index - self.first) as usize / GROUP_ENTRIES_MAX;
        self.groups.get(number).expect("index within the batch")
    }

    fn sign(&self, group: &Group) -> Signed {
        let nodes = Nodes::over_by(join, group.leaves.iter().map(node_of).collect());
        let statement = Statement {
            origin: self.signer.origin(),
            first: group.first,
            count: group.leaves.len() as u32,
            group: &nodes.top().unwrap_or_default(),
            tree_size: self.tree_size,
            root_hash: &self.root_hash,
            time: self.time,
        };
        Signed { signature: self.signer.sign(statement.text().as_bytes()), nodes }
    }
}

/// What a receipt's signature is over.
struct Statement<'a> {
    origin: &'a Origin,
    first: u64,
    count: u32,
    group: &'a Node,
    tree_size: u64,
    root_hash: &'a Hash,
    time: Timestamp,
}

impl Statement<'_> {
    fn text(&self) -> String {
        let mut text = String::from("giaolien/receipt/v2\n");
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{}\n{}\n{}\n{}\n{}\n{}\n{}",
            self.origin,
            self.first,
            self.count,
            STANDARD.encode(self.group),
            self.tree_size,
            STANDARD.encode(self.root_hash),
            self.time.as_micros(),
        );
        text
    }
}

/// Checks offline that the ledger with this key signed that the entry stands at its index.
pub fn verify_receipt(receipt: &Receipt, key: &VerifyingKey) -> Result<(), ReceiptError> {
    let Receipt { index, first, count, tree_size, .. } = *receipt;
    if receipt.key_id != key.key_id() {
        return Err(ReceiptError::Key { found: receipt.key_id, expected: key.key_id() });
    }
    let place = index
        .checked_sub(first)
        .filter(|place| *place < u64::from(count))
        .ok_or(ReceiptError::Index { index, first, count })?;
    if first.checked_add(u64::from(count)).is_none_or(|end| end > tree_size) {
        return Err(ReceiptError::TreeSize(tree_size));
    }
    let node = node_of(&tree::leaf_hash(&receipt.entry));
    let group = tree::root_from_path_by(join, &node, place, u64::from(count), &receipt.path)
        .ok_or(ReceiptError::Path(receipt.path.len()))?;
    let statement = Statement {
        origin: key.origin(),
        first,
        count,
        group: &group,
        tree_size,
        root_hash: &receipt.root_hash,
        time: receipt.time,
    };
    match key.verify(statement.text().as_bytes(), &receipt.signature) {
        true => Ok(()),
        false => Err(ReceiptError::Signature),
    }
}
