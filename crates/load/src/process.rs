//! CPU time and memory of processes, read from `/proc`.
//!
//! Two clocks count CPU time. `task/*/schedstat` counts nanoseconds for each thread, but forgets a
//! thread when it ends; `stat` counts the whole process in ticks of 10 ms, ended threads included.
//! The first is used, unless a thread ended meanwhile or the second has seen clearly more.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::LoadError;
use crate::plan::Watched;

/// CPU time of one process over the window.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessUse {
    /// The label of the plan; `load` for the load itself.
    pub label: String,
    /// Process id.
    pub pid: u32,
    /// What was read, or why nothing could be.
    pub spent: Result<Spent, String>,
}

/// What a process spent over the window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spent {
    /// User and system time together.
    pub cpu: Duration,
    /// How finely it was counted.
    pub resolution: Resolution,
    /// Most memory resident at a time since the process began, in bytes.
    pub memory_bytes_peak: u64,
}

/// How finely CPU time was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// By thread, in nanoseconds.
    Nanoseconds,
    /// For the process as a whole, in clock ticks (10 ms); threads came and went.
    Ticks,
}

/// A process under watch and what it had spent at the last reading.
pub(crate) struct Watch {
    label: String,
    pid: u32,
    folder: PathBuf,
    ticks_per_second: u64,
    then: Reading,
}

#[derive(Debug, Default, Clone, PartialEq)]
struct Reading {
    ticks: u64,
    /// Nanoseconds by thread.
    threads: BTreeMap<u32, u64>,
}

impl Watch {
    /// Watches this process and those of the plan.
    pub(crate) fn all(watched: &[Watched]) -> Result<Vec<Watch>, LoadError> {
        let own = Watched { label: "load".to_owned(), pid: std::process::id() };
        std::iter::once(&own).chain(watched).map(Watch::new).collect()
    }

    fn new(watched: &Watched) -> Result<Watch, LoadError> {
        let mut watch = Watch {
            label: watched.label.clone(),
            pid: watched.pid,
            folder: Path::new("/proc").join(watched.pid.to_string()),
            ticks_per_second: ticks_per_second(),
            then: Reading::default(),
        };
        watch.restart().map_err(|source| LoadError::Process {
            label: watched.label.clone(),
            pid: watched.pid,
            source,
        })?;
        Ok(watch)
    }

    /// Counts from now on.
    pub(crate) fn restart(&mut self) -> io::Result<()> {
        self.then = Reading::take(&self.folder)?;
        Ok(())
    }

    /// What was spent since the last start.
    pub(crate) fn read(&self) -> ProcessUse {
        let spent = Reading::take(&self.folder).and_then(|now| {
            let (cpu, resolution) = now.since(&self.then, self.ticks_per_second);
            let memory_bytes_peak = memory_bytes_peak(&self.folder)?;
            Ok(Spent { cpu, resolution, memory_bytes_peak })
        });
        ProcessUse {
            label: self.label.clone(),
            pid: self.pid,
            spent: spent.map_err(|error| error.to_string()),
        }
    }
}

impl Reading {
    fn take(folder: &Path) -> io::Result<Reading> {
        let stat = std::fs::read_to_string(folder.join("stat"))?;
        let ticks = ticks_of(&stat).ok_or_else(|| io::Error::other("`stat` not understood"))?;
        let mut threads = BTreeMap::new();
        for thread in std::fs::read_dir(folder.join("task"))? {
            let thread = thread?;
            let id = thread.file_name().to_str().and_then(|name| name.parse().ok());
            // A thread may end between the listing and the reading; then `stat` is used.
            let schedstat = std::fs::read_to_string(thread.path().join("schedstat"));
            let spent = schedstat.ok().and_then(|text| text.split(' ').next()?.parse().ok());
            if let (Some(id), Some(spent)) = (id, spent) {
                threads.insert(id, spent);
            }
        }
        Ok(Reading { ticks, threads })
    }

