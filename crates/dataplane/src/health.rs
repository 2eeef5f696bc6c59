//! `grpc.health.v1.Health`, answered by the gateway about itself.

use std::rc::Rc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, Request};
use model::Code;
use tokio::time::timeout;
use wire::health::{HealthCheckRequest, ServingStatus, frame};

use crate::gateway::Worker;
use crate::respond;

const SERVICE: &str = "/grpc.health.v1.Health/";
/// Longest request, in bytes. A service name is far shorter.
const REQUEST_BYTES_MAX: usize = 4 << 10;
/// How often a watched status is looked at.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// Whether `path` is a method of the health service.
pub(crate) fn is_health(path: &str) -> bool {
    path.starts_with(SERVICE)
}

/// Answers a health call. A consumer that goes away in the middle needs no answer.
pub(crate) async fn answer(
    worker: Rc<Worker>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) {
    let limits = &worker.shared.limits;
    let path = request.uri().path().to_owned();
    let asked = timeout(limits.handshake_time_max, read(request.into_body())).await;
    let asked = asked.unwrap_or(Err("the request takes too long"));
    let answered = match (asked, path.strip_prefix(SERVICE)) {
        (Err(message), _) => refuse(&mut respond, Code::InvalidArgument, message),
        (Ok(asked), Some("Check")) => check(&worker, &asked, &mut respond).await,
        (Ok(asked), Some("Watch")) => {
            let watch = watch(&worker, &asked, &mut respond);
            timeout(limits.deadline_max, watch).await.unwrap_or(Ok(()))
        }
        _ => refuse(&mut respond, Code::Unimplemented, "the service has Check and Watch"),
    };
    if let Err(error) = answered {
        tracing::trace!(%error, "health call ended early");
    }
}

async fn check(
    worker: &Worker,
    asked: &HealthCheckRequest,
    respond: &mut SendResponse<Bytes>,
) -> Result<(), h2::Error> {
    match status(worker, asked) {
        ServingStatus::ServiceUnknown => {
            refuse(respond, Code::NotFound, "no such service behind this gateway")
        }
        status => {
            let mut stream = respond.send_response(respond::head(None), false)?;
            stream.send_data(frame(status).into(), false)?;
            stream.send_trailers(respond::status(Code::Ok, ""))
        }
    }
}

async fn watch(
    worker: &Worker,
    asked: &HealthCheckRequest,
    respond: &mut SendResponse<Bytes>,
) -> Result<(), h2::Error> {
    let mut stream = respond.send_response(respond::head(None), false)?;
    let mut told = None;
    let mut phase = worker.shared.phase.subscribe();
    loop {
        let status = status(worker, asked);
        if told != Some(status) {
            stream.send_data(frame(status).into(), false)?;
            told = Some(status);
        }
        if phase.borrow_and_update().is_draining() {
            return stream.send_trailers(respond::status(Code::Ok, ""));
        }
        tokio::select! {
            _ = tokio::time::sleep(WATCH_EVERY) => {}
            _ = phase.changed() => {}
            reset = std::future::poll_fn(|cx| stream.poll_reset(cx)) => return reset.map(drop),
        }
    }
}

fn status(worker: &Worker, asked: &HealthCheckRequest) -> ServingStatus {
    let snapshot = worker.shared.live.snapshot();
    if !asked.service.is_empty() && !snapshot.offers(&asked.service) {
        return ServingStatus::ServiceUnknown;
    }
    match worker.shared.is_serving() {
        true => ServingStatus::Serving,
        false => ServingStatus::NotServing,
    }
}

fn refuse(respond: &mut SendResponse<Bytes>, code: Code, message: &str) -> Result<(), h2::Error> {
    let mut head = respond::head(None);
    let trailers: HeaderMap = respond::status(code, message);
    head.headers_mut().extend(trailers);
    respond.send_response(head, true).map(drop)
}

async fn read(mut body: RecvStream) -> Result<HealthCheckRequest, &'static str> {
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.map_err(|_| "the request was cut")?;
        if bytes.len() + data.len() > REQUEST_BYTES_MAX {
            return Err("the request is too long");
        }
        body.flow_control().release_capacity(data.len()).map_err(|_| "the request was cut")?;
        bytes.extend_from_slice(data.chunk());
    }
    HealthCheckRequest::from_frame(&bytes).ok_or("expected one uncompressed HealthCheckRequest")
}
