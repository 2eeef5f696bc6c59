//! A real ledger in a process of its own, on disks that break: full, failing at the n-th write or
//! sync, hanging, read-only, with the segment taken away. Nothing that was called durable is lost,
//! nothing unsynced is called durable, a failed sync is not tried again, callers get an answer, and
//! the next start finds a whole ledger.
//!
//! What a machine does not allow (`strace`, root, loop devices) is left out, and the test says so.
//! `DISK_FAULTS=40 cargo test -p audit --test broken_disks` lets more of the writes and syncs fail.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails may panic")]
#![allow(clippy::panic, clippy::indexing_slicing, reason = "a test that fails may panic")]
#![allow(clippy::print_stdout, reason = "tests tell what they did")]

#[path = "../common/mod.rs"]
mod common;
mod ledger;
mod said;
mod trace;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use said::{Load, check_kept};
use trace::Trace;

/// The first so many operations of each kind fail, one in each run.
const FAULTS: u64 = 5;

type Case = (&'static str, fn() -> Result<String, Missing>);

/// What a machine does not allow.
struct Missing(String);

const CASES: [Case; 5] = [
    ("an operation fails", an_operation_fails),
    ("a sync hangs", a_sync_hangs),
    ("the disk is full", the_disk_is_full),
    ("the disk becomes read-only", the_disk_becomes_read_only),
    ("the segment is taken away", the_segment_is_taken_away),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("load") => return ledger::load(PathBuf::from(&arguments[1])),
        Some("check") => return ledger::check(PathBuf::from(&arguments[1])),
        // Asked by tools that collect tests.
        Some("--list") => return CASES.iter().for_each(|(name, _)| println!("{name}: test")),
        _ => {}
    }
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    for (name, case) in CASES {
        if filter.is_some_and(|filter| !name.contains(filter.as_str())) {
            continue;
        }
        let begun = Instant::now();
        match case() {
            Ok(what) => println!("{name} ... ok, {what}, {:.1} s", begun.elapsed().as_secs_f64()),
            Err(Missing(what)) => println!("{name} ... left out: {what}"),
        }
    }
}

fn own() -> PathBuf {
    std::env::current_exe().unwrap()
}

/// This program as the process `role`.
fn process(role: &str, folder: &Path) -> Command {
    let mut command = Command::new(own());
    command.arg(role).arg(folder);
    command
}

/// `strace` that does `inject` to the ledger under load, with a record for each thread.
fn traced(folder: &Path, records: &Path, inject: &str) -> Command {
    let mut command = Command::new("strace");
    command.args(["-ff", "-qq", "-y", "-s", "0", "-e", "trace=pwrite64,fsync,fdatasync"]);
    command.args(["-e", &format!("inject={inject}"), "-o"]).arg(records.join("record"));
    command.arg(own()).arg("load").arg(folder);
    command
}

fn need_strace() -> Result<(), Missing> {
    let trial = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).output();
    match trial {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(Missing(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
        Err(error) => Err(Missing(format!("run `strace` (apt-get install strace): {error}"))),
    }
}

fn text(output: &Output) -> String {
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", said(&output.stdout), said(&output.stderr));
    said(&output.stdout)
}

fn an_operation_fails() -> Result<String, Missing> {
    need_strace()?;
    let faults = std::env::var("DISK_FAULTS").map_or(FAULTS, |text| text.parse().unwrap());
    let (mut runs, mut kept) = (0, 0);
    for call in ["pwrite64", "fdatasync", "fsync"] {
        for error in ["EIO", "ENOSPC"] {
            for n in 1..=faults {
                let inject = format!("{call}:error={error}:when={n}");
                let Some(durable) = fail_once(&inject, error) else {
                    assert!(n > FAULTS, "{inject} did not happen");
                    break;
                };
                kept += durable;
                runs += 1;
            }
        }
    }
    Ok(format!("{runs} runs, {kept} entries called durable, all kept"))
}

/// One run with a fault; how many entries were called durable, or nothing if no thread got so far.
fn fail_once(inject: &str, error: &str) -> Option<usize> {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, records) = (folder.path().join("ledger"), folder.path().join("records"));
    fs::create_dir(&records).unwrap();
    let load = Load::read(&text(&traced(&ledger, &records, inject).output().unwrap()));
    let trace = Trace::read(&records);
    if trace.injected == 0 {
        return None;
    }
    // What a thread that fails for want of space writes again is another file, or the same anew.
    if error != "ENOSPC" {
        assert!(trace.again.is_empty(), "{inject}: used again: {:?}", trace.again);
        if load.opened() && load.durable.len() < 600 {
            load.check_failed();
        }
    }
    let synced = trace.synced_entries();
    for index in load.durable.keys() {
        assert!(*index < synced, "{inject}: entry {index} was not synced ({synced} were)");
    }
    check_kept(&load, &process("check", &ledger).output().unwrap());
    Some(load.durable.len())
}

