//! How long things take: contenders in turns, so that what disturbs one disturbs all.

use std::time::{Duration, Instant};

/// Nanoseconds for one decision: the median of the rounds, and the best.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    pub median: f64,
    pub best: f64,
}

/// What a contender does in a round; says how many decisions that were.
pub type Pass<'a> = Box<dyn FnMut() -> usize + 'a>;

/// A pass is repeated until a round has lasted this long.
const ROUND_MIN: Duration = Duration::from_millis(20);

/// Lets all run in turns, after one pass each that does not count.
pub fn race<const N: usize>(rounds: usize, mut contenders: [Pass<'_>; N]) -> [Timing; N] {
    for pass in &mut contenders {
        pass();
    }
    let mut all: [Vec<f64>; N] = std::array::from_fn(|_| Vec::with_capacity(rounds));
    for _ in 0..rounds {
        for (pass, times) in contenders.iter_mut().zip(&mut all) {
            let begun = Instant::now();
            let mut decisions = 0;
            while begun.elapsed() < ROUND_MIN {
                decisions += pass();
            }
            times.push(begun.elapsed().as_nanos() as f64 / decisions as f64);
        }
    }
    all.map(summary)
}

/// One after the other, at least three and until the time is up: for what is slow.
pub fn slow(limit: Duration, mut decide: impl FnMut(usize)) -> Timing {
    let begun = Instant::now();
    let mut times = Vec::new();
    while times.len() < 3 || begun.elapsed() < limit {
        let start = Instant::now();
        decide(times.len());
        times.push(start.elapsed().as_nanos() as f64);
    }
    summary(times)
}

fn summary(mut times: Vec<f64>) -> Timing {
    times.sort_by(f64::total_cmp);
    Timing {
        median: times.get(times.len() / 2).copied().unwrap_or(f64::NAN),
        best: times.first().copied().unwrap_or(f64::NAN),
    }
}

/// The value that so many of a thousand are below.
pub fn per_mille(sorted: &[u32], rank: usize) -> f64 {
    let ix = (sorted.len() * rank / 1000).min(sorted.len().saturating_sub(1));
    sorted.get(ix).copied().map_or(f64::NAN, f64::from)
}
