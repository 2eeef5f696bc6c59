//! Callers as the gateway has them: tasks on one runtime for each core.

use std::cell::RefCell;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use hdrhistogram::Histogram;
use tokio::runtime::{Builder, LocalRuntime};

use crate::Run;

/// Callers that append, wait, and append again; `append` yields the microseconds it took.
pub fn waiting<F>(
    time: Duration,
    callers: usize,
    append: impl Fn() -> F + Clone + Send + Sync + 'static,
) -> Result<Run>
where
    F: Future<Output = Result<u64>> + 'static,
{
    on_every_core(time, |runtime, core, cores, until| {
        let waits = Rc::new(RefCell::new(Vec::new()));
        let own = callers / cores + usize::from(core < callers % cores);
        let tasks: Vec<_> = (0..own)
            .map(|_| {
                let (waits, append) = (waits.clone(), append.clone());
                runtime.spawn_local(async move {
                    let mut noted = Vec::new();
                    while Instant::now() < until {
                        noted.push(append().await?);
                    }
                    waits.borrow_mut().extend(noted);
                    Ok::<_, anyhow::Error>(())
                })
            })
            .collect();
        runtime.block_on(async {
            for task in tasks {
                task.await??;
            }
            Ok::<_, anyhow::Error>(())
        })?;
        Ok(waits.take())
    })
}

/// Runs `work` on a runtime on each core, and joins the waits that it noted.
pub fn on_every_core(
    time: Duration,
    work: impl Fn(LocalRuntime, usize, usize, Instant) -> Result<Vec<u64>> + Sync,
) -> Result<Run> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    Run::of(|waits: &mut Histogram<u64>| {
        let until = Instant::now() + time;
        let noted: Vec<Result<Vec<u64>>> = thread::scope(|scope| {
            let work = &work;
            let started: Vec<_> = (0..cores)
                .map(|core| {
                    scope.spawn(move || {
                        let runtime = Builder::new_current_thread();
                        let runtime = { runtime }.enable_time().build_local(Default::default())?;
                        work(runtime, core, cores, until)
                    })
                })
                .collect();
            let end = |thread: thread::ScopedJoinHandle<'_, _>| {
                thread.join().unwrap_or_else(|_| Err(anyhow!("a core's thread panicked")))
            };
            started.into_iter().map(end).collect()
        });
        let mut entries = 0;
        for noted in noted {
            let noted = noted?;
            entries += noted.len() as u64;
            noted.into_iter().try_for_each(|wait| waits.record(wait))?;
        }
        Ok(entries)
    })
}
