//! Our ledger.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use audit::Log;

use crate::callers::{self, on_every_core};
use crate::{ENTRY_BYTES, Run};

/// How often arriving entries are let in.
const TICK: Duration = Duration::from_micros(200);

fn open(folder: &Path, segment_bytes: u64) -> Result<Arc<Log>> {
    let origin: tlog::Origin = "ledger.example.vn".parse()?;
    let (signer, _) = tlog::Signer::generate(origin.clone())?;
    let mut options = audit::Options::new(folder.join("ledger"), origin, Arc::new(signer));
    options.segment_bytes = segment_bytes;
    let (log, _) = Log::open(options)?;
    // Segments are prepared in the background at first.
    thread::sleep(Duration::from_secs(1));
    Ok(Arc::new(log))
}

/// Callers that append, wait, and append again.
pub fn waiting(folder: &Path, time: Duration, callers: usize, segment_bytes: u64) -> Result<Run> {
    let log = open(folder, segment_bytes)?;
    let appended = log.clone();
    let run = callers::waiting(time, callers, move || {
        let log = appended.clone();
        async move { append(&log).await }
    })?;
    log.close()?;
    Ok(run)
}

/// Entries that arrive at a rate, whether those before are durable or not.
pub fn arriving(folder: &Path, time: Duration, rate: u64, segment_bytes: u64) -> Result<Run> {
    let log = open(folder, segment_bytes)?;
    let run = on_every_core(time, |runtime, core, cores, until| {
        let waits = Rc::new(RefCell::new(Vec::new()));
        let (noted, log) = (waits.clone(), log.clone());
        runtime.block_on(async move {
            let begun = Instant::now();
            let mut let_in = 0_u64;
            while Instant::now() < until {
                let due = begun.elapsed().as_secs_f64() * rate as f64 / cores as f64;
                // Cores take turns, so that they do not all begin at once.
                let due = (due + core as f64 / cores as f64) as u64;
                for _ in let_in..due {
                    let (log, noted) = (log.clone(), noted.clone());
                    tokio::task::spawn_local(async move {
                        // An entry that is refused shows in the rate.
                        if let Ok(wait) = append(&log).await {
                            noted.borrow_mut().push(wait);
                        }
                    });
                }
                let_in = due;
                tokio::time::sleep(TICK).await;
            }
            // What was let in last is waited for.
            while (noted.borrow().len() as u64) < let_in && until.elapsed() < time {
                tokio::time::sleep(TICK).await;
            }
        });
        Ok(waits.take())
    })?;
    log.close()?;
    Ok(run)
}

/// Appends an entry; the microseconds until it is durable.
async fn append(log: &Log) -> Result<u64> {
    let begun = Instant::now();
    let ticket = log.append(&[b'e'; ENTRY_BYTES])?;
    ticket.durable().await?;
    Ok(u64::try_from(begun.elapsed().as_micros())?)
}
