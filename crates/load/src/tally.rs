//! What one worker has counted, and how the counts of several add up.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::answer::{Answer, Ending, Sample};
use crate::pace::{Turn, Window};

/// The kind under which calls are counted that had begun but not ended when the drain was over.
pub(crate) const UNFINISHED: &str = "unfinished after the drain";
/// The kind under which calls are counted that were due but found no free stream till the end.
pub(crate) const UNSTARTED: &str = "never started";

/// Counts of one worker; those of measured calls unless they say otherwise.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) latency_ok: Latencies,
    pub(crate) latency_other: Latencies,
    pub(crate) start_delay: Latencies,
    pub(crate) statuses: BTreeMap<u32, Count>,
    pub(crate) failures: BTreeMap<String, Count>,
    /// Calls that got a status within the window, whenever they had begun: the throughput.
    pub(crate) answered_in_window: u64,
    pub(crate) ok_in_window: u64,
    pub(crate) calls_warm_up: u64,
    pub(crate) calls_deferred: u64,
    pub(crate) messages_received: u64,
    pub(crate) body_bytes_sent: u64,
    pub(crate) body_bytes_received: u64,
    pub(crate) connections_opened: u64,
    pub(crate) connections_abandoned: u64,
    pub(crate) connections_lost: BTreeMap<String, u64>,
    pub(crate) connects_failed: BTreeMap<String, u64>,
    pub(crate) sample: Option<Sample>,
}

/// How many calls ended so, and what one of them said.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Count {
    /// Number of calls.
    pub calls: u64,
    /// The text that came with the first of them, if one came.
    pub example: Option<String>,
}

impl Count {
    fn add(&mut self, example: Option<String>) {
        self.calls += 1;
        if self.example.is_none() {
            self.example = example;
        }
    }
}

impl Tally {
    /// Counts a call that ended at `now`, however it ended.
    pub(crate) fn ended(&mut self, window: &Window, turn: &Turn, now: Instant, answer: Answer) {
        let ok = matches!(answer.ending, Ending::Status { code: 0, .. });
        if window.holds(now) && matches!(answer.ending, Ending::Status { .. }) {
            self.answered_in_window += 1;
            self.ok_in_window += u64::from(ok);
        }
        if answer.sample.is_some() {
            self.sample = answer.sample;
        }
        if !turn.measured {
            self.calls_warm_up += 1;
            return;
        }
        self.messages_received += answer.messages;
        self.body_bytes_received += answer.body_bytes;
        let latency = now.saturating_duration_since(turn.intended);
        if ok { &mut self.latency_ok } else { &mut self.latency_other }.record(latency);
        match answer.ending {
            Ending::Status { code, message } => self.statuses.entry(code).or_default().add(message),
            Ending::Failed { kind, detail } => {
                self.failures.entry(kind).or_default().add(Some(detail));
            }
        }
    }

    /// Counts a measured call that was given up at `now`: its age stands in for a latency that
    /// can only be longer.
    pub(crate) fn given_up(&mut self, kind: &str, turn: &Turn, now: Instant) {
        if !turn.measured {
            return;
        }
        self.latency_other.record(now.saturating_duration_since(turn.intended));
        self.failures.entry(kind.to_owned()).or_default().add(None);
    }

    /// Adds the counts of another worker.
    pub(crate) fn add(&mut self, other: Tally) {
        self.latency_ok.add(&other.latency_ok);
        self.latency_other.add(&other.latency_other);
        self.start_delay.add(&other.start_delay);
        merge(&mut self.statuses, other.statuses);
        merge(&mut self.failures, other.failures);
        self.answered_in_window += other.answered_in_window;
        self.ok_in_window += other.ok_in_window;
        self.calls_warm_up += other.calls_warm_up;
        self.calls_deferred += other.calls_deferred;
        self.messages_received += other.messages_received;
        self.body_bytes_sent += other.body_bytes_sent;
        self.body_bytes_received += other.body_bytes_received;
        self.connections_opened += other.connections_opened;
        self.connections_abandoned += other.connections_abandoned;
        for (reason, times) in other.connections_lost {
            *self.connections_lost.entry(reason).or_default() += times;
        }
        for (reason, times) in other.connects_failed {
            *self.connects_failed.entry(reason).or_default() += times;
        }
        self.sample = self.sample.take().or(other.sample);
    }
}

