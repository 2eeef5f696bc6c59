//! Forwarding: bytes go both ways at once, frame by frame, as fast as the slower side takes them.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use h2::{RecvStream, SendStream};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, Response, StatusCode};
use model::{Code, Reason, Refusal};
use tokio::time::Instant;

use crate::account::Account;
use crate::evidence::{Cleared, Recorded};
use crate::head::{EXCHANGE_ID, EXCHANGE_SALT, grpc_status, is_grpc, strip_vouched};
use crate::meter::Meter;
use crate::pump::{Broken, Pump, Stalls};
use crate::reply::Reply;
use crate::respond;
use crate::upstream::Connection;

/// How far a node's watch may be ahead of ours.
const DEADLINE_SLACK: Duration = Duration::from_millis(10);

/// Forwards a cleared call and passes its answer back. Returns the status of the answer.
pub(crate) async fn forward(
    cleared: Cleared,
    mut connection: Connection,
    head: Request<()>,
    body: RecvStream,
    deadline: Instant,
    reply: &mut Reply,
    account: &mut Account,
) -> Result<Code, Refusal> {
    let (exchange, salt) = (account.exchange_value(), account.salt());
    let Account { request: sent, response: received, .. } = account;
    let ends_at_once = body.is_end_stream();
    let (response, stream) =
        connection.requests.send_request(head, ends_at_once).map_err(failed)?;
    let mut upload = pin!(upload(body, stream, sent, &connection.stalls));
    let mut download = pin!(async {
        let response = reply.unless_reset(response).await?.map_err(failed)?;
        let recorded = cleared.recorded().await?;
        let (mut parts, body) = response.into_parts();
        check_head(&parts)?;
        strip_vouched(&mut parts.headers);
        parts.headers.insert(EXCHANGE_ID, exchange);
        parts.headers.insert(EXCHANGE_SALT, respond::binary(&salt.0));
        answer(parts, body, &recorded, deadline, reply, received).await
    });
    let mut uploading = !ends_at_once;
    loop {
        tokio::select! {
            biased;
            done = &mut download => return done,
            done = &mut upload, if uploading => {
                done?;
                uploading = false;
            }
        }
    }
}

/// Passes the consumer's messages on to the node.
async fn upload(
    mut body: RecvStream,
    mut stream: SendStream<Bytes>,
    meter: &mut Meter,
    stalls: &Stalls,
) -> Result<(), Refusal> {
    match Pump::new(&mut body, &mut stream, meter).ending_sink().telling(stalls).run().await {
        Ok(true) => return Ok(()),
        Ok(false) => {}
        Err(Broken::Source(error)) => return Err(gone(error)),
        // The node takes no more; what it answers decides the call.
        Err(Broken::Sink(_)) => return Ok(()),
    }
    let ended = match body.trailers().await.map_err(gone)? {
        Some(trailers) => stream.send_trailers(trailers),
        None => stream.send_data(Bytes::new(), true),
    };
    // As above: the answer decides.
    drop(ended);
    Ok(())
}

/// Passes the node's answer on to the consumer, with the receipt at its end.
async fn answer(
    parts: http::response::Parts,
    mut body: RecvStream,
    recorded: &Recorded,
    deadline: Instant,
    reply: &mut Reply,
    meter: &mut Meter,
) -> Result<Code, Refusal> {
    let mut head = Response::from_parts(parts, ());
    if body.is_end_stream() {
        let code = ending(head.headers_mut(), recorded, deadline)?;
        reply.head(recorded, head, true)?;
        return Ok(code);
    }
    reply.head(recorded, head, false)?;
    reply.pump(&mut body, meter).await?;
    let trailers = reply.unless_reset(body.trailers()).await?.map_err(failed)?;
    let mut trailers = trailers.unwrap_or_default();
    strip_vouched(&mut trailers);
    let code = ending(&mut trailers, recorded, deadline)?;
    reply.trailers(trailers)?;
    Ok(code)
}

/// Reads the status that ends an answer and adds the receipt.
fn ending(
    trailers: &mut HeaderMap,
    recorded: &Recorded,
    deadline: Instant,
) -> Result<Code, Refusal> {
    let code = grpc_status(trailers)
        .map(Code::from_number)
        .ok_or_else(|| not_grpc("answer", "it ended without a grpc-status"))?;
    // The node watches the same deadline, and some stacks say that theirs was a cancellation.
    if code == Code::Cancelled && Instant::now() + DEADLINE_SLACK >= deadline {
        return Err(Refusal::new(Reason::DeadlineExceeded));
    }
    respond::insert_receipt(trailers, &recorded.receipt());
    Ok(code)
}

fn check_head(parts: &http::response::Parts) -> Result<(), Refusal> {
    match parts.status {
        StatusCode::OK => {}
        // What stands before a node that is away says so in HTTP (grpc/doc/http-grpc-status-mapping.md).
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => {
            let status = parts.status.as_str();
            return Err(Refusal::new(Reason::UpstreamUnreachable).with("http_status", status));
        }
        status => return Err(not_grpc("http_status", status.as_str())),
    }
    match parts.headers.get(CONTENT_TYPE) {
        Some(value) if is_grpc(value) => Ok(()),
        _ => Err(not_grpc("content_type", "not application/grpc")),
    }
}

/// The node failed the call: by a reset, by closing, or by breaking the protocol.
pub(crate) fn failed(error: h2::Error) -> Refusal {
    let broke_protocol = error.is_library() && !error.is_io();
    let reason = if broke_protocol { Reason::UpstreamProtocol } else { Reason::UpstreamReset };
    let refusal = Refusal::new(reason).because(&error);
    match error.reason() {
        Some(reset) => refusal.with("http2_error", format!("{reset:?}")),
        None => refusal,
    }
}

fn not_grpc(key: &'static str, found: &str) -> Refusal {
    Refusal::new(Reason::UpstreamProtocol).with(key, found)
}

fn gone(error: h2::Error) -> Refusal {
    Refusal::new(Reason::Cancelled).because(error)
}
