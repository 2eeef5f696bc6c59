//! How long things take: contenders in turns, so that what disturbs one disturbs all.

use std::time::{Duration, Instant};

/// Masks one message.
pub type Pass<'a> = Box<dyn FnMut() + 'a>;

/// A pass is repeated until a round has lasted this long.
const ROUND_MIN: Duration = Duration::from_millis(20);

/// The median nanoseconds of a pass of each, over so many rounds.
pub fn race<const N: usize>(rounds: usize, contenders: &mut [Pass<'_>; N]) -> [f64; N] {
    let mut all: [Vec<f64>; N] = std::array::from_fn(|_| Vec::with_capacity(rounds));
    for round in 0..=rounds {
        for (pass, times) in contenders.iter_mut().zip(&mut all) {
            let begun = Instant::now();
            let mut passes = 0u32;
            while begun.elapsed() < ROUND_MIN {
                (0..32).for_each(|_| pass());
                passes += 32;
            }
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
