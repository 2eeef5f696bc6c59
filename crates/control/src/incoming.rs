//! Connections to the admin API: at most so many at once, each with a slot until its end.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_stream::Stream;
use tonic::transport::server::{Connected, TcpConnectInfo};

/// Connections at once; more wait to be taken.
pub(crate) const CONNECTIONS_MAX: usize = 32;
/// Pause after a connection could not be taken: too many open files last longer than a moment.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Connections as they come, without end.
pub(crate) struct Incoming {
    listener: Arc<TcpListener>,
    slots: Arc<Semaphore>,
    next: Pin<Box<dyn Future<Output = Connection> + Send>>,
}

impl Incoming {
    pub(crate) fn new(listener: TcpListener) -> Self {
        let (listener, slots) = (Arc::new(listener), Arc::new(Semaphore::new(CONNECTIONS_MAX)));
        let next = Box::pin(accept(listener.clone(), slots.clone()));
        Self { listener, slots, next }
    }
}

impl Stream for Incoming {
    type Item = Result<Connection, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let connection = ready!(self.next.as_mut().poll(context));
        self.next = Box::pin(accept(self.listener.clone(), self.slots.clone()));
        Poll::Ready(Some(Ok(connection)))
    }
}

/// Waits for a slot, then for a connection.
async fn accept(listener: Arc<TcpListener>, slots: Arc<Semaphore>) -> Connection {
    // Nothing closes the semaphore; were it closed, the connection would stand without a slot.
    let slot = slots.acquire_owned().await.ok();
    loop {
        if let Ok((tcp, _)) = listener.accept().await {
            // Answers are small; without it they come late, and nothing else is wrong.
            let _ = tcp.set_nodelay(true);
            return Connection { tcp, _slot: slot };
        }
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

/// A connection with its slot.
pub(crate) struct Connection {
    tcp: TcpStream,
    _slot: Option<OwnedSemaphorePermit>,
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.tcp.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(context, into)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}
