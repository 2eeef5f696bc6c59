//! Tiles: paths and hashes as the crate `tlog_tiles` has them, and a reader that is lied to.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that fails may panic"
)]

use std::collections::HashMap;

use proptest::prelude::*;
use tlog::proof;
use tlog::tile::{self, HEIGHT, Kind, LEVELS, ReadError, Reader, Tile, WIDTH};
use tlog::tree::{self, Nodes};
use tlog::{Hash, Head};

fn entry(number: u64) -> Vec<u8> {
    format!("entry {number}").into_bytes()
}

/// All tiles and bundles of a tree, by path.
fn tiles(size: u64) -> (HashMap<String, Vec<u8>>, Nodes, Head) {
    let leaves: Vec<_> = (0..size).map(|n| tree::leaf_hash(&entry(n))).collect();
    let nodes = Nodes::over(&leaves);
    let mut tiles = HashMap::new();
    for level in 0..LEVELS {
        let mut index = 0;
        while let Some(tile) = Tile::of_tree(Kind::Hashes(level), index, size) {
            let first = index * WIDTH;
            let hashes: Vec<Hash> = (first..first + u64::from(tile.width))
                .map(|place| nodes.perfect(level * HEIGHT, place).unwrap())
                .collect();
            tiles.insert(tile.to_string(), hashes.concat());
            if level == 0 {
                let entries: Vec<_> = (first..first + u64::from(tile.width)).map(entry).collect();
                let bundle = tile::encode_bundle(entries.iter().map(Vec::as_slice)).unwrap();
                let tile = Tile { kind: Kind::Entries, ..tile };
                tiles.insert(tile.to_string(), bundle);
            }
            index += 1;
        }
    }
    let head = Head { size, root_hash: nodes.root() };
    (tiles, nodes, head)
}

type Fetched = Result<Vec<u8>, String>;

fn reader(
    tiles: &HashMap<String, Vec<u8>>,
    head: Head,
) -> Reader<impl FnMut(&str) -> Fetched + use<'_>> {
    Reader::new(head, |path: &str| tiles.get(path).cloned().ok_or_else(|| path.to_owned()))
}

#[test]
fn proofs_from_tiles_are_those_from_memory() {
    for size in [0, 1, 2, 255, 256, 257, 300, 511, 512, 65_535, 65_536, 66_000] {
        let (tiles, mut nodes, head) = tiles(size);
        let mut reader = reader(&tiles, head);
        assert_eq!(proof::root(&mut reader, size).unwrap(), head.root_hash);
        for index in [0, 1, 254, 255, 256, 1000, 65_279, 65_280, 65_535, 65_536, 65_999] {
            if index >= size {
                continue;
            }
            let ours = proof::inclusion(&mut reader, index, size).unwrap();
            assert_eq!(Ok(&ours), proof::inclusion(&mut nodes, index, size).as_ref());
            let ours = proof::consistency(&mut reader, index, size).unwrap();
            assert_eq!(Ok(&ours), proof::consistency(&mut nodes, index, size).as_ref());
            let bundle = reader.entries(index / WIDTH).unwrap();
            assert_eq!(bundle[(index % WIDTH) as usize], entry(index));
        }
        let outside = reader.entries(size.div_ceil(WIDTH));
        assert_eq!(outside, Err(ReadError::Outside { size }));
    }
}

#[test]
fn a_changed_byte_anywhere_is_noticed() {
    let (whole, _, head) = tiles(66_000);
    for path in ["tile/0/000", "tile/0/255", "tile/0/257.p/208", "tile/1/000", "tile/2/000.p/1"] {
        let mut tiles = whole.clone();
        let bytes = tiles.get_mut(path).unwrap();
        let at = bytes.len() - 1;
        bytes[at] ^= 1;
        let mut reader = reader(&tiles, head);
        // In every tile there is a leaf, or a subtree, whose proof needs it.
        let found = [0, 65_535, 65_999].map(|index| proof::inclusion(&mut reader, index, 66_000));
        let lies = found.iter().filter(|found| {
            matches!(
                found,
                Err(proof::ProofError::Node(ReadError::Tile { .. } | ReadError::Root { .. }))
            )
        });
        assert!(lies.count() > 0, "{path}");
        for (index, path) in [0, 65_535, 65_999].into_iter().zip(found).filter(|(_, f)| f.is_ok()) {
            let leaf = tree::leaf_hash(&entry(index));
            proof::verify_inclusion(&leaf, index, &head, &path.unwrap()).unwrap();
        }
    }
    let mut tiles = whole.clone();
    tiles.get_mut("tile/entries/003").unwrap()[5] ^= 1;
    let wrong = ReadError::Tile { path: "tile/entries/003".into() };
    assert_eq!(reader(&tiles, head).entries(3), Err(wrong));
    tiles.get_mut("tile/0/003").unwrap().pop();
    let short = ReadError::Length { path: "tile/0/003".into(), bytes: 8191 };
    assert_eq!(reader(&tiles, head).entries(3), Err(short));
    tiles.remove("tile/1/001.p/1");
    let gone = reader(&tiles, head).entries(3);
    assert!(matches!(gone, Err(ReadError::Fetch { .. })), "{gone:?}");
}

/// `tlog_tiles` has the height of tiles in its paths.
fn their_path(path: &str) -> String {
    path.replace("tile/entries/", "tile/8/data/").replacen(
        "tile/",
        if path.contains("entries") { "tile/" } else { "tile/8/" },
        1,
    )
}

