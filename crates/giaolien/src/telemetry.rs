//! Metrics and health over HTTP: `/metrics` (Prometheus text), `/livez`, `/readyz`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use events::Events;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::assemble::Running;

/// Connections at once. Scrapers and probes need few.
const CONNECTIONS_MAX: usize = 32;
/// Time from taking a connection to the end of its one answer.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(10);
/// Pause after a connection could not be taken: too many open files last longer than a moment.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often measured durations are put into their buckets. Until then each takes memory.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);
/// Upper bounds of the buckets of call durations, in seconds.
const DURATION_BUCKETS: [f64; 12] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

const COUNTERS: [(&str, &str); 9] = [
    ("gw_calls_total", "Calls that ended, by node and outcome."),
    ("gw_connections_refused_total", "Connections refused, by reason."),
    ("gw_events_told_total", "Security events told, by receiver; those told again count again."),
    ("gw_ledger_archived_total", "Segments moved to the archive since the start."),
    ("gw_ledger_keeping_failed_total", "Attempts to seal or archive a segment that failed."),
    ("gw_ledger_sealed_total", "Segments sealed since the start."),
    ("gw_policy_errors_total", "Decisions in which a policy erred and was passed over, by policy."),
    ("gw_retries_total", "Calls sent to a node again, by service and result."),
    ("gw_shadow_answers_total", "Answers to copies of queries, by service and result."),
];
const GAUGES: [(&str, &str); 13] = [
    ("gw_agreements", "Agreements of the revision in force."),
    ("gw_calls_in_flight", "Calls that are under way."),
    ("gw_configuration_rejected", "1 if the folder holds what could not be put in force."),
    ("gw_connections", "Connections of consumers."),
    ("gw_events_behind", "Entries that were not looked at for security events yet, by receiver."),
    ("gw_events_trouble", "1 if a receiver of security events cannot be told, by receiver."),
    ("gw_ledger_available", "1 if the ledger takes entries."),
    ("gw_ledger_entries", "Entries that are durable."),
    ("gw_ledger_keeping_trouble", "1 if the last attempt to seal or archive a segment failed."),
    ("gw_ledger_unsealed", "Full segments that are not sealed, where they are to be."),
    ("gw_policies", "Cedar policies of the revision in force."),
    ("gw_revision", "The revision in force."),
    ("gw_revision_bytes", "Heap that the revision in force holds, about."),
];

/// Installs the recorder that everything in the process measures into.
pub(crate) fn install_recorder() -> Result<PrometheusHandle> {
    let durations = Matcher::Full("gw_call_duration_seconds".to_owned());
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(durations, &DURATION_BUCKETS)
        .context("buckets of call durations")?
        .install_recorder()
        .context("install the metrics recorder")?;
    for (name, description) in COUNTERS {
        metrics::describe_counter!(name, description);
    }
    for (name, description) in GAUGES {
        metrics::describe_gauge!(name, description);
    }
    metrics::describe_histogram!(
        "gw_call_duration_seconds",
        metrics::Unit::Seconds,
        "Admitted calls, from their head to their end."
    );
    Ok(recorder)
}

/// Keeps what was measured small for as long as it is polled, whether anybody scrapes or not.
pub(crate) async fn keep_up(recorder: PrometheusHandle) {
    let mut tick = tokio::time::interval(UPKEEP_EVERY);
    loop {
        tick.tick().await;
        recorder.run_upkeep();
    }
}

/// What is answered to a method and path.
pub(crate) type Answer = dyn Fn(&Method, &str) -> Response<Full<Bytes>> + Send + Sync;

/// What a gateway answers to scrapers and probes.
pub(crate) fn answers(running: Arc<Running>, recorder: PrometheusHandle) -> Arc<Answer> {
    Arc::new(move |method, path| answer(method, path, &running, &recorder))
}

