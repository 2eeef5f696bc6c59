//! The witness over HTTP.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use model::{Clock, SystemClock};
use publish::http::{self, Bounds, TEXT};
use tlog::witness::{Answer, Witness};
use tokio::net::TcpListener;

use super::states::StateFolder;

/// What a witness of many ledgers takes on.
const BOUNDS: Bounds = Bounds { connections_max: 64, connection_time_max: Duration::from_secs(10) };
/// Longest request: a checkpoint with its signatures, and a proof.
const REQUEST_BYTES_MAX: usize = 72 << 10;

/// Answers for as long as it is polled.
pub(super) async fn serve(listener: TcpListener, witness: Arc<Witness<StateFolder>>) {
    http::serve(listener, "witness", BOUNDS, move |request| answer(request, witness.clone())).await;
}

async fn answer(request: Request<Incoming>, witness: Arc<Witness<StateFolder>>) -> http::Answer {
    if (request.method(), request.uri().path()) != (&Method::POST, "/add-checkpoint") {
        return http::answer(StatusCode::NOT_FOUND, TEXT, "try POST /add-checkpoint\n");
    }
    let body = match Limited::new(request.into_body(), REQUEST_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => {
            let why = format!("request cannot be read: {error}\n");
            return http::answer(StatusCode::BAD_REQUEST, TEXT, why);
        }
    };
    let now = SystemClock.now().as_micros() / 1_000_000;
    // It waits for the disk.
    let answered = tokio::task::spawn_blocking(move || witness.add_checkpoint(&body, now)).await;
    let answer = answered.unwrap_or_else(|error| Answer::Unavailable(error.to_string()));
    match &answer {
        Answer::Cosigned(_) => tracing::info!("cosigned"),
        Answer::Unavailable(error) => tracing::error!(%error, "state cannot be used"),
        Answer::NotConsistent(why) => {
            tracing::error!(%why, "a ledger does not extend its last checkpoint")
        }
        refused => tracing::warn!(status = refused.status(), "refused: {}", refused.body().trim()),
    }
    let status = StatusCode::from_u16(answer.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    http::answer(status, answer.content_type(), answer.body())
}
