//! Clients and nodes below gRPC: HTTP/2 by hand, for what no decent stack would do.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{Request, Response};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use testkit::{Authority, Issued, Profile};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::{World, identity};

fn roots(authority: &Authority) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate_der().into()).unwrap();
    Arc::new(roots)
}

/// Connects to the gateway with `system`'s certificate and HTTP/2 by hand.
pub async fn connect(world: &World, system: &Issued) -> SendRequest<Bytes> {
    let identity = identity(system);
    let mut config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots(&world.authority))
        .with_client_auth_cert(identity.chain, identity.key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let tcp = TcpStream::connect(world.address()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
    // A stalled stream must not use up the window of the others.
    let (requests, connection) = h2::client::Builder::new()
        .initial_connection_window_size(16 << 20)
        .data_frame_budget(SMALL_FRAMES_BUDGET)
        .handshake(tls)
        .await
        .unwrap();
    tokio::spawn(connection);
    requests
}

/// The head of a call of `method` of the echo service.
pub fn head(world: &World, method: &str) -> Request<()> {
    head_of(world, testkit::echo::SERVICE, method)
}

/// The head of a call of a method of `service`.
pub fn head_of(world: &World, service: &str, method: &str) -> Request<()> {
    Request::post(format!("https://{}/{service}/{method}", world.address()))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap()
}

/// What `h2` at the ends of a test lets pile up in small frames: as much as comes, since it is the
/// gateway between them that is tested.
const SMALL_FRAMES_BUDGET: usize = 1 << 30;

/// An empty message, framed.
pub const EMPTY: Bytes = Bytes::from_static(&[0, 0, 0, 0, 0]);

/// Calls with one empty message and returns the head of the answer, its bytes and its trailers.
pub async fn call(
    requests: &mut SendRequest<Bytes>,
    head: Request<()>,
) -> Result<(Response<()>, Vec<u8>, Option<http::HeaderMap>), h2::Error> {
    let (response, mut stream) = requests.send_request(head, false)?;
    stream.send_data(EMPTY, true)?;
    let (parts, mut body) = response.await?.into_parts();
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        bytes.extend_from_slice(&data);
    }
    let trailers = body.trailers().await?;
    Ok((Response::from_parts(parts, ()), bytes, trailers))
}

/// A node that does to every TLS connection what `behave` says.
pub struct RawNode {
    pub address: SocketAddr,
    serving: JoinHandle<()>,
}

impl RawNode {
    pub async fn start<B, F>(authority: &Authority, behave: B) -> Self
    where
        B: Fn(TlsStream<TcpStream>) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        Self::start_on("127.0.0.1:0".parse().unwrap(), authority, behave).await
    }

    pub async fn start_on<B, F>(address: SocketAddr, authority: &Authority, behave: B) -> Self
    where
        B: Fn(TlsStream<TcpStream>) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = acceptor(authority);
        let serving = tokio::spawn(async move {
            // Dropped with the task, and with it every connection.
            let mut connections = JoinSet::new();
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                if let Ok(tls) = acceptor.accept(tcp).await {
                    connections.spawn(behave(tls));
                }
            }
        });
        Self { address, serving }
    }

    /// A node that speaks HTTP/2 and does to every call what `answer` says.
    pub async fn http2<A, F>(authority: &Authority, answer: A) -> Self
    where
        A: Fn(Request<h2::RecvStream>, h2::server::SendResponse<Bytes>) -> F
            + Clone
            + Send
            + Sync
            + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        Self::http2_on("127.0.0.1:0".parse().unwrap(), authority, answer).await
    }

    pub async fn http2_on<A, F>(address: SocketAddr, authority: &Authority, answer: A) -> Self
    where
        A: Fn(Request<h2::RecvStream>, h2::server::SendResponse<Bytes>) -> F
            + Clone
            + Send
            + Sync
            + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        Self::start_on(address, authority, move |tls| {
            let answer = answer.clone();
            async move {
                let handshake = h2::server::Builder::new()
                    .data_frame_budget(SMALL_FRAMES_BUDGET)
                    .handshake(tls);
                let Ok(mut connection) = handshake.await else { return };
                while let Some(Ok((request, respond))) = connection.accept().await {
                    tokio::spawn(answer(request, respond));
                }
            }
        })
        .await
    }

    /// Closes the listener and every connection.
    pub async fn stop(mut self) {
        self.serving.abort();
        assert!((&mut self.serving).await.is_err_and(|error| error.is_cancelled()));
    }
}

impl Drop for RawNode {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn acceptor(authority: &Authority) -> TlsAcceptor {
    let issued = authority.issue("raw node", Profile::Server).unwrap();
    let identity = identity(&issued);
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(authority), provider.clone())
        .build()
        .unwrap();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(identity.chain, identity.key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config).into()
}
