//! One connection: TCP, TLS where asked for, HTTP/2, and proof that the server takes it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::pace::Loss;
use crate::prepared::{Prepared, Secure};

/// Large enough that flow control never paces a server that answers in many small frames.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// How long to listen for the reason of a connection that was closed after its handshake.
const ALERT_WAIT: Duration = Duration::from_millis(500);

/// A connection that answered a ping.
pub(crate) struct Connection {
    pub(crate) requests: SendRequest<Bytes>,
    /// Moves the bytes; ends with the connection.
    pub(crate) driver: JoinHandle<Result<(), h2::Error>>,
    pub(crate) loss: Arc<Loss>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("connect: {0}")]
    Tcp(io::Error),
    #[error("TLS handshake: {0}")]
    Tls(io::Error),
    #[error("HTTP/2 preface: {0}")]
    Http2(h2::Error),
    #[error("server did not choose HTTP/2 (ALPN `h2`)")]
    NoHttp2,
    #[error("not ready within {} ms", .0.as_millis())]
    TimedOut(Duration),
}

/// Connects within the time of the plan.
pub(crate) async fn connect(prepared: &Prepared) -> Result<Connection, ConnectError> {
    let limit = prepared.connect_timeout;
    tokio::time::timeout(limit, establish(prepared))
        .await
        .unwrap_or(Err(ConnectError::TimedOut(limit)))
}

async fn establish(prepared: &Prepared) -> Result<Connection, ConnectError> {
    let tcp = dial(prepared).await?;
    let Some(secure) = &prepared.tls else {
        return speak(tcp, prepared.streams).await;
    };
    let tls = shake_hands(secure, tcp).await?;
    if tls.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Err(ConnectError::NoHttp2);
    }
    match speak(tls, prepared.streams).await {
        Ok(connection) => Ok(connection),
        Err(error) => Err(alert(prepared, secure).await.unwrap_or(error)),
    }
}

async fn dial(prepared: &Prepared) -> Result<TcpStream, ConnectError> {
    let tcp = TcpStream::connect(&prepared.address).await.map_err(ConnectError::Tcp)?;
    tcp.set_nodelay(true).map_err(ConnectError::Tcp)?;
    Ok(tcp)
}

async fn shake_hands(
    secure: &Secure,
    tcp: TcpStream,
) -> Result<TlsStream<TcpStream>, ConnectError> {
    let connector = TlsConnector::from(Arc::clone(&secure.config));
    connector.connect(secure.server_name.clone(), tcp).await.map_err(ConnectError::Tls)
}

/// Why the server closes right after the handshake. HTTP/2 writes first, and so fails on the closed
/// socket before it has read the alert; a second connection that only listens gets to see it.
async fn alert(prepared: &Prepared, secure: &Secure) -> Option<ConnectError> {
    let tcp = dial(prepared).await.ok()?;
    let mut tls = shake_hands(secure, tcp).await.ok()?;
    let read = tokio::time::timeout(ALERT_WAIT, tls.read_u8()).await.ok()?;
    let error = read.err().filter(|error| error.kind() == io::ErrorKind::InvalidData)?;
    Some(ConnectError::Tls(error))
}

async fn speak<T>(io: T, streams: usize) -> Result<Connection, ConnectError>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (requests, mut connection) = h2::client::Builder::new()
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .initial_max_send_streams(streams)
        .enable_push(false)
        .handshake(io)
        .await
        .map_err(ConnectError::Http2)?;
    let ping_pong = connection.ping_pong();
    let loss = Arc::new(Loss::default());
    let told = Arc::clone(&loss);
    let driver = tokio::spawn(async move {
        let end = connection.await;
        told.tell();
        end
    });

    // Under TLS 1.3 the client has finished its handshake before the server has looked at the
    // client's certificate. Only the first answer tells that the connection was taken.
    let pong = match ping_pong {
        Some(mut ping_pong) => ping_pong.ping(h2::Ping::opaque()).await,
        None => return Ok(Connection { requests, driver, loss }),
    };
    match pong {
        Ok(_) => Ok(Connection { requests, driver, loss }),
        // The connection itself knows better than the ping what ended it.
        Err(error) => match driver.await {
            Ok(Err(cause)) => Err(ConnectError::Http2(cause)),
            Ok(Ok(())) | Err(_) => Err(ConnectError::Http2(error)),
        },
    }
}
