//! Inclusion and consistency proofs of RFC 9162, sections 2.1.3 and 2.1.4: made from the nodes of
//! a tree wherever these are kept, and verified.
//!
//! ```
//! use tlog::proof::{self, Head};
//! use tlog::tree::{self, Nodes};
//!
//! let leaves: Vec<_> = (0..7u8).map(|n| tree::leaf_hash(&[n])).collect();
//! let mut nodes = Nodes::over(&leaves);
//! let new = Head { size: 7, root_hash: tree::root(&leaves) };
//! let old = Head { size: 3, root_hash: tree::root(&leaves[..3]) };
//!
//! let path = proof::consistency(&mut nodes, old.size, new.size)?;
//! proof::verify_consistency(&old, &new, &path)?;
//! let path = proof::inclusion(&mut nodes, 5, 7)?;
//! proof::verify_inclusion(&leaves[5], 5, &new, &path)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::convert::Infallible;

use thiserror::Error;

use crate::tree::{self, Hash, Nodes};

/// The most hashes that a proof of a tree of at most 2^64 - 1 leaves can have.
pub const PATH_HASHES_MAX: usize = 65;

/// Size and root hash of a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Number of leaves.
    pub size: u64,
    /// Root hash over them.
    pub root_hash: Hash,
}

/// Where the nodes of a tree come from.
pub trait NodeSource {
    /// Why a node could not be had.
    type Error;

    /// The root of the perfect subtree over the leaves from `index << level` to
    /// `(index + 1) << level`. Only asked for subtrees that lie within the tree whole.
    fn node(&mut self, level: u8, index: u64) -> Result<Hash, Self::Error>;
}

impl NodeSource for Nodes {
    type Error = Infallible;

    fn node(&mut self, level: u8, index: u64) -> Result<Hash, Infallible> {
        Ok(self.perfect(level, index).unwrap_or_else(tree::empty_root))
    }
}

/// Why a proof could not be made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProofError<E> {
    /// The tree of this size has no such leaf.
    #[error("tree of {size} leaves has no leaf {index}")]
    NoLeaf {
        /// The leaf asked for.
        index: u64,
        /// The size asked for.
        size: u64,
    },
    /// The old tree is larger than the new one.
    #[error("tree of {new} leaves does not extend one of {old}")]
    Shrinks {
        /// The old size.
        old: u64,
        /// The new size.
        new: u64,
    },
    /// A node could not be had.
    #[error(transparent)]
    Node(E),
}

/// Why a proof does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MismatchError {
    /// The path has the wrong number of hashes.
    #[error("proof has {0} hashes, which does not fit these sizes")]
    Length(usize),
    /// The old tree is larger than the new one.
    #[error("tree of {new} leaves does not extend one of {old}")]
    Shrinks {
        /// The old size.
        old: u64,
        /// The new size.
        new: u64,
    },
    /// The path leads to another root than the tree's.
    #[error("proof does not lead to the root hash of the tree of {0} leaves")]
    Root(u64),
}

/// The root hash of the first `size` leaves.
pub fn root<S: NodeSource>(source: &mut S, size: u64) -> Result<Hash, S::Error> {
    match size {
        0 => Ok(tree::empty_root()),
        _ => range(source, 0, size),
    }
}

