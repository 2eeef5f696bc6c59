//! A node that remembers which updates reached it and gives metadata back.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use testkit::echo::pb::echo_service_server::{EchoService, EchoServiceServer};
use testkit::echo::pb::{EchoRequest, EchoResponse};
use testkit::{Authority, Profile};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::Stream;
use tonic::metadata::{KeyAndValueRef, MetadataMap};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

/// A running node. Stops when dropped.
pub struct MirrorNode {
    pub address: SocketAddr,
    /// The exchange ids of the updates that reached it, in the order of their arrival.
    pub updates: Arc<Mutex<Vec<String>>>,
    serving: JoinHandle<()>,
}

impl MirrorNode {
    pub async fn start(authority: &Authority) -> Self {
        let issued = authority.issue("mirror", Profile::Server).unwrap();
        let tls = ServerTlsConfig::new()
            .identity(Identity::from_pem(&issued.certificate_pem, &issued.key_pem))
            .client_ca_root(Certificate::from_pem(authority.certificate_pem()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let updates = Arc::default();
        let service = EchoServiceServer::new(Mirror { updates: Arc::clone(&updates) });
        let server = Server::builder().tls_config(tls).unwrap().add_service(service);
        let serving = tokio::spawn(async move {
            let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
            server.serve_with_incoming(incoming).await.unwrap();
        });
        Self { address, updates, serving }
    }
}

impl Drop for MirrorNode {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

struct Mirror {
    updates: Arc<Mutex<Vec<String>>>,
}

type Nothing = Pin<Box<dyn Stream<Item = Result<EchoResponse, Status>> + Send>>;

#[tonic::async_trait]
impl EchoService for Mirror {
    /// Answers with the metadata that came under names beginning with `x-`.
    async fn unary(&self, request: Request<EchoRequest>) -> Result<Response<EchoResponse>, Status> {
        let metadata = mirrored(request.metadata());
        let payload = request.into_inner().payload;
        let mut response = Response::new(EchoResponse { payload, ..EchoResponse::default() });
        *response.metadata_mut() = metadata;
        Ok(response)
    }

    async fn change(
        &self,
        request: Request<EchoRequest>,
    ) -> Result<Response<EchoResponse>, Status> {
        let exchange = request.metadata().get("exchange-id").unwrap().to_str().unwrap();
        self.updates.lock().unwrap().push(exchange.to_owned());
        self.unary(request).await
    }

    async fn unregistered(
        &self,
        _: Request<EchoRequest>,
    ) -> Result<Response<EchoResponse>, Status> {
        Err(Status::unimplemented("nobody asks a mirror"))
    }

    type ServerStreamStream = Nothing;

    async fn server_stream(&self, _: Request<EchoRequest>) -> Result<Response<Nothing>, Status> {
        Err(Status::unimplemented("nobody asks a mirror"))
    }

    async fn client_stream(
        &self,
        _: Request<Streaming<EchoRequest>>,
    ) -> Result<Response<EchoResponse>, Status> {
        Err(Status::unimplemented("nobody asks a mirror"))
    }

    type BidiStreamStream = Nothing;

    async fn bidi_stream(
        &self,
        _: Request<Streaming<EchoRequest>>,
    ) -> Result<Response<Nothing>, Status> {
        Err(Status::unimplemented("nobody asks a mirror"))
    }
}

fn mirrored(asked: &MetadataMap) -> MetadataMap {
    let mut answered = MetadataMap::new();
    for pair in asked.iter() {
        match pair {
            KeyAndValueRef::Ascii(key, value) if key.as_str().starts_with("x-") => {
                answered.append(key.clone(), value.clone());
            }
            KeyAndValueRef::Binary(key, value) if key.as_str().starts_with("x-") => {
                answered.append_bin(key.clone(), value.clone());
            }
            _ => {}
        }
    }
    answered
}
