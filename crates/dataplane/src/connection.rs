//! One consumer's connection: handshakes within their time, then calls until it ends.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use model::{Certificate, Reason};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::server::TlsStream;

use crate::admit::Slot;
use crate::gateway::Worker;
use crate::{exchange, health, tls};

/// Flow-control windows towards consumers.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// Who is at the other end of a connection, as far as TLS can tell.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) certificate: Certificate,
    pub(crate) source: IpAddr,
}

/// Serves a connection from its first byte to its last.
pub(crate) async fn serve(worker: Arc<Worker>, tcp: TcpStream, source: SocketAddr, _slot: Slot) {
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
    let opening = h2::server::Builder::new()
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(shared.limits.streams_per_connection_max)
        .max_header_list_size(shared.limits.header_bytes_max)
        .handshake(tls);
    match timeout(within, opening).await {
        Ok(Ok(connection)) => carry(&worker, connection, &Arc::new(peer)).await,
        Ok(Err(error)) => tracing::debug!(%source, %error, "no HTTP/2"),
        Err(_elapsed) => tracing::debug!(%source, "no HTTP/2 in time"),
    }
}

async fn shake_hands(
    worker: &Worker,
    tcp: TcpStream,
    source: SocketAddr,
) -> Result<(TlsStream<TcpStream>, Peer), (Reason, String)> {
    let failed = |error: io::Error| (tls::handshake_reason(&error), error.to_string());
    tcp.set_nodelay(true).map_err(failed)?;
    let tls = worker.tls.accept(tcp).await.map_err(failed)?;
    let certificate =
        tls::peer_certificate(tls.get_ref().1).map_err(|cause| (Reason::HandshakeFailed, cause))?;
    Ok((tls, Peer { certificate, source: source.ip().to_canonical() }))
}

/// Accepts calls until the consumer leaves, is idle for too long, or the gateway drains.
async fn carry(
    worker: &Arc<Worker>,
    mut connection: h2::server::Connection<TlsStream<TcpStream>, Bytes>,
    peer: &Arc<Peer>,
) {
    let idle_max = worker.shared.limits.idle_time_max;
    let mut phase = worker.shared.phase.subscribe();
    let mut leaving = false;
    let mut idle_at = Instant::now() + idle_max;
    loop {
        tokio::select! {
            accepted = connection.accept() => match accepted {
                Some(Ok((request, respond))) => {
                    idle_at = Instant::now() + idle_max;
                    let (worker, peer) = (worker.clone(), peer.clone());
                    match health::is_health(request.uri().path()) {
                        true => drop(tokio::spawn(health::answer(worker, request, respond))),
                        false => {
                            drop(tokio::spawn(exchange::handle(worker, peer, request, respond)));
                        }
                    }
                }
                Some(Err(error)) => {
                    return tracing::debug!(source = %peer.source, %error, "connection ended");
                }
                None => return,
            },
            _ = phase.wait_for(|phase| phase.is_draining()), if !leaving => {
                leaving = true;
                connection.graceful_shutdown();
            }
            () = sleep_until(idle_at), if !leaving => {
                if connection.has_streams() {
                    idle_at = Instant::now() + idle_max;
                } else {
                    leaving = true;
                    connection.graceful_shutdown();
                }
            }
        }
    }
}
