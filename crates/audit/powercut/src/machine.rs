//! The machine whose power is cut: the disk, its mounts, the process that runs the ledger.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::check::{self, Found, Ledger};
use crate::child::{Broken, Keeping, RECORD_BYTES, Record};
use crate::disk::Disk;
use crate::fuse;
use crate::random::Random;

const IMAGE_BYTES: u64 = 48 << 20;
/// The power goes at one of the first so many writes and flushes: while mounting, opening and
/// clearing up after the cut before; a little later; anywhere.
const OPERATIONS_MAX: [u64; 3] = [24, 150, 1200];
/// A ledger that has come to rest is cut after so long: the last checkpoint is written meanwhile.
const REST: Duration = Duration::from_millis(30);
/// One that makes so few operations, after so long.
const RUN_TIME_MAX: Duration = Duration::from_secs(10);
/// How long anything takes that must end.
const PATIENCE: Duration = Duration::from_secs(30);

/// What was going on when the power went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Mounting,
    Opening,
    Running,
}

/// What a power cut left.
pub(crate) struct Cut {
    pub(crate) image: Vec<u8>,
    pub(crate) acknowledged: Vec<Record>,
    pub(crate) phase: Phase,
}

pub(crate) struct Machine {
    folder: TempDir,
    blank: Vec<u8>,
}

impl Machine {
    pub(crate) fn new() -> Result<Self> {
        let folder = tempfile::tempdir().context("make a folder")?;
        for name in ["fuse", "disk", "copy"] {
            fs::create_dir(folder.path().join(name)).context("make a mount point")?;
        }
        let mut machine = Self { folder, blank: Vec::new() };
        machine.blank = machine.make_image()?;
        Ok(machine)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn make_image(&self) -> Result<Vec<u8>> {
        let path = self.path("blank");
        fs::File::create(&path).and_then(|file| file.set_len(IMAGE_BYTES)).context("make image")?;
        let options = "lazy_itable_init=0,lazy_journal_init=0";
        let mut make = Command::new("mkfs.ext4");
        // The superblock has two sectors and is written in place: with a checksum over both, ext4
        // does not mount once only one of them has survived.
        make.args(["-q", "-F", "-b", "4096", "-O", "^metadata_csum", "-J", "size=4"]);
        run(make.args(["-E", options]).arg(&path))?;
        fs::read(&path).context("read image")
    }

    /// A disk with an empty file system.
    pub(crate) fn blank_image(&self) -> Vec<u8> {
        self.blank.clone()
    }

    /// Runs a ledger on a disk with this image until the power goes.
    pub(crate) fn cut_power(
        &self,
        image: Vec<u8>,
        broken: Broken,
        keeping: Keeping,
        random: &mut Random,
    ) -> Result<Cut> {
        let [first, second, last] = OPERATIONS_MAX;
        let bound = match random.below(3) {
            0 => first,
            1 => second,
            _ => last,
        };
        let cut_at = 1 + random.below(bound);
        let disk = Disk::new(image, cut_at, Random::new(random.next()));
        let session = fuse::mount(&disk, &self.path("fuse"))?;
        let ran = self.run_ledger(&disk, broken, keeping, random.next());
        disk.cut();
        let unmounted = unmount(&self.path("disk"));
        session.umount_and_join().context("unmount the disk's file")?;
        let (acknowledged, phase) = ran?;
        unmounted?;
        Ok(Cut { image: disk.take_image(), acknowledged, phase })
    }

    fn run_ledger(
        &self,
        disk: &Disk,
        broken: Broken,
        keeping: Keeping,
        seed: u64,
    ) -> Result<(Vec<Record>, Phase)> {
        let folder = self.path("disk");
        if let Err(error) = mount(&self.path("fuse").join(fuse::FILE), &folder) {
            ensure!(!disk.has_power(), "cannot mount a disk that has power: {error}");
            return Ok((Vec::new(), Phase::Mounting));
        }
        let mut child = Running::start(&folder.join("ledger"), broken, keeping, seed)?;
        let records = child.read_until_cut(disk)?;
        let phase = match records.iter().any(|record| matches!(record, Record::Opened(_))) {
            true => Phase::Running,
            false => Phase::Opening,
        };
        Ok((records, phase))
    }

    /// Mounts a copy of what survived and holds it against what was acknowledged.
    pub(crate) fn check(&self, image: &[u8], ledger: &Ledger) -> Result<Result<Found, String>> {
        let (copy, folder) = (self.path("survived"), self.path("copy"));
        fs::write(&copy, image).context("write what survived")?;
        if let Err(error) = mount(&copy, &folder) {
            return Ok(Err(format!("the file system does not mount: {error:#}")));
        }
        let checked = check::check(&folder.join("ledger"), ledger);
        unmount(&folder)?;
        Ok(checked)
    }
}

impl Drop for Machine {
    /// Also when a round ended in the middle. The mounts would go with the process anyway.
    fn drop(&mut self) {
        for name in ["disk", "copy", "fuse"] {
            let _ = Command::new("umount").arg("-q").arg(self.path(name)).status();
        }
    }
}

/// The process that runs the ledger; killed if dropped.
struct Running {
    child: Child,
    output: Option<ChildStdout>,
}

impl Running {
    fn start(folder: &Path, broken: Broken, keeping: Keeping, seed: u64) -> Result<Self> {
        let own = std::env::current_exe().context("find this program")?;
        let mut command = match broken {
            Broken::Unsynced => {
                let mut strace = Command::new("strace");
                strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync"]);
                strace.args(["-e", "inject=fsync,fdatasync:retval=0"]).arg(own);
                strace
            }
            Broken::No | Broken::Early => Command::new(own),
        };
        command
            .arg("child")
            .arg(folder)
            .arg(seed.to_string())
            .args([broken.name(), keeping.name()]);
        // The process ends when its input does, and so with this one.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().context("start the ledger's process")?;
        let output = child.stdout.take();
        Ok(Self { child, output })
    }