    fn since(&self, then: &Reading, ticks_per_second: u64) -> (Duration, Resolution) {
        let ticks = self.ticks.saturating_sub(then.ticks);
        let by_ticks = Duration::from_secs_f64(ticks as f64 / ticks_per_second as f64);
        let before = |id| then.threads.get(id).copied().unwrap_or_default();
        let by_thread = self.threads.iter().map(|(id, spent)| spent.saturating_sub(before(id)));
        let by_thread = Duration::from_nanos(by_thread.sum());

        let some_ended = then.threads.keys().any(|id| !self.threads.contains_key(id));
        // User and system time are rounded apart, at both ends.
        let rounding = Duration::from_secs_f64(4.0 / ticks_per_second as f64);
        if some_ended || self.threads.is_empty() || by_ticks > by_thread + rounding {
            return (by_ticks.max(by_thread), Resolution::Ticks);
        }
        (by_thread, Resolution::Nanoseconds)
    }
}

/// User and system time, fields 14 and 15; counted from the last `)`, as the second field is a
/// name that may hold anything.
fn ticks_of(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn memory_bytes_peak(folder: &Path) -> io::Result<u64> {
    let status = std::fs::read_to_string(folder.join("status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| io::Error::other("no `VmHWM` in `status`"))
}

/// The kernel tells each process its tick rate in the auxiliary vector, under key 17.
fn ticks_per_second() -> u64 {
    const CLOCK_TICKS: u64 = 17;
    const USUAL: u64 = 100;
    let vector = std::fs::read("/proc/self/auxv").unwrap_or_default();
    let (words, _) = vector.as_chunks::<8>();
    let (pairs, _) = words.as_chunks::<2>();
    let found = pairs.iter().find(|[key, _]| u64::from_ne_bytes(*key) == CLOCK_TICKS);
    found.map(|[_, value]| u64::from_ne_bytes(*value)).filter(|&ticks| ticks > 0).unwrap_or(USUAL)
}

/// The machine that ran the load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Cores this process may use.
    pub cores: usize,
    /// Model name from `/proc/cpuinfo`, where there is one.
    pub cpu_model: Option<String>,
}

impl Machine {
    pub(crate) fn read() -> Machine {
        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = info.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            (key.trim() == "model name").then(|| value.trim().to_owned())
        });
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Machine { cores, cpu_model: model }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(ticks: u64, threads: &[(u32, u64)]) -> Reading {
        Reading { ticks, threads: threads.iter().copied().collect() }
    }

    #[test]
    fn threads_are_summed_unless_one_ended() {
        let then = reading(100, &[(1, 1_000_000), (2, 5_000_000)]);
        let check = |now: Reading, expected_ms: u64, resolution| {
            assert_eq!(now.since(&then, 100), (Duration::from_millis(expected_ms), resolution));
        };
        check(reading(101, &[(1, 4_000_000), (2, 6_000_000)]), 4, Resolution::Nanoseconds);
        check(
            reading(101, &[(1, 4_000_000), (2, 6_000_000), (3, 2_000_000)]),
            6,
            Resolution::Nanoseconds,
        );
        check(reading(103, &[(1, 4_000_000)]), 30, Resolution::Ticks);
        check(reading(150, &[(1, 4_000_000), (2, 6_000_000)]), 500, Resolution::Ticks);
    }

    #[test]
    fn names_with_brackets_do_not_confuse_stat() {
        let stat = "7 (a) (b) c) S 1 2 3 4 5 6 7 8 9 10 40 2 0 0";
        assert_eq!(ticks_of(stat), Some(42));
        assert_eq!(ticks_of("7 (a) S 1"), None);
    }

    #[test]
    fn own_process_is_readable() {
        let mut own = Watch::all(&[]).unwrap();
        let own = own.first_mut().unwrap();
        own.restart().unwrap();
        let spent = own.read().spent.unwrap();
        assert!(spent.memory_bytes_peak > 0);
        assert_eq!(ticks_per_second(), 100);
    }

    #[test]
    fn unknown_process_is_an_error() {
        let watched = [Watched { label: "gateway".to_owned(), pid: u32::MAX }];
        let error = Watch::all(&watched).map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), "watch process 4294967295 (`gateway`)");
        assert!(std::error::Error::source(&error).is_some());
    }
}