#[test]
fn tlog_tiles_reads_the_same_tree_from_our_tiles() {
    use tlog_tiles::{HashReader, TileReader};
    struct Ours<'a>(&'a HashMap<String, Vec<u8>>);
    impl TileReader for Ours<'_> {
        fn height(&self) -> u8 {
            8
        }
        fn read_tiles(
            &self,
            tiles: &[tlog_tiles::Tile],
        ) -> Result<Vec<Vec<u8>>, tlog_tiles::tlog::Error> {
            let path = |tile: &tlog_tiles::Tile| tile.path().replacen("tile/8/", "tile/", 1);
            Ok(tiles.iter().map(|tile| self.0[&path(tile)].clone()).collect())
        }
        fn save_tiles(&self, _: &[tlog_tiles::Tile], _: &[Vec<u8>]) {}
    }
    let size = 66_000;
    let (tiles, mut nodes, head) = tiles(size);
    let root = tlog_tiles::Hash(head.root_hash);
    let ours = Ours(&tiles);
    let theirs = tlog_tiles::TileHashReader::new(size, root, &ours);
    for index in [0, 300, 65_535, 65_536, 65_999] {
        let proof = tlog_tiles::prove_record(size, index, &theirs).unwrap();
        let path = proof::inclusion(&mut nodes, index, size).unwrap();
        assert_eq!(proof.iter().map(|hash| hash.0).collect::<Vec<_>>(), path);
        let leaf = tlog_tiles::record_hash(&entry(index));
        tlog_tiles::check_record(&proof, size, root, index, leaf).unwrap();
        let old = index + 1;
        let proof = tlog_tiles::prove_tree(size, old, &theirs).unwrap();
        let path = proof::consistency(&mut nodes, old, size).unwrap();
        assert_eq!(proof.iter().map(|hash| hash.0).collect::<Vec<_>>(), path);
        let old_root = tlog_tiles::Hash(proof::root(&mut nodes, old).unwrap());
        tlog_tiles::check_tree(&proof, size, root, old, old_root).unwrap();
    }
    let leaf = theirs.read_hashes(&[tlog_tiles::stored_hash_index(0, 77)]).unwrap();
    assert_eq!(leaf[0].0, tree::leaf_hash(&entry(77)));
}

proptest! {
    #[test]
    fn paths_are_those_of_tlog_tiles(
        level in 0..LEVELS, index in 0u64..1 << 40, width in 1u16..=256, entries: bool,
    ) {
        let kind = if entries { Kind::Entries } else { Kind::Hashes(level) };
        let tile = Tile { kind, index, width };
        let path = tile.to_string();
        prop_assert_eq!(path.parse(), Ok(tile));
        let level = if entries { 0 } else { level };
        let theirs = tlog_tiles::Tile::new(8, level, index, width.into(), entries);
        prop_assert_eq!(their_path(&path), theirs.path());
    }

    #[test]
    fn any_path_is_read_without_panic(
        path in "(tile/|entries/|[0-9]{1,3}|/|x|\\.p/|\u{e9}){0,12}",
        other in any::<String>(),
    ) {
        for path in [path, other] {
            if let Ok(tile) = path.parse::<Tile>() {
                prop_assert_eq!(tile.to_string(), path);
            }
        }
    }

    #[test]
    fn any_bytes_are_read_as_a_tile_without_panic(bytes: Vec<u8>, width in 0u16..=300) {
        if let Ok(entries) = tile::decode_bundle(&bytes, width) {
            let again = tile::encode_bundle(entries).unwrap();
            prop_assert!(bytes.starts_with(&again));
        }
        if let Some(hashes) = tile::decode_hashes(&bytes, width) {
            prop_assert_eq!(hashes.len(), usize::from(width));
        }
        let head = Head { size: width.into(), root_hash: [7; 32] };
        let mut reader = Reader::new(head, |_: &str| Ok::<_, String>(bytes.clone()));
        prop_assert!(reader.entries(0).is_err());
    }
}

#[test]
fn wrong_paths_are_refused() {
    for path in [
        "",
        "tile",
        "tile/",
        "tile/0",
        "tile/0/",
        "tile/0/1",
        "tile/0/0001",
        "tile/00/001",
        "tile/8/000",
        "tile/-1/000",
        "tile/0/x000/001",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p",
        "tile/0/001/x002",
        "tile/data/000",
        "/tile/0/000",
        "tile/0/x018/x446/x744/x073/x709/x551/616",
        "tile/0/000/",
        "tile/0/..",
    ] {
        assert!(path.parse::<Tile>().is_err(), "{path}");
    }
    let longest = Tile { kind: Kind::Entries, index: u64::MAX, width: 255 };
    assert_eq!(longest.to_string().parse(), Ok(longest));
}

#[test]
fn an_entry_too_long_for_a_bundle_is_refused() {
    let entry = vec![0; 65_536];
    assert_eq!(tile::encode_bundle([entry.as_slice()]), Err(tile::TileError::Entry(65_536)));
    let whole = tile::encode_bundle([&entry[..65_535], b""]).unwrap();
    assert_eq!(tile::decode_bundle(&whole, 2).unwrap()[1], b"");
    assert_eq!(tile::decode_bundle(&whole, 3), Err(tile::TileError::Bundle(2)));
}
