//! The outcome of a measurement, and its form for scripts.

use std::collections::BTreeMap;
use std::time::Duration;

use http::HeaderMap;
use serde_json::{Map, Value, json};

use crate::answer::Sample;
use crate::plan::{Pace, Plan};
use crate::process::{Machine, ProcessUse, Resolution};
use crate::tally::{Count, Latencies, Latency, Tally};

/// What was measured. Prints as a short text; [`Report::to_json`] has everything.
#[derive(Debug)]
pub struct Report {
    /// The machine that made the load.
    pub machine: Machine,
    /// The plan that was carried out.
    pub plan: Plan,
    /// The window as it was: shorter than planned where the number of calls ended it.
    pub window: Duration,
    /// Calls of the window by gRPC status code.
    pub statuses: BTreeMap<u32, Count>,
    /// Calls of the window that ended without a status, by kind of failure.
    pub failures: BTreeMap<String, Count>,
    /// Calls that got a status within the window.
    pub answered_in_window: u64,
    /// Those of them with status OK.
    pub ok_in_window: u64,
    /// Calls made before the window.
    pub calls_warm_up: u64,
    /// Open loop: calls of the window that were due while no stream was free. They started as
    /// soon as one was, and their latency includes the wait.
    pub calls_deferred: u64,
    /// Messages received in answers to calls of the window.
    pub messages_received: u64,
    /// Request messages with their prefixes; calls of the window.
    pub body_bytes_sent: u64,
    /// Answer messages with their prefixes; calls of the window.
    pub body_bytes_received: u64,
    /// Connections made, from first to last.
    pub connections_opened: u64,
    /// Places for a connection that were given up after too many fruitless tries.
    pub connections_abandoned: u64,
    /// Connections lost, by reason.
    pub connections_lost: BTreeMap<String, u64>,
    /// Tries to connect that failed, by reason.
    pub connects_failed: BTreeMap<String, u64>,
    /// All calls of the window, however they ended.
    pub latency: Option<Latency>,
    /// Calls of the window with status OK.
    pub latency_ok: Option<Latency>,
    /// Open loop: from intended to actual start. Part of the latency; it is the load's own delay
    /// where no call was deferred.
    pub start_delay: Option<Latency>,
    /// The load itself, then the processes of the plan.
    pub processes: Vec<ProcessUse>,
    /// Headers and trailers of one answer, if the plan asks for them.
    pub sample: Option<Sample>,
}

impl Report {
    pub(crate) fn new(
        machine: Machine,
        plan: Plan,
        window: Duration,
        tally: Tally,
        processes: Vec<ProcessUse>,
    ) -> Report {
        let mut all = Latencies::default();
        all.add(&tally.latency_ok);
        all.add(&tally.latency_other);
        Report {
            machine,
            plan,
            window,
            statuses: tally.statuses,
            failures: tally.failures,
            answered_in_window: tally.answered_in_window,
            ok_in_window: tally.ok_in_window,
            calls_warm_up: tally.calls_warm_up,
            calls_deferred: tally.calls_deferred,
            messages_received: tally.messages_received,
            body_bytes_sent: tally.body_bytes_sent,
            body_bytes_received: tally.body_bytes_received,
            connections_opened: tally.connections_opened,
            connections_abandoned: tally.connections_abandoned,
            connections_lost: tally.connections_lost,
            connects_failed: tally.connects_failed,
            latency: all.summary(),
            latency_ok: tally.latency_ok.summary(),
            start_delay: tally.start_delay.summary(),
            processes,
            sample: tally.sample,
        }
    }

    /// Calls of the window, however they ended.
    pub fn calls(&self) -> u64 {
        let by_status: u64 = self.statuses.values().map(|count| count.calls).sum();
        let failed: u64 = self.failures.values().map(|count| count.calls).sum();
        by_status + failed
    }

    /// Calls of the window with status OK.
    pub fn calls_ok(&self) -> u64 {
        self.statuses.get(&0).map_or(0, |count| count.calls)
    }

    /// Calls answered with any status, per second of the window.
    pub fn calls_per_second(&self) -> f64 {
        self.per_second(self.answered_in_window)
    }

    /// Calls answered with status OK, per second of the window.
    pub fn calls_ok_per_second(&self) -> f64 {
        self.per_second(self.ok_in_window)
    }

    fn per_second(&self, count: u64) -> f64 {
        let seconds = self.window.as_secs_f64();
        if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
    }

    /// CPU time in microseconds, shared out over the calls answered in the window.
    pub fn cpu_us_per_call(&self, cpu: Duration) -> Option<f64> {
        let calls = self.answered_in_window;
        (calls > 0).then(|| cpu.as_secs_f64() * 1e6 / calls as f64)
    }

    /// The short text that `Display` writes.
    pub fn to_text(&self) -> String {
        self.to_string()
    }

    /// Everything, under names that stay: units last, absent values `null`.
    pub fn to_json(&self) -> Value {
        let mut json = Map::new();
        let groups = [self.shape(), self.counts(), self.endings(), self.context()];
        for group in groups {
            if let Value::Object(group) = group {
                json.extend(group);
            }
        }
        percentiles(&mut json, "latency", self.latency.as_ref());
        percentiles(&mut json, "latency_ok", self.latency_ok.as_ref());
        percentiles(&mut json, "start_delay", self.start_delay.as_ref());
        Value::Object(json)
    }

