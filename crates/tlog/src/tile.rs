//! Tiles as in C2SP tlog-tiles: their coordinates and paths, bundles of entries, and a reader that
//! takes tiles from anywhere and believes none that does not lead to the root.
//!
//! ```
//! use tlog::tile::{Kind, Tile};
//!
//! let tile: Tile = "tile/0/x001/x234/067.p/8".parse()?;
//! assert_eq!(tile, Tile { kind: Kind::Hashes(0), index: 1_234_067, width: 8 });
//! assert_eq!(Tile::of_tree(Kind::Entries, 1, 300).map(|t| t.to_string()).as_deref(),
//!     Some("tile/entries/001.p/44"));
//! # Ok::<(), tlog::tile::TileError>(())
//! ```

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::proof::{Head, NodeSource};
use crate::tree::{self, Hash};

/// Hashes, or entries, of a full tile.
pub const WIDTH: u64 = 256;
/// Levels of the tree that a tile spans.
pub const HEIGHT: u8 = 8;
/// Levels of tiles that a tree of at most 2^64 - 1 leaves can have.
pub const LEVELS: u8 = 8;
/// Bytes of a full tile of hashes.
pub const TILE_BYTES: usize = 256 * 32;
/// Longest path that is read: 7 elements of an index, level, prefix and width.
const PATH_BYTES_MAX: usize = 64;
/// Tiles that a reader remembers, at most.
const REMEMBERED_MAX: usize = 64;

/// What a tile holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Hashes of the tree: at level L the roots of perfect subtrees of 256^L leaves. At most 7.
    Hashes(u8),
    /// Entries.
    Entries,
}

/// Which tile, and how much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tile {
    /// What it holds.
    pub kind: Kind,
    /// Its place in its level, from 0.
    pub index: u64,
    /// Hashes or entries in it: 1 to 256.
    pub width: u16,
}

/// Why a path or bundle is not valid.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TileError {
    /// The path is not that of a tile.
    #[error("path is not `tile/<level>/<index>[.p/<width>]` or `tile/entries/<index>[.p/<width>]`")]
    Path,
    /// The bytes are not a bundle of entries.
    #[error("bundle ends within entry {0}")]
    Bundle(usize),
    /// An entry is too long for a bundle.
    #[error("entry of {0} bytes does not fit a bundle, at most 65535 are allowed")]
    Entry(usize),
}

impl Tile {
    /// The tile of a tree with `size` leaves at this place, as wide as it is there.
    pub fn of_tree(kind: Kind, index: u64, size: u64) -> Option<Self> {
        let level = kind.level();
        let hashes = size.unbounded_shr(u32::from(level) * u32::from(HEIGHT));
        let within = hashes.checked_sub(index.checked_mul(WIDTH)?)?.min(WIDTH);
        (level < LEVELS && within > 0).then_some(Self { kind, index, width: within as u16 })
    }

    /// Whether the tile has all its hashes.
    pub fn is_full(&self) -> bool {
        u64::from(self.width) == WIDTH
    }

    /// The tile of hashes that holds the node, and the node's part of the hashes in it.
    pub fn with_node(level: u8, index: u64, size: u64) -> Option<(Self, std::ops::Range<usize>)> {
        let within = level % HEIGHT;
        let first = index.checked_mul(1 << within)?;
        let tile = Self::of_tree(Kind::Hashes(level / HEIGHT), first / WIDTH, size)?;
        let start = (first % WIDTH) as usize;
        let end = start + (1 << within);
        (end <= usize::from(tile.width)).then_some((tile, start..end))
    }
}

impl Kind {
    fn level(self) -> u8 {
        match self {
            Self::Hashes(level) => level,
            Self::Entries => 0,
        }
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Hashes(level) => write!(f, "tile/{level}")?,
            Kind::Entries => write!(f, "tile/entries")?,
        }
        let digits = self.index.to_string();
        let padded = digits.len().next_multiple_of(3);
        let digits = format!("{digits:0>padded$}");
        for (place, digit) in digits.chars().enumerate() {
            match (place % 3, place + 3 < padded) {
                (0, true) => write!(f, "/x")?,
                (0, false) => write!(f, "/")?,
                _ => {}
            }
            write!(f, "{digit}")?;
        }
        match self.is_full() {
            true => Ok(()),
            false => write!(f, ".p/{}", self.width),
        }
    }
}

impl FromStr for Tile {
    type Err = TileError;

