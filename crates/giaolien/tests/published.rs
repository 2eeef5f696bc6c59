//! A published ledger, followed over HTTP by a client that others wrote.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails may panic")]

mod support;

use std::fs;

use support::public::{Answer, address, ask, get};
use support::{Gateway, World, until, within};
use testkit::echo::pb::EchoRequest;
use tlog::{Signer, VerifyingKey};
use tlog_tiles::{Hash, TileHashReader};

/// The name that the gateway's log gives the door.
const DOOR: &str = "the published ledger";

/// A monitor made of the crates `tlog_tiles` and `signed_note`.
struct Monitor {
    address: String,
    size: u64,
    root: Hash,
    /// Leaf hashes of the entries read so far.
    entries: u64,
}

struct Tiles<'a>(&'a str);

impl tlog_tiles::TileReader for Tiles<'_> {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(
        &self,
        tiles: &[tlog_tiles::Tile],
    ) -> Result<Vec<Vec<u8>>, tlog_tiles::tlog::Error> {
        let read = |tile: &tlog_tiles::Tile| {
            let answer = get(self.0, &tile.path().replacen("tile/8/", "/tile/", 1));
            assert_eq!(answer.status, 200, "{}", tile.path());
            answer.body
        };
        Ok(tiles.iter().map(read).collect())
    }

    fn save_tiles(&self, _: &[tlog_tiles::Tile], _: &[Vec<u8>]) {}
}

impl Monitor {
    fn new(address: String) -> Self {
        Self { address, size: 0, root: tlog_tiles::EMPTY_HASH, entries: 0 }
    }

    /// Reads the checkpoint and checks that it is signed, and extends the last one. Returns how
    /// many keys signed.
    fn follow(&mut self, key: &VerifyingKey) -> usize {
        let answer = get(&self.address, "/checkpoint");
        assert_eq!(answer.status, 200);
        let note = signed_note::Note::from_bytes(&answer.body).unwrap();
        let verifier = signed_note::StandardVerifier::new(&key.to_string()).unwrap();
        let known = signed_note::VerifierList::new(vec![Box::new(verifier)]);
        let (verified, others) = note.verify(&known).unwrap();
        assert_eq!(verified.len(), 1);
        let checkpoint = tlog_tiles::Checkpoint::from_bytes(note.text()).unwrap();
        let (size, root) = (checkpoint.size(), *checkpoint.hash());
        assert!(size >= self.size);
        let tiles = Tiles(&self.address);
        let reader = TileHashReader::new(size, root, &tiles);
        if self.size > 0 && size > self.size {
            let proof = tlog_tiles::prove_tree(size, self.size, &reader).unwrap();
            tlog_tiles::check_tree(&proof, size, root, self.size, self.root).unwrap();
        }
        (self.size, self.root) = (size, root);
        1 + others.len()
    }

    /// Reads all entries that the checkpoint covers, each with its proof.
    fn read_entries(&mut self) {
        let tiles = Tiles(&self.address);
        let reader = TileHashReader::new(self.size, self.root, &tiles);
        while self.entries < self.size {
            let (index, width) = (self.entries / 256, (self.size - self.entries / 256 * 256));
            let partial = if width < 256 { format!(".p/{width}") } else { String::new() };
            let bundle = get(&self.address, &format!("/tile/entries/{index:03}{partial}"));
            assert_eq!(bundle.status, 200);
            let mut rest = bundle.body.as_slice();
            for number in index * 256..(index * 256 + 256).min(self.size) {
                let length = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
                let leaf = tlog_tiles::record_hash(&rest[2..2 + length]);
                rest = &rest[2 + length..];
                let proof = tlog_tiles::prove_record(self.size, number, &reader).unwrap();
                tlog_tiles::check_record(&proof, self.size, self.root, number, leaf).unwrap();
                self.entries = number + 1;
            }
            assert!(rest.is_empty());
        }
    }
}

fn configure(world: &World, ledger: &str) {
    let yaml = support::gateway_yaml(&world.ledger_folder());
    world.write("gateway.yaml", yaml.replace("limits:\n", &format!("{ledger}limits:\n")));
}

async fn call(world: &World, gateway: &Gateway, times: usize) {
    let mut client = world.client(gateway).await;
    for _ in 0..times {
        within(client.unary(EchoRequest::default())).await.unwrap();
    }
}

