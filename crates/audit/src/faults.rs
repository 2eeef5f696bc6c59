//! Tests in which a write or sync fails, in each of its forms, and the ledger is opened again.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod keep;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::disk::{Disk, RealDisk, Step};
use tlog::Signer;

use crate::{
    AppendError, CloseError, LedgerError, Log, OpenError, Options, SEGMENT_BYTES_MIN, Trouble,
    entries, verify_folder,
};

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The write fails and nothing of it is there.
    WriteLost,
    /// The write fails and some of its sectors are there: the number picks which.
    WriteTorn(u64),
    /// The write fails, yet all of it is there.
    WriteDone,
    /// The sync fails and what was written since the last one is gone.
    SyncLost,
    /// The sync fails and some of the sectors are there.
    SyncTorn(u64),
    /// The sync fails, yet all is there.
    SyncDone,
    /// A change of names fails and was not made.
    NameLost,
    /// A change of names fails, yet was made.
    NameDone,
}

/// What an operation is, and so which faults it can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Write,
    Sync,
    /// Renaming, removing, or syncing a folder.
    Name,
}

const FAULTS: [Fault; 8] = [
    Fault::WriteLost,
    Fault::WriteTorn(1),
    Fault::WriteTorn(2),
    Fault::WriteDone,
    Fault::SyncLost,
    Fault::SyncTorn(3),
    Fault::SyncTorn(4),
    Fault::SyncDone,
];

impl Fault {
    fn kind(self) -> Kind {
        match self {
            Self::WriteLost | Self::WriteTorn(_) | Self::WriteDone => Kind::Write,
            Self::SyncLost | Self::SyncTorn(_) | Self::SyncDone => Kind::Sync,
            Self::NameLost | Self::NameDone => Kind::Name,
        }
    }

    /// Whether the data is there after all.
    fn is_done(self) -> bool {
        matches!(self, Self::WriteDone | Self::SyncDone | Self::NameDone)
    }
}

/// A disk that fails as planned, once; then, as a machine without power, at everything.
struct FaultyDisk {
    plan: Mutex<Plan>,
    released: Condvar,
}

#[derive(Default)]
struct Plan {
    /// Which operation fails, after how many of its kind, and how.
    fault: Option<(Step, usize, Fault)>,
    /// After the fault all works again.
    lives_on: bool,
    /// Nothing works any more.
    dead: bool,
    /// Preparing finds no space.
    full: bool,
    /// Checkpoints find no space.
    full_for_checkpoints: bool,
    /// Syncs of frames hang.
    hang: bool,
    /// What the last write replaced.
    replaced: Vec<u8>,
    offset: u64,
}

impl FaultyDisk {
    fn new(fault: Option<(Step, usize, Fault)>) -> Arc<Self> {
        let plan = Plan { fault, ..Plan::default() };
        Arc::new(Self { plan: Mutex::new(plan), released: Condvar::new() })
    }

    fn change(&self, change: impl FnOnce(&mut Plan)) {
        change(&mut self.plan.lock());
        self.released.notify_all();
    }
}

impl FaultyDisk {
    /// Names have no torn form: a change is made or not, and reported as failed in both.
    fn name_change(&self, step: Step, change: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut plan = self.plan.lock();
        if plan.dead {
            return Err(io_error());
        }
        match plan.due(step, Kind::Name) {
            None => change(),
            Some(fault) => {
                if fault.is_done() {
                    change()?;
                }
                Err(io_error())
            }
        }
    }
}

impl Plan {
    /// Whether this operation is the one to fail.
    fn due(&mut self, step: Step, kind: Kind) -> Option<Fault> {
        let (at, left, fault) = self.fault.as_mut()?;
        if *at != step || fault.kind() != kind {
            return None;
        }
        if *left > 0 {
            *left -= 1;
            return None;
        }
        let fault = *fault;
        match self.lives_on {
            true => self.fault = None,
            false => self.dead = true,
        }
        Some(fault)
    }
}

fn io_error() -> io::Error {
    io::Error::other("the disk failed, as planned")
}

/// Writes some sectors, as a disk that loses power does.
fn write_sectors(file: &File, bytes: &[u8], offset: u64, seed: u64) {
    let mut state = seed;
    for (number, sector) in (0..).zip(bytes.chunks(512)) {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if state >> 63 == 1 {
            file.write_all_at(sector, offset + number * 512).unwrap();
        }
    }
}