    /// Keeps what the process reports until it has ended, which it does once the power is gone.
    fn read_until_cut(&mut self, disk: &Disk) -> Result<Vec<Record>> {
        let mut output = self.output.take().context("no output")?;
        let (sender, received) = mpsc::sync_channel(1024);
        let reader = thread::spawn(move || -> io::Result<()> {
            let mut record = [0; RECORD_BYTES];
            loop {
                match output.read_exact(&mut record) {
                    Ok(()) if sender.send(record).is_ok() => {}
                    Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                        return Err(error);
                    }
                    _ => return Ok(()),
                }
            }
        });
        let mut records = Vec::new();
        let begun = Instant::now();
        let mut cut = None;
        let mut rests = None;
        loop {
            match received.recv_timeout(Duration::from_millis(2)) {
                Ok(record) => match Record::decode(&record)? {
                    Record::Done => rests = Some(Instant::now()),
                    record => records.push(record),
                },
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let rested = rests.is_some_and(|since: Instant| since.elapsed() > REST);
            if rested || begun.elapsed() > RUN_TIME_MAX {
                disk.cut();
            }
            if !disk.has_power() && cut.is_none() {
                cut = Some(Instant::now());
                // It is gone as its machine is; what it had said is in the pipe.
                drop(self.child.stdin.take());
            }
            ensure!(cut.is_none_or(|cut| cut.elapsed() < PATIENCE), "the process does not end");
        }
        if reader.join().is_err() {
            bail!("reading what the process says panicked");
        }
        // The ledger may end by itself only if the power is gone.
        let status = self.child.wait().context("wait for the process")?;
        ensure!(!disk.has_power(), "the ledger ended with power on: {status}");
        Ok(records)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn mount(image: &Path, folder: &Path) -> Result<()> {
    // The loop device goes with the mount.
    run(Command::new("mount").args(["-t", "ext4", "-o", "loop"]).arg(image).arg(folder))
}

fn unmount(folder: &Path) -> Result<()> {
    let is_mounted = || -> Result<bool> {
        let mounts = fs::read_to_string("/proc/self/mounts").context("read mounts")?;
        let name = folder.display().to_string();
        Ok(mounts.lines().any(|line| line.split(' ').nth(1) == Some(&name)))
    };
    let begun = Instant::now();
    while is_mounted()? {
        if let Err(error) = run(Command::new("umount").arg(folder)) {
            ensure!(begun.elapsed() < PATIENCE, "{error:#}");
            thread::sleep(Duration::from_millis(5));
        }
    }
    Ok(())
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("run {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}", said.trim());
    Ok(())
}
