//! Forwarding: bytes go both ways at once, frame by frame, as fast as the slower side takes them.

use std::future::poll_fn;
use std::pin::pin;

use bytes::Bytes;
use h2::{RecvStream, SendStream};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, Response, StatusCode};
use model::{Code, Reason, Refusal};

use crate::evidence::{Cleared, Recorded};
use crate::head::{EXCHANGE_ID, grpc_status, is_grpc, strip_vouched};
use crate::meter::Meter;
use crate::reply::Reply;
use crate::respond;
use crate::upstream::Connection;

/// Forwards a cleared call and passes its answer back. Returns the status of the answer.
pub(crate) async fn forward(
    cleared: Cleared,
    mut connection: Connection,
    head: Request<()>,
    body: RecvStream,
    reply: &mut Reply,
    meters: (&mut Meter, &mut Meter),
) -> Result<Code, Refusal> {
    let (sent, received) = meters;
    let exchange = head.headers().get(EXCHANGE_ID).cloned();
    let ends_at_once = body.is_end_stream();
    let (response, stream) =
        connection.requests.send_request(head, ends_at_once).map_err(failed)?;
    let mut upload = pin!(upload(body, stream, sent));
    let mut download = pin!(async {
        let response = reply.unless_reset(response).await?.map_err(failed)?;
        let recorded = cleared.recorded().await?;
        let (mut parts, body) = response.into_parts();
        check_head(&parts)?;
        strip_vouched(&mut parts.headers);
        parts.headers.extend(exchange.map(|value| (EXCHANGE_ID, value)));
        answer(parts, body, &recorded, reply, received).await
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
) -> Result<(), Refusal> {
    while let Some(data) = body.data().await {
        let data = data.map_err(gone)?;
        let length = data.len();
        meter.add(&data);
        let end = body.is_end_stream();
        if send_all(&mut stream, data, end).await.is_err() {
            // The node takes no more; what it answers decides the call.
            return Ok(());
        }
        body.flow_control().release_capacity(length).map_err(gone)?;
        if end {
            return Ok(());
        }
    }
    let sent = match body.trailers().await.map_err(gone)? {
        Some(trailers) => stream.send_trailers(trailers),
        None => stream.send_data(Bytes::new(), true),
    };
    // As above: the answer decides.
    drop(sent);
    Ok(())
}

/// Passes the node's answer on to the consumer, with the receipt at its end.
async fn answer(
    parts: http::response::Parts,
    mut body: RecvStream,
    recorded: &Recorded,
    reply: &mut Reply,
    meter: &mut Meter,
) -> Result<Code, Refusal> {
    let mut head = Response::from_parts(parts, ());
    if body.is_end_stream() {
        let code = ending(head.headers_mut(), recorded)?;
        reply.head(recorded, head, true)?;
        return Ok(code);
    }
    reply.head(recorded, head, false)?;
    while let Some(data) = reply.unless_reset(body.data()).await? {
        let data = data.map_err(failed)?;
        let length = data.len();
        meter.add(&data);
        reply.data(data).await?;
        body.flow_control().release_capacity(length).map_err(failed)?;
    }
    let trailers = reply.unless_reset(body.trailers()).await?.map_err(failed)?;
    let mut trailers = trailers.unwrap_or_default();
    strip_vouched(&mut trailers);
    let code = ending(&mut trailers, recorded)?;
    reply.trailers(trailers)?;
    Ok(code)
}

/// Reads the status that ends an answer and adds the receipt.
fn ending(trailers: &mut HeaderMap, recorded: &Recorded) -> Result<Code, Refusal> {
    let code = grpc_status(trailers)
        .map(Code::from_number)
        .ok_or_else(|| not_grpc("answer", "it ended without a grpc-status"))?;
    respond::insert_receipt(trailers, &recorded.receipt());
    Ok(code)
}

fn check_head(parts: &http::response::Parts) -> Result<(), Refusal> {
    if parts.status != StatusCode::OK {
        return Err(not_grpc("http_status", parts.status.as_str()));
    }
    match parts.headers.get(CONTENT_TYPE) {
        Some(value) if is_grpc(value) => Ok(()),
        _ => Err(not_grpc("content_type", "not application/grpc")),
    }
}

/// Sends all of `data`, waiting for the peer's flow control.
pub(crate) async fn send_all(
    stream: &mut SendStream<Bytes>,
    mut data: Bytes,
    end: bool,
) -> Result<(), h2::Error> {
    if data.is_empty() {
        return if end { stream.send_data(data, true) } else { Ok(()) };
    }
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        while stream.capacity() == 0 {
            match poll_fn(|cx| stream.poll_capacity(cx)).await {
                Some(granted) => drop(granted?),
                None => return Err(h2::Reason::CANCEL.into()),
            }
        }
        let chunk = data.split_to(stream.capacity().min(data.len()));
        stream.send_data(chunk, end && data.is_empty())?;
    }
    Ok(())
}

/// The node failed the call: by a reset, by closing, or by breaking the protocol.
fn failed(error: h2::Error) -> Refusal {
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
