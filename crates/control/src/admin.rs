//! The admin API: gRPC over mutual TLS, for the operators whose certificates are listed.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::{CertificateDigest, Clock};
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};
use tonic::transport::{self, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};
use wire::generated::admin::admin_service_server::{AdminService, AdminServiceServer};
use wire::generated::admin::{ApplyRequest, ApplyResponse, GetStatusRequest, GetStatusResponse};

use crate::incoming::Incoming;
use crate::receive::{self, Turns};
use crate::revisions::Revisions;
use crate::settings::Downstream;
use crate::staging::CHUNK_BYTES_MAX;
use crate::status;

/// Calls on a connection at once.
const CALLS_MAX: usize = 16;
/// Time that a connection has to prove itself.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// Time after which a connection takes no more calls, so that it cannot keep its slot for ever;
/// clients connect again by themselves.
const CONNECTION_TIME_MAX: Duration = Duration::from_mins(1);
/// Time that the last calls on a connection have then: a large folder takes a while to arrive and
/// to check. Only operators get as far as a call.
const LAST_CALLS_TIME_MAX: Duration = Duration::from_mins(10);
/// Largest request message: a chunk with what is around it.
const MESSAGE_BYTES_MAX: usize = CHUNK_BYTES_MAX + (4 << 10);
/// Characters on a line of PEM (RFC 7468).
const PEM_LINE_CHARS: usize = 64;

/// How the gateway stands, apart from what [`Revisions`] know.
pub type GetStatus = dyn Fn() -> GetStatusResponse + Send + Sync;

/// What the admin API asks of the gateway.
pub struct Doors {
    /// How it stands.
    pub get_status: Arc<GetStatus>,
    /// Which revision is in force, and how the next one comes.
    pub revisions: Arc<Revisions>,
}

/// Who may ask. Looked at for each call, so that it binds open connections too.
pub struct Operators {
    /// Whether a certificate is listed as an operator's now.
    pub is_listed: Box<dyn Fn(CertificateDigest) -> bool + Send + Sync>,
    /// Whether a certificate is on a revocation list that is in force.
    pub is_revoked: Box<dyn Fn(&model::Certificate) -> bool + Send + Sync>,
    /// Tells which certificates are in their time.
    pub clock: Arc<dyn Clock>,
}

/// Serves the admin API on `listener` until `shutdown`.
///
/// # Errors
///
/// Fails if the TLS settings cannot be used or the listener is lost.
pub async fn serve(
    listener: TcpListener,
    tls: &Downstream,
    operators: Operators,
    doors: Doors,
    shutdown: impl Future<Output = ()>,
) -> Result<(), transport::Error> {
    let admin = Admin { doors, turns: Turns::default() };
    let service = AdminServiceServer::new(admin).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let operators = Arc::new(operators);
    let guarded = InterceptedService::new(service, move |request| operators.admit(request));
    Server::builder()
        .tls_config(tls_config(tls))?
        .concurrency_limit_per_connection(CALLS_MAX)
        .max_concurrent_streams(u32::try_from(CALLS_MAX).ok())
        .max_connection_age(CONNECTION_TIME_MAX)
        .max_connection_age_grace(LAST_CALLS_TIME_MAX)
        .add_service(guarded)
        .serve_with_incoming_shutdown(Incoming::new(listener), shutdown)
        .await
}

/// Whose certificate a call that passed has shown.
#[derive(Clone, Copy)]
struct Operator(CertificateDigest);

struct Admin {
    doors: Doors,
    turns: Turns,
}

#[tonic::async_trait]
impl AdminService for Admin {
    async fn get_status(
        &self,
        _request: Request<GetStatusRequest>,
    ) -> Result<Response<GetStatusResponse>, Status> {
        let mut answer = (self.doors.get_status)();
        status::add(&mut answer, &self.doors.revisions);
        Ok(Response::new(answer))
    }

    async fn apply(
        &self,
        request: Request<Streaming<ApplyRequest>>,
    ) -> Result<Response<ApplyResponse>, Status> {
        let Some(Operator(operator)) = request.extensions().get().copied() else {
            return Err(Status::internal("the operator of this call is not known"));
        };
        let turn = self.turns.take()?;
        let revisions = Arc::clone(&self.doors.revisions);
        receive::apply(request.into_inner(), operator, revisions, turn).await.map(Response::new)
    }
}

impl Operators {
    /// Lets a call pass if its connection shows the certificate of an operator that still counts.
    fn admit(&self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let shown = request
            .extensions()
            .get::<TlsConnectInfo<TcpConnectInfo>>()
            .and_then(TlsConnectInfo::peer_certs)
            .and_then(|chain| wire::certificate::parse(chain.first()?).ok());
        let Some(shown) = shown.filter(|shown| (self.is_listed)(shown.digest)) else {
            return Err(Status::permission_denied(
                "this certificate is not an operator's; register it under `admin.operators`",
            ));
        };
        let now = self.clock.now();
        if now < shown.not_before || now >= shown.not_after {
            return Err(Status::permission_denied("this certificate is outside its validity"));
        }
        if (self.is_revoked)(&shown) {
            return Err(Status::permission_denied("this certificate is revoked"));
        }
        request.extensions_mut().insert(Operator(shown.digest));
        Ok(request)
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
        .client_ca_root(transport::Certificate::from_pem(authorities))
        .timeout(HANDSHAKE_TIME_MAX)
}

/// `der` in PEM (RFC 7468), which is all that the server takes.
fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines = text.as_bytes().chunks(PEM_LINE_CHARS).map(String::from_utf8_lossy);
    let body: String = lines.map(|line| format!("{line}\n")).collect();
    format!("-----BEGIN {label}-----\n{body}-----END {label}-----\n")
}
