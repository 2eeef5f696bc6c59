//! Proofs against the definitions of RFC 6962, section 2.1, written down as they stand there, and
//! against the crate `ct-merkle`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that fails may panic"
)]

use ct_merkle::RootHash;
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use proptest::prelude::*;
use sha2::Sha256;
use tlog::proof::{self, MismatchError, PATH_HASHES_MAX, ProofError};
use tlog::tree::{self, Nodes};
use tlog::{Hash, Head};

fn leaves(count: usize) -> Vec<Hash> {
    (0..count).map(|n| tree::leaf_hash(&n.to_le_bytes())).collect()
}

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

/// PATH(m, D[n]).
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

/// SUBPROOF(m, D[n], b).
fn slow_subproof(old: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
    if old == leaves.len() {
        return if whole { Vec::new() } else { vec![slow_root(leaves)] };
    }
    let k = split(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut path, sibling) = match old <= k {
        true => (slow_subproof(old, left, whole), slow_root(right)),
        false => (slow_subproof(old - k, right, false), slow_root(left)),
    };
    path.push(sibling);
    path
}

fn head(leaves: &[Hash], size: usize) -> Head {
    Head { size: size as u64, root_hash: slow_root(&leaves[..size]) }
}

#[test]
fn all_proofs_of_small_trees() {
    let leaves = leaves(40);
    let mut nodes = Nodes::over(&leaves);
    for size in 0..=40 {
        let new = head(&leaves, size);
        assert_eq!(proof::root(&mut nodes, new.size), Ok(new.root_hash));
        for index in 0..size {
            let path = proof::inclusion(&mut nodes, index as u64, new.size).unwrap();
            assert_eq!(path, slow_path(&leaves[..size], index));
            for (place, leaf) in leaves.iter().take(size).enumerate() {
                let holds = proof::verify_inclusion(leaf, index as u64, &new, &path);
                assert_eq!(holds.is_ok(), place == index);
            }
        }
        for before in 0..=size {
            let old = head(&leaves, before);
            let path = proof::consistency(&mut nodes, old.size, new.size).unwrap();
            if before > 0 {
                assert_eq!(path, slow_subproof(before, &leaves[..size], true));
            }
            assert_eq!(proof::verify_consistency(&old, &new, &path), Ok(()));
        }
        let too_large = ProofError::NoLeaf { index: new.size, size: new.size };
        assert_eq!(proof::inclusion(&mut nodes, new.size, new.size), Err(too_large));
        let shrinks = ProofError::Shrinks { old: new.size + 1, new: new.size };
        assert_eq!(proof::consistency(&mut nodes, new.size + 1, new.size), Err(shrinks));
    }
}

#[test]
fn ct_merkle_makes_and_takes_the_same_proofs() {
    let mut theirs = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    let mut roots: Vec<RootHash<Sha256>> = vec![theirs.root()];
    for size in 1..=130usize {
        theirs.push((size - 1).to_le_bytes().to_vec());
        roots.push(theirs.root());
        let leaves = leaves(size);
        let mut nodes = Nodes::over(&leaves);
        for old in 1..size {
            let ours = proof::consistency(&mut nodes, old as u64, size as u64).unwrap();
            assert_eq!(theirs.prove_consistency(size - old).as_bytes(), ours.concat());
            let ours = ct_merkle::ConsistencyProof::try_from_bytes(ours.concat()).unwrap();
            roots[size].verify_consistency(&roots[old], &ours).unwrap();
        }
        for index in 0..size {
            let ours = proof::inclusion(&mut nodes, index as u64, size as u64).unwrap();
            let ours = ct_merkle::InclusionProof::try_from_bytes(ours.concat()).unwrap();
            let entry = index.to_le_bytes().to_vec();
            roots[size].verify_inclusion(&entry, index as u64, &ours).unwrap();
        }
    }
}

proptest! {
    #[test]
    fn larger_trees(
        size in 1usize..3000,
        at in any::<prop::sample::Index>(),
        change in any::<(prop::sample::Index, u8)>(),
        length in 0usize..40,
    ) {
        let leaves = leaves(size);
        let mut nodes = Nodes::over(&leaves);
        let old = head(&leaves, at.index(size) + 1);
        let new = head(&leaves, size);
        let path = proof::consistency(&mut nodes, old.size, new.size).unwrap();
        prop_assert_eq!(&path, &slow_subproof(at.index(size) + 1, &leaves, true));
        prop_assert!(path.len() <= PATH_HASHES_MAX);
        prop_assert_eq!(proof::verify_consistency(&old, &new, &path), Ok(()));
        // Any hash changed, and any other length, is found.
        if !path.is_empty() && change.1 != 0 {
            let mut changed = path.clone();
            changed[change.0.index(path.len())][0] ^= change.1;
            prop_assert!(proof::verify_consistency(&old, &new, &changed).is_err());
        }
        if length != path.len() {
            let mut other = path.clone();
            other.resize(length, [7; 32]);
            let wrong = proof::verify_consistency(&old, &new, &other);
            prop_assert!(matches!(wrong, Err(MismatchError::Length(_) | MismatchError::Root(_))));
        }
        let mut changed = old;
        changed.root_hash[31] ^= 1;
        prop_assert!(proof::verify_consistency(&changed, &new, &path).is_err());
        let mut changed = new;
        changed.root_hash[0] ^= 1;
        prop_assert!(proof::verify_consistency(&old, &changed, &path).is_err());
    }

    /// What comes from outside: any sizes, any hashes.
    #[test]
    fn any_proof_is_looked_at_without_panic(
        sizes: (u64, u64), index: u64, root: Hash, path in prop::collection::vec(any::<Hash>(), 0..70),
    ) {
        let old = Head { size: sizes.0, root_hash: [1; 32] };
        let new = Head { size: sizes.1, root_hash: root };
        prop_assert!(proof::verify_consistency(&old, &new, &path).is_err());
        prop_assert!(proof::verify_inclusion(&[2; 32], index, &new, &path).is_err());
    }
}

/// The largest trees: sums must not overflow, and no proof has more hashes than are read.
#[test]
fn the_largest_trees() {
    struct Any;
    impl proof::NodeSource for Any {
        type Error = std::convert::Infallible;
        fn node(&mut self, level: u8, index: u64) -> Result<Hash, Self::Error> {
            assert!(level < 64 && index.checked_mul(1 << level).is_some());
            Ok([level; 32])
        }
    }
    for new in [u64::MAX, u64::MAX - 1, 1 << 63, (1 << 63) + 1] {
        for old in [1, 2, 3, 1 << 62, (1 << 62) + 1, 1 << 63, new - 1, new] {
            if old <= new {
                let path = proof::consistency(&mut Any, old, new).unwrap();
                assert!(path.len() <= PATH_HASHES_MAX, "{} hashes", path.len());
            }
            if old < new {
                assert!(proof::inclusion(&mut Any, old, new).unwrap().len() <= 64);
            }
        }
    }
}
