//! Tiles, bundles and proofs of a ledger: as the crate `tlog_tiles` reads them, while the ledger is
//! written, and after the tiles were lost or spoilt.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that fails may panic"
)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use audit::{Log, Options, Tiles, TilesError};
use common::{options, signer};
use tlog::note::{Checkpoint, Note};
use tlog::tile::{self, Kind, Reader, Tile, WIDTH};
use tlog::tree::{self, Nodes};
use tlog::{Hash, Head, proof};

/// More than one full tile of level 1.
const ENTRIES: u64 = 66_000;

fn entry(number: u64) -> Vec<u8> {
    number.to_string().into_bytes()
}

fn large(folder: &Path) -> Options {
    let mut options = options(folder);
    options.segment_bytes = 256 << 10;
    options.checkpoint_interval = Duration::from_millis(10);
    options
}

fn append(log: &Log, numbers: std::ops::Range<u64>) {
    let tickets: Vec<_> = numbers
        .map(|n| {
            loop {
                match log.append(&entry(n)) {
                    Ok(ticket) => break ticket,
                    Err(_) => std::thread::sleep(Duration::from_millis(1)),
                }
            }
        })
        .collect();
    tickets.iter().for_each(|ticket| drop(ticket.wait().unwrap()));
}

fn ledger(folder: &Path, entries: u64) -> Tiles {
    let (log, _) = Log::open(large(folder)).unwrap();
    append(&log, 0..entries);
    log.close().unwrap();
    log.tiles()
}

fn nodes(size: u64) -> Nodes {
    let leaves: Vec<_> = (0..size).map(|n| tree::leaf_hash(&entry(n))).collect();
    Nodes::over(&leaves)
}

fn head(tiles: &Tiles) -> Head {
    let note: Note = tiles.checkpoint().parse().unwrap();
    note.verify(&signer().verifying_key()).unwrap();
    let Checkpoint { size, root_hash, .. } = note.text().parse().unwrap();
    Head { size, root_hash }
}

/// All tiles and proofs of a ledger that is not written now.
fn check(tiles: &Tiles, size: u64) {
    let mut nodes = nodes(size);
    assert_eq!(head(tiles), Head { size, root_hash: nodes.root() });
    for level in 0..3u8 {
        for index in 0.. {
            let Some(tile) = Tile::of_tree(Kind::Hashes(level), index, size) else { break };
            let hashes: Vec<Hash> = (index * WIDTH..index * WIDTH + u64::from(tile.width))
                .map(|place| nodes.perfect(level * 8, place).unwrap())
                .collect();
            assert_eq!(tiles.get(&tile.to_string()).unwrap(), Some(hashes.concat()), "{tile}");
        }
    }
    for index in [0, 1, 255, 256, size / 2, size - 257, size - 2, size - 1] {
        let path = tiles.inclusion(index, size).unwrap();
        assert_eq!(Ok(path), proof::inclusion(&mut nodes, index, size));
        let path = tiles.consistency(index, size).unwrap();
        assert_eq!(Ok(path), proof::consistency(&mut nodes, index, size));
        let path = tiles.inclusion(index, index + 1).unwrap();
        assert_eq!(Ok(path), proof::inclusion(&mut nodes, index, index + 1));
        let bundle = Tile::of_tree(Kind::Entries, index / WIDTH, size).unwrap();
        let entries = tiles.get(&bundle.to_string()).unwrap().unwrap();
        let entries = tile::decode_bundle(&entries, bundle.width).unwrap();
        assert_eq!(entries[(index % WIDTH) as usize], entry(index));
    }
}

fn level(folder: &Path, level: u8) -> PathBuf {
    folder.join("tiles").join(format!("level-{level}"))
}

