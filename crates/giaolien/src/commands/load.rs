//! `giaolien load`: honest load on a gRPC address.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, ValueEnum};
use load::{Identity, Pace, Pem, Plan, Tls, Watched};

use super::say;
use crate::progress::Progress;

/// Puts load on a gRPC address and reports rates and latencies.
///
/// With --rate the calls follow a fixed schedule (open loop) and latency counts from the intended
/// start, so that a stall shows in every call it delayed; without, each stream calls again as soon
/// as it is answered (closed loop).
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  giaolien load 127.0.0.1:8443 \
    /vn.population.v1.PopulationService/VerifyPerson \\\n    --ca pki/ca.crt --cert pki/commune.crt \
    --key pki/commune.key \\\n    --message-file verify.bin --metadata exchange-purpose=residence \
    --rate 5000 --duration 30s")]
pub(crate) struct Load {
    /// Host and port.
    address: String,
    /// Method path, `/package.Service/Method`.
    method: String,
    /// Certificate authority of the server; without it the load is plaintext HTTP/2.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Client certificate.
    #[arg(long, value_name = "FILE", requires = "key", requires = "ca")]
    cert: Option<PathBuf>,
    /// Key of the client certificate.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Name that the server's certificate must bear, where it is not the host.
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    /// The request message, protobuf in base64.
    #[arg(long, value_name = "BASE64", conflicts_with = "message_file")]
    message: Option<String>,
    /// A file that holds the request message in protobuf.
    #[arg(long, value_name = "FILE")]
    message_file: Option<PathBuf>,
    /// Metadata, `key=value`; may be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    metadata: Vec<String>,
    /// Deadline of each call, `250ms`.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    timeout: Option<Duration>,
    /// Calls per second, on a fixed schedule.
    #[arg(long, value_name = "RATE")]
    rate: Option<f64>,
    /// Connections.
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// Calls at once on each connection.
    #[arg(long, default_value_t = 16)]
    streams: usize,
    /// Threads.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// How long to measure.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "10s")]
    duration: Duration,
    /// How long to call before measuring.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "1s")]
    warm_up: Duration,
    /// Stops after this many calls.
    #[arg(long)]
    calls: Option<u64>,
    /// Reports CPU time and memory of a process too, `label=pid`; may be given several times.
    #[arg(long, value_name = "LABEL=PID")]
    watch: Vec<String>,
    /// How to print the report.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Load {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let (format, plan) = (self.format, self.plan()?);
        let mut progress = Progress::new("loading");
        let report = load::run_with_progress(plan, &mut |at| {
            let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            progress.at(millis(at.elapsed), millis(at.total));
        })?;
        drop(progress);
        match format {
            Format::Text => say(report.to_text().trim_end()),
            Format::Json => say(report.to_json()),
        }
        Ok(ExitCode::SUCCESS)
    }

    fn plan(self) -> Result<Plan> {
        let message = match (&self.message, &self.message_file) {
            (Some(text), _) => STANDARD.decode(text).context("--message is not base64")?,
            (None, Some(file)) => {
                fs::read(file).with_context(|| format!("read `{}`", file.display()))?
            }
            (None, None) => Vec::new(),
        };
        let mut plan = Plan::new(&self.address, &self.method, message.into());
        plan.server_name = self.server_name;
        plan.tls = self.ca.map(|ca| Tls {
            ca: Pem::File(ca),
            identity: self.cert.zip(self.key).map(|(certificate, key)| Identity {
                certificate: Pem::File(certificate),
                key: Pem::File(key),
            }),
        });
        plan.metadata = pairs("--metadata", &self.metadata)?;
        plan.timeout = self.timeout;
        plan.connections = self.connections;
        plan.streams = self.streams;
        plan.threads = self.threads;
        if let Some(calls_per_second) = self.rate {
            plan.pace = Pace::Open { calls_per_second };
        }
        plan.duration = self.duration;
        plan.warm_up = self.warm_up;
        plan.calls = self.calls;
        plan.watch = pairs("--watch", &self.watch)?
            .into_iter()
            .map(|(label, pid)| match pid.parse() {
                Ok(pid) => Ok(Watched { label, pid }),
                Err(_) => bail!("--watch `{label}={pid}`: expected a process id"),
            })
            .collect::<Result<_>>()?;
        Ok(plan)
    }
}

fn pairs(option: &str, given: &[String]) -> Result<Vec<(String, String)>> {
    let pair = |text: &String| match text.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => bail!("{option} `{text}`: expected `key=value`"),
    };
    given.iter().map(pair).collect()
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("expected a whole number and `ms`, `s`, `m` or `h`".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| format!("`{number}` is not a number"))?;
    number.checked_mul(unit_ms).map(Duration::from_millis).ok_or_else(|| "too long".to_owned())
}
