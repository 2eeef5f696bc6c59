//! Metrics and health over HTTP: `/metrics` (Prometheus text), `/livez`, `/readyz`.

use std::convert::Infallible;
use std::sync::Arc;

use anyhow::{Context, Result};
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
/// Upper bounds of the buckets of call durations, in seconds.
const DURATION_BUCKETS: [f64; 12] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// Installs the recorder that everything in the process measures into.
pub(crate) fn install_recorder() -> Result<PrometheusHandle> {
    let durations = Matcher::Full("gw_call_duration_seconds".to_owned());
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(durations, &DURATION_BUCKETS)
        .context("buckets of call durations")?
        .install_recorder()
        .context("install the metrics recorder")?;
    metrics::describe_counter!("gw_calls_total", "Calls that ended, by node and outcome.");
    metrics::describe_counter!(
        "gw_connections_refused_total",
        "Connections that failed the handshake."
    );
    metrics::describe_histogram!(
        "gw_call_duration_seconds",
        metrics::Unit::Seconds,
        "Admitted calls, from their head to their end."
    );
    Ok(recorder)
}

/// Answers scrapers and probes on `listener` for as long as it is polled.
pub(crate) async fn serve(
    listener: TcpListener,
    running: Arc<Running>,
    recorder: PrometheusHandle,
) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((tcp, _)) => {
                let (running, recorder) = (running.clone(), recorder.clone());
                tokio::spawn(async move {
                    answer_all(tcp, running, recorder).await;
                    drop(slot);
                });
            }
            Err(error) => tracing::warn!(%error, "metrics connection not accepted"),
        }
    }
}

async fn answer_all(tcp: TcpStream, running: Arc<Running>, recorder: PrometheusHandle) {
    let service = service_fn(|request: Request<Incoming>| {
        let response = answer(request.method(), request.uri().path(), &running, &recorder);
        async { Ok::<_, Infallible>(response) }
    });
    let connection = hyper::server::conn::http1::Builder::new();
    if let Err(error) = connection.serve_connection(TokioIo::new(tcp), service).await {
        tracing::debug!(%error, "metrics connection ended");
    }
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
            true => (StatusCode::OK, "serving\n".to_owned()),
            false => (StatusCode::SERVICE_UNAVAILABLE, "not serving\n".to_owned()),
        },
        _ => (StatusCode::NOT_FOUND, "try /metrics, /livez or /readyz\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
}

fn metrics_now(running: &Running, recorder: &PrometheusHandle) -> String {
    let ledger = running.ledger.status();
    let gauges = [
        ("gw_calls_in_flight", running.gateway.calls_in_flight() as f64),
        ("gw_connections", running.gateway.connections() as f64),
        ("gw_ledger_entries", ledger.size as f64),
        ("gw_ledger_available", f64::from(u8::from(ledger.trouble.is_none()))),
        ("gw_revision", running.live.snapshot().revision().0 as f64),
    ];
    for (name, value) in gauges {
        metrics::gauge!(name).set(value);
    }
    recorder.run_upkeep();
    recorder.render()
}
