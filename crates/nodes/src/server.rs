//! Serving one node over TLS, to the gateway and to nobody else.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::service::{Interceptor, InterceptorLayer, Routes};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Status};

use crate::NodeKind;
use crate::database::{Database, OpenError};
use crate::{civilservants, generaldata, insurance, population, socialsecurity};

// Windows large enough that one stream can fill a fast link to a gateway far away.
const STREAM_WINDOW_BYTES: u32 = 2 * 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 32 * 1024 * 1024;
/// Calls that one connection may have open. What lies above waits in the gateway.
const STREAMS_MAX: u32 = 1024;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// The certificates of a node and of those it lets in.
#[derive(Clone)]
pub struct ServerTls {
    /// The node's certificate chain, PEM.
    pub cert_pem: String,
    /// The key of the certificate, PEM.
    pub key_pem: String,
    /// The authority that signs client certificates, PEM. Other clients fail in the handshake.
    pub client_ca_pem: String,
    /// SHA-256 of the client certificates (DER) that may call: the gateway's, and its next one
    /// while certificates are being changed. Others of the same authority are refused with
    /// `PERMISSION_DENIED`.
    pub allowed_client_sha256: Vec<[u8; 32]>,
}

/// A node that could not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The database.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// TLS or the network.
    #[error("serve node `{kind}`")]
    Transport {
        /// Which node.
        kind: NodeKind,
        /// What tonic said.
        source: tonic::transport::Error,
    },
}

/// The digest of a certificate as [`ServerTls::allowed_client_sha256`] wants it.
pub fn certificate_sha256(der: &[u8]) -> [u8; 32] {
    Sha256::digest(der).into()
}

/// Serves one node until `shutdown` is ready; calls under way are finished, change feeds that
/// follow are ended.
///
/// TLS uses the process-wide provider of `rustls`; where more than one is compiled in, `main`
/// must have installed one.
///
/// # Errors
///
/// The database is missing or of another kind, the certificates are not usable, or accepting
/// connections failed.
pub async fn serve(
    kind: NodeKind,
    database: &Path,
    listener: TcpListener,
    tls: ServerTls,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let database = Database::open(kind, database)?;
    let (close, closing) = watch::channel(false);
    let routes = routes(kind, database, closing);
    let transport = |source| ServeError::Transport { kind, source };
    let gate = InterceptorLayer::new(gate(tls.allowed_client_sha256));
    let config = ServerTlsConfig::new()
        .identity(Identity::from_pem(tls.cert_pem, tls.key_pem))
        .client_ca_root(Certificate::from_pem(tls.client_ca_pem))
        .timeout(HANDSHAKE_TIMEOUT);
    let server = Server::builder()
        .tls_config(config)
        .map_err(transport)?
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(STREAMS_MAX)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .layer(gate)
        .add_routes(routes);
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let shutdown = async move {
        shutdown.await;
        // Feeds that follow would hold the connection open for ever.
        let _ = close.send(true);
    };
    server.serve_with_incoming_shutdown(incoming, shutdown).await.map_err(transport)
}

fn routes(kind: NodeKind, database: Database, closing: watch::Receiver<bool>) -> Routes {
    match kind {
        NodeKind::Population => Routes::new(population::service(database)),
        NodeKind::CivilServants => Routes::new(civilservants::service(database, closing)),
        NodeKind::SocialSecurity => Routes::new(socialsecurity::service(database)),
        NodeKind::Insurance => Routes::new(insurance::service(database)),
        NodeKind::GeneralData => Routes::new(generaldata::service(database)),
    }
}

/// Lets a call pass if its connection was opened with an allowed certificate.
fn gate(allowed: Vec<[u8; 32]>) -> impl Interceptor + Clone {
    let allowed: Arc<[[u8; 32]]> = allowed.into();
    move |request: Request<()>| {
        let certificates = request.peer_certs();
        let peer = certificates.as_ref().and_then(|chain| chain.first());
        match peer {
            Some(peer) if allowed.contains(&certificate_sha256(peer)) => Ok(request),
            _ => Err(Status::permission_denied("only the gateway may call this node")),
        }
    }
}