/// Answers scrapers and probes on `listener` for as long as it is polled.
pub(crate) async fn serve(listener: TcpListener, answer: Arc<Answer>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((tcp, _)) => {
                let answer = answer.clone();
                tokio::spawn(async move {
                    let answered = answer_one(tcp, &*answer);
                    match tokio::time::timeout(CONNECTION_TIME_MAX, answered).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => tracing::debug!(%error, "metrics connection failed"),
                        Err(_elapsed) => tracing::debug!("metrics connection took too long"),
                    }
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "metrics connection not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Answers one request. Connections are not kept, so that each has an end.
async fn answer_one(tcp: TcpStream, answer: &Answer) -> hyper::Result<()> {
    let service = service_fn(|request: Request<Incoming>| {
        let response = answer(request.method(), request.uri().path());
        async { Ok::<_, Infallible>(response) }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    server.keep_alive(false).serve_connection(TokioIo::new(tcp), service).await
}

fn answer(
    method: &Method,
    path: &str,
    running: &Running,
    recorder: &PrometheusHandle,
) -> Response<Full<Bytes>> {
    let (status, text) = match (method, path) {
        (&Method::GET, "/metrics") => (StatusCode::OK, metrics_now(running, recorder)),
        (&Method::GET, "/livez") => (StatusCode::OK, "alive\n".to_owned()),
        (&Method::GET, "/readyz") => match running.gateway.is_serving() {
            true => (StatusCode::OK, serving(running)),
            false => (StatusCode::SERVICE_UNAVAILABLE, "not serving\n".to_owned()),
        },
        _ => (StatusCode::NOT_FOUND, "try /metrics, /livez or /readyz\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
}

/// That the gateway serves, and whether by another configuration than the folder holds.
fn serving(running: &Running) -> String {
    let revision = running.live.snapshot().revision();
    let stale = running.stale().map(|rejected| {
        let why = match rejected.problems.first() {
            Some(first) => format!("problems {}, first {first}", rejected.problems_total),
            None => rejected.cause.unwrap_or_default(),
        };
        format!("the configuration loaded at {} was rejected: {why}\n", rejected.time)
    });
    format!("serving\nrevision {revision}\n{}", stale.unwrap_or_default())
}

fn metrics_now(running: &Running, recorder: &PrometheusHandle) -> String {
    let (ledger, snapshot) = (running.ledger.status(), running.live.snapshot());
    let gauges = [
        ("gw_agreements", snapshot.agreement_count() as f64),
        ("gw_calls_in_flight", running.gateway.calls_in_flight() as f64),
        ("gw_connections", running.gateway.connections() as f64),
        ("gw_ledger_entries", ledger.size as f64),
        ("gw_ledger_keeping_trouble", f64::from(u8::from(ledger.keeping.trouble.is_some()))),
        ("gw_ledger_unsealed", ledger.keeping.waiting as f64),
        ("gw_ledger_available", f64::from(u8::from(ledger.trouble.is_none()))),
        ("gw_configuration_rejected", f64::from(u8::from(running.stale().is_some()))),
        ("gw_policies", snapshot.policy_count() as f64),
        ("gw_revision", snapshot.revision().0 as f64),
        ("gw_revision_bytes", snapshot.memory_bytes() as f64),
    ];
    for (name, value) in gauges {
        metrics::gauge!(name).set(value);
    }
    let keeping = [
        ("gw_ledger_archived_total", ledger.keeping.archived),
        ("gw_ledger_keeping_failed_total", ledger.keeping.failed),
        ("gw_ledger_sealed_total", ledger.keeping.sealed),
    ];
    for (name, value) in keeping {
        metrics::counter!(name).absolute(value);
    }
    for progress in running.events.iter().flat_map(Events::progress) {
        let behind = ledger.size.saturating_sub(progress.next) as f64;
        let labels = [("receiver", progress.receiver)];
        metrics::gauge!("gw_events_behind", &labels).set(behind);
        metrics::counter!("gw_events_told_total", &labels).absolute(progress.told);
        let trouble = f64::from(u8::from(progress.trouble.is_some()));
        metrics::gauge!("gw_events_trouble", &labels).set(trouble);
    }
    recorder.render()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::Instant;

    use super::*;

    async fn ask(listener: std::net::SocketAddr) -> String {
        let mut tcp = TcpStream::connect(listener).await.unwrap();
        tcp.write_all(b"GET /livez HTTP/1.1\r\nhost: probe\r\n\r\n").await.unwrap();
        let mut text = String::new();
        tcp.read_to_string(&mut text).await.unwrap();
        text
    }

    /// Time passes only while everybody waits.
    #[tokio::test(start_paused = true)]
    async fn silent_connections_keep_no_probe_out_for_long() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let path = |_: &Method, path: &str| Response::new(Full::from(path.to_owned()));
        tokio::spawn(serve(listener, Arc::new(path)));
        let answered = ask(address).await;
        assert!(answered.ends_with("\r\n\r\n/livez"), "{answered}");
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let begun = Instant::now();
        assert!(ask(address).await.ends_with("/livez"));
        let waited = begun.elapsed();
        assert!(waited >= CONNECTION_TIME_MAX, "connections are not bounded: {waited:?}");
        assert!(waited < 2 * CONNECTION_TIME_MAX, "{waited:?}");
    }
}
