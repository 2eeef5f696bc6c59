//! Metrics and health over HTTP: `/metrics` (Prometheus text), `/livez`, `/readyz`.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use events::Events;
use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use publish::Standing;
use publish::http::{self, Bounds, TEXT};
use tokio::net::TcpListener;

use crate::assemble::Running;

/// Scrapers and probes need few connections.
const BOUNDS: Bounds = Bounds { connections_max: 32, connection_time_max: Duration::from_secs(10) };
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
const GAUGES: [(&str, &str); 14] = [
    ("gw_agreements", "Agreements of the revision in force."),
    ("gw_calls_in_flight", "Calls that are under way."),
    ("gw_configuration_rejected", "1 if the folder holds what could not be put in force."),
    ("gw_connections", "Connections of consumers."),
    ("gw_events_behind", "Entries that were not looked at for security events yet, by receiver."),
    ("gw_events_trouble", "1 if a receiver of security events cannot be told, by receiver."),
    ("gw_ledger_available", "1 if the ledger takes entries."),
    ("gw_ledger_entries", "Entries that are durable."),
    (
        "gw_ledger_unwitnessed_seconds",
        "Age of the oldest entry that the quorum of witnesses has not cosigned; 0 if there is none.",
    ),
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

/// Answers scrapers and probes on `listener` for as long as it is polled.
pub(crate) async fn serve(
    listener: TcpListener,
    running: Arc<Running>,
    recorder: PrometheusHandle,
) {
    let answer = move |request: Request<Incoming>| {
        std::future::ready(answer(request.method(), request.uri().path(), &running, &recorder))
    };
    http::serve(listener, "metrics", BOUNDS, answer).await;
}

fn answer(
    method: &Method,
    path: &str,
    running: &Running,
    recorder: &PrometheusHandle,
) -> http::Answer {
    let (status, text) = match (method, path) {
        (&Method::GET, "/metrics") => (StatusCode::OK, metrics_now(running, recorder)),
        (&Method::GET, "/livez") => (StatusCode::OK, "alive\n".to_owned()),
        (&Method::GET, "/readyz") => match not_ready(running) {
            None => (StatusCode::OK, serving(running)),
            Some(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
        },
        _ => (StatusCode::NOT_FOUND, "try /metrics, /livez or /readyz\n".to_owned()),
    };
    http::answer(status, TEXT, text)
}

/// Why the gateway should get no calls, if it should not.
fn not_ready(running: &Running) -> Option<String> {
    if !running.gateway.is_serving() {
        return Some("not serving\n".to_owned());
    }
    let standing = running.witnesses.as_ref().map(|witnesses| witnesses.standing());
    standing.filter(|standing| standing.overdue).map(
        |Standing { unwitnessed, troubles, .. }| {
            format!(
                "entries of the last {} s are not cosigned by enough witnesses\n{}\n",
                unwitnessed.as_secs(),
                troubles.join("\n")
            )
        },
    )
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
    if let Some(witnesses) = &running.witnesses {
        let unwitnessed = witnesses.standing().unwitnessed.as_secs_f64();
        metrics::gauge!("gw_ledger_unwitnessed_seconds").set(unwitnessed);
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