impl Disk for FaultyDisk {
    fn write_at(&self, step: Step, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut plan = self.plan.lock();
        if plan.dead {
            return Err(io_error());
        }
        if (plan.full && step == Step::Prepare)
            || (plan.full_for_checkpoints && matches!(step, Step::Checkpoint | Step::History))
        {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if plan.fault.is_some_and(|(at, ..)| at == step) {
            let mut replaced = vec![0; bytes.len()];
            let known = file.metadata()?.len() >= offset + bytes.len() as u64;
            if known && step != Step::Checkpoint {
                file.read_exact_at(&mut replaced, offset)?;
            }
            (plan.replaced, plan.offset) = (replaced, offset);
        }
        match plan.due(step, Kind::Write) {
            None => RealDisk.write_at(step, file, bytes, offset),
            Some(Fault::WriteTorn(seed)) => {
                write_sectors(file, bytes, offset, seed);
                Err(io_error())
            }
            Some(fault) => {
                if fault.is_done() {
                    RealDisk.write_at(step, file, bytes, offset)?;
                }
                Err(io_error())
            }
        }
    }

    fn sync(&self, step: Step, file: &File) -> io::Result<()> {
        let mut plan = self.plan.lock();
        while plan.hang && step == Step::Frame {
            self.released.wait(&mut plan);
        }
        if plan.dead {
            return Err(io_error());
        }
        match plan.due(step, Kind::Sync) {
            None => RealDisk.sync(step, file),
            Some(Fault::SyncLost) => {
                file.write_all_at(&plan.replaced, plan.offset)?;
                Err(io_error())
            }
            Some(Fault::SyncTorn(seed)) => {
                write_sectors(file, &plan.replaced, plan.offset, seed);
                Err(io_error())
            }
            Some(_) => Err(io_error()),
        }
    }

    fn rename(&self, step: Step, from: &Path, to: &Path) -> io::Result<()> {
        self.name_change(step, || RealDisk.rename(step, from, to))
    }

    fn remove(&self, step: Step, path: &Path) -> io::Result<()> {
        self.name_change(step, || RealDisk.remove(step, path))
    }

    fn sync_folder(&self, step: Step, folder: &Path) -> io::Result<()> {
        self.name_change(step, || RealDisk.sync_folder(step, folder))
    }
}

fn options(folder: &Path) -> Options {
    const PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n\
        -----END PRIVATE KEY-----\n";
    let origin: tlog::Origin = "ledger.example.vn".parse().unwrap();
    let signer = Signer::from_pkcs8_pem(PEM, origin.clone()).unwrap();
    let mut options = Options::new(folder.into(), origin, Arc::new(signer));
    options.segment_bytes = SEGMENT_BYTES_MIN;
    options.checkpoint_interval = Duration::from_millis(1);
    options
}

/// Some four of these fill a segment.
fn entry(number: u64) -> Vec<u8> {
    let mut entry = number.to_le_bytes().to_vec();
    entry.resize(29_000 + number as usize * 7 % 1000, (number % 251 + 1) as u8);
    entry
}

/// Appends until the ledger refuses; how many were told durable.
fn append_until_refused(log: &Log, limit: u64) -> u64 {
    for number in 0..limit {
        let outcome = log.append(&entry(number)).map(|ticket| ticket.wait());
        if !matches!(outcome, Ok(Ok(_))) {
            return number;
        }
    }
    limit
}

/// Opens the folder on a sound disk; all that was told durable must be there, the whole must
/// verify, and the ledger must go on.
fn check_after(folder: &Path, durable: u64) -> u64 {
    let (log, recovered) = Log::open(options(folder)).unwrap();
    assert!(recovered.entries >= durable, "{} of {durable}", recovered.entries);
    let next = log.append(&entry(recovered.entries)).unwrap();
    assert_eq!(next.wait().unwrap().index(), recovered.entries);
    log.close().unwrap();
    let mut next = 0;
    let mut on_entry = |index: u64, bytes: &[u8]| {
        assert_eq!((index, bytes), (next, entry(next).as_slice()));
        next += 1;
        Ok(())
    };
    verify_folder(folder, None, &mut on_entry, &mut |_, _| {}).unwrap();
    assert_eq!(next, recovered.entries + 1);
    recovered.entries
}

#[test]
fn every_fault_leaves_a_ledger_that_loads() {
    for fault in FAULTS {
        for (step, after) in [
            (Step::Frame, 0),
            (Step::Frame, 1),
            (Step::Frame, 6),
            (Step::Header, 1),
            (Step::Header, 3),
            (Step::History, 1),
            (Step::History, 3),
            (Step::Checkpoint, 1),
            (Step::Checkpoint, 3),
            (Step::Prepare, 3),
            (Step::Prepare, 5),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let disk = FaultyDisk::new(Some((step, after, fault)));
            let (log, _) = Log::open_on(options(folder.path()), disk).unwrap();
            let durable = append_until_refused(&log, 1000);
            assert!(durable < 1000, "{step:?} {after} {fault:?} did not show");
            assert!(matches!(log.append(b""), Err(AppendError::Unavailable(_))));
            assert!(matches!(log.status().trouble, Some(Trouble::Failed(_))));
            assert_eq!(log.status().size, durable);
            assert!(matches!(log.close(), Err(CloseError::Failed(_))));
            let found = check_after(folder.path(), durable);
            if step == Step::Frame {
                assert_eq!(found, durable + u64::from(fault.is_done()), "{after} {fault:?}");
            }
        }
    }
}

#[test]
fn a_fault_while_opening_leaves_a_ledger_that_opens() {
    for fault in FAULTS {
        for step in [Step::Prepare, Step::Header, Step::History, Step::Checkpoint] {
            let folder = tempfile::tempdir().unwrap();
            let disk = FaultyDisk::new(Some((step, 0, fault)));
            let opened = Log::open_on(options(folder.path()), disk);
            assert!(matches!(opened, Err(OpenError::Io { .. })), "{step:?} {fault:?}");
            check_after(folder.path(), 0);
        }
        // Recovery itself fails, after a torn write.
        for after in [0, 1] {
            let folder = tempfile::tempdir().unwrap();
            let torn = FaultyDisk::new(Some((Step::Frame, 5, Fault::WriteTorn(6))));
            let (log, _) = Log::open_on(options(folder.path()), torn).unwrap();
            assert_eq!(append_until_refused(&log, 10), 5);
            drop(log);
            let after = if fault.kind() == Kind::Write { after } else { 0 };
            let disk = FaultyDisk::new(Some((Step::Recover, after, fault)));
            assert!(Log::open_on(options(folder.path()), disk).is_err());
            assert_eq!(check_after(folder.path(), 5), 5);
        }
    }
}

#[test]
fn a_full_disk_refuses_until_there_is_space() {
    let folder = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::new(None);
    let (log, _) = Log::open_on(options(folder.path()), Arc::clone(&disk) as _).unwrap();
    disk.change(|plan| (plan.full, plan.full_for_checkpoints) = (true, true));
    let durable = append_until_refused(&log, 1000);
    assert!(durable < 1000);
    assert_eq!(log.status().trouble, Some(Trouble::NoSpace));
    let refusal = log.append(b"").map(|ticket| ticket.index());
    let expected = AppendError::Unavailable("no space left for the ledger".into());
    assert_eq!(refusal, Err(expected));

    disk.change(|plan| (plan.full, plan.full_for_checkpoints) = (false, false));
    let deadline = Instant::now() + Duration::from_secs(10);
    while log.status().trouble.is_some() {
        assert!(Instant::now() < deadline, "space did not come back");
        std::thread::yield_now();
    }
    let next = log.append(&entry(durable)).unwrap();
    assert_eq!(next.wait().unwrap().index(), durable);
    log.close().unwrap();
    assert_eq!(check_after(folder.path(), durable + 1), durable + 1);
}

#[test]
fn a_full_disk_at_the_end_costs_only_the_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::new(None);
    let (log, _) = Log::open_on(options(folder.path()), Arc::clone(&disk) as _).unwrap();
    disk.change(|plan| plan.full_for_checkpoints = true);
    for number in 0..3 {
        log.append(&entry(number)).unwrap().wait().unwrap();
    }
    assert!(matches!(log.close(), Err(CloseError::NoSpace)));
    assert_eq!(check_after(folder.path(), 3), 3);
}

