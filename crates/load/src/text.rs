//! The report as a person reads it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::plan::Pace;
use crate::report::{Report, status_name};
use crate::tally::{Count, Latency};

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_shape(f)?;
        self.write_calls(f)?;
        self.write_latencies(f)?;
        self.write_connections(f)?;
        self.write_processes(f)
    }
}

impl Report {
    fn write_shape(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = &self.plan;
        let pace = match plan.pace {
            Pace::Closed => "closed loop".to_owned(),
            Pace::Open { calls_per_second } if calls_per_second.fract() == 0.0 => {
                format!("open loop at {}/s", grouped(calls_per_second as u64))
            }
            Pace::Open { calls_per_second } => format!("open loop at {calls_per_second}/s"),
        };
        let pace = match plan.pace {
            Pace::Open { .. } if plan.spin => format!("{pace}, spinning"),
            Pace::Open { .. } | Pace::Closed => pace,
        };
        let tls = match &plan.tls {
            None => "no TLS",
            Some(tls) if tls.identity.is_some() => "TLS 1.3, both sides with certificates",
            Some(_) => "TLS 1.3",
        };
        let cpu = self.machine.cpu_model.as_deref().unwrap_or("model unknown");
        writeln!(f, "{} at {} ({tls})", plan.method, plan.address)?;
        writeln!(
            f,
            "{pace}, {} × {}, {}, request of {}, warm-up {}, window {}",
            counted(plan.connections, "connection"),
            counted(plan.streams, "stream"),
            counted(plan.threads_used(), "thread"),
            size(plan.message.len() as u64),
            seconds(plan.warm_up),
            seconds(self.window),
        )?;
        writeln!(f, "{} ({cpu})\n", counted(self.machine.cores, "core"))
    }

    fn write_calls(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(f, "calls", |f| {
            write!(f, "{}, {:.1}/s answered", grouped(self.calls()), self.calls_per_second())?;
            write!(f, ", {:.1}/s OK", self.calls_ok_per_second())
        })?;
        for (&code, count) in &self.statuses {
            let name = match status_name(code) {
                "unassigned" => format!("status {code}"),
                name => name.to_owned(),
            };
            write_count(f, "status", &name, count)?;
        }
        for (kind, count) in &self.failures {
            write_count(f, "failed", kind, count)?;
        }
        if self.calls_deferred > 0 {
            let deferred = grouped(self.calls_deferred);
            line(f, "deferred", |f| {
                write!(f, "{deferred} due while all streams were busy, the wait is in the latency")
            })?;
        }
        line(f, "bytes", |f| {
            let (sent, received) = (size(self.body_bytes_sent), size(self.body_bytes_received));
            let messages = grouped(self.messages_received);
            write!(f, "{sent} sent, {received} received in {messages} messages")
        })
    }

    fn write_latencies(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_latency(f, "latency", self.latency.as_ref())?;
        if self.calls_ok() < self.calls() {
            write_latency(f, "of OK", self.latency_ok.as_ref())?;
        }
        write_latency(f, "start", self.start_delay.as_ref())
    }

    fn write_connections(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let abandoned = self.connections_abandoned;
        line(f, "connected", |f| {
            write!(f, "{} times", self.connections_opened)?;
            if abandoned > 0 { write!(f, ", {abandoned} given up") } else { Ok(()) }
        })?;
        write_times(f, "lost", &self.connections_lost)?;
        write_times(f, "refused", &self.connects_failed)
    }

    fn write_processes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for process in &self.processes {
            line(f, "cpu", |f| {
                write!(f, "{} ({}): ", process.label, process.pid)?;
                let spent = match &process.spent {
                    Ok(spent) => spent,
                    Err(error) => return write!(f, "not read: {error}"),
                };
                if let Some(us) = self.cpu_us_per_call(spent.cpu) {
                    write!(f, "{us:.1} µs per call, ")?;
                }
                let memory = size(spent.memory_bytes_peak);
                write!(f, "{} in all, memory at most {memory}", seconds(spent.cpu))
            })?;
        }
        Ok(())
    }
}

fn line(
    f: &mut fmt::Formatter<'_>,
    label: &str,
    rest: impl FnOnce(&mut fmt::Formatter<'_>) -> fmt::Result,
) -> fmt::Result {
    write!(f, "{label:<11}")?;
    rest(f)?;
    writeln!(f)
}

fn write_count(f: &mut fmt::Formatter<'_>, label: &str, name: &str, count: &Count) -> fmt::Result {
    line(f, label, |f| {
        write!(f, "{name} {}", grouped(count.calls))?;
        match &count.example {
            Some(example) if example != name => write!(f, ", such as: {example}"),
            _ => Ok(()),
        }
    })
}

fn write_times(
    f: &mut fmt::Formatter<'_>,
    label: &str,
    reasons: &BTreeMap<String, u64>,
) -> fmt::Result {
    for (reason, times) in reasons {
        line(f, label, |f| write!(f, "{times} times: {reason}"))?;
    }
    Ok(())
}

fn write_latency(
    f: &mut fmt::Formatter<'_>,
    label: &str,
    latency: Option<&Latency>,
) -> fmt::Result {
    let Some(latency) = latency else { return Ok(()) };
    line(f, label, |f| {
        let values = [
            ("p50", latency.us_p50),
            ("p90", latency.us_p90),
            ("p99", latency.us_p99),
            ("p99.9", latency.us_p99_9),
            ("max", latency.us_max),
        ];
        for (name, us) in values {
            write!(f, "{name} {}  ", duration(us))?;
        }
        write!(f, "mean {}", duration(latency.us_mean))
    })
}

/// Three digits, in the unit in which they read best.
fn duration(us: f64) -> String {
    let (value, unit) = match us {
        us if us < 1e3 => (us, "µs"),
        us if us < 1e6 => (us / 1e3, "ms"),
        us => (us / 1e6, "s"),
    };
    let digits = match value {
        value if value < 10.0 => 2,
        value if value < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {unit}")
}

fn seconds(duration: Duration) -> String {
    let text = format!("{:.2}", duration.as_secs_f64());
    format!("{} s", text.trim_end_matches('0').trim_end_matches('.'))
}

fn size(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{} bytes", grouped(bytes)),
        10_240..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(count as u64))
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(12_345_678), "12,345,678");
        assert_eq!(duration(72.34), "72.3 µs");
        assert_eq!(duration(5.0), "5.00 µs");
        assert_eq!(duration(999.6), "1000 µs");
        assert_eq!(duration(1234.0), "1.23 ms");
        assert_eq!(duration(2e6), "2.00 s");
        assert_eq!(seconds(Duration::from_secs(10)), "10 s");
        assert_eq!(seconds(Duration::from_millis(9_990)), "9.99 s");
        assert_eq!(size(105), "105 bytes");
        assert_eq!(size(5 << 20), "5.0 MiB");
    }
}
