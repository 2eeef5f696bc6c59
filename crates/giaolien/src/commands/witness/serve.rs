//! The witness over HTTP.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use model::{Clock, SystemClock};
use tlog::witness::{Answer, Witness};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::states::StateFolder;

/// Connections at once.
const CONNECTIONS_MAX: usize = 64;
/// Time from taking a connection to the end of its one answer.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(10);
/// Pause after a connection could not be taken.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Longest request: a checkpoint with its signatures, and a proof.
const REQUEST_BYTES_MAX: usize = 72 << 10;

/// Answers for as long as it is polled.
pub(super) async fn serve(listener: TcpListener, witness: Arc<Witness<StateFolder>>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((tcp, from)) => {
                let witness = witness.clone();
                tokio::spawn(async move {
                    let answered = answer_one(tcp, witness);
                    match tokio::time::timeout(CONNECTION_TIME_MAX, answered).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => tracing::debug!(%from, %error, "connection failed"),
                        Err(_elapsed) => tracing::debug!(%from, "connection took too long"),
                    }
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "connection not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Answers one request. Connections are not kept, so that each has an end.
async fn answer_one(tcp: TcpStream, witness: Arc<Witness<StateFolder>>) -> hyper::Result<()> {
    let service = service_fn(|request: Request<Incoming>| {
        let witness = witness.clone();
        async move { Ok::<_, Infallible>(answer(request, witness).await) }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    server.keep_alive(false).serve_connection(TokioIo::new(tcp), service).await
}

async fn answer(
    request: Request<Incoming>,
    witness: Arc<Witness<StateFolder>>,
) -> Response<Full<Bytes>> {
    if (request.method(), request.uri().path()) != (&Method::POST, "/add-checkpoint") {
        return response(StatusCode::NOT_FOUND, "text/plain", "try POST /add-checkpoint\n".into());
    }
    let body = match Limited::new(request.into_body(), REQUEST_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => {
            let why = format!("request cannot be read: {error}\n");
            return response(StatusCode::BAD_REQUEST, "text/plain", why);
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
    response(status, answer.content_type(), answer.body())
}

fn response(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}