    fn shape(&self) -> Value {
        let plan = &self.plan;
        let (mode, rate) = match plan.pace {
            Pace::Closed => ("closed", None),
            Pace::Open { calls_per_second } => ("open", Some(calls_per_second)),
        };
        json!({
            "address": plan.address,
            "server_name": plan.server_name,
            "method": plan.method,
            "tls": plan.tls.is_some(),
            "client_certificate": plan.tls.as_ref().is_some_and(|tls| tls.identity.is_some()),
            "mode": mode,
            "rate_per_second": rate,
            "spin": plan.spin,
            "connections": plan.connections,
            "streams_per_connection": plan.streams,
            "threads": plan.threads_used(),
            "message_bytes": plan.message.len(),
            "timeout_ms": plan.timeout.map(|timeout| timeout.as_secs_f64() * 1e3),
            "warm_up_s": plan.warm_up.as_secs_f64(),
            "duration_s": plan.duration.as_secs_f64(),
            "calls_max": plan.calls,
        })
    }

    fn counts(&self) -> Value {
        json!({
            "window_s": self.window.as_secs_f64(),
            "calls": self.calls(),
            "calls_ok": self.calls_ok(),
            "calls_per_second": self.calls_per_second(),
            "calls_ok_per_second": self.calls_ok_per_second(),
            "calls_answered_in_window": self.answered_in_window,
            "calls_ok_in_window": self.ok_in_window,
            "calls_warm_up": self.calls_warm_up,
            "calls_deferred": self.calls_deferred,
            "messages_received": self.messages_received,
            "body_bytes_sent": self.body_bytes_sent,
            "body_bytes_received": self.body_bytes_received,
            "connections_opened": self.connections_opened,
            "connections_abandoned": self.connections_abandoned,
        })
    }

    fn endings(&self) -> Value {
        let statuses = self.statuses.iter().map(|(&code, count)| {
            json!({
                "code": code,
                "name": status_name(code),
                "calls": count.calls,
                "example": count.example,
            })
        });
        let failures = self.failures.iter().map(
            |(kind, count)| json!({ "kind": kind, "calls": count.calls, "example": count.example }),
        );
        json!({
            "statuses": statuses.collect::<Vec<_>>(),
            "failures": failures.collect::<Vec<_>>(),
            "connections_lost": times(&self.connections_lost),
            "connects_failed": times(&self.connects_failed),
        })
    }

    fn context(&self) -> Value {
        let processes = self.processes.iter().map(|process| self.process(process));
        let sample = self.sample.as_ref().map(|sample| {
            json!({ "headers": pairs(&sample.headers), "trailers": pairs(&sample.trailers) })
        });
        json!({
            "machine_cores": self.machine.cores,
            "machine_cpu_model": self.machine.cpu_model,
            "processes": processes.collect::<Vec<_>>(),
            "sample": sample,
        })
    }

    fn process(&self, process: &ProcessUse) -> Value {
        let spent = process.spent.as_ref().ok();
        let resolution = spent.map(|spent| match spent.resolution {
            Resolution::Nanoseconds => "nanoseconds",
            Resolution::Ticks => "ticks",
        });
        json!({
            "label": process.label,
            "pid": process.pid,
            "cpu_ms": spent.map(|spent| spent.cpu.as_secs_f64() * 1e3),
            "cpu_us_per_call": spent.and_then(|spent| self.cpu_us_per_call(spent.cpu)),
            "cpu_resolution": resolution,
            "memory_bytes_peak": spent.map(|spent| spent.memory_bytes_peak),
            "error": process.spent.as_ref().err(),
        })
    }
}

/// The name of a gRPC status code.
pub(crate) fn status_name(code: u32) -> &'static str {
    match code {
        0 => "OK",
        1 => "CANCELLED",
        2 => "UNKNOWN",
        3 => "INVALID_ARGUMENT",
        4 => "DEADLINE_EXCEEDED",
        5 => "NOT_FOUND",
        6 => "ALREADY_EXISTS",
        7 => "PERMISSION_DENIED",
        8 => "RESOURCE_EXHAUSTED",
        9 => "FAILED_PRECONDITION",
        10 => "ABORTED",
        11 => "OUT_OF_RANGE",
        12 => "UNIMPLEMENTED",
        13 => "INTERNAL",
        14 => "UNAVAILABLE",
        15 => "DATA_LOSS",
        16 => "UNAUTHENTICATED",
        _ => "unassigned",
    }
}

fn times(reasons: &BTreeMap<String, u64>) -> Value {
    reasons.iter().map(|(reason, times)| json!({ "reason": reason, "times": times })).collect()
}

fn pairs(headers: &HeaderMap) -> Value {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().map(|(name, value)| json!([name.as_str(), text(value)])).collect()
}

fn percentiles(json: &mut Map<String, Value>, name: &str, latency: Option<&Latency>) {
    let values = [
        ("min", latency.map(|latency| latency.us_min)),
        ("mean", latency.map(|latency| latency.us_mean)),
        ("p50", latency.map(|latency| latency.us_p50)),
        ("p90", latency.map(|latency| latency.us_p90)),
        ("p99", latency.map(|latency| latency.us_p99)),
        ("p99_9", latency.map(|latency| latency.us_p99_9)),
        ("max", latency.map(|latency| latency.us_max)),
    ];
    for (which, value) in values {
        json.insert(format!("{name}_us_{which}"), json!(value));
    }
}
