//! A disk with a volatile write cache, and no power from a chosen operation on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::random::Random;

/// The smallest unit that a disk writes whole.
const SECTOR: usize = 512;

type Sector = [u8; SECTOR];

/// The power is gone.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoPower;

/// Shared by the file system that serves it and by who cuts its power.
#[derive(Clone)]
pub(crate) struct Disk(Arc<Mutex<State>>);

struct State {
    durable: Vec<u8>,
    /// What each sector was since the last flush, oldest first.
    cached: BTreeMap<usize, Vec<Sector>>,
    operations: u64,
    cut_at: u64,
    has_power: bool,
    random: Random,
}

impl Disk {
    /// A disk whose power goes at its `cut_at`-th write or flush.
    pub(crate) fn new(image: Vec<u8>, cut_at: u64, random: Random) -> Self {
        let cached = BTreeMap::new();
        let (operations, has_power) = (0, true);
        Self(Arc::new(Mutex::new(State {
            durable: image,
            cached,
            operations,
            cut_at,
            has_power,
            random,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.state().durable.len() as u64
    }

    pub(crate) fn has_power(&self) -> bool {
        self.state().has_power
    }

    /// Cuts the power now, if it was not cut yet.
    pub(crate) fn cut(&self) {
        self.state().lose();
    }

    /// What is on the disk once the power is gone; the disk is empty afterwards.
    pub(crate) fn take_image(&self) -> Vec<u8> {
        let mut state = self.state();
        state.lose();
        std::mem::take(&mut state.durable)
    }

    pub(crate) fn read(&self, offset: usize, bytes: usize) -> Result<Vec<u8>, NoPower> {
        let state = self.state();
        if !state.has_power {
            return Err(NoPower);
        }
        let end = (offset + bytes).min(state.durable.len());
        let mut read = state.durable.get(offset..end).unwrap_or_default().to_vec();
        let sectors = offset / SECTOR..end.div_ceil(SECTOR);
        for (&number, versions) in state.cached.range(sectors) {
            let Some(newest) = versions.last() else { continue };
            for (at, byte) in (number * SECTOR..).zip(newest) {
                if let Some(place) = at.checked_sub(offset).and_then(|at| read.get_mut(at)) {
                    *place = *byte;
                }
            }
        }
        Ok(read)
    }

    pub(crate) fn write(&self, offset: usize, bytes: &[u8]) -> Result<(), NoPower> {
        let mut state = self.state();
        if !state.has_power {
            return Err(NoPower);
        }
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let within = at % SECTOR;
            let (part, more) = rest.split_at_checked(SECTOR - within).unwrap_or((rest, &[]));
            state.write_sector(at / SECTOR, within, part);
            at += part.len();
            rest = more;
        }
        state.count()
    }

    /// Makes durable what was written.
    pub(crate) fn flush(&self) -> Result<(), NoPower> {
        let mut state = self.state();
        if !state.has_power {
            return Err(NoPower);
        }
        state.count()?;
        for (number, versions) in std::mem::take(&mut state.cached) {
            if let Some(newest) = versions.last() {
                state.store(number, newest);
            }
        }
        Ok(())
    }
}

impl State {
    fn write_sector(&mut self, number: usize, within: usize, part: &[u8]) {
        let start = number * SECTOR;
        let durable = self.durable.get(start..start + SECTOR).and_then(|s| s.try_into().ok());
        let newest = self.cached.get(&number).and_then(|versions| versions.last()).copied();
        let mut sector: Sector = newest.or(durable).unwrap_or([0; SECTOR]);
        sector.iter_mut().skip(within).zip(part).for_each(|(place, byte)| *place = *byte);
        self.cached.entry(number).or_default().push(sector);
    }

    fn store(&mut self, number: usize, sector: &Sector) {
        let start = number * SECTOR;
        if let Some(place) = self.durable.get_mut(start..start + SECTOR) {
            place.copy_from_slice(sector);
        }
    }

    /// Counts an operation; the one at which the power goes fails, and may be done in part.
    fn count(&mut self) -> Result<(), NoPower> {
        self.operations += 1;
        if self.operations < self.cut_at {
            return Ok(());
        }
        self.lose();
        Err(NoPower)
    }

    /// Of what is not flushed a random part survives, from nothing to all.
    fn lose(&mut self) {
        if !std::mem::replace(&mut self.has_power, false) {
            return;
        }
        let percent = [0, 5, 50, 50, 95, 100];
        let surviving = self.random.below(percent.len() as u64) as usize;
        let surviving = percent.get(surviving).copied().unwrap_or_default();
        for (number, versions) in std::mem::take(&mut self.cached) {
            if self.random.below(100) >= surviving {
                continue;
            }
            // Most often the newest; a disk may also have got only as far as an older one.
            let older = self.random.below(4) == 0;
            let back = if older { self.random.below(versions.len() as u64) as usize } else { 0 };
            if let Some(sector) = versions.iter().rev().nth(back) {
                self.store(number, sector);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails may panic")]

    use super::*;

    fn disk(cut_at: u64, seed: u64) -> Disk {
        Disk::new(vec![0; 16 * SECTOR], cut_at, Random::new(seed))
    }

    #[test]
    fn what_was_written_is_read_back_whether_flushed_or_not() {
        let disk = disk(100, 1);
        disk.write(700, &[1; 1000]).unwrap();
        disk.write(1000, &[2; 10]).unwrap();
        for _ in 0..2 {
            let read = disk.read(690, 1020).unwrap();
            let mut expected = [vec![0; 10], vec![1; 1000], vec![0; 10]].concat();
            expected[310..320].fill(2);
            assert_eq!(read, expected);
            disk.flush().unwrap();
        }
    }

    #[test]
    fn a_cut_keeps_what_was_flushed_and_some_of_the_rest() {
        let mut kinds = [false; 3];
        for seed in 0..200 {
            let disk = disk(4, seed);
            disk.write(0, &[1; 4 * SECTOR]).unwrap();
            disk.flush().unwrap();
            disk.write(4 * SECTOR, &[2; 8 * SECTOR]).unwrap();
            assert_eq!(disk.flush(), Err(NoPower), "the cut comes before the flush is done");
            assert_eq!(disk.read(0, 1), Err(NoPower));
            assert_eq!(disk.write(0, &[3]), Err(NoPower));
            let image = disk.take_image();
            assert_eq!(image[..4 * SECTOR], [1; 4 * SECTOR]);
            let survived = image.chunks(SECTOR).filter(|sector| sector[0] == 2).count();
            assert!(image.chunks(SECTOR).all(|sector| sector.iter().all(|b| *b == sector[0])));
            kinds[match survived {
                0 => 0,
                8 => 2,
                _ => 1,
            }] = true;
        }
        assert_eq!(kinds, [true; 3], "nothing, some and all of it has survived");
    }
}
