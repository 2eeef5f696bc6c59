//! The echo node: a gRPC service in every streaming kind, on a stack that is not the gateway's.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::codec::CompressionEncoding;
use tonic::metadata::{KeyAndValueRef, MetadataMap};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Code, Request, Response, Status, Streaming};

use crate::{Authority, Issued};

/// Generated from `proto/testkit/echo/v1/echo.proto`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod pb {
    tonic::include_proto!("testkit.echo.v1");
}

use pb::echo_service_server::{EchoService, EchoServiceServer};
use pb::{EchoRequest, EchoResponse};

/// Full name of the service.
pub const SERVICE: &str = "testkit.echo.v1.EchoService";

const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// A running echo node. Stops when dropped.
#[derive(Debug)]
pub struct EchoNode {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it has seen.
    pub seen: Arc<Seen>,
    _stop: oneshot::Sender<()>,
}

/// What an echo node has seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// Calls that reached it.
    pub calls: AtomicU64,
    /// Calls whose other side went away before the end.
    pub cancelled: AtomicU64,
    /// Answers that server streams were given to send.
    pub answers: AtomicU64,
}

impl EchoNode {
    /// Starts a node on a free loopback port that only takes clients of `authority`.
    ///
    /// # Errors
    ///
    /// Fails if no port is free or the certificate does not fit.
    pub async fn start(
        authority: &Authority,
        identity: &Issued,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let tls = ServerTlsConfig::new()
            .identity(Identity::from_pem(&identity.certificate_pem, &identity.key_pem))
            .client_ca_root(Certificate::from_pem(authority.certificate_pem()));
        let seen = Arc::new(Seen::default());
        let service = EchoServiceServer::new(Echo(seen.clone()))
            .accept_compressed(CompressionEncoding::Gzip)
            .send_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let server = Server::builder()
            .tls_config(tls)?
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .add_service(service);
        // The server's own setting does not reach connections that are handed to it.
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(server.serve_with_incoming_shutdown(incoming, async { drop(stopped.await) }));
        Ok(Self { address, seen, _stop: stop })
    }
}

struct Echo(Arc<Seen>);

/// Counts a call that is dropped before it is done.
struct Watch(Arc<Seen>, bool);

impl Watch {
    fn over(seen: &Arc<Seen>) -> Self {
        seen.calls.fetch_add(1, Ordering::SeqCst);
        Self(seen.clone(), false)
    }

    fn done(&mut self) {
        self.1 = true;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.1 {
            self.0.cancelled.fetch_add(1, Ordering::SeqCst);
        }
    }
}

type Answers = Pin<Box<dyn Stream<Item = Result<EchoResponse, Status>> + Send>>;

#[tonic::async_trait]
impl EchoService for Echo {
    async fn unary(&self, request: Request<EchoRequest>) -> Result<Response<EchoResponse>, Status> {
        let mut watch = Watch::over(&self.0);
        let metadata = ascii(request.metadata());
        let request = request.into_inner();
        pause(&request).await;
        watch.done();
        failure(&request)?;
        let mut response = Response::new(answer(&request, 0, metadata));
        response.metadata_mut().insert("echo-head", "yes".parse().map_err(internal)?);
        Ok(response)
    }

    async fn change(
        &self,
        request: Request<EchoRequest>,
    ) -> Result<Response<EchoResponse>, Status> {
        self.unary(request).await
    }

    async fn unregistered(
        &self,
        request: Request<EchoRequest>,
    ) -> Result<Response<EchoResponse>, Status> {
        self.unary(request).await
    }

    type ServerStreamStream = Answers;

    async fn server_stream(
        &self,
        request: Request<EchoRequest>,
    ) -> Result<Response<Answers>, Status> {
        let mut watch = Watch::over(&self.0);
        let metadata = ascii(request.metadata());
        let request = request.into_inner();
        let (send, receive) = tokio::sync::mpsc::channel(8);
        let seen = self.0.clone();
        tokio::spawn(async move {
            let count = if request.count == 0 { u32::MAX } else { request.count };
            for index in 0..count {
                pause(&request).await;
                if send.send(Ok(answer(&request, index, metadata.clone()))).await.is_err() {
                    return;
                }
                seen.answers.fetch_add(1, Ordering::SeqCst);
            }
            if let Err(status) = failure(&request) {
                drop(send.send(Err(status)).await);
            }
            watch.done();
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receive))))
    }

    async fn client_stream(
        &self,
        request: Request<Streaming<EchoRequest>>,
    ) -> Result<Response<EchoResponse>, Status> {
        let mut watch = Watch::over(&self.0);
        let metadata = ascii(request.metadata());
        let mut requests = request.into_inner();
        let (mut received_bytes, mut index) = (0, 0);
        while let Some(request) = requests.next().await {
            let request = request?;
            failure(&request)?;
            received_bytes += request.payload.len() as u64;
            index += 1;
        }
        watch.done();
        Ok(Response::new(EchoResponse { payload: Vec::new(), index, metadata, received_bytes }))
    }

    type BidiStreamStream = Answers;

    async fn bidi_stream(
        &self,
        request: Request<Streaming<EchoRequest>>,
    ) -> Result<Response<Answers>, Status> {
        let mut watch = Watch::over(&self.0);
        let metadata = ascii(request.metadata());
        let mut requests = request.into_inner();
        let (send, receive) = tokio::sync::mpsc::channel(8);
        tokio::spawn(async move {
            let mut index = 0;
            while let Some(request) = requests.next().await {
                let said = match request {
                    Ok(request) => {
                        pause(&request).await;
                        failure(&request).map(|()| answer(&request, index, metadata.clone()))
                    }
                    Err(status) => Err(status),
                };
                let failed = said.is_err();
                if send.send(said).await.is_err() || failed {
                    return;
                }
                index += 1;
            }
            watch.done();
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receive))))
    }
}

async fn pause(request: &EchoRequest) {
    if request.delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(request.delay_ms.into())).await;
    }
}

fn failure(request: &EchoRequest) -> Result<(), Status> {
    if request.fail_code == 0 {
        return Ok(());
    }
    let code = Code::from_i32(i32::try_from(request.fail_code).unwrap_or(i32::MAX));
    let details = request.fail_details.clone().into();
    Err(Status::with_details(code, request.fail_message.clone(), details))
}

fn answer(request: &EchoRequest, index: u32, metadata: HashMap<String, String>) -> EchoResponse {
    let payload = match request.payload_size {
        0 => request.payload.clone(),
        size => vec![0; size as usize],
    };
    EchoResponse { payload, index, metadata, received_bytes: request.payload.len() as u64 }
}

fn ascii(metadata: &MetadataMap) -> HashMap<String, String> {
    let ascii = metadata.iter().filter_map(|pair| match pair {
        KeyAndValueRef::Ascii(key, value) => {
            Some((key.to_string(), value.to_str().ok()?.to_owned()))
        }
        KeyAndValueRef::Binary(..) => None,
    });
    ascii.collect()
}

fn internal(error: impl std::fmt::Display) -> Status {
    Status::internal(error.to_string())
}
