//! The admin API: gRPC over mutual TLS, for the operators whose certificates are listed.

use std::future::Future;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::CertificateDigest;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};
use wire::generated::admin::admin_service_server::{AdminService, AdminServiceServer};
use wire::generated::admin::{GetStatusRequest, GetStatusResponse};

use crate::settings::Downstream;

/// Connections to the admin API at once, and calls on each.
const CALLS_MAX: usize = 16;
/// Characters on a line of PEM (RFC 7468).
const PEM_LINE_CHARS: usize = 64;

/// What the admin API asks of the gateway.
pub type GetStatus = dyn Fn() -> GetStatusResponse + Send + Sync;

/// Serves the admin API on `listener` until `shutdown`.
///
/// # Errors
///
/// Fails if the TLS settings cannot be used or the listener is lost.
pub async fn serve(
    listener: TcpListener,
    tls: &Downstream,
    operators: Vec<CertificateDigest>,
    get_status: Arc<GetStatus>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), tonic::transport::Error> {
    let service = AdminServiceServer::new(Admin { get_status });
    let guarded = InterceptedService::new(service, move |request| admit(&operators, request));
    Server::builder()
        .tls_config(tls_config(tls))?
        .concurrency_limit_per_connection(CALLS_MAX)
        .max_concurrent_streams(u32::try_from(CALLS_MAX).ok())
        .add_service(guarded)
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), shutdown)
        .await
}

struct Admin {
    get_status: Arc<GetStatus>,
}

#[tonic::async_trait]
impl AdminService for Admin {
    async fn get_status(
        &self,
        _request: Request<GetStatusRequest>,
    ) -> Result<Response<GetStatusResponse>, Status> {
        Ok(Response::new((self.get_status)()))
    }
}

/// Lets a call pass if its connection shows the certificate of an operator.
fn admit(operators: &[CertificateDigest], request: Request<()>) -> Result<Request<()>, Status> {
    let shown = request
        .extensions()
        .get::<TlsConnectInfo<TcpConnectInfo>>()
        .and_then(TlsConnectInfo::peer_certs)
        .and_then(|chain| wire::certificate::parse(chain.first()?).ok());
    match shown {
        Some(shown) if operators.contains(&shown.digest) => Ok(request),
        _ => Err(Status::permission_denied(
            "this certificate is not an operator's; register it under `admin.operators`",
        )),
    }
}

fn tls_config(tls: &Downstream) -> ServerTlsConfig {
    let chain: String =
        tls.identity.certificates.iter().map(|der| pem("CERTIFICATE", der)).collect();
    let authorities: String =
        tls.client_authorities.iter().map(|der| pem("CERTIFICATE", der)).collect();
    let key = match tls.identity.key.to_der() {
        PrivateKeyDer::Pkcs1(key) => pem("RSA PRIVATE KEY", key.secret_pkcs1_der()),
        PrivateKeyDer::Sec1(key) => pem("EC PRIVATE KEY", key.secret_sec1_der()),
        key => pem("PRIVATE KEY", key.secret_der()),
    };
    ServerTlsConfig::new()
        .identity(Identity::from_pem(chain, key))
        .client_ca_root(Certificate::from_pem(authorities))
}

/// `der` in PEM (RFC 7468), which is all that the server takes.
fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines = text.as_bytes().chunks(PEM_LINE_CHARS).map(String::from_utf8_lossy);
    let body: String = lines.map(|line| format!("{line}\n")).collect();
    format!("-----BEGIN {label}-----\n{body}-----END {label}-----\n")
}
