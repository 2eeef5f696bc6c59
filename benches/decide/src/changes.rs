//! Building and changing a snapshot.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use arc_swap::ArcSwap;
use decide::machine::resident_bytes;
use model::{MethodPath, RevisionId};
use policy::source::{Agreement, State};
use policy::{Change, Snapshot, Workspace};
use serde_json::{Value, json};

use crate::inputs::{Circumstances, Inputs};
use crate::timing::per_mille;

/// How long nothing is changed between two changes.
const PAUSE: Duration = Duration::from_millis(5);
/// Changes made first, not counted with the others.
pub const FIRST: usize = 20;

/// Builds a snapshot and tells what it took; in a process of its own, or what other measurements
/// left behind would count.
pub fn build(agreements: usize, bespoke_in_100: u8) -> Result<Value> {
    let before = resident_bytes();
    let (snapshot, seconds) = decide::build(agreements, bespoke_in_100)?;
    let resident = resident_bytes() - before;
    Ok(json!({
        "seconds": seconds,
        "resident": resident / agreements as f64,
        "accounted": snapshot.memory_bytes() as f64 / agreements as f64,
    }))
}

/// Microseconds from a change to its snapshot being live, the first ones and the others sorted;
/// and what decisions on another
/// thread took meanwhile and before, in nanoseconds, sorted.
pub struct Changed {
    pub first_us: f64,
    pub changes_us: Vec<f64>,
    pub during_ns: Vec<u32>,
    pub before_ns: Vec<u32>,
}

/// Changes some agreements, one after the other, while another thread decides.
pub fn change(snapshot: Snapshot, inputs: &Inputs, agreements: &[Agreement]) -> Result<Changed> {
    let live = ArcSwap::from_pointee(snapshot);
    let still = PAUSE * u32::try_from(agreements.len())?;
    let before_ns = beside(&live, inputs, || thread::sleep(still))?.1;
    // The first changes after a whole load find the allocator with the source just dropped: it
    // joins the pieces then, once.
    let (first, others) = agreements.split_at(FIRST.min(agreements.len()));
    let first_us = first.iter().map(|it| put(&live, it)).collect::<Result<Vec<f64>>>()?;
    let first_us = first_us.into_iter().fold(0.0, f64::max);
    let (changes_us, during_ns) = beside(&live, inputs, || {
        let change = |agreement| {
            thread::sleep(PAUSE);
            put(&live, agreement)
        };
        others.iter().map(change).collect::<Result<Vec<f64>>>()
    })?;
    let mut changes_us = changes_us?;
    changes_us.sort_by(f64::total_cmp);
    Ok(Changed { first_us, changes_us, during_ns, before_ns })
}

/// Suspends an agreement or puts it in force again; microseconds until that is live.
fn put(live: &ArcSwap<Snapshot>, agreement: &Agreement) -> Result<f64> {
    let mut changed = agreement.clone();
    changed.state = match changed.state {
        State::Active => State::Suspended,
        _ => State::Active,
    };
    let begun = Instant::now();
    let now = live.load();
    let next = now.amend(RevisionId(now.revision().0 + 1), vec![Change::Put(changed)]);
    let next = next.map_err(|problems| anyhow!("{problems:?}"))?;
    drop(now);
    live.store(next.into());
    Ok(begun.elapsed().as_secs_f64() * 1e6)
}

/// Does something while another thread decides; what its decisions took, sorted.
fn beside<T>(
    live: &ArcSwap<Snapshot>,
    inputs: &Inputs,
    work: impl FnOnce() -> T,
) -> Result<(T, Vec<u32>)> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let decider = scope.spawn(|| {
            let circumstances = Circumstances::new();
            let mut workspace = Workspace::default();
            // Written beforehand, so that no page is missing later.
            let mut times = vec![1_u32; 1 << 25];
            let mut decisions = 0;
            for input in (0..).map(|n| inputs.at(n % inputs.len())) {
                let Some(time) = times.get_mut(decisions) else { break };
                let begun = Instant::now();
                let snapshot = live.load();
                let caller = snapshot.system(input.system);
                let route = MethodPath::parse(input.path).map(|path| snapshot.route(path));
                if let (Some(caller), Some(Ok(route))) = (caller, &route) {
                    let context = input.context(&circumstances);
                    let decided = snapshot.decide(&caller, route, &context, &mut workspace);
                    black_box(decided.is_ok());
                }
                drop(snapshot);
                *time = u32::try_from(begun.elapsed().as_nanos()).unwrap_or(u32::MAX);
                decisions += 1;
                if stop.load(Ordering::Relaxed) {
                    break;
                }
            }
            times.truncate(decisions);
            times.sort_unstable();
            times
        });
        let done = work();
        stop.store(true, Ordering::Relaxed);
        let times = decider.join().map_err(|_| anyhow!("decider"))?;
        times.first().context("no decisions")?;
        Ok((done, times))
    })
}

/// The longest, and what 999 of a thousand are below.
pub fn tail(sorted: &[u32]) -> (f64, f64) {
    (per_mille(sorted, 1000), per_mille(sorted, 999))
}