#[test]
fn tiles_are_right_and_are_made_again_where_they_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    check(&ledger(folder, ENTRIES), ENTRIES);
    let whole = [0, 1].map(|number| fs::read(level(folder, number)).unwrap());
    assert_eq!(whole.each_ref().map(Vec::len), [257 * 8192, 8192]);
    // What may be found after a power cut, or after somebody's hand.
    type Spoil<'a> = Box<dyn Fn() + 'a>;
    let spoil_byte = |number: u8, at: usize| -> Spoil<'_> {
        let (path, mut bytes) = (level(folder, number), whole[usize::from(number)].clone());
        bytes[at] ^= 1;
        Box::new(move || fs::write(&path, &bytes).unwrap())
    };
    let cut = |number: u8, length: usize| -> Spoil<'_> {
        let (path, bytes) = (level(folder, number), whole[usize::from(number)].clone());
        Box::new(move || fs::write(&path, &bytes[..length]).unwrap())
    };
    let zero = |tiles: std::ops::Range<usize>| -> Spoil<'_> {
        let (path, mut bytes) = (level(folder, 0), whole[0].clone());
        bytes[tiles.start * 8192..tiles.end * 8192].fill(0);
        Box::new(move || fs::write(&path, &bytes).unwrap())
    };
    let spoils: [Spoil<'_>; 9] = [
        Box::new(|| fs::remove_dir_all(folder.join("tiles")).unwrap()),
        Box::new(|| fs::remove_file(level(folder, 1)).unwrap()),
        spoil_byte(0, 3),
        spoil_byte(0, 257 * 8192 - 1),
        spoil_byte(1, 4000),
        cut(0, 256 * 8192 + 100),
        cut(0, 8192),
        cut(1, 0),
        zero(100..257),
    ];
    for spoil in &spoils {
        spoil();
        // An auditor's copy stays as it is.
        let before = [0, 1].map(|number| fs::read(level(folder, number)).ok());
        check(&Tiles::open(folder).unwrap(), ENTRIES);
        assert_eq!(before, [0, 1].map(|number| fs::read(level(folder, number)).ok()));
        let (log, _) = Log::open(large(folder)).unwrap();
        log.close().unwrap();
        check(&log.tiles(), ENTRIES);
        assert!(whole == [0, 1].map(|number| fs::read(level(folder, number)).unwrap()));
    }
}

#[test]
fn a_ledger_goes_on_with_its_tiles() {
    let folder = tempfile::tempdir().unwrap();
    let mut size = 0;
    for more in [1, 254, 1, 1, 300, 0, 1000, 7] {
        let (log, _) = Log::open(large(folder.path())).unwrap();
        append(&log, size..size + more);
        size += more;
        log.close().unwrap();
        let tiles = log.tiles();
        assert_eq!(head(&tiles), Head { size, root_hash: nodes(size).root() });
        assert_eq!(tiles.size(), size);
    }
    check(&Tiles::open(folder.path()).unwrap(), size);
}

#[test]
fn what_is_not_there_is_not_given() {
    let folder = tempfile::tempdir().unwrap();
    let tiles = ledger(folder.path(), 300);
    for path in [
        "tile/0/002",
        "tile/0/001",
        "tile/0/001.p/45",
        "tile/1/000",
        "tile/1/000.p/2",
        "tile/2/000",
        "tile/entries/002",
        "tile/entries/001.p/45",
        "tile/entries/001",
        "tile/0/x001/000",
        "",
        "tiles/level-0",
        "../checkpoint",
        "lock",
        "segment-0000000000.log",
    ] {
        assert_eq!(tiles.get(path).unwrap(), None, "{path}");
    }
    // Every smaller tree had its partial tiles.
    for width in 1..=44 {
        let hashes = tiles.get(&format!("tile/0/001.p/{width}")).unwrap().unwrap();
        assert_eq!(hashes.len(), width * 32);
        let bundle = tiles.get(&format!("tile/entries/000.p/{width}")).unwrap().unwrap();
        assert_eq!(
            tile::decode_bundle(&bundle, width as u16).unwrap()[width - 1],
            entry(width as u64 - 1)
        );
    }
    let beyond = |found: Result<Vec<Hash>, _>| {
        assert!(matches!(found, Err(TilesError::Beyond { size: 300, asked: 301 })), "{found:?}");
    };
    beyond(tiles.inclusion(3, 301));
    beyond(tiles.consistency(3, 301));
    let none = tiles.inclusion(100, 100);
    assert!(matches!(none, Err(TilesError::NoEntry { index: 100, size: 100 })));
    assert!(tiles.consistency(200, 100).is_err());
}