fn merge<K: Ord>(into: &mut BTreeMap<K, Count>, from: BTreeMap<K, Count>) {
    for (key, count) in from {
        let sum = into.entry(key).or_default();
        sum.calls += count.calls;
        sum.example = sum.example.take().or(count.example);
    }
}

/// Durations up to a minute, to three digits. A longer one counts as a minute.
#[derive(Debug, Default)]
pub(crate) struct Latencies(Option<Histogram<u64>>);

const SECONDS_MAX: u64 = 60;

impl Latencies {
    pub(crate) fn record(&mut self, duration: Duration) {
        // The 200 KiB of a histogram are made at its first use; the bounds are constants that fit.
        if self.0.is_none() {
            self.0 = Histogram::new_with_bounds(1, SECONDS_MAX * 1_000_000_000, 3).ok();
        }
        if let Some(histogram) = &mut self.0 {
            histogram.saturating_record(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
        }
    }

    pub(crate) fn add(&mut self, other: &Latencies) {
        match (&mut self.0, &other.0) {
            (Some(sum), Some(other)) => {
                // Cannot fail: every histogram here has the same bounds.
                let added = sum.add(other);
                debug_assert!(added.is_ok());
            }
            (None, Some(other)) => self.0 = Some(other.clone()),
            (_, None) => (),
        }
    }

    /// The percentiles, or nothing if nothing was recorded.
    pub(crate) fn summary(&self) -> Option<Latency> {
        let histogram = self.0.as_ref().filter(|histogram| !histogram.is_empty())?;
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        Some(Latency {
            calls: histogram.len(),
            us_min: histogram.min() as f64 / 1e3,
            us_mean: histogram.mean() / 1e3,
            us_p50: at(0.5),
            us_p90: at(0.9),
            us_p99: at(0.99),
            us_p99_9: at(0.999),
            us_max: histogram.max() as f64 / 1e3,
        })
    }
}

/// Percentiles in microseconds, to three digits.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(missing_docs, reason = "the names of the percentiles say what they are")]
pub struct Latency {
    pub calls: u64,
    pub us_min: f64,
    pub us_mean: f64,
    pub us_p50: f64,
    pub us_p90: f64,
    pub us_p99: f64,
    pub us_p99_9: f64,
    pub us_max: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_keep_three_digits_and_the_maximum() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.summary(), None);
        for milliseconds in 1..=1000 {
            latencies.record(Duration::from_millis(milliseconds));
        }
        latencies.record(Duration::from_secs(3600));
        let latency = latencies.summary().unwrap();
        assert_eq!(latency.calls, 1001);
        assert!((latency.us_p50 / 501e3 - 1.0).abs() < 0.002, "{latency:?}");
        assert!((latency.us_p99 / 991e3 - 1.0).abs() < 0.002, "{latency:?}");
        assert!((latency.us_max / 60e6 - 1.0).abs() < 0.002, "{latency:?}");
    }

    #[test]
    fn counts_add_up_and_keep_the_first_example() {
        let mut one = Tally::default();
        one.statuses.insert(7, Count { calls: 2, example: None });
        let mut other = Tally::default();
        other.statuses.insert(7, Count { calls: 3, example: Some("no purpose".to_owned()) });
        other.start_delay.record(Duration::from_micros(50));
        one.add(other);
        assert_eq!(
            one.statuses.get(&7),
            Some(&Count { calls: 5, example: Some("no purpose".to_owned()) })
        );
        assert_eq!(one.start_delay.summary().unwrap().calls, 1);
    }
}