/// Waits until the checkpoint covers at least so many entries.
async fn covered(address: &str, size: u64) {
    let read = || {
        let note = get(address, "/checkpoint").text();
        note.lines().nth(1).and_then(|line| line.parse::<u64>().ok()).unwrap_or(0)
    };
    until("the checkpoint covers the calls", || read() >= size).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_published_ledger_is_followed_through_growth_restart_and_a_new_key() {
    let world = World::new().await;
    configure(&world, "  publish: {listen: '127.0.0.1:0', entries: true}\n");
    let gateway = world.start();
    let mut monitor = Monitor::new(address(&gateway, DOOR));
    for (calls, size) in [(3, 7), (140, 287), (1, 289)] {
        call(&world, &gateway, calls).await;
        covered(&monitor.address, size).await;
        assert_eq!(monitor.follow(&world.key), 1);
        monitor.read_entries();
    }
    let known = monitor.size;
    gateway.kill();

    let gateway = world.start();
    monitor.address = address(&gateway, DOOR);
    call(&world, &gateway, 2).await;
    covered(&monitor.address, known + 5).await;
    monitor.follow(&world.key);
    monitor.read_entries();
    gateway.stop();

    // A new key: the old one goes on vouching, until the monitor knows the new one.
    let (new, pem) = Signer::generate("ledger.test".parse().unwrap()).unwrap();
    fs::rename(world.config_file("pki/ledger.key"), world.config_file("pki/old.key")).unwrap();
    world.write("pki/ledger.key", pem);
    let publish = "  publish: {listen: '127.0.0.1:0', entries: true}\n";
    configure(&world, &format!("{publish}  previous_key: pki/old.key\n"));
    let known = monitor.size;
    let gateway = world.start();
    monitor.address = address(&gateway, DOOR);
    call(&world, &gateway, 2).await;
    covered(&monitor.address, known + 5).await;
    assert_eq!(monitor.follow(&world.key), 2);
    assert_eq!(monitor.follow(&new.verifying_key()), 2);
    monitor.read_entries();
    gateway.stop();

    configure(&world, publish);
    let gateway = world.start();
    monitor.address = address(&gateway, DOOR);
    until("there is a checkpoint", || get(&monitor.address, "/checkpoint").status == 200).await;
    assert_eq!(monitor.follow(&new.verifying_key()), 1);
    gateway.stop();
    // Who has the old key follows the ledger's own record to the new one.
    let verified = world.audit_verify();
    assert_eq!(verified.code, 0, "{verified:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_is_meant_to_be_public_is() {
    let world = World::new().await;
    configure(&world, "  publish: {listen: '127.0.0.1:0'}\n");
    let gateway = world.start();
    let door = address(&gateway, DOOR);
    call(&world, &gateway, 130).await;
    covered(&door, 261).await;

    let header = |answer: &Answer, line: &str| {
        assert!(answer.head.contains(line), "{line} in {}", answer.head);
    };
    let checkpoint = get(&door, "/checkpoint");
    header(&checkpoint, "content-type: text/plain; charset=utf-8");
    header(&checkpoint, "cache-control: no-cache");
    let tile = get(&door, "/tile/0/000");
    assert_eq!((tile.status, tile.body.len()), (200, 8192));
    header(&tile, "content-type: application/octet-stream");
    header(&tile, "immutable");
    let partial = get(&door, "/tile/0/000.p/7");
    assert_eq!(partial.body, tile.body[..7 * 32]);
    assert_eq!(get(&door, "/tile/1/000.p/1").body.len(), 32);
    for path in [
        "/tile/entries/000",
        "/tile/entries/000.p/3",
        "/tile/0/009",
        "/tile/0/000.p/256",
        "/tile/8/000",
        "/tile/0/0",
        "/checkpoint/",
        "/",
        "//checkpoint",
        "/../checkpoint",
        "/checkpoints.log",
        "/segment-0000000000.log",
    ] {
        let answer = get(&door, path);
        assert_eq!(answer.status, 404, "{path}");
        header(&answer, "cache-control: no-cache");
    }
    assert_eq!(ask(&door, "POST /checkpoint HTTP/1.1\r\nhost: x\r\n\r\n").status, 405);
    gateway.stop();
}