    fn from_str(path: &str) -> Result<Self, TileError> {
        let tile = (path.len() <= PATH_BYTES_MAX).then(|| parse(path)).flatten();
        // Writing it again shows that it was written the one right way.
        tile.filter(|tile| tile.to_string() == path).ok_or(TileError::Path)
    }
}

fn parse(path: &str) -> Option<Tile> {
    let (kind, rest) = path.strip_prefix("tile/")?.split_once('/')?;
    let kind = match kind {
        "entries" => Kind::Entries,
        level => Kind::Hashes(level.parse().ok().filter(|level| *level < LEVELS)?),
    };
    let (index, width) = match rest.split_once(".p/") {
        Some((index, width)) => (index, width.parse().ok().filter(|w| (1..256).contains(w))?),
        None => (rest, WIDTH as u16),
    };
    let digits = index.replace("/x", "").replace('/', "");
    let index = digits.strip_prefix('x').unwrap_or(&digits).parse().ok()?;
    Some(Tile { kind, index, width })
}

/// The bundle of these entries: each with its length before it, in two bytes.
pub fn encode_bundle<'a>(
    entries: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<u8>, TileError> {
    let mut bundle = Vec::new();
    for entry in entries {
        let length = u16::try_from(entry.len()).map_err(|_| TileError::Entry(entry.len()))?;
        bundle.extend_from_slice(&length.to_be_bytes());
        bundle.extend_from_slice(entry);
    }
    Ok(bundle)
}

/// The first `width` entries of a bundle.
pub fn decode_bundle(bundle: &[u8], width: u16) -> Result<Vec<&[u8]>, TileError> {
    let mut rest = bundle;
    let entry = |number| {
        let (length, after) = rest.split_first_chunk().ok_or(TileError::Bundle(number))?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (entry, after) = after.split_at_checked(length).ok_or(TileError::Bundle(number))?;
        rest = after;
        Ok(entry)
    };
    (0..usize::from(width)).map(entry).collect()
}

/// Hashes of a tile's bytes, or `None` if there are fewer than `width`. More are passed over: where
/// a partial tile is gone the full one has its hashes.
pub fn decode_hashes(bytes: &[u8], width: u16) -> Option<Vec<Hash>> {
    let (hashes, rest) = bytes.as_chunks::<32>();
    let fits = rest.is_empty() && bytes.len() <= TILE_BYTES;
    hashes.get(..usize::from(width)).filter(|_| fits).map(<[Hash]>::to_vec)
}

/// Why a reader has no node or entries.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReadError<E> {
    /// The tree has no such node.
    #[error("tree of {size} leaves has no such node or entries")]
    Outside {
        /// Its size.
        size: u64,
    },
    /// A tile could not be fetched.
    #[error("cannot fetch `{path}`")]
    Fetch {
        /// Its path.
        path: String,
        /// Why.
        source: E,
    },
    /// A tile has not the bytes it must have.
    #[error("`{path}` has {bytes} bytes, which is not what it must have")]
    Length {
        /// Its path.
        path: String,
        /// Bytes found.
        bytes: usize,
    },
    /// The tiles at the right edge do not give the root of the tree.
    #[error("tiles do not lead to the root hash of the tree of {size} leaves")]
    Root {
        /// Its size.
        size: u64,
    },
    /// A tile is not the one that the tree above it has.
    #[error("`{path}` does not lead to the root hash of the tree")]
    Tile {
        /// Its path.
        path: String,
    },
}

/// Reads nodes and entries of a tree whose size and root are known from tiles that `fetch` gets.
/// Nothing is given out that does not lead to the root.
///
/// `fetch` should bound what it reads: a tile has at most 8,192 bytes, a bundle at most 256 times
/// 65,537.
#[derive(Debug)]
pub struct Reader<F> {
    head: Head,
    fetch: F,
    /// Whether the tiles at the right edge were found to give the root.
    rooted: bool,
    tiles: HashMap<(u8, u64), Vec<Hash>>,
}

impl<E, F: FnMut(&str) -> Result<Vec<u8>, E>> Reader<F> {
    /// A reader of the tree with this head.
    pub fn new(head: Head, fetch: F) -> Self {
        Self { head, fetch, rooted: false, tiles: HashMap::new() }
    }

