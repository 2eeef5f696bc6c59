//! One consumer's connection: handshakes within their time, then calls until it ends.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::Request;
use model::{Certificate, Reason};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::server::TlsStream;

use crate::admit::Slot;
use crate::gateway::Worker;
use crate::{exchange, health, tcp, tls};

/// The window of each call's request. The connection's window has room for all calls at once, so
/// that those which stand still cannot stop the others.
const STREAM_WINDOW_BYTES: u32 = 128 << 10;
/// What may pile up in small frames while a call's entry is being written or its node is being
/// reached, by `h2`'s count: 256 less its length for each frame.
pub(crate) const SMALL_FRAMES_BUDGET: usize = 64 << 20;
/// The largest window there is (RFC 9113, 6.9.1).
const WINDOW_MAX: u32 = (1 << 31) - 1;
/// HTTP/2 itself refuses header blocks this many times over the bound, without a record; below
/// that the call is refused with a reason.
const HEADER_BLOCK_SLACK: u32 = 4;
/// How long a connection that is being closed may take over it.
const LEAVE_TIME_MAX: Duration = Duration::from_secs(10);

/// Who is at the other end of a connection, as far as TLS can tell.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) certificate: Certificate,
    pub(crate) source: IpAddr,
}

/// Serves a connection from its first byte to its last.
pub(crate) async fn serve(worker: Rc<Worker>, tcp: TcpStream, source: SocketAddr, _slot: Slot) {
    let shared = &worker.shared;
    let within = shared.limits.handshake_time_max;
    let (tls, peer) = match timeout(within, shake_hands(&worker, tcp, source)).await {
        Ok(Ok(shaken)) => shaken,
        Ok(Err((reason, cause))) => {
            return shared.refuse_connection(source.ip(), reason, &cause);
        }
        Err(_elapsed) => {
            let cause = format!("no handshake within {within:?}");
            return shared.refuse_connection(source.ip(), Reason::HandshakeFailed, &cause);
        }
    };
    let streams_max = shared.limits.streams_per_connection_max;
    let opening = h2::server::Builder::new()
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(
            STREAM_WINDOW_BYTES.saturating_mul(streams_max).min(WINDOW_MAX),
        )
        .data_frame_budget(SMALL_FRAMES_BUDGET)
        .max_concurrent_streams(streams_max)
        .max_header_list_size(shared.limits.header_bytes_max.saturating_mul(HEADER_BLOCK_SLACK))
        .handshake(tls);
    let cause = match timeout(within, opening).await {
        Ok(Ok(connection)) => return carry(&worker, connection, &Arc::new(peer)).await,
        Ok(Err(error)) => error.to_string(),
        Err(_elapsed) => format!("no HTTP/2 within {within:?}"),
    };
    shared.refuse_connection(source.ip(), Reason::HandshakeFailed, &cause);
}

async fn shake_hands(
    worker: &Worker,
    tcp: TcpStream,
    source: SocketAddr,
) -> Result<(TlsStream<TcpStream>, Peer), (Reason, String)> {
    let failed = |error: io::Error| (tls::handshake_reason(&error), error.to_string());
    tcp::tune(&tcp).map_err(failed)?;
    let tls = worker.tls.accept(tcp).await.map_err(failed)?;
    let certificate =
        tls::peer_certificate(tls.get_ref().1).map_err(|cause| (Reason::HandshakeFailed, cause))?;
    Ok((tls, Peer { certificate, source: source.ip().to_canonical() }))
}

/// Accepts calls until the consumer leaves, is idle for too long, or the gateway drains.
async fn carry(
    worker: &Rc<Worker>,
    mut connection: h2::server::Connection<TlsStream<TcpStream>, Bytes>,
    peer: &Arc<Peer>,
) {
    let idle_max = worker.shared.limits.idle_time_max;
    let mut phase = worker.shared.phase.subscribe();
    let mut leaving = false;
    let mut look_at = Instant::now() + idle_max;
    // Its count tells the calls that are under way.
    let calls = Arc::new(());
    loop {
        tokio::select! {
            accepted = connection.accept() => match accepted {
                Some(Ok((request, respond))) => {
                    if !leaving {
                        look_at = Instant::now() + idle_max;
                    }
                    begin(worker, peer, request, respond, calls.clone());
                }
                Some(Err(error)) => {
                    return tracing::debug!(source = %peer.source, %error, "connection ended");
                }
                None => return,
            },
            _ = phase.wait_for(|phase| phase.is_draining()), if !leaving => {
                leaving = true;
                connection.graceful_shutdown();
                look_at = Instant::now() + LEAVE_TIME_MAX;
            }
            () = sleep_until(look_at) => {
                let idle = Arc::strong_count(&calls) == 1;
                match (idle, leaving) {
                    // The consumer does not take the end of the connection.
                    (true, true) => return,
                    (true, false) => {
                        leaving = true;
                        connection.graceful_shutdown();
                    }
                    (false, _) => {}
                }
                look_at = Instant::now() + if leaving { LEAVE_TIME_MAX } else { idle_max };
            }
        }
    }
}

/// Starts a call as a task of its own.
fn begin(
    worker: &Rc<Worker>,
    peer: &Arc<Peer>,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    call: Arc<()>,
) {
    let (worker, peer) = (worker.clone(), peer.clone());
    tokio::task::spawn_local(async move {
        match health::is_health(request.uri().path()) && is_known(&worker, &peer) {
            true => health::answer(worker, request, respond).await,
            false => exchange::handle(worker, peer, request, respond).await,
        }
        drop(call);
    });
}

/// Whether the peer is a registered system now. Others learn nothing, not even about health.
fn is_known(worker: &Worker, peer: &Peer) -> bool {
    let shared = &worker.shared;
    shared.live.snapshot().identify(&peer.certificate, shared.clock.now()).is_ok()
}
