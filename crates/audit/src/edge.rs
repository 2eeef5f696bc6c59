//! The right edge of the tree: the partial tile of each level, which grows with each entry and
//! sheds a full tile now and then.

use tlog::tile::{HEIGHT, WIDTH, edge_root};
use tlog::tree::{self, Hash};

/// A tile that has become full.
#[derive(Clone, Debug)]
pub(crate) struct Full {
    pub(crate) level: u8,
    pub(crate) index: u64,
    pub(crate) hashes: Vec<Hash>,
}

/// The partial tiles of a tree.
#[derive(Clone, Debug, Default)]
pub(crate) struct Edge {
    size: u64,
    /// By level; each has fewer than 256 hashes.
    levels: Vec<Vec<Hash>>,
}

impl Edge {
    /// An edge from its partial tiles.
    pub(crate) fn from_levels(size: u64, levels: Vec<Vec<Hash>>) -> Self {
        Self { size, levels }
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The hashes of the tile at this place, if that is the partial one of its level.
    pub(crate) fn partial(&self, level: u8, index: u64) -> Option<&[Hash]> {
        let hashes = self.size.unbounded_shr(u32::from(level) * u32::from(HEIGHT));
        let partial = self.levels.get(usize::from(level)).map_or(&[][..], Vec::as_slice);
        (index == hashes / WIDTH).then_some(partial)
    }

    /// Adds a leaf; tiles that it fills are moved to `full`, lower levels first.
    pub(crate) fn push(&mut self, leaf: Hash, full: &mut Vec<Full>) {
        self.size += 1;
        let mut hash = leaf;
        for level in 0.. {
            if self.levels.len() <= level {
                self.levels.push(Vec::with_capacity(WIDTH as usize));
            }
            let Some(hashes) = self.levels.get_mut(level) else { return };
            hashes.push(hash);
            if (hashes.len() as u64) < WIDTH {
                return;
            }
            let hashes = std::mem::replace(hashes, Vec::with_capacity(WIDTH as usize));
            hash = tree::root(&hashes);
            let index = (self.size - 1) >> (usize::from(HEIGHT) * (level + 1));
            full.push(Full { level: level as u8, index, hashes });
        }
    }

    /// The root over all leaves.
    pub(crate) fn root(&self) -> Hash {
        let levels = self.levels.iter().filter(|hashes| !hashes.is_empty());
        let root = levels.fold(None, |right, hashes| Some(edge_root(hashes, right)));
        root.unwrap_or_else(tree::empty_root)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

    use super::*;
    use tlog::tree::Frontier;

    #[test]
    fn the_edge_gives_the_root_and_full_tiles_give_the_levels_above() {
        let mut edge = Edge::default();
        let mut frontier = Frontier::new();
        let mut full = Vec::new();
        for number in 0..140_000u32 {
            let leaf = tree::leaf_hash(&number.to_le_bytes());
            edge.push(leaf, &mut full);
            frontier.push(leaf);
            if number % 997 == 0 || (number + 1) % 256 == 0 {
                assert_eq!((edge.size(), edge.root()), (frontier.size(), frontier.root()));
            }
        }
        let of_level = |level| full.iter().filter(move |tile| tile.level == level);
        assert_eq!((of_level(0).count(), of_level(1).count()), (546, 2));
        for above in of_level(1) {
            let below = of_level(0).filter(|tile| tile.index / 256 == above.index);
            let roots: Vec<_> = below.map(|tile| tree::root(&tile.hashes)).collect();
            assert_eq!(roots, above.hashes);
        }
        assert_eq!(edge.partial(1, 2).unwrap().len(), 546 % 256);
        assert_eq!(edge.partial(2, 0).unwrap().len(), 2);
        assert_eq!(edge.partial(3, 0), Some(&[][..]));
        assert_eq!(edge.partial(0, 545), None);
    }
}