#[test]
fn entries_that_were_changed_are_not_given_out() {
    let folder = tempfile::tempdir().unwrap();
    ledger(folder.path(), 1000);
    // A forger who gets the checksums right: another ledger's segments.
    let other = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(large(other.path())).unwrap();
    (0..1000).for_each(|n| drop(log.append(&entry(n + 1)).unwrap()));
    log.close().unwrap();
    fs::copy(other.path().join("checkpoint"), folder.path().join("checkpoint")).unwrap();
    let opened = Tiles::open(folder.path());
    assert!(matches!(opened, Err(TilesError::Damaged { .. })), "{opened:?}");
    let tiles = Tiles::open(other.path()).unwrap();
    let segment = "segment-0000000000.log";
    fs::write(other.path().join(segment), fs::read(folder.path().join(segment)).unwrap()).unwrap();
    let found = tiles.get("tile/entries/000");
    assert!(matches!(found, Err(TilesError::Damaged { first: 0, last: 255 })), "{found:?}");
}

/// A monitor follows a ledger that is being written: every checkpoint extends the one before, and
/// its tiles and entries are there.
#[test]
fn a_monitor_follows() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(large(folder.path())).unwrap();
    let tiles = log.tiles();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for start in (0..20_000).step_by(100) {
                append(&log, start..start + 100);
            }
        });
        let began = Instant::now();
        let mut last = Head { size: 0, root_hash: tree::empty_root() };
        let (mut seen, mut heads) = (0, 0);
        while last.size < 20_000 {
            assert!(began.elapsed() < Duration::from_secs(60), "no more checkpoints");
            if tiles.checkpoint().is_empty() || head(&tiles) == last {
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            let new = head(&tiles);
            let fetch = |path: &str| {
                let found = tiles.get(path).map_err(|error| error.to_string())?;
                found.ok_or_else(|| format!("no `{path}`"))
            };
            let mut reader = Reader::new(new, fetch);
            let path = proof::consistency(&mut reader, last.size, new.size).unwrap();
            proof::verify_consistency(&last, &new, &path).unwrap();
            assert_eq!(tiles.consistency(last.size, new.size).unwrap(), path);
            while seen < new.size {
                let bundle = reader.entries(seen / WIDTH).unwrap();
                for (number, found) in (seen / WIDTH * WIDTH..).zip(&bundle) {
                    assert_eq!(*found, entry(number));
                    seen = number + 1;
                }
            }
            last = new;
            heads += 1;
        }
        assert!(heads > 1, "followed in one step");
    });
    log.close().unwrap();
}

#[test]
fn tlog_tiles_verifies_our_tiles_and_checkpoint() {
    struct Theirs(Tiles);
    impl tlog_tiles::TileReader for Theirs {
        fn height(&self) -> u8 {
            8
        }
        fn read_tiles(
            &self,
            tiles: &[tlog_tiles::Tile],
        ) -> Result<Vec<Vec<u8>>, tlog_tiles::tlog::Error> {
            let get = |tile: &tlog_tiles::Tile| {
                self.0.get(&tile.path().replacen("tile/8/", "tile/", 1)).unwrap().unwrap()
            };
            Ok(tiles.iter().map(get).collect())
        }
        fn save_tiles(&self, _: &[tlog_tiles::Tile], _: &[Vec<u8>]) {}
    }
    let folder = tempfile::tempdir().unwrap();
    let ours = ledger(folder.path(), ENTRIES);
    let note = signed_note::Note::from_bytes(ours.checkpoint().as_bytes()).unwrap();
    let line = signer().verifying_key().to_string();
    let verifier = signed_note::StandardVerifier::new(&line).unwrap();
    note.verify(&signed_note::VerifierList::new(vec![Box::new(verifier)])).unwrap();
    let checkpoint = tlog_tiles::Checkpoint::from_bytes(note.text()).unwrap();
    let (size, root) = (checkpoint.size(), *checkpoint.hash());
    assert_eq!(size, ENTRIES);
    let theirs = Theirs(ours.clone());
    let reader = tlog_tiles::TileHashReader::new(size, root, &theirs);
    for index in [0, 4711, 65_535, 65_536, ENTRIES - 1] {
        let path = tlog_tiles::prove_record(size, index, &reader).unwrap();
        let leaf = tlog_tiles::record_hash(&entry(index));
        tlog_tiles::check_record(&path, size, root, index, leaf).unwrap();
        let path: Vec<Hash> = path.iter().map(|hash| hash.0).collect();
        assert_eq!(ours.inclusion(index, size).unwrap(), path);
        let path = ours.consistency(index + 1, size).unwrap();
        let path = path.into_iter().map(tlog_tiles::Hash).collect::<Vec<_>>();
        let old = tlog_tiles::tree_hash(index + 1, &reader).unwrap();
        tlog_tiles::check_tree(&path, size, root, index + 1, old).unwrap();
    }
}
