//! The tree as tiles of C2SP tlog-tiles, for proofs and for monitors: derived from the entries,
//! kept in the folder `tiles`, made again from the segments where missing or wrong.
//!
//! The file `level-L` holds the full tiles of level L one after the other, 8,192 bytes each.
//! Partial tiles are in memory. Nothing here is synced, and nothing read from these files is
//! given out before it was found to lead to the root of the ledger.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use thiserror::Error;

use crate::checkpoint;
use crate::edge::{Edge, Full};
use crate::folder;
use crate::read::{ReadError, Records, records};
use crate::restore;
use crate::source::Source;
use tlog::Head;
use tlog::note::{Checkpoint, NoteError};
use tlog::tile::{self, HEIGHT, Kind, LEVELS, TILE_BYTES, Tile, WIDTH};
use tlog::tree::{self, Hash};

/// Full tiles remembered, at most: half a megabyte.
const KNOWN_MAX: usize = 64;

/// Why a tile or proof could not be had.
#[derive(Debug, Error)]
pub enum TilesError {
    /// The entries could not be read.
    #[error(transparent)]
    Entries(#[from] ReadError),
    /// The entries do not give the hashes they must.
    #[error("entries from {first} to {last} do not give the root hash of the ledger, verify it")]
    Damaged {
        /// The first of the entries.
        first: u64,
        /// The last of them.
        last: u64,
    },
    /// The ledger is not that large, or the tiles do not reach that far yet.
    #[error("ledger has {size} entries in its tiles, {asked} were asked for")]
    Beyond {
        /// Entries that the tiles cover.
        size: u64,
        /// What was asked for.
        asked: u64,
    },
    /// The tree of this size has no such leaf.
    #[error("tree of {size} entries has no entry {index}")]
    NoEntry {
        /// The entry asked for.
        index: u64,
        /// The size asked for.
        size: u64,
    },
    /// The folder's checkpoint is missing or no checkpoint.
    #[error("cannot read `{}`", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder's checkpoint is not valid.
    #[error("file `checkpoint` is not valid")]
    Checkpoint(#[from] NoteError),
}

/// The tiles of a ledger, readable while it is written. Cloning shares them.
///
/// ```
/// # use std::sync::Arc;
/// # let folder = tempfile::tempdir()?;
/// # let origin: tlog::Origin = "ledger.example.vn".parse()?;
/// # let (signer, _pem) = tlog::Signer::generate(origin.clone())?;
/// # let mut options = audit::Options::new(folder.path().into(), origin, Arc::new(signer));
/// # options.segment_bytes = 1 << 20;
/// let (log, _) = audit::Log::open(options)?;
/// log.append(b"first")?.wait()?;
/// log.append(b"second")?.wait()?;
/// log.close()?;
///
/// let tiles = audit::Tiles::open(folder.path())?;
/// assert_eq!(tiles.get("tile/entries/000.p/2")?, Some(b"\0\x05first\0\x06second".to_vec()));
/// assert_eq!(tiles.get("checkpoint")?, Some(tiles.checkpoint().into_bytes()));
/// let path = tiles.inclusion(0, 2)?;
/// assert_eq!(path, [tlog::tree::leaf_hash(b"second")]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Tiles(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    source: Source,
    /// Whether tiles made again are written, too: by the ledger's own process only.
    writes: bool,
    state: Mutex<State>,
    /// Full tiles above level 0 that were found right: each is asked for with those below it.
    known: Mutex<HashMap<(u8, u64), Vec<Hash>>>,
    /// Where the last bundle ended: a monitor asks for the next.
    entries: Mutex<Option<(u64, Records)>>,
}

#[derive(Debug, Default)]
struct State {
    edge: Edge,
    /// The newest checkpoint whose tiles are all there.
    checkpoint: String,
}

impl Tiles {
    /// The tiles of a ledger that nobody writes, such as an auditor's copy. Nothing is written:
    /// where the copy has no tiles, they are made from its entries.
    ///
    /// The checkpoint's root is held against the entries, its signature is not looked at.
    pub fn open(folder: &Path) -> Result<Self, TilesError> {
        Self::open_source(Source::from(folder))
    }

