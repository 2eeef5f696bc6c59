//! The public side of a ledger: its tiles over HTTP, and a witness as a process.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use serde_json::Value;
use tlog::WitnessKey;

use super::{BINARY, Gateway};

/// An answer over HTTP.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

/// Asks for a path.
pub fn get(address: &str, path: &str) -> Answer {
    ask(address, &format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n"))
}

/// Sends a request as it stands.
pub fn ask(address: &str, request: &str) -> Answer {
    let mut tcp = TcpStream::connect(address).unwrap();
    tcp.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    tcp.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap().to_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head, body: answer[end + 4..].to_vec() }
}

/// Where one of the gateway's doors is.
pub fn address(gateway: &Gateway, what: &str) -> String {
    let lines = gateway.logged("listening");
    let line = lines.iter().find(|line| line["what"] == what).unwrap();
    line["address"].as_str().unwrap().to_owned()
}

/// `giaolien witness` as a process. Killed if dropped, as a power cut would.
pub struct WitnessProcess {
    child: Child,
    pub address: String,
    pub key: WitnessKey,
}

impl WitnessProcess {
    /// Starts a witness with the key `NAME.key` and the state `NAME.state` of a folder; it knows
    /// the ledgers whose public keys are in these files.
    pub fn start(folder: &Path, name: &str, listen: &str, ledgers: &[PathBuf]) -> Self {
        let mut command = Command::new(BINARY);
        command.args(["witness", "--name", name, "--listen", listen]);
        command.arg("--key").arg(folder.join(format!("{name}.key")));
        command.arg("--state").arg(folder.join(format!("{name}.state")));
        for ledger in ledgers {
            command.arg("--ledger").arg(ledger);
        }
        command.env_remove("GIAOLIEN_LOG").stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut key = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut key).unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let line = log.find(|line| line.contains("witnessing"));
        thread::spawn(move || log.for_each(drop));
        let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let address = line["address"].as_str().unwrap().to_owned();
        Self { child, address, key: key.trim().parse().unwrap() }
    }
}

impl Drop for WitnessProcess {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