/// The hashes that lead from leaf `index` to the root over the first `size` leaves, from the leaf
/// upwards.
pub fn inclusion<S: NodeSource>(
    source: &mut S,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, ProofError<S::Error>> {
    if index >= size {
        return Err(ProofError::NoLeaf { index, size });
    }
    let (mut from, mut to) = (0, size);
    let mut path = Vec::new();
    while to - from > 1 {
        let middle = from + split(to - from);
        let sibling = match index < middle {
            true => range(source, middle, std::mem::replace(&mut to, middle)),
            false => range(source, std::mem::replace(&mut from, middle), middle),
        };
        path.push(sibling.map_err(ProofError::Node)?);
    }
    path.reverse();
    Ok(path)
}

/// The hashes that show that the tree of `new` leaves begins with the one of `old` leaves. Empty
/// if the sizes are equal or the old one is 0.
pub fn consistency<S: NodeSource>(
    source: &mut S,
    old: u64,
    new: u64,
) -> Result<Vec<Hash>, ProofError<S::Error>> {
    if old > new {
        return Err(ProofError::Shrinks { old, new });
    }
    let mut path = Vec::new();
    if old == 0 {
        return Ok(path);
    }
    // The part of the new tree in which the old one ends.
    let (mut from, mut to) = (0, new);
    while to != old {
        let middle = from + split(to - from);
        let sibling = match old <= middle {
            true => range(source, middle, std::mem::replace(&mut to, middle)),
            false => range(source, std::mem::replace(&mut from, middle), middle),
        };
        path.push(sibling.map_err(ProofError::Node)?);
    }
    // The verifier knows the root of the whole old tree.
    if from > 0 {
        path.push(range(source, from, to).map_err(ProofError::Node)?);
    }
    path.reverse();
    Ok(path)
}

/// Checks that the leaf stands at its index in the tree.
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    head: &Head,
    path: &[Hash],
) -> Result<(), MismatchError> {
    match tree::root_from_path(leaf, index, head.size, path) {
        Some(root) if root == head.root_hash => Ok(()),
        Some(_) => Err(MismatchError::Root(head.size)),
        None => Err(MismatchError::Length(path.len())),
    }
}

/// Checks that the new tree begins with the old one, as in RFC 9162, section 2.1.4.2. Every tree
/// begins with the empty one.
pub fn verify_consistency(old: &Head, new: &Head, path: &[Hash]) -> Result<(), MismatchError> {
    let length = MismatchError::Length(path.len());
    if old.size > new.size {
        return Err(MismatchError::Shrinks { old: old.size, new: new.size });
    }
    if old.size == new.size || old.size == 0 {
        let expected = if old.size == 0 { tree::empty_root() } else { new.root_hash };
        return match path.is_empty() {
            false => Err(length),
            true if old.root_hash != expected => Err(MismatchError::Root(old.size)),
            true if new.size == 0 && new.root_hash != expected => Err(MismatchError::Root(0)),
            true => Ok(()),
        };
    }
    // An old tree that is perfect is a node of the new one, which the path then leaves out.
    let (first, rest) = match old.size.is_power_of_two() {
        true => (&old.root_hash, path),
        false => path.split_first().ok_or(length.clone())?,
    };
    let mut position = old.size - 1;
    let mut last = new.size - 1;
    let skipped = position.trailing_ones();
    position = position.unbounded_shr(skipped);
    last = last.unbounded_shr(skipped);
    let (mut old_root, mut new_root) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return Err(length);
        }
        if position & 1 == 1 || position == last {
            old_root = tree::node_hash(sibling, &old_root);
            new_root = tree::node_hash(sibling, &new_root);
            while position & 1 == 0 && position != 0 {
                position >>= 1;
                last >>= 1;
            }
        } else {
            new_root = tree::node_hash(&new_root, sibling);
        }
        position >>= 1;
        last >>= 1;
    }
    match last {
        0 if old_root != old.root_hash => Err(MismatchError::Root(old.size)),
        0 if new_root != new.root_hash => Err(MismatchError::Root(new.size)),
        0 => Ok(()),
        _ => Err(length),
    }
}

/// The largest power of two below `count`, which is at least 2.
fn split(count: u64) -> u64 {
    1 << (count - 1).ilog2()
}

/// The hash over the leaves from `from` to `to`, where `from` is a multiple of the largest power
/// of two in `to - from`: every part of a proof is.
fn range<S: NodeSource>(source: &mut S, from: u64, to: u64) -> Result<Hash, S::Error> {
    let mut start = from;
    let mut perfect = Vec::new();
    while start < to {
        let level = (to - start).ilog2();
        perfect.push(source.node(level as u8, start >> level)?);
        start += 1 << level;
    }
    let hash = perfect.into_iter().rev().reduce(|right, left| tree::node_hash(&left, &right));
    Ok(hash.unwrap_or_else(tree::empty_root))
}
