//! How long things take: contenders in turns, so that what disturbs one disturbs all.

use std::time::{Duration, Instant};

/// Masks one message.
pub type Pass<'a> = Box<dyn FnMut() + 'a>;

/// A pass is repeated until a round has lasted this long: short beside the turns that a busy
/// machine gives, so that most rounds are not interrupted.
const ROUND_MIN: Duration = Duration::from_millis(1);

/// The median nanoseconds of a pass of each, over so many rounds.
pub fn race<const N: usize>(rounds: usize, contenders: &mut [Pass<'_>; N]) -> [f64; N] {
    let mut batches = [1u32; N];
    let mut all: [Vec<f64>; N] = std::array::from_fn(|_| Vec::with_capacity(rounds));
    for round in 0..=rounds {
        for ((pass, times), batch) in contenders.iter_mut().zip(&mut all).zip(&mut batches) {
            let batch_now = *batch;
            let begun = Instant::now();
            let mut passes = 0u32;
            // Looking at the clock costs as much as a short pass, so it is done now and then.
            while passes == 0 || begun.elapsed() < ROUND_MIN {
                (0..batch_now).for_each(|_| pass());
                passes += batch_now;
            }
            *batch = (passes / 16).max(1);
            // The first round only warms up.
            if round > 0 {
                times.push(begun.elapsed().as_nanos() as f64 / f64::from(passes));
            }
        }
    }
    all.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
    })
}