fn a_sync_hangs() -> Result<String, Missing> {
    need_strace()?;
    let folder = tempfile::tempdir().unwrap();
    let (ledger, records) = (folder.path().join("ledger"), folder.path().join("records"));
    fs::create_dir(&records).unwrap();
    let hang = Duration::from_secs(4);
    let inject = format!("fdatasync:delay_enter={}:when=20", hang.as_micros());
    let mut command = traced(&ledger, &records, &inject);
    let mut running = Running::start(&mut command);
    running.read_until(|line| line.starts_with("slow"));
    // Whoever waits sleeps meanwhile.
    let ledger_process = child_of(running.child.id());
    let before = cpu_ticks(ledger_process);
    thread::sleep(Duration::from_secs(1));
    let spent = cpu_ticks(ledger_process) - before;
    assert!(spent <= 10, "{spent} hundredths of a second of CPU in a second of waiting");
    let load = running.end();
    assert_eq!(load.said("slow").len(), 4, "each caller got its answer: {:?}", load.lines);
    for slow in load.said("slow") {
        let waited = Duration::from_millis(slow.parse().unwrap());
        assert!(waited < ledger::WAIT_MAX + Duration::from_secs(1), "{waited:?}");
    }
    assert!(load.said("failed").is_empty() && load.said("refused").is_empty(), "it only took long");
    check_kept(&load, &process("check", &ledger).output().unwrap());
    Ok(format!("{} entries, {spent} hundredths of a second of CPU meanwhile", load.durable.len()))
}

/// Runs `script` with mounts of its own; `$0` is a folder, `$1` this program.
fn with_mounts(folder: &Path, script: &str) -> Result<Output, Missing> {
    let ways = [["--mount"].as_slice(), ["--user", "--map-root-user", "--mount"].as_slice()];
    let trial = "mount -t tmpfs tmpfs /mnt";
    let allowed = ways.into_iter().find(|way| {
        let trial = Command::new("unshare").args(*way).args(["sh", "-c", trial]).output();
        trial.is_ok_and(|trial| trial.status.success())
    });
    let Some(way) = allowed else {
        let what = "mounts of its own need root or user namespaces, and `unshare`";
        return Err(Missing(what.to_owned()));
    };
    let mut command = Command::new("unshare");
    command.args(way).args(["sh", "-ec", script]).arg(folder).arg(own());
    Ok(command.output().unwrap())
}

/// What load and check said, from scripts that run both.
fn split(output: &Output) -> (Load, Output) {
    let said = text(output);
    let (load, check) = said.split_once("--\n").expect("both ran");
    let check = Output { stdout: check.as_bytes().to_vec(), ..output.clone() };
    (Load::read(load), check)
}

