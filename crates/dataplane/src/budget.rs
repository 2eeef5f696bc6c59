//! How many calls to a node may be sent again: so few that a node in trouble is not run over.

use tokio::time::Instant;

/// Retries that each call pays for, in thousandths: 20 %.
const EARNED_PER_CALL: u64 = 200;
/// Most retries that calls have paid for and nobody has used, in thousandths.
const EARNED_MAX: u64 = 100_000;
/// Retries in each second that nobody has to pay for, over all workers, in thousandths.
const FREE_PER_SECOND: u64 = 10_000;
/// What a retry takes, in thousandths.
const RETRY: u64 = 1_000;

/// One worker's budget of retries to one node.
#[derive(Debug)]
pub(crate) struct Budget {
    earned: u64,
    free: u64,
    free_per_second: u64,
    filled: Instant,
}

impl Budget {
    /// A worker's share of the budget, full.
    pub(crate) fn new(workers: usize, now: Instant) -> Self {
        let workers = u64::try_from(workers).unwrap_or(u64::MAX).max(1);
        // A worker that could never retry would make a gateway of many fail more often.
        let free_per_second = (FREE_PER_SECOND / workers).max(RETRY);
        Self { earned: 0, free: free_per_second, free_per_second, filled: now }
    }

    /// Notes a call, which pays for a part of a retry.
    pub(crate) fn call(&mut self) {
        self.earned = (self.earned + EARNED_PER_CALL).min(EARNED_MAX);
    }

    /// Takes a retry, if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let millis = u64::try_from(now.duration_since(self.filled).as_millis()).unwrap_or(u64::MAX);
        // Time too short for a thousandth goes on counting.
        let filled = millis.saturating_mul(self.free_per_second) / 1000;
        if filled > 0 {
            self.free = self.free.saturating_add(filled).min(self.free_per_second);
            self.filled = now;
        }
        for source in [&mut self.free, &mut self.earned] {
            if let Some(rest) = source.checked_sub(RETRY) {
                *source = rest;
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn taken(budget: &mut Budget, now: Instant) -> usize {
        (0..1000).take_while(|_| budget.take(now)).count()
    }

    #[test]
    fn a_floor_in_each_second_and_a_fifth_of_the_calls() {
        let begun = Instant::now();
        let mut budget = Budget::new(1, begun);
        assert_eq!(taken(&mut budget, begun), 10);
        (0..100).for_each(|_| budget.call());
        assert_eq!(taken(&mut budget, begun), 20);
        assert_eq!(taken(&mut budget, begun + Duration::from_millis(500)), 5);
        assert_eq!(taken(&mut budget, begun + Duration::from_secs(3600)), 10);
    }

    #[test]
    fn a_storm_of_failing_calls_is_not_doubled() {
        let begun = Instant::now();
        let mut budget = Budget::new(2, begun);
        let mut sent_again = 0;
        for _ in 0..10_000 {
            budget.call();
            sent_again += usize::from(budget.take(begun));
        }
        assert_eq!(sent_again, 2_005);
    }
}