    /// As [`open`](Self::open), for a ledger with sealed segments, and old ones in an archive.
    pub fn open_source(source: Source) -> Result<Self, TilesError> {
        let path = source.folder.join(folder::CHECKPOINT);
        let note =
            checkpoint::read(&path).map_err(|source| TilesError::Unreadable { path, source })?;
        let signed: tlog::Note = note.parse()?;
        let Checkpoint { size, root_hash, .. } = signed.text().parse()?;
        let tiles = Self::empty(source, false);
        tiles.restore(Head { size, root_hash })?;
        tiles.publish(note);
        Ok(tiles)
    }

    /// Tiles that cover nothing yet.
    pub(crate) fn empty(source: Source, writes: bool) -> Self {
        let (state, known, entries) = Default::default();
        Self(Arc::new(Inner { source, writes, state, known, entries }))
    }

    /// The newest checkpoint whose tiles are all there, a signed note. Empty for the moment in
    /// which a ledger is opened.
    pub fn checkpoint(&self) -> String {
        self.0.state.lock().checkpoint.clone()
    }

    /// Entries that the tiles cover: at least those of the checkpoint.
    pub fn size(&self) -> u64 {
        self.0.state.lock().edge.size()
    }

    /// What stands under a path of C2SP tlog-tiles: `checkpoint`, `tile/<level>/<index>` or
    /// `tile/entries/<index>`, with `.p/<width>` where partial. `None` if there is no such thing.
    pub fn get(&self, path: &str) -> Result<Option<Vec<u8>>, TilesError> {
        if path == folder::CHECKPOINT {
            let checkpoint = self.checkpoint();
            return Ok((!checkpoint.is_empty()).then(|| checkpoint.into_bytes()));
        }
        let Ok(tile) = path.parse::<Tile>() else { return Ok(None) };
        let covered = Tile::of_tree(tile.kind, tile.index, self.size());
        if covered.is_none_or(|covered| covered.width < tile.width) {
            return Ok(None);
        }
        match tile.kind {
            Kind::Hashes(level) => {
                let mut bytes = self.hashes(level, tile.index)?.concat();
                bytes.truncate(usize::from(tile.width) * size_of::<Hash>());
                Ok(Some(bytes))
            }
            Kind::Entries => self.bundle(tile).map(Some),
        }
    }

    /// Brings the tiles to a head from what is kept of them and from the segments.
    pub(crate) fn restore(&self, head: Head) -> Result<(), TilesError> {
        let Inner { source, writes, .. } = &*self.0;
        let keep = |full: &[Full]| {
            if *writes {
                self.store(full)
            }
        };
        let edge = restore::restore(source, head, &keep)?;
        self.0.state.lock().edge = edge;
        Ok(())
    }

    /// Takes in the hashes of the entries that follow.
    pub(crate) fn extend(&self, leaves: &[Hash]) {
        // Hashed and written outside the lock; only one thread extends.
        let mut edge = self.0.state.lock().edge.clone();
        let mut full = Vec::new();
        leaves.iter().for_each(|leaf| edge.push(*leaf, &mut full));
        self.store(&full);
        self.0.state.lock().edge = edge;
    }

    /// Gives out a checkpoint if the tiles cover it.
    pub(crate) fn publish(&self, checkpoint: String) {
        self.0.state.lock().checkpoint = checkpoint;
    }

    /// Root hash over what the tiles cover.
    pub(crate) fn root(&self) -> Hash {
        self.0.state.lock().edge.root()
    }

    /// Writes full tiles. If that fails, they are made again when somebody asks for them.
    fn store(&self, full: &[Full]) {
        if full.is_empty() {
            return;
        }
        let folder = self.0.source.folder.join(folder::TILES);
        let write = || {
            fs::create_dir_all(&folder)?;
            for level in 0..LEVELS {
                let mut tiles = full.iter().filter(|tile| tile.level == level).peekable();
                // Tiles of a level follow one another: one write for all.
                let Some(first) = tiles.peek().map(|tile| tile.index) else { continue };
                let bytes: Vec<u8> =
                    tiles.flat_map(|tile| tile.hashes.as_flattened()).copied().collect();
                let path = level_path(&folder, level);
                let file = File::options().write(true).create(true).truncate(false).open(path)?;
                file.write_all_at(&bytes, first * TILE_BYTES as u64)?;
            }
            Ok::<_, io::Error>(())
        };
        if let Err(error) = write() {
            tracing::warn!(%error, "tiles not written, they are made again when needed");
        }
    }