    /// The entries of a bundle, each checked against its leaf hash.
    pub fn entries(&mut self, index: u64) -> Result<Vec<Vec<u8>>, ReadError<E>> {
        let size = self.head.size;
        let outside = ReadError::Outside { size };
        let tile = Tile::of_tree(Kind::Entries, index, size).ok_or(outside)?;
        let leaves = self.hashes(Tile { kind: Kind::Hashes(0), ..tile })?;
        let path = tile.to_string();
        let bytes = self.fetch(&path)?;
        let Ok(entries) = decode_bundle(&bytes, tile.width) else {
            return Err(ReadError::Length { path, bytes: bytes.len() });
        };
        match entries.iter().zip(&leaves).all(|(entry, leaf)| tree::leaf_hash(entry) == *leaf) {
            true => Ok(entries.into_iter().map(<[u8]>::to_vec).collect()),
            false => Err(ReadError::Tile { path }),
        }
    }

    fn fetch(&mut self, path: &str) -> Result<Vec<u8>, ReadError<E>> {
        (self.fetch)(path).map_err(|source| ReadError::Fetch { path: path.to_owned(), source })
    }

    /// The hashes of a tile of the tree, known to be right.
    fn hashes(&mut self, tile: Tile) -> Result<Vec<Hash>, ReadError<E>> {
        self.root_edge()?;
        let key = (tile.kind.level(), tile.index);
        if let Some(known) = self.tiles.get(&key) {
            return Ok(known.clone());
        }
        // Partial tiles lie on the edge, so this one is full and has its root in the tile above.
        let hashes = self.fetch_hashes(&tile)?;
        let outside = ReadError::Outside { size: self.head.size };
        let (above, place) =
            Tile::with_node((key.0 + 1) * HEIGHT, key.1, self.head.size).ok_or(outside)?;
        let expected = self.hashes(above)?;
        if expected.get(place.start) != Some(&tree::root(&hashes)) {
            return Err(ReadError::Tile { path: tile.to_string() });
        }
        if self.tiles.len() >= REMEMBERED_MAX {
            self.tiles.retain(|_, hashes| (hashes.len() as u64) < WIDTH);
        }
        self.tiles.insert(key, hashes.clone());
        Ok(hashes)
    }

    /// Fetches the partial tiles at the right edge and checks that they give the root.
    fn root_edge(&mut self) -> Result<(), ReadError<E>> {
        if self.rooted {
            return Ok(());
        }
        let size = self.head.size;
        let mut root = None;
        for level in 0..LEVELS {
            let hashes = size >> (level * HEIGHT);
            if hashes.is_multiple_of(WIDTH) {
                continue;
            }
            let (index, width) = (hashes / WIDTH, (hashes % WIDTH) as u16);
            let tile = Tile { kind: Kind::Hashes(level), index, width };
            let hashes = self.fetch_hashes(&tile)?;
            root = Some(edge_root(&hashes, root));
            self.tiles.insert((level, index), hashes);
        }
        if root.unwrap_or_else(tree::empty_root) != self.head.root_hash {
            self.tiles.clear();
            return Err(ReadError::Root { size });
        }
        self.rooted = true;
        Ok(())
    }

    fn fetch_hashes(&mut self, tile: &Tile) -> Result<Vec<Hash>, ReadError<E>> {
        let path = tile.to_string();
        let bytes = self.fetch(&path)?;
        let length = bytes.len();
        decode_hashes(&bytes, tile.width).ok_or(ReadError::Length { path, bytes: length })
    }
}

/// The root over the hashes of the partial tile of a level, and what lies to the right of them.
pub fn edge_root(hashes: &[Hash], right: Option<Hash>) -> Hash {
    let mut root = right;
    let mut rest = hashes;
    // From the right: perfect subtrees grow to the left.
    while !rest.is_empty() {
        let count = 1 << rest.len().trailing_zeros();
        let (left, perfect) = rest.split_at(rest.len() - count);
        let perfect = tree::root(perfect);
        root = Some(root.map_or(perfect, |right| tree::node_hash(&perfect, &right)));
        rest = left;
    }
    root.unwrap_or_else(tree::empty_root)
}

impl<E, F: FnMut(&str) -> Result<Vec<u8>, E>> NodeSource for Reader<F> {
    type Error = ReadError<E>;

    fn node(&mut self, level: u8, index: u64) -> Result<Hash, ReadError<E>> {
        let outside = || ReadError::Outside { size: self.head.size };
        let (tile, place) = Tile::with_node(level, index, self.head.size).ok_or_else(outside)?;
        let hashes = self.hashes(tile)?;
        Ok(hashes.get(place).map_or_else(tree::empty_root, tree::root))
    }
}
