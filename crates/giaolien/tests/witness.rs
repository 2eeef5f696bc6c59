//! The witness as it is run: a process, asked over HTTP, killed and started again.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails may panic")]
#![allow(clippy::indexing_slicing, reason = "a test that fails may panic")]

use std::convert::Infallible;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use tlog::proof::{self, NodeSource};
use tlog::witness::{AddCheckpoint, cosignatures};
use tlog::{Checkpoint, Cosigner, Hash, Note, Origin, Signer, WitnessKey, tree};

const NAME: &str = "giamsat.example.gov.vn";

/// A ledger's tree, in memory.
struct Tree(Vec<Hash>);

impl Tree {
    fn of(entries: usize, salt: &str) -> Self {
        Self((0..entries).map(|n| tree::leaf_hash(format!("{n}{salt}").as_bytes())).collect())
    }

    fn checkpoint(&self, size: usize, signer: &Signer) -> Note {
        let origin = signer.origin().clone();
        let root_hash = tree::root(&self.0[..size]);
        let checkpoint = Checkpoint { origin, size: size as u64, root_hash };
        Note::sign(&checkpoint.to_string(), signer).unwrap()
    }
}

impl NodeSource for &Tree {
    type Error = Infallible;

    fn node(&mut self, level: u8, index: u64) -> Result<Hash, Infallible> {
        let width = 1_usize << level;
        let first = usize::try_from(index).unwrap() * width;
        Ok(tree::root(&self.0[first..first + width]))
    }
}

struct Running {
    child: Child,
    address: String,
    key: WitnessKey,
}

impl Running {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_giaolien"))
            .args(["witness", "--name", NAME, "--listen", "127.0.0.1:0"])
            .arg("--key")
            .arg(folder.join("witness.key"))
            .arg("--ledger")
            .arg(folder.join("ledger.pub"))
            .arg("--state")
            .arg(folder.join("state"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut key = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut key).unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let line = log.find(|line| line.contains("witnessing"));
        thread::spawn(move || log.for_each(drop));
        let line: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        let address = line["address"].as_str().unwrap().to_owned();
        Self { child, address, key: key.trim().parse().unwrap() }
    }

    /// Status and body.
    fn ask(&self, old: usize, tree: &Tree, checkpoint: &Note) -> (u16, String) {
        let new = checkpoint.text().parse::<Checkpoint>().unwrap().size;
        let proof = match old {
            0 => Vec::new(),
            _ => proof::consistency(&mut &*tree, old as u64, new).unwrap(),
        };
        let request = AddCheckpoint { old_size: old as u64, proof, checkpoint: checkpoint.clone() };
        self.post(&request.to_string())
    }

    fn post(&self, body: &str) -> (u16, String) {
        let mut tcp = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        write!(
            tcp,
            "POST /add-checkpoint HTTP/1.1\r\nhost: w\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // As a power cut would.
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn a_witness_cosigns_extensions_alone_over_its_own_death() {
    let folder = tempfile::tempdir().unwrap();
    let origin: Origin = "ledger.example.vn".parse().unwrap();
    let (signer, _) = Signer::generate(origin).unwrap();
    let (_, pem) = Cosigner::generate(NAME.parse().unwrap()).unwrap();
    fs::write(folder.path().join("witness.key"), pem).unwrap();
    fs::write(folder.path().join("ledger.pub"), signer.verifying_key().to_string()).unwrap();
    let (honest, forked) = (Tree::of(100, ""), Tree::of(100, "changed"));

    let witness = Running::start(folder.path());
    let first = honest.checkpoint(7, &signer);
    let (status, body) = witness.ask(0, &honest, &first);
    assert_eq!(status, 200, "{body}");
    let cosigned = cosignatures(&body, &first, std::slice::from_ref(&witness.key)).unwrap();
    assert_eq!(cosigned.len(), 1);
    assert_eq!(witness.post("nonsense").0, 400);
    drop(witness);

    let witness = Running::start(folder.path());
    // It remembers, and says what it has.
    assert_eq!(witness.ask(0, &honest, &first), (409, "7\n".to_owned()));
    // Another history of the same ledger, with proofs as good as its owner can make them.
    assert_eq!(witness.ask(7, &forked, &forked.checkpoint(7, &signer)).0, 409);
    assert_eq!(witness.ask(7, &forked, &forked.checkpoint(50, &signer)).0, 422);
    assert_eq!(witness.ask(7, &honest, &honest.checkpoint(50, &signer)).0, 200);
    // Back again is not an extension either.
    assert_eq!(witness.ask(7, &honest, &first), (409, "50\n".to_owned()));
    let (stranger, _) = Signer::generate("ledger.example.vn".parse().unwrap()).unwrap();
    assert_eq!(witness.ask(50, &honest, &honest.checkpoint(60, &stranger)).0, 403);
    let (other, _) = Signer::generate("other.example.vn".parse().unwrap()).unwrap();
    assert_eq!(witness.ask(0, &honest, &honest.checkpoint(60, &other)).0, 404);
}
