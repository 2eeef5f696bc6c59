//! The sandbox through the real binary: what it leaves can be checked with the other commands.

#![cfg(feature = "sandbox")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails may panic")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

fn giaolien(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_giaolien")).args(arguments).output().unwrap()
}

/// Runs a command that must end well, and returns what it printed.
fn good(arguments: &[&str]) -> String {
    let output = giaolien(arguments);
    let printed = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}\n{printed}{errors}");
    printed
}

/// Runs a command that must fail with 1, and returns why.
fn bad(arguments: &[&str]) -> String {
    let output = giaolien(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// A folder with a small sandbox in it.
struct Made {
    folder: TempDir,
    printed: String,
}

impl Made {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().to_str().unwrap();
        let printed = good(&["sandbox", "--dir", dir, "--exit", "--people", "300"]);
        Self { folder, printed }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn audit(&self) -> String {
        good(&["audit", "verify", &self.path("ledger"), "--key", &self.path("pki/ledger.pub")])
    }

    fn files(&self, folder: &str, extension: &str) -> Vec<PathBuf> {
        let files = fs::read_dir(self.path(folder)).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
    }
}

/// The number before a word.
fn count_of(word: &str, text: &str) -> usize {
    let words: Vec<&str> = text.split_whitespace().collect();
    let at = words.iter().position(|found| found.trim_end_matches(',') == word).unwrap();
    words[at - 1].parse().unwrap()
}

#[test]
fn what_a_sandbox_leaves_stands_up_to_the_other_commands() {
    let made = Made::new();
    let summary = made.printed.lines().find(|line| line.ends_with("all as expected")).unwrap();
    let calls = count_of("calls", summary);
    assert_eq!(made.printed.matches("receipt verified").count(), calls);
    assert!(!made.printed.contains('\x1b'), "colours are for terminals");

    good(&["check", &made.path("config")]);
    assert!(made.audit().starts_with("whole: "));
    let receipts = made.files("receipts", "receipt");
    assert_eq!(receipts.len(), calls);
    for receipt in &receipts {
        let file = receipt.to_str().unwrap();
        assert!(good(&["receipt", "verify", file]).starts_with("valid: "));
        let mut bytes = fs::read(receipt).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(receipt, bytes).unwrap();
        bad(&["receipt", "verify", file]);
    }
    for key in made.files("pki", "key") {
        let mode = fs::metadata(&key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", key.display());
    }
}

#[test]
fn a_sandbox_is_opened_again_with_its_ports_and_its_ledger() {
    let made = Made::new();
    let (gateway, entries) = (made.path("config/gateway.yaml"), count_of("entries", &made.audit()));
    let written = fs::read_to_string(&gateway).unwrap();
    let dir = made.path("");
    good(&["sandbox", "--dir", &dir, "--exit"]);
    assert_eq!(fs::read_to_string(&gateway).unwrap(), written);
    assert!(count_of("entries", &made.audit()) >= 2 * entries);

    let other_people = bad(&["sandbox", "--dir", &dir, "--exit", "--people", "400"]);
    assert!(other_people.contains("300 people"), "{other_people}");
    let other_ports = bad(&["sandbox", "--dir", &dir, "--exit", "--port-base", "1"]);
    assert!(other_ports.contains("--port-base"), "{other_ports}");
}

#[test]
fn a_folder_of_something_else_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("thesis.txt"), "").unwrap();
    let error = bad(&["sandbox", "--dir", folder.path().to_str().unwrap(), "--exit"]);
    assert!(error.contains("not empty"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    let error = bad(&["sandbox", "--dir", dir, "--exit", "--port-base", &port.to_string()]);
    assert!(error.contains(&format!("port {port} of the gateway")), "{error}");
}

#[test]
fn the_commands_it_prints_work_while_it_is_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_giaolien"))
        .args(["sandbox", "--people", "300", "--dir"])
        .arg(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut printed = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut commands = Vec::new();
    let last = "# the gateway alone";
    for line in printed.by_ref() {
        let line = line.unwrap().trim().to_owned();
        if line.contains(last) {
            break;
        }
        commands.extend(line.starts_with('/').then_some(line));
    }
    assert_eq!(commands.len(), 6, "{commands:?}");
    for command in commands {
        let short = command.replace("--duration 5s", "--calls 20 --warm-up 0s");
        let output = Command::new("sh").args(["-c", &short]).current_dir("/").output().unwrap();
        let shown = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        let expected = if short.contains(" explain ") { 2 } else { 0 };
        assert_eq!(output.status.code(), Some(expected), "{short}\n{shown}{errors}");
    }
    interrupt(child.id());
    printed.for_each(|line| drop(line.unwrap()));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let key = folder.path().join("pki/ledger.pub");
    let ledger = folder.path().join("ledger");
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    good(&["audit", "verify", &text(&ledger), "--key", &text(&key)]);
}

/// What Ctrl-C sends.
fn interrupt(process: u32) {
    // The shell has `kill` built in; a machine may not have the program.
    let sent = Command::new("sh").args(["-c", &format!("kill -INT {process}")]).status().unwrap();
    assert!(sent.success());
}
