//! The Merkle tree of RFC 6962 and RFC 9162: hashes, frontier, root, inclusion paths.
//!
//! ```
//! use tlog::tree;
//!
//! let leaves: Vec<_> = [b"a", b"b", b"c"].iter().map(|e| tree::leaf_hash(*e)).collect();
//! let path = tree::inclusion_path(&leaves, 2).ok_or("no such leaf")?;
//! let root = tree::root(&leaves);
//! assert_eq!(tree::root_from_path(&tree::leaf_hash(b"c"), 2, 3, &path), Some(root));
//! # Ok::<(), &str>(())
//! ```

use sha2::{Digest, Sha256};

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// A tree of at most 2^64 - 1 leaves has at most this many perfect subtrees.
pub const FRONTIER_HASHES_MAX: usize = 64;

/// Hash of an entry: SHA-256(0x00 || entry).
pub fn leaf_hash(entry: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(entry).finalize().into()
}

/// Hash of an inner node: SHA-256(0x01 || left || right).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// Root hash of the tree without leaves: SHA-256 of nothing.
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// Root hash over these leaf hashes.
pub fn root(leaves: &[Hash]) -> Hash {
    Nodes::over(leaves).root()
}

/// The hashes that lead from a leaf to the root over `leaves`, from the leaf upwards.
pub fn inclusion_path(leaves: &[Hash], index: usize) -> Option<Vec<Hash>> {
    (index < leaves.len()).then(|| Nodes::over(leaves).path(index))
}

/// The root that a path leads to, or `None` if it has the wrong length for this index and size.
///
/// As in RFC 9162, section 2.1.3.2.
pub fn root_from_path(leaf: &Hash, index: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    root_from_path_by(node_hash, leaf, index, size, path)
}

/// As [`root_from_path`], in a tree of the same shape whose nodes `join` makes of their children.
pub fn root_from_path_by<H: Copy>(
    join: impl Fn(&H, &H) -> H,
    leaf: &H,
    index: u64,
    size: u64,
    path: &[H],
) -> Option<H> {
    let mut position = index;
    let mut last = size.checked_sub(1).filter(|last| index <= *last)?;
    let mut hash = *leaf;
    for sibling in path {
        if last == 0 {
            return None;
        }
        if position & 1 == 1 || position == last {
            hash = join(sibling, &hash);
            while position & 1 == 0 && position != 0 {
                position >>= 1;
                last >>= 1;
            }
        } else {
            hash = join(&hash, sibling);
        }
        position >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(hash)
}

/// Every node over some leaves, so that many paths cost one hashing.
///
/// A node without a right neighbour moves up unchanged, which gives the tree of RFC 6962.
#[derive(Clone, Debug)]
pub struct Nodes<H = Hash> {
    /// Leaves first; the last level holds the root. Empty without leaves.
    levels: Vec<Vec<H>>,
}

impl Nodes {
    /// Hashes all levels.
    pub fn over(leaves: &[Hash]) -> Self {
        Self::over_by(node_hash, leaves.to_vec())
    }

    /// The root hash.
    pub fn root(&self) -> Hash {
        self.top().unwrap_or_else(empty_root)
    }

    /// The root of the perfect subtree over the leaves from `index << level` to
    /// `(index + 1) << level`, if it lies within the tree.
    pub fn perfect(&self, level: u8, index: u64) -> Option<Hash> {
        let leaves = self.levels.first()?.len() as u64;
        let end = index.checked_add(1)?.checked_mul(1u64.checked_shl(level.into())?)?;
        let nodes = self.levels.get(usize::from(level)).filter(|_| end <= leaves)?;
        nodes.get(usize::try_from(index).ok()?).copied()
    }
}

impl<H: Copy> Nodes<H> {
    /// A tree of the same shape whose nodes `join` makes of their children.
    pub fn over_by(join: impl Fn(&H, &H) -> H, leaves: Vec<H>) -> Self {
        let mut levels = Vec::new();
        let mut level = leaves;
        while level.len() > 1 {
            let (pairs, alone) = level.as_chunks::<2>();
            let parents = pairs.iter().map(|[left, right]| join(left, right));
            let above = parents.chain(alone.iter().copied()).collect();
            levels.push(std::mem::replace(&mut level, above));
        }
        levels.push(level);
        Self { levels }
    }

    /// The node above all others, if there are leaves.
    pub fn top(&self) -> Option<H> {
        self.levels.last().and_then(|level| level.first()).copied()
    }

    /// The hashes that lead from a leaf to the root, from the leaf upwards.
    pub fn path(&self, index: usize) -> Vec<H> {
        let sibling = |(height, level): (usize, &Vec<H>)| {
            level.get((index.unbounded_shr(height as u32)) ^ 1).copied()
        };
        let below_root = self.levels.len().saturating_sub(1);
        self.levels.iter().take(below_root).enumerate().filter_map(sibling).collect()
    }
}

/// The roots of the perfect subtrees of a growing tree, largest first: all that is needed to go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    // INVARIANT: one hash for each bit set in `size`.
    hashes: Vec<Hash>,
}

impl Frontier {
    /// The frontier of the empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// A frontier as it was stored, or `None` if the number of hashes does not fit the size.
    pub fn from_parts(size: u64, hashes: Vec<Hash>) -> Option<Self> {
        (hashes.len() == size.count_ones() as usize).then_some(Self { size, hashes })
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The subtree roots, largest subtree first.
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// Adds a leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.hashes.pop() {
                hash = node_hash(&left, &hash);
            }
        }
        self.hashes.push(hash);
        self.size += 1;
    }

    /// The root hash.
    pub fn root(&self) -> Hash {
        let fold = |right: Hash, left: &Hash| node_hash(left, &right);
        match self.hashes.split_last() {
            Some((last, larger)) => larger.iter().rev().fold(*last, fold),
            None => empty_root(),
        }
    }
}
