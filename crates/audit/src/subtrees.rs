//! The perfect subtrees that cover a run of leaves: what is kept of a segment's entries so that
//! the tree can be followed past them without reading them.
//!
//! From left to right each is the largest that begins where the one before ended, is aligned, and
//! has at most 256 leaves, so that a run of many entries keeps one hash for 256 of them.

use tlog::tree::{Frontier, Hash, node_hash};

/// Level of the largest subtrees kept: 256 leaves, one hash of a tile's level above its leaves.
const LEVEL_MAX: u32 = 8;

/// Levels of the subtrees that cover the leaves from `first` up to `end`, in order.
pub(crate) fn levels(first: u64, end: u64) -> impl Iterator<Item = u32> {
    let mut at = first;
    std::iter::from_fn(move || {
        let left = end.checked_sub(at).filter(|left| *left > 0)?;
        let level = at.trailing_zeros().min(left.ilog2()).min(LEVEL_MAX);
        at += 1 << level;
        Some(level)
    })
}

/// The subtrees of a growing run of leaves.
pub(crate) struct Subtrees {
    next: u64,
    nodes: Vec<(u32, Hash)>,
}

impl Subtrees {
    /// No leaves yet; the first will have this index.
    pub(crate) fn new(first: u64) -> Self {
        Self { next: first, nodes: Vec::new() }
    }

    pub(crate) fn push(&mut self, leaf: Hash) {
        let (mut level, mut hash) = (0, leaf);
        // A right child meets its left sibling, unless that began before the run.
        while level < LEVEL_MAX
            && (self.next >> level) & 1 == 1
            && let Some((_, left)) = self.nodes.pop_if(|(sibling, _)| *sibling == level)
        {
            hash = node_hash(&left, &hash);
            level += 1;
        }
        self.nodes.push((level, hash));
        self.next += 1;
    }

    /// The hashes, from left to right.
    pub(crate) fn into_hashes(self) -> Vec<Hash> {
        self.nodes.into_iter().map(|(_, hash)| hash).collect()
    }
}

/// The frontier after the leaves up to `end`, of which only the subtrees' hashes are known.
/// `None` if these are not as many as there have to be.
pub(crate) fn extend(before: &Frontier, end: u64, hashes: &[Hash]) -> Option<Frontier> {
    let (mut size, mut stack) = (before.size(), before.hashes().to_vec());
    let mut given = hashes.iter();
    for level in levels(size, end) {
        let mut hash = *given.next()?;
        let mut bit = level;
        while (size >> bit) & 1 == 1 {
            hash = node_hash(&stack.pop()?, &hash);
            bit += 1;
        }
        stack.push(hash);
        size += 1 << level;
    }
    match given.next() {
        None => Frontier::from_parts(size, stack),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

    use proptest::prelude::*;
    use tlog::tree::leaf_hash;

    use super::*;

    fn leaf(index: u64) -> Hash {
        leaf_hash(&index.to_le_bytes())
    }

    fn frontier(size: u64) -> Frontier {
        let mut frontier = Frontier::new();
        (0..size).for_each(|index| frontier.push(leaf(index)));
        frontier
    }

    proptest! {
        #[test]
        fn subtrees_lead_where_the_leaves_do(first in 0u64..1500, count in 0u64..1500) {
            let end = first + count;
            let mut subtrees = Subtrees::new(first);
            (first..end).for_each(|index| subtrees.push(leaf(index)));
            let kept: Vec<_> = subtrees.nodes.iter().map(|(level, _)| *level).collect();
            prop_assert_eq!(kept, levels(first, end).collect::<Vec<_>>());
            let hashes = subtrees.into_hashes();
            let before = frontier(first);
            prop_assert_eq!(extend(&before, end, &hashes), Some(frontier(end)));
            // Another number of hashes never passes, another hash leads elsewhere.
            prop_assert_eq!(extend(&before, end, &[hashes.clone(), vec![[0; 32]]].concat()), None);
            if let Some((last, rest)) = hashes.split_last() {
                prop_assert_eq!(extend(&before, end, rest), None);
                let mut other = hashes.clone();
                other.iter_mut().rev().take(1).for_each(|hash| *hash = leaf(9).map(|b| !b));
                prop_assert_ne!(Some(last), other.last());
                prop_assert_ne!(extend(&before, end, &other).unwrap().root(), frontier(end).root());
            }
        }
    }

    #[test]
    fn aligned_runs_keep_one_hash_for_256_leaves() {
        assert_eq!(levels(0, 1024).collect::<Vec<_>>(), [8; 4]);
        assert_eq!(levels(255, 513).collect::<Vec<_>>(), [0, 8, 0]);
        assert_eq!(levels(7, 7).count(), 0);
    }
}