    /// The hashes of a tile that the tree has, as many as there are, known to lead to the root.
    pub(crate) fn hashes(&self, level: u8, index: u64) -> Result<Vec<Hash>, TilesError> {
        let state = self.0.state.lock();
        let size = state.edge.size();
        if let Some(partial) = state.edge.partial(level, index) {
            return Ok(partial.to_vec());
        }
        drop(state);
        if let Some(known) = self.0.known.lock().get(&(level, index)) {
            return Ok(known.clone());
        }
        let above = self.hashes(level + 1, index / WIDTH)?;
        let root = above.get((index % WIDTH) as usize);
        let root = root.ok_or(TilesError::Beyond { size, asked: index })?;
        let fits = |hashes: &Vec<Hash>| tree::root(hashes) == *root;
        if let Some(stored) = read_full(&self.0.source.folder, level, index).filter(fits) {
            self.remember(level, index, &stored);
            return Ok(stored);
        }
        let made = self.make_again(level, index)?;
        let first = index << (HEIGHT * (level + 1));
        let last = first + (1 << (HEIGHT * (level + 1))) - 1;
        let made = Some(made).filter(fits).ok_or(TilesError::Damaged { first, last })?;
        self.remember(level, index, &made);
        Ok(made)
    }

    fn remember(&self, level: u8, index: u64, hashes: &[Hash]) {
        if level == 0 {
            return;
        }
        let mut known = self.0.known.lock();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert((level, index), hashes.to_vec());
    }

    /// Makes a full tile, and those below it, from the entries.
    fn make_again(&self, level: u8, index: u64) -> Result<Vec<Hash>, TilesError> {
        let count = 1u64 << (HEIGHT * (level + 1));
        let first = index * count;
        let mut edge = Edge::default();
        let mut made = Vec::new();
        let mut full = Vec::new();
        for item in
            records(&self.0.source, first)?.take(usize::try_from(count).unwrap_or(usize::MAX))
        {
            edge.push(tree::leaf_hash(&item?.entry), &mut full);
            if full.is_empty() {
                continue;
            }
            for tile in &mut full {
                // Counted from the first of these entries.
                tile.index += first >> (HEIGHT * (tile.level + 1));
                if (tile.level, tile.index) == (level, index) {
                    made.clone_from(&tile.hashes);
                }
            }
            full.retain(|tile| tile.level <= level);
            if self.0.writes {
                self.store(&full);
            }
            full.clear();
        }
        Ok(made)
    }

    /// The entries of a bundle, checked against their hashes.
    fn bundle(&self, tile: Tile) -> Result<Vec<u8>, TilesError> {
        let first = tile.index * WIDTH;
        let end = first + u64::from(tile.width);
        // A reader holds a segment; the one that stands where this bundle begins is used again.
        let kept = self.0.entries.lock().take().filter(|(next, _)| *next == first);
        let mut reader = match kept {
            Some((_, reader)) => reader,
            None => records(&self.0.source, first)?,
        };
        let width = usize::from(tile.width);
        let mut found: Vec<_> = reader.by_ref().take(width).collect::<Result<_, _>>()?;
        if found.len() < width {
            // It was where the ledger ended then.
            reader = records(&self.0.source, first)?;
            found = reader.by_ref().take(width).collect::<Result<_, _>>()?;
        }
        *self.0.entries.lock() = Some((end, reader));
        let leaves = self.hashes(0, tile.index)?;
        let damaged = TilesError::Damaged { first, last: end - 1 };
        let right = found.len() == width
            && found
                .iter()
                .zip(&leaves)
                .all(|(record, leaf)| tree::leaf_hash(&record.entry) == *leaf);
        match right {
            true => {
                let entries = found.iter().map(|record| record.entry.as_slice());
                tile::encode_bundle(entries).map_err(|_| damaged)
            }
            false => Err(damaged),
        }
    }
}

fn level_path(folder: &Path, level: u8) -> PathBuf {
    folder.join(format!("level-{level}"))
}

/// A full tile as it is kept; it may be anything.
pub(crate) fn read_full(folder: &Path, level: u8, index: u64) -> Option<Vec<Hash>> {
    let file = File::open(level_path(&folder.join(folder::TILES), level)).ok()?;
    let mut bytes = vec![0; TILE_BYTES];
    file.read_exact_at(&mut bytes, index.checked_mul(TILE_BYTES as u64)?).ok()?;
    tile::decode_hashes(&bytes, WIDTH as u16)
}
