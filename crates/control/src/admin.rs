//! The admin API: gRPC over mutual TLS, for the operators whose certificates are listed.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::{Action, CertificateDigest, Clock, Operator, RevisionId};
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio::sync::{AcquireError, Semaphore, mpsc};
use tokio::task::spawn_blocking;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};
use tonic::transport::{self, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};
use wire::generated::admin::admin_service_server::{AdminService, AdminServiceServer};
use wire::generated::admin::{
    ApplyRequest, ApplyResponse, ExportRequest, ExportResponse, GetStatusRequest,
    GetStatusResponse, ListExpiredRequest, ListExpiredResponse, RemoveExpiredRequest,
    RemoveExpiredResponse, SearchActsRequest, SearchActsResponse, SearchRequest, SearchResponse,
};

use crate::incoming::Incoming;
use crate::receive::{self, Turns, Work};
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
/// Readings of the ledger at once, and removals; others wait.
const SEARCHES_MAX: usize = 2;
/// Parts of an export that wait for a caller who is slow.
const PARTS_MAX: usize = 4;
/// Characters on a line of PEM (RFC 7468).
const PEM_LINE_CHARS: usize = 64;

/// How the gateway stands, apart from what [`Revisions`] know.
pub type GetStatus = dyn Fn() -> GetStatusResponse + Send + Sync;

/// What one kind of request asks of the ledger. It records what it does, and may wait.
pub type Ask<Q, A> = dyn Fn(Q, &Operator) -> Result<A, Status> + Send + Sync;

/// The parts of an export, made as they are taken.
pub type Parts = Box<dyn Iterator<Item = Result<ExportResponse, Status>> + Send>;

/// Records what an operator did, and waits until that is durable; `Err` tells why it is not. The
/// revision is the one that it brought.
pub type Record = dyn Fn(&Operator, Action, RevisionId) -> Result<(), String> + Send + Sync;

/// What the admin API asks of the gateway.
pub struct Doors {
    /// How it stands.
    pub get_status: Arc<GetStatus>,
    /// Which revision is in force, and how the next one comes.
    pub revisions: Arc<Revisions>,
    /// What the ledger has.
    pub search: Arc<Ask<SearchRequest, SearchResponse>>,
    /// What the ledger has about operators.
    pub search_acts: Arc<Ask<SearchActsRequest, SearchActsResponse>>,
    /// What may be removed of the ledger.
    pub list_expired: Arc<Ask<ListExpiredRequest, ListExpiredResponse>>,
    /// Removes it.
    pub remove_expired: Arc<Ask<RemoveExpiredRequest, RemoveExpiredResponse>>,
    /// Entries in order.
    pub export: Arc<Ask<ExportRequest, Parts>>,
    /// How what operators do gets into the ledger.
    pub record: Arc<Record>,
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
    let searches = Arc::new(Semaphore::new(SEARCHES_MAX));
    let admin = Admin { doors, turns: Turns::default(), searches };
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

struct Admin {
    doors: Doors,
    turns: Turns,
    searches: Arc<Semaphore>,
}

/// Who made a call that passed.
fn operator<T>(request: &Request<T>) -> Result<Operator, Status> {
    let operator = request.extensions().get().cloned();
    operator.ok_or_else(|| Status::internal("the operator of this call is not known"))
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
        let operator = operator(&request)?;
        let turn = self.turns.take()?;
        let Doors { revisions, record, .. } = &self.doors;
        let work = Work { revisions: Arc::clone(revisions), record: Arc::clone(record), operator };
        receive::apply(request.into_inner(), work, turn).await.map(Response::new)
    }

    async fn search(
        &self,
        request: Request<SearchRequest>,
    ) -> Result<Response<SearchResponse>, Status> {
        self.ask(&self.doors.search, request).await
    }

    async fn search_acts(
        &self,
        request: Request<SearchActsRequest>,
    ) -> Result<Response<SearchActsResponse>, Status> {
        self.ask(&self.doors.search_acts, request).await
    }

    async fn list_expired(
        &self,
        request: Request<ListExpiredRequest>,
    ) -> Result<Response<ListExpiredResponse>, Status> {
        self.ask(&self.doors.list_expired, request).await
    }

    async fn remove_expired(
        &self,
        request: Request<RemoveExpiredRequest>,
    ) -> Result<Response<RemoveExpiredResponse>, Status> {
        self.ask(&self.doors.remove_expired, request).await
    }

    type ExportStream = ReceiverStream<Result<ExportResponse, Status>>;

    async fn export(
        &self,
        request: Request<ExportRequest>,
    ) -> Result<Response<Self::ExportStream>, Status> {
        let operator = operator(&request)?;
        let turn = Arc::clone(&self.searches).acquire_owned().await.map_err(closed)?;
        let (export, request) = (Arc::clone(&self.doors.export), request.into_inner());
        let (to_caller, parts) = mpsc::channel(PARTS_MAX);
        spawn_blocking(move || {
            let _turn = turn;
            let made = match export(request, &operator) {
                Ok(parts) => parts,
                Err(status) => Box::new(std::iter::once(Err(status))),
            };
            for part in made {
                // A caller who has gone away wants no more.
                if to_caller.blocking_send(part).is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(parts)))
    }
}

fn closed(_: AcquireError) -> Status {
    Status::internal("searches are over")
}

impl Admin {
    /// Has the ledger asked on a thread that may wait.
    async fn ask<Q: Send + 'static, A: Send + 'static>(
        &self,
        door: &Arc<Ask<Q, A>>,
        request: Request<Q>,
    ) -> Result<Response<A>, Status> {
        let operator = operator(&request)?;
        let _turn = self.searches.acquire().await.map_err(closed)?;
        let (door, request) = (Arc::clone(door), request.into_inner());
        let answer = spawn_blocking(move || door(request, &operator)).await;
        answer.map_err(|_| Status::internal("the work came to no end"))?.map(Response::new)
    }
}

impl Operators {
    /// Lets a call pass if its connection shows the certificate of an operator that still counts.
    fn admit(&self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let shown = request
            .extensions()
            .get::<TlsConnectInfo<TcpConnectInfo>>()
            .and_then(TlsConnectInfo::peer_certs)
            .and_then(|chain| {
                let der = chain.first()?;
                let name = wire::certificate::common_name(der);
                Some((wire::certificate::parse(der).ok()?, name))
            });
        let Some((shown, name)) = shown.filter(|(shown, _)| (self.is_listed)(shown.digest)) else {
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
        request.extensions_mut().insert(Operator { certificate: shown.digest, name });
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
