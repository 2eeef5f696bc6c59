//! The gateway as a child process: started, watched, stopped, killed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::PATIENCE;

const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A running gateway. Killed if dropped.
pub struct Gateway {
    child: Child,
    address: Option<SocketAddr>,
    log: Log,
    reader: Option<JoinHandle<()>>,
    announced: Vec<&'static str>,
}

/// Lines that the gateway has written to its standard error so far.
type Log = Arc<Mutex<Vec<String>>>;

/// Memory of the child, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    pub peak_bytes: u64,
    pub now_bytes: u64,
}

impl Gateway {
    /// Starts `command` and waits until it says where it listens.
    pub fn start(command: Command) -> Self {
        let mut gateway = Self::spawn(command);
        let serving = gateway.wait_for_log("serving");
        gateway.address = Some(serving["address"].as_str().unwrap().parse().unwrap());
        gateway
    }

    /// Starts `command` and does not wait for anything.
    pub fn spawn(mut command: Command) -> Self {
        command.env_remove("GIAOLIEN_LOG").stdin(Stdio::null());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Log::default();
        let reader = read_log(child.stderr.take().unwrap(), log.clone());
        Self { child, address: None, log, reader: Some(reader), announced: Vec::new() }
    }

    pub fn address(&self) -> SocketAddr {
        self.address.expect("a gateway that serves")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Says that lines with this message may appear, although they are warnings or errors.
    pub fn announce(&mut self, message: &'static str) {
        self.announced.push(message);
    }

    /// Waits for a line with this message.
    pub fn wait_for_log(&self, message: &str) -> Value {
        let begun = Instant::now();
        loop {
            let lines = self.lines();
            if let Some(line) = lines.iter().find_map(|line| parse(line, message)) {
                return line;
            }
            assert!(begun.elapsed() < PATIENCE, "no line `{message}` in {lines:#?}");
            let ended = lines.last().is_some_and(|line| line == END_OF_LOG);
            assert!(!ended, "the gateway ended without a line `{message}`: {lines:#?}");
            thread::sleep(LOOK_EVERY);
        }
    }

    /// The lines with this message so far.
    pub fn logged(&self, message: &str) -> Vec<Value> {
        self.lines().iter().filter_map(|line| parse(line, message)).collect()
    }

    pub fn lines(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Sends a signal: `TERM`, `HUP`.
    pub fn signal(&self, name: &str) {
        let send = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &send]).status().unwrap().success());
    }

    /// Asks the gateway to stop, and checks that it drains well and has said nothing bad.
    pub fn stop(mut self) {
        self.signal("TERM");
        let status = self.wait();
        self.check_log();
        assert_eq!(status.code(), Some(0), "{:#?}", self.lines());
    }

    /// Kills the gateway in the middle of whatever it does (`kill -9`).
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.wait();
        self.check_log();
    }

    /// Waits until the process has ended.
    pub fn wait(&mut self) -> ExitStatus {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < PATIENCE, "the gateway does not end");
            thread::sleep(LOOK_EVERY);
        };
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        status
    }

    /// Memory now and at most so far.
    pub fn memory(&self) -> Memory {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(path).unwrap();
        let bytes = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
            let kib: u64 = line.trim().strip_suffix(" kB").unwrap().parse().unwrap();
            kib << 10
        };
        Memory { peak_bytes: bytes("VmHWM:"), now_bytes: bytes("VmRSS:") }
    }

    /// Fails on a warning or error that was not announced, and on anything that is no log line.
    fn check_log(&self) {
        let lines = self.lines();
        let bad = lines.iter().filter(|line| *line != END_OF_LOG && !self.is_fine(line));
        let bad: Vec<_> = bad.collect();
        assert!(bad.is_empty(), "the gateway said: {bad:#?}");
    }

    fn is_fine(&self, line: &str) -> bool {
        let Ok(line) = serde_json::from_str::<Value>(line) else { return false };
        let message = line["message"].as_str().unwrap_or_default();
        !matches!(line["level"].as_str(), None | Some("WARN" | "ERROR"))
            || self.announced.contains(&message)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if thread::panicking() {
            eprintln!("the gateway said: {:#?}", self.lines());
        }
    }
}

/// Stands for the end of the output.
const END_OF_LOG: &str = "(end)";

fn read_log(stderr: ChildStderr, log: Log) -> JoinHandle<()> {
    thread::spawn(move || {
        let lines = BufReader::new(stderr).lines().map_while(Result::ok);
        for line in lines.chain([END_OF_LOG.to_owned()]) {
            log.lock().unwrap().push(line);
        }
    })
}

/// The line, if it has this message.
fn parse(line: &str, message: &str) -> Option<Value> {
    let line: Value = serde_json::from_str(line).ok()?;
    (line["message"] == message).then_some(line)
}
