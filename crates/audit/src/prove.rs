//! Proofs made of tiles. Many of one tree share the tiles that they have in common.

use std::collections::HashMap;

use crate::tiles::{Tiles, TilesError};
use tlog::Bundle;
use tlog::note::{Checkpoint, Note};
use tlog::proof::{self, NodeSource, ProofError};
use tlog::tile::{HEIGHT, Tile};
use tlog::tree::{Hash, Nodes};

/// Tiles held at once, at most: of 16 KiB each, with the nodes within them.
const HELD_MAX: usize = 64;

impl Tiles {
    /// The hashes that lead from an entry to the root over the first `size` entries.
    pub fn inclusion(&self, index: u64, size: u64) -> Result<Vec<Hash>, TilesError> {
        let mut paths = self.inclusions(&[index], size)?;
        paths.pop().ok_or(TilesError::NoEntry { index, size })
    }

    /// The same for several entries, in their order. Reads no tile twice that entries near one
    /// another have in common.
    pub fn inclusions(&self, indices: &[u64], size: u64) -> Result<Vec<Vec<Hash>>, TilesError> {
        self.check_size(size)?;
        let mut view = View::of(self);
        let path = |index: &u64| {
            proof::inclusion(&mut view, *index, size).map_err(|error| match error {
                ProofError::Node(error) => error,
                _ => TilesError::NoEntry { index: *index, size },
            })
        };
        indices.iter().map(path).collect()
    }

    /// The hashes that show that the ledger of `new` entries begins with that of `old` entries.
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, TilesError> {
        self.check_size(new)?;
        proof::consistency(&mut View::of(self), old, new).map_err(|error| match error {
            ProofError::Node(error) => error,
            _ => TilesError::Beyond { size: new, asked: old },
        })
    }

    /// Proof files of entries, in their order, under a checkpoint of this ledger. Each holds its
    /// entry as extra data, so that nothing else is needed to verify it.
    pub fn bundles(
        &self,
        checkpoint: &Note,
        entries: &[(u64, &[u8])],
    ) -> Result<Vec<Bundle>, TilesError> {
        let Checkpoint { size, .. } = checkpoint.text().parse()?;
        let indices: Vec<u64> = entries.iter().map(|(index, _)| *index).collect();
        let paths = self.inclusions(&indices, size)?;
        let bundle = |((index, entry), path): (&(u64, &[u8]), Vec<Hash>)| Bundle {
            extra: Some(entry.to_vec()),
            index: *index,
            path,
            checkpoint: checkpoint.clone(),
        };
        Ok(entries.iter().zip(paths).map(bundle).collect())
    }

    fn check_size(&self, asked: u64) -> Result<(), TilesError> {
        let size = self.size();
        match asked <= size {
            true => Ok(()),
            false => Err(TilesError::Beyond { size, asked }),
        }
    }
}

/// The nodes of the tree, each tile of them read and hashed once.
struct View<'a> {
    tiles: &'a Tiles,
    held: HashMap<(u8, u64), Nodes>,
}

impl<'a> View<'a> {
    fn of(tiles: &'a Tiles) -> Self {
        Self { tiles, held: HashMap::new() }
    }

    fn hold(&mut self, key: (u8, u64)) -> Result<&Nodes, TilesError> {
        if !self.held.contains_key(&key) {
            let nodes = Nodes::over(&self.tiles.hashes(key.0, key.1)?);
            if self.held.len() >= HELD_MAX {
                // Those above are few, and in every proof.
                self.held.retain(|(level, _), _| *level > 0);
            }
            self.held.insert(key, nodes);
        }
        self.held.get(&key).ok_or(TilesError::Beyond { size: self.tiles.size(), asked: key.1 })
    }
}

impl NodeSource for View<'_> {
    type Error = TilesError;

    fn node(&mut self, level: u8, index: u64) -> Result<Hash, TilesError> {
        let size = self.tiles.size();
        let beyond = || TilesError::Beyond { size, asked: index };
        let (tile, place) = Tile::with_node(level, index, size).ok_or_else(beyond)?;
        let nodes = self.hold((level / HEIGHT, tile.index))?;
        let within = level % HEIGHT;
        nodes.perfect(within, place.start as u64 >> within).ok_or_else(beyond)
    }
}
