//! A node on port 0, the certificates around it and a small country behind it.

use nodes::{Country, CountryOptions, NodeKind, ServeError, ServerTls, certificate_sha256};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status};
use tonic_types::StatusExt;

pub(crate) const OPTIONS: CountryOptions = CountryOptions { people: 1_500, seed: 42 };

/// A certificate authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

/// A certificate with its key.
pub(crate) struct Pair {
    pub(crate) cert_pem: String,
    pub(crate) key_pem: String,
    pub(crate) sha256: [u8; 32],
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    pub(crate) fn sign(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> Pair {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Pair {
            cert_pem: cert.pem(),
            key_pem: key.serialize_pem(),
            sha256: certificate_sha256(cert.der()),
        }
    }

    pub(crate) fn client(&self, name: &str) -> Pair {
        self.sign(name, ExtendedKeyUsagePurpose::ClientAuth)
    }
}

/// A running node.
pub(crate) struct Node {
    pub(crate) country: Country,
    pub(crate) authority: Authority,
    gateway: Pair,
    port: u16,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Result<(), ServeError>>,
    _dir: TempDir,
}

impl Node {
    pub(crate) async fn start(kind: NodeKind) -> Self {
        let dir = TempDir::new().unwrap();
        let country = Country::create(dir.path(), &OPTIONS, &mut |_| {}).unwrap();
        let authority = Authority::new();
        let gateway = authority.client("gateway.test");
        let server = authority.sign("node.test", ExtendedKeyUsagePurpose::ServerAuth);
        let tls = ServerTls {
            cert_pem: server.cert_pem,
            key_pem: server.key_pem,
            client_ca_pem: authority.pem.clone(),
            allowed_client_sha256: vec![gateway.sha256],
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (stop, stopped) = oneshot::channel();
        let database = country.database(kind);
        let served = tokio::spawn(async move {
            let shutdown = async { stopped.await.unwrap_or_default() };
            nodes::serve(kind, &database, listener, tls, shutdown).await
        });
        Self { country, authority, gateway, port, stop, served, _dir: dir }
    }

    /// A connection with the gateway's certificate.
    pub(crate) async fn connect(&self) -> Channel {
        self.connect_as(&self.gateway).await.unwrap()
    }

    pub(crate) async fn connect_as(&self, pair: &Pair) -> Result<Channel, tonic::transport::Error> {
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&self.authority.pem))
            .identity(Identity::from_pem(&pair.cert_pem, &pair.key_pem))
            .domain_name("node.test");
        let endpoint = Endpoint::from_shared(format!("https://127.0.0.1:{}", self.port)).unwrap();
        endpoint.tls_config(tls).unwrap().connect().await
    }

    /// Stops the node and returns what `serve` returned.
    pub(crate) async fn stop(self) -> Result<(), ServeError> {
        self.stop.send(()).unwrap();
        self.served.await.unwrap()
    }
}

/// Checks that a field was refused, by message and by details.
pub(crate) fn assert_invalid(status: &Status, field: &str) {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert!(status.message().starts_with(&format!("`{field}` ")), "{}", status.message());
    let details = status.get_details_bad_request().unwrap();
    assert_eq!(details.field_violations[0].field, field);
}
