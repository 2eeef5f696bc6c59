//! The tree against a slow, obvious model: the definition of RFC 6962, written down.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that fails may panic"
)]

use proptest::prelude::*;
use tlog::Hash;
use tlog::tree::{self, Frontier, Nodes};

/// The largest power of two below `size`.
fn split(size: usize) -> usize {
    (1..size).rev().find(|k| k.is_power_of_two()).unwrap()
}

fn slow_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => tree::empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            tree::node_hash(&slow_root(left), &slow_root(right))
        }
    }
}

fn slow_path(leaves: &[Hash], index: usize) -> Vec<Hash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let k = split(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut path, sibling) = match index < k {
        true => (slow_path(left, index), slow_root(right)),
        false => (slow_path(right, index - k), slow_root(left)),
    };
    path.push(sibling);
    path
}

fn leaves(count: usize) -> Vec<Hash> {
    (0..count).map(|n| tree::leaf_hash(&n.to_le_bytes())).collect()
}

#[test]
fn all_small_trees() {
    let mut frontier = Frontier::new();
    for size in 0..70 {
        let leaves = leaves(size);
        let root = slow_root(&leaves);
        assert_eq!(tree::root(&leaves), root);
        assert_eq!((frontier.size(), frontier.root()), (size as u64, root));
        let stored = Frontier::from_parts(frontier.size(), frontier.hashes().to_vec());
        assert_eq!(stored.as_ref(), Some(&frontier));
        for index in 0..size {
            let path = tree::inclusion_path(&leaves, index).unwrap();
            assert_eq!(path, slow_path(&leaves, index));
            // A path leads to the root from its own place and from no other.
            for place in 0..size as u64 + 2 {
                let led = tree::root_from_path(&leaves[index], place, size as u64, &path);
                assert_eq!(led == Some(root), place == index as u64);
            }
        }
        assert_eq!(tree::inclusion_path(&leaves, size), None);
        frontier.push(tree::leaf_hash(&size.to_le_bytes()));
    }
}

proptest! {
    #[test]
    fn larger_trees(size in 1usize..2000, at in any::<prop::sample::Index>(), bit in 0usize..256) {
        let leaves = leaves(size);
        let index = at.index(size);
        let nodes = Nodes::over(&leaves);
        let path = nodes.path(index);
        prop_assert_eq!(nodes.root(), slow_root(&leaves));
        prop_assert_eq!(&path, &slow_path(&leaves, index));
        let place = (index as u64, size as u64);
        let led = tree::root_from_path(&leaves[index], place.0, place.1, &path);
        prop_assert_eq!(led, Some(nodes.root()));
        let mut other = leaves[index];
        other[bit / 8] ^= 1 << (bit % 8);
        prop_assert_ne!(tree::root_from_path(&other, place.0, place.1, &path), Some(nodes.root()));
    }
}

/// Known values of the test vectors of RFC 6962 implementations.
#[test]
fn known_roots() {
    let hex = |hash: Hash| hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(hex(tree::empty_root()), empty);
    let leaf = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
    assert_eq!(hex(tree::leaf_hash(b"")), leaf);
}
