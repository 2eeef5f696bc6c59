//! Quotas of agreements, by the generic cell rate algorithm (ITU-T I.371): one moment per quota.

use std::time::Duration;

use dashmap::DashMap;
use model::{AgreementId, Timestamp};
use policy::source::Quota;

/// How far each agreement's quotas are used. Survives changes of revision.
#[derive(Debug, Default)]
pub(crate) struct Quotas {
    used: DashMap<AgreementId, Vec<Cell>>,
}

/// The theoretical arrival time of the next call, in nanoseconds since the epoch.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    arrival_ns: u64,
}

impl Quotas {
    /// Takes one call from each quota of an agreement, or from none and says how long to wait.
    pub(crate) fn take(
        &self,
        agreement: &AgreementId,
        quotas: &[Quota],
        now: Timestamp,
    ) -> Result<(), Duration> {
        if quotas.is_empty() {
            return Ok(());
        }
        let now_ns = now.as_micros().saturating_mul(1000);
        let mut cells = match self.used.get_mut(agreement) {
            Some(cells) => cells,
            None => self.used.entry(agreement.clone()).or_default(),
        };
        cells.resize(quotas.len(), Cell::default());
        let mut wait_ns = 0;
        for (cell, quota) in cells.iter_mut().zip(quotas) {
            cell.catch_up(quota, now_ns);
            wait_ns = wait_ns.max(cell.wait_ns(quota, now_ns));
        }
        if wait_ns > 0 {
            return Err(Duration::from_nanos(wait_ns));
        }
        for (cell, quota) in cells.iter_mut().zip(quotas) {
            cell.arrival_ns = cell.arrival_ns.max(now_ns).saturating_add(interval_ns(quota));
        }
        Ok(())
    }
}

impl Cell {
    /// A clock that was set back must not make callers wait for what lies between.
    fn catch_up(&mut self, quota: &Quota, now_ns: u64) {
        let furthest = interval_ns(quota).saturating_mul(u64::from(quota.burst));
        self.arrival_ns = self.arrival_ns.min(now_ns.saturating_add(furthest));
    }

    fn wait_ns(&self, quota: &Quota, now_ns: u64) -> u64 {
        let tolerance = interval_ns(quota).saturating_mul(u64::from(quota.burst).saturating_sub(1));
        self.arrival_ns.saturating_sub(tolerance).saturating_sub(now_ns)
    }
}

fn interval_ns(quota: &Quota) -> u64 {
    let period = u64::try_from(quota.period.as_nanos()).unwrap_or(u64::MAX);
    period / u64::from(quota.calls.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Quotas, and a way to take a call from those of one agreement.
    struct Used(Quotas, Vec<Quota>);

    impl Used {
        fn of(quotas: &[(u32, u64, u32)]) -> Self {
            let quota = |(calls, secs, burst): &(u32, u64, u32)| Quota {
                calls: *calls,
                period: Duration::from_secs(*secs),
                burst: *burst,
            };
            Self(Quotas::default(), quotas.iter().map(quota).collect())
        }

        fn take(&self, now: Timestamp) -> Result<(), Duration> {
            self.0.take(&"A-1".parse().unwrap(), &self.1, now)
        }
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(1_000_000_000 + millis * 1000)
    }

    #[test]
    fn a_burst_passes_then_the_rate_holds() {
        let quotas = Used::of(&[(10, 1, 3)]);
        for _ in 0..3 {
            assert_eq!(quotas.take(at(0)), Ok(()));
        }
        assert_eq!(quotas.take(at(0)), Err(Duration::from_millis(100)));
        assert_eq!(quotas.take(at(99)), Err(Duration::from_millis(1)));
        assert_eq!(quotas.take(at(100)), Ok(()));
        assert_eq!(quotas.take(at(100)), Err(Duration::from_millis(100)));
    }

    #[test]
    fn a_refused_call_takes_from_no_quota() {
        let quotas = Used::of(&[(1000, 1, 1000), (1, 60, 1)]);
        assert_eq!(quotas.take(at(0)), Ok(()));
        for _ in 0..5000 {
            assert!(quotas.take(at(1)).is_err());
        }
        assert_eq!(quotas.take(at(60_000)), Ok(()));
    }

    #[test]
    fn a_clock_set_back_does_not_lock_callers_out() {
        let quotas = Used::of(&[(10, 1, 3)]);
        assert_eq!(quotas.take(at(3_600_000)), Ok(()));
        assert_eq!(quotas.take(at(0)), Err(Duration::from_millis(100)));
        assert_eq!(quotas.take(at(100)), Ok(()));
    }

    #[test]
    fn no_quota_means_no_bound() {
        let quotas = Used::of(&[]);
        assert!((0..10_000).all(|_| quotas.take(at(0)).is_ok()));
    }
}