#[test]
fn waiters_are_told_when_space_ends() {
    let folder = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::new(None);
    let (log, _) = Log::open_on(options(folder.path()), Arc::clone(&disk) as _).unwrap();
    disk.change(|plan| (plan.full, plan.hang) = (true, true));
    let tickets: Vec<_> = (0..40).map_while(|n| log.append(&entry(n)).ok()).collect();
    assert_eq!(tickets.len(), 40);
    disk.change(|plan| plan.hang = false);
    let outcomes: Vec<_> = tickets.iter().map(|ticket| ticket.wait()).collect();
    let durable = outcomes.iter().take_while(|outcome| outcome.is_ok()).count();
    assert!(durable < 40);
    for outcome in outcomes.iter().skip(durable) {
        assert_eq!(outcome.as_ref().err(), Some(&LedgerError::NoSpace));
    }
    drop(log);
    assert_eq!(check_after(folder.path(), durable as u64), durable as u64);
}

#[test]
fn a_slow_disk_bounds_what_waits() {
    let folder = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::new(None);
    disk.change(|plan| plan.hang = true);
    let mut options = options(folder.path());
    options.pending_entries_max = 10;
    let (log, _) = Log::open_on(options.clone(), Arc::clone(&disk) as _).unwrap();
    let tickets: Vec<_> = (0..10).map(|n| log.append(&entry(n)).unwrap()).collect();
    assert_eq!(log.append(b"").map(|ticket| ticket.index()), Err(AppendError::Full));
    disk.change(|plan| plan.hang = false);
    assert!(tickets.iter().all(|ticket| ticket.wait().is_ok()));
    log.append(&entry(10)).unwrap().wait().unwrap();
    log.close().unwrap();

    // Bytes are bounded as well.
    disk.change(|plan| plan.hang = true);
    options.pending_entries_max = 65_536;
    let (log, _) = Log::open_on(options, Arc::clone(&disk) as _).unwrap();
    let taken = (0..).take_while(|_| log.append(&[0; 65_535]).is_ok()).count();
    assert_eq!(taken, crate::queue::PENDING_BYTES_MAX / (65_535 + 4));
    disk.change(|plan| plan.hang = false);
    log.close().unwrap();
    assert_eq!(entries(folder.path(), 0).unwrap().count(), 11 + taken);
}
