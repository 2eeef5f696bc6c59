//! A disk without a disk: it knows which entries a sync has made durable, and fails as planned.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::disk::{Disk, Step};
use crate::frame::Frame;
use crate::sync::point;

/// Which of the operations on frames fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    Sound,
    FailsWrite(u32),
    FailsSync(u32),
}

pub(crate) struct ModelDisk {
    plan: Plan,
    // No lock of the model: the disk adds no orders of its own.
    known: Mutex<Known>,
}

#[derive(Default)]
pub(crate) struct Known {
    /// Entries that a sync made durable, by index.
    pub(crate) durable: BTreeMap<u64, Vec<u8>>,
    /// Segments begun.
    pub(crate) begun: u32,
    unsynced: Vec<(u64, Vec<u8>)>,
    writes: u32,
    syncs: u32,
    failed: bool,
}

impl ModelDisk {
    pub(crate) fn new(plan: Plan) -> Arc<Self> {
        Arc::new(Self { plan, known: Mutex::default() })
    }

    pub(crate) fn plan(&self) -> Plan {
        self.plan
    }

    pub(crate) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap()
    }

    fn operation(&self, fails: impl Fn(&mut Known) -> bool) -> io::Result<MutexGuard<'_, Known>> {
        point();
        let mut known = self.known();
        assert!(!known.failed, "the disk was used again after it had failed");
        if fails(&mut known) {
            known.failed = true;
            return Err(io::Error::other("the disk failed, as planned"));
        }
        Ok(known)
    }
}

impl Disk for ModelDisk {
    fn write_at(&self, step: Step, _: &File, bytes: &[u8], _: u64) -> io::Result<()> {
        if step != Step::Frame {
            return Ok(());
        }
        let mut known = self.operation(|known| {
            known.writes += 1;
            self.plan == Plan::FailsWrite(known.writes)
        })?;
        let frame = Frame::read(bytes, 0).unwrap();
        let entries = frame.entries().map(<[u8]>::to_vec);
        known.unsynced.extend((frame.header.first_index..).zip(entries));
        Ok(())
    }

    fn sync(&self, step: Step, _: &File) -> io::Result<()> {
        if step == Step::Header {
            self.known().begun += 1;
        }
        if step != Step::Frame {
            return Ok(());
        }
        let mut known = self.operation(|known| {
            known.syncs += 1;
            self.plan == Plan::FailsSync(known.syncs)
        })?;
        for (index, entry) in std::mem::take(&mut known.unsynced) {
            assert_eq!(index, known.durable.len() as u64, "indices are dense");
            known.durable.insert(index, entry);
        }
        drop(known);
        // Durable, and nobody was told yet.
        point();
        Ok(())
    }

    fn rename(&self, _: Step, _: &Path, _: &Path) -> io::Result<()> {
        Err(elsewhere())
    }

    fn remove(&self, _: Step, _: &Path) -> io::Result<()> {
        Err(elsewhere())
    }

    fn sync_folder(&self, _: Step, _: &Path) -> io::Result<()> {
        Err(elsewhere())
    }
}

fn elsewhere() -> io::Error {
    io::Error::other("the writer changes no folder")
}