fn the_disk_is_full() -> Result<String, Missing> {
    let folder = tempfile::tempdir().unwrap();
    let script = r#"
        mount -t tmpfs -o size=1m tmpfs "$0"
        head -c 400000 /dev/zero > "$0/ballast"
        "$1" load "$0/ledger"
        rm "$0/ballast"
        echo --
        "$1" check "$0/ledger""#;
    let (load, check) = split(&with_mounts(folder.path(), script)?);
    let told = load.said("failed").into_iter().chain(load.said("refused"));
    assert!(
        told.clone().count() > 0 && told.clone().all(|why| why.contains("no space")),
        "{load:?}"
    );
    assert_eq!(load.said("status"), [format!("{} Some(NoSpace)", load.size())]);
    let kept = check_kept(&load, &check);
    // Nobody was told that these were lost, so there are no more than those that were kept.
    assert_eq!(kept, load.durable.len() as u64 + 3, "an entry that was called lost is there");
    Ok(format!("{} entries", load.durable.len()))
}

fn the_disk_becomes_read_only() -> Result<String, Missing> {
    if !Path::new("/dev/loop-control").exists() {
        return Err(Missing("there are no loop devices".to_owned()));
    }
    let folder = tempfile::tempdir().unwrap();
    let script = r#"
        cd "$0"
        truncate -s 24M image
        mkfs.ext4 -q -F image
        mkdir disk
        mount -o loop image disk || { echo no-loop; exit 0; }
        "$1" load disk/ledger > said &
        until [ $(grep -c durable said) -gt 100 ]; do sleep 0.01; done
        mount -o remount,abort disk
        wait
        cat said
        umount disk
        mount -o loop image disk
        echo --
        "$1" check disk/ledger
        umount disk"#;
    let output = with_mounts(folder.path(), script)?;
    if output.stdout == b"no-loop\n" {
        return Err(Missing("this user may not mount a loop device".to_owned()));
    }
    let (load, check) = split(&output);
    load.check_failed();
    check_kept(&load, &check);
    Ok(format!("{} entries", load.durable.len()))
}

fn the_segment_is_taken_away() -> Result<String, Missing> {
    let mut told = 0;
    for replace in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let mut running = Running::start(&mut process("load", folder.path()));
        running.read_until(|line| line.starts_with("durable 20 "));
        let used = |path: &PathBuf| fs::read(path).unwrap_or_default().starts_with(b"GLSEGMNT");
        let segments = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path());
        let current = segments.filter(used).max().unwrap();
        let aside = folder.path().join("aside");
        let bytes = fs::read(&current).unwrap();
        fs::rename(&current, &aside).unwrap();
        if replace {
            fs::write(&current, bytes).unwrap();
        }
        let taken_away = ledger::now();
        let load = running.end();
        // It may have moved on to the next segment just before.
        if load.said("status")[0].contains("Failed") {
            load.check_failed();
            let late = load.durable.values().filter(|(_, begun)| *begun > taken_away);
            assert_eq!(late.count(), 0, "called durable in a file that is not in the folder");
            told += 1;
        }
        fs::rename(&aside, &current).unwrap();
        check_kept(&load, &process("check", folder.path()).output().unwrap());
    }
    Ok(format!("noticed in {told} of 2"))
}

/// A process whose lines are read as they come.
struct Running {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    said: String,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines, said: String::new() }
    }

    fn read_until(&mut self, is_it: impl Fn(&str) -> bool) {
        loop {
            let line = self.lines.next().expect("the process ended").unwrap();
            self.said.push_str(&line);
            self.said.push('\n');
            if is_it(&line) {
                return;
            }
        }
    }

    fn end(mut self) -> Load {
        for line in self.lines.by_ref() {
            self.said.push_str(&line.unwrap());
            self.said.push('\n');
        }
        assert!(self.child.wait().unwrap().success());
        Load::read(&self.said)
    }
}

/// The one child of a process.
fn child_of(parent: u32) -> u32 {
    let path = format!("/proc/{parent}/task/{parent}/children");
    fs::read_to_string(path).unwrap().trim().parse().unwrap()
}

/// CPU time of a process, in hundredths of a second.
fn cpu_ticks(process: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}
