//! Small things over HTTP/1.1: one answer for each connection, with bounds on how many there are
//! and how long they last.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// The content type of plain text.
pub const TEXT: &str = "text/plain; charset=utf-8";
/// Pause after a connection could not be taken: too many open files last longer than a moment.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What an answer is made of: small enough to be held in memory whole.
pub type Answer = Response<Full<Bytes>>;

/// What a listener takes on.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections at once; others wait to be taken.
    pub connections_max: usize,
    /// Time from taking a connection to the end of its one answer.
    pub connection_time_max: Duration,
}

/// Answers requests on `listener` for as long as it is polled; `what` names it in the log.
/// Connections are not kept, so that each has an end.
pub async fn serve<F>(
    listener: TcpListener,
    what: &'static str,
    bounds: Bounds,
    answer: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static,
) where
    F: Future<Output = Answer> + Send,
{
    let slots = Arc::new(Semaphore::new(bounds.connections_max));
    let answer = Arc::new(answer);
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((tcp, from)) => {
                let answer = answer.clone();
                tokio::spawn(async move {
                    let answered = answer_one(tcp, &*answer);
                    match tokio::time::timeout(bounds.connection_time_max, answered).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => {
                            tracing::debug!(what, %from, %error, "connection failed");
                        }
                        Err(_elapsed) => tracing::debug!(what, %from, "connection took too long"),
                    }
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(what, %error, "connection not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn answer_one<F>(
    tcp: TcpStream,
    answer: &(impl Fn(Request<Incoming>) -> F + Send + Sync),
) -> hyper::Result<()>
where
    F: Future<Output = Answer> + Send,
{
    let service = service_fn(|request| {
        let answered = answer(request);
        async { Ok::<_, Infallible>(answered.await) }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    server.keep_alive(false).serve_connection(TokioIo::new(tcp), service).await
}

/// An answer with this content.
pub fn answer(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::Instant;

    use super::*;

    const BOUNDS: Bounds =
        Bounds { connections_max: 32, connection_time_max: Duration::from_secs(10) };

    async fn ask(listener: std::net::SocketAddr) -> String {
        let mut tcp = TcpStream::connect(listener).await.unwrap();
        tcp.write_all(b"GET /livez HTTP/1.1\r\nhost: probe\r\n\r\n").await.unwrap();
        let mut text = String::new();
        tcp.read_to_string(&mut text).await.unwrap();
        text
    }

    /// Time passes only while everybody waits.
    #[tokio::test(start_paused = true)]
    async fn silent_connections_keep_nobody_out_for_long() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let path = async |request: Request<Incoming>| {
            answer(StatusCode::OK, TEXT, request.uri().path().to_owned())
        };
        tokio::spawn(serve(listener, "test", BOUNDS, path));
        let answered = ask(address).await;
        assert!(answered.ends_with("\r\n\r\n/livez"), "{answered}");
        let mut silent = Vec::new();
        for _ in 0..BOUNDS.connections_max {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let begun = Instant::now();
        assert!(ask(address).await.ends_with("/livez"));
        let waited = begun.elapsed();
        assert!(waited >= BOUNDS.connection_time_max, "connections are not bounded: {waited:?}");
        assert!(waited < 2 * BOUNDS.connection_time_max, "{waited:?}");
    }
}
