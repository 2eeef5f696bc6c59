//! Forwarding: bytes go both ways at once, frame by frame, as fast as the slower side takes them.

use std::pin::pin;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, Response, StatusCode};
use model::{Code, Reason, Refusal};
use tokio::time::Instant;

use crate::account::{Account, Way};
use crate::attempt::{Failed, Outgoing, Retries, Sent};
use crate::body::Body;
use crate::evidence::Recorded;
use crate::head::{EXCHANGE_ID, EXCHANGE_SALT, grpc_status, is_grpc, is_protobuf};
use crate::lens::Reading;
use crate::reply::Reply;
use crate::respond;
use crate::upload::Upload;
use crate::upstream::Connection;

/// How far a node's watch may be ahead of ours.
const DEADLINE_SLACK: Duration = Duration::from_millis(10);

/// Forwards a cleared call and passes its answer back. Returns the status of the answer.
pub(crate) async fn forward(
    outgoing: &Outgoing<'_>,
    mut connection: Connection,
    head: Request<()>,
    upload: &mut Upload,
    retries: &mut Retries<'_>,
    reply: &mut Reply,
    account: &Account,
) -> Result<Code, Failed> {
    let (exchange, salt) = (account.exchange_value(), account.salt());
    let ends_at_once = upload.is_head_alone();
    let (response, stream) = connection
        .requests
        .send_request(head, ends_at_once)
        .map_err(|error| Failed::Early(failed(error), Sent::Nothing))?;
    if ends_at_once {
        upload.end(None);
    }
    let (kept, last) = (upload.keeping(), retries.is_over());
    let mut sending = pin!(upload.send(stream, account.request(), &connection.stalls, last));
    let mut download = pin!(async {
        let response = reply.unless_reset(response).await?.map_err(early)?;
        let (mut parts, body) = response.into_parts();
        if body.is_end_stream()
            && is_unavailable(&parts.headers)
            && retries.grant(Sent::Unanswered, kept.is_held()).is_some()
        {
            return Err(Failed::Again);
        }
        kept.end();
        let recorded = outgoing.cleared.recorded().await?;
        check_head(&parts)?;
        if outgoing.answers.is_some() && !parts.headers.get(CONTENT_TYPE).is_some_and(is_protobuf) {
            return Err(not_grpc("content_type", "not protobuf, so that it cannot be read").into());
        }
        outgoing.bare(&mut parts.headers);
        parts.headers.insert(EXCHANGE_ID, exchange);
        parts.headers.insert(EXCHANGE_SALT, respond::binary(&salt.0));
        let body = Body::new(body, outgoing.answers.as_ref().map(Reading::lens));
        Ok(answer(parts, body, &recorded, outgoing, reply, account.response()).await?)
    });
    let mut uploading = !ends_at_once;
    loop {
        tokio::select! {
            biased;
            done = &mut download => return done,
            done = &mut sending, if uploading => {
                done?;
                uploading = false;
            }
        }
    }
}

/// Whether an answer of trailers alone says that the node is away.
fn is_unavailable(headers: &HeaderMap) -> bool {
    grpc_status(headers).map(Code::from_number) == Some(Code::Unavailable)
}

/// The node failed the call before any answer. What it refused, or what its connection ended
/// under, can be sent again; a broken protocol stays broken.
fn early(error: h2::Error) -> Failed {
    let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    let left = error.is_io() || (error.is_go_away() && error.is_remote());
    match refused || left {
        true => Failed::Early(failed(error), Sent::Unanswered),
        false => Failed::Over(failed(error)),
    }
}

/// Passes the node's answer on to the consumer, with the receipt at its end.
async fn answer(
    parts: http::response::Parts,
    mut body: Body,
    recorded: &Recorded,
    outgoing: &Outgoing<'_>,
    reply: &mut Reply,
    way: Way<'_>,
) -> Result<Code, Refusal> {
    let deadline = outgoing.deadline;
    let mut head = Response::from_parts(parts, ());
    if body.is_end_stream() {
        let code = ending(head.headers_mut(), recorded, deadline)?;
        reply.head(recorded, head, true)?;
        return Ok(code);
    }
    reply.head(recorded, head, false)?;
    reply.pump(&mut body, way, outgoing.route.limits.answer_bytes_max).await?;
    let trailers = reply.unless_reset(body.trailers()).await?.map_err(failed)?;
    let mut trailers = trailers.unwrap_or_default();
    outgoing.bare(&mut trailers);
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

/// Whether `parts` open an answer of gRPC.
pub(crate) fn check_head(parts: &http::response::Parts) -> Result<(), Refusal> {
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
