//! Who may use the admin API. Every method of it must appear here.

#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use control::admin::{self, Operators};
use model::{CertificateDigest, Timestamp};
use testkit::{Authority, Issued, Profile, StoppedClock};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};
use tonic::{Code, Status};
use wire::generated::admin::admin_service_client::AdminServiceClient;
use wire::generated::admin::{GetStatusRequest, GetStatusResponse};

/// When it is, for the admin API: in November 2026.
const NOW_SECS: u64 = 1_795_000_000;
/// As many as the admin API takes at once.
const CONNECTIONS_MAX: usize = 32;

/// Reads TLS settings from a folder that holds nothing else of interest.
fn settings(authority: &Authority) -> control::Downstream {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let server = authority.issue("gateway", Profile::Server).unwrap();
    write("ca.crt", &authority.certificate_pem());
    write("gateway.crt", &server.certificate_pem);
    write("gateway.key", &server.key_pem);
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    write("ledger.key", &key.serialize_pem());
    fs::create_dir(folder.path().join("registry")).unwrap();
    write(
        "gateway.yaml",
        "listen: 127.0.0.1:0\n\
         tls: { certificate: gateway.crt, key: gateway.key, client_authorities: [ca.crt] }\n\
         upstream: { certificate: gateway.crt, key: gateway.key }\n\
         ledger: { directory: ledger, origin: test, key: ledger.key }\n",
    );
    control::load(folder.path(), model::RevisionId(1)).unwrap().gateway.tls
}

fn digest(issued: &Issued) -> CertificateDigest {
    wire::certificate::parse(&issued.certificate_der).unwrap().digest
}

/// An admin API and those who might call it.
struct World {
    authority: Authority,
    operator: Issued,
    clock: Arc<StoppedClock>,
    revoked: Arc<AtomicBool>,
    address: SocketAddr,
}

impl World {
    async fn new() -> Self {
        let authority = Authority::new("Test CA").unwrap();
        let operator = authority.issue("operator", Profile::Client).unwrap();
        let clock = Arc::new(StoppedClock::at(Timestamp::from_secs(NOW_SECS)));
        let revoked = Arc::new(AtomicBool::new(false));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let operators = Operators {
            certificates: vec![digest(&operator)],
            is_revoked: Box::new({
                let (revoked, digest) = (revoked.clone(), digest(&operator));
                move |asked| asked.digest == digest && revoked.load(Ordering::SeqCst)
            }),
            clock: clock.clone(),
        };
        let tls = settings(&authority);
        tokio::spawn(async move {
            let status = Arc::new(|| GetStatusResponse { revision: 7, ..Default::default() });
            admin::serve(listener, &tls, operators, status, std::future::pending()).await
        });
        Self { authority, operator, clock, revoked, address }
    }

    /// A client with a certificate; it connects with its first call.
    fn client(&self, issued: &Issued) -> AdminServiceClient<Channel> {
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(self.authority.certificate_pem()))
            .identity(Identity::from_pem(&issued.certificate_pem, &issued.key_pem))
            .domain_name("localhost");
        let endpoint = Channel::from_shared(format!("https://{}", self.address)).unwrap();
        AdminServiceClient::new(endpoint.tls_config(tls).unwrap().connect_lazy())
    }
}

async fn get_status(client: &mut AdminServiceClient<Channel>) -> Result<u64, Status> {
    let answer = client.get_status(GetStatusRequest {}).await?;
    Ok(answer.into_inner().revision)
}

#[tokio::test]
async fn only_a_listed_certificate_gets_in() {
    let world = World::new().await;
    let system = world.authority.issue("commune", Profile::Client).unwrap();
    let stranger = Authority::new("Other CA").unwrap().issue("operator", Profile::Client).unwrap();
    assert_eq!(get_status(&mut world.client(&world.operator)).await.unwrap(), 7);
    let refused = get_status(&mut world.client(&system)).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(get_status(&mut world.client(&stranger)).await.is_err());
}

#[tokio::test]
async fn a_certificate_that_no_longer_counts_is_refused_on_an_open_connection() {
    let world = World::new().await;
    let mut client = world.client(&world.operator);
    get_status(&mut client).await.unwrap();
    world.revoked.store(true, Ordering::SeqCst);
    let refused = get_status(&mut client).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(refused.message(), "this certificate is revoked");

    world.revoked.store(false, Ordering::SeqCst);
    get_status(&mut client).await.unwrap();
    world.clock.advance(Duration::from_hours(24 * 366 * 30));
    let refused = get_status(&mut client).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(refused.message(), "this certificate is outside its validity");
}

/// Time passes only while everybody waits.
#[tokio::test(start_paused = true)]
async fn silent_connections_keep_nobody_out_for_long() {
    let world = World::new().await;
    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        silent.push(TcpStream::connect(world.address).await.unwrap());
    }
    let begun = Instant::now();
    get_status(&mut world.client(&world.operator)).await.unwrap();
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_secs(10), "connections are not bounded: {waited:?}");
    assert!(waited < Duration::from_mins(1), "{waited:?}");
}
