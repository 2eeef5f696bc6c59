//! A whole gateway in this process, on port 0, with a test authority, a stopped clock, a real
//! ledger and real nodes.

#![allow(dead_code, missing_docs, reason = "each test file uses a part of it")]

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use audit::{Log, Options};
use dataplane::{Gateway, Identity, Limits, Live, Settings};
use model::{
    CertificateDigest, Effect, Entry, PseudonymKey, Pseudonyms, Reason, RevisionId, Timestamp,
};
use policy::source::{
    Agreement, Attributes, Consumer, Endpoint, Fields, Member, Method, Methods, Mode, Node,
    Purpose, RouteRule, Service, State, System,
};
use policy::{Snapshot, Source};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use testkit::echo::pb::echo_service_client::EchoServiceClient;
use testkit::echo::{EchoNode, SERVICE};
use testkit::{Authority, Issued, Profile, StoppedClock};
use tlog::{Origin, Signer, VerifyingKey};
use tonic::metadata::MetadataMap;
use tonic::transport::{Certificate, Channel, ClientTlsConfig};

pub mod metrics;
pub mod raw;

/// 2026-11-18: within the validity of every certificate and agreement.
pub const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);

pub struct World {
    pub authority: Authority,
    pub clock: Arc<StoppedClock>,
    pub live: Arc<Live>,
    pub echo: EchoNode,
    pub key: VerifyingKey,
    pub system: Issued,
    gateway: Option<Gateway>,
    ledger: Option<Arc<Log>>,
    folder: TempDir,
}

impl World {
    pub async fn start() -> Self {
        Self::with(|_| {}, |_| {}).await
    }

    /// Starts a world whose revision and limits differ from the usual.
    pub async fn with(source: impl FnOnce(&mut Source), limits: impl FnOnce(&mut Limits)) -> Self {
        metrics::install();
        let authority = Authority::new("Test CA").unwrap();
        let node = authority.issue("echo", Profile::Server).unwrap();
        let server = authority.issue("gateway", Profile::Server).unwrap();
        let upstream = authority.issue("gateway", Profile::Client).unwrap();
        let system = authority.issue("commune", Profile::Client).unwrap();
        let echo = EchoNode::start(&authority, &node).await.unwrap();
        let clock = Arc::new(StoppedClock::at(NOW));

        let mut revision = revision(&authority, &system, echo.address);
        source(&mut revision);
        let live = Arc::new(Live::new(Snapshot::compile(revision).unwrap()));

        let folder = tempfile::tempdir().unwrap();
        let origin: Origin = "ledger.test".parse().unwrap();
        let (signer, _pem) = Signer::generate(origin.clone()).unwrap();
        let key = signer.verifying_key();
        let mut options = Options::new(folder.path().join("ledger"), origin, Arc::new(signer));
        options.segment_bytes = 4 << 20;
        options.clock = clock.clone();
        let (ledger, _) = Log::open(options).unwrap();
        let ledger = Arc::new(ledger);

        let mut bounds = Limits { drain_time_max: Duration::from_secs(5), ..Limits::default() };
        limits(&mut bounds);
        let settings = Settings {
            listen: "127.0.0.1:0".parse().unwrap(),
            workers: 2,
            server: identity(&server),
            client_authorities: vec![authority.certificate_der().into()],
            upstream: identity(&upstream),
            pseudonyms: pseudonyms(),
            limits: bounds,
        };
        let gateway =
            Gateway::start(settings, live.clone(), ledger.clone(), clock.clone()).unwrap();
        Self {
            authority,
            clock,
            live,
            echo,
            key,
            system,
            gateway: Some(gateway),
            ledger: Some(ledger),
            folder,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.gateway.as_ref().unwrap().address()
    }

    pub fn calls_in_flight(&self) -> usize {
        self.gateway.as_ref().unwrap().calls_in_flight()
    }

    /// The usual revision, to change and put in force.
    pub fn revision(&self) -> Source {
        revision(&self.authority, &self.system, self.echo.address)
    }

    pub fn put_in_force(&self, change: impl FnOnce(&mut Source)) {
        let mut source = self.revision();
        source.revision = RevisionId(2);
        change(&mut source);
        self.live.replace(Snapshot::compile(source).unwrap());
    }

    /// A stock client (tonic) that presents `system`.
    pub async fn client_of(&self, system: &Issued) -> EchoServiceClient<Channel> {
        EchoServiceClient::new(self.try_channel(system).await.unwrap())
    }

    pub async fn client(&self) -> EchoServiceClient<Channel> {
        self.client_of(&self.system).await
    }

    pub async fn try_channel(&self, system: &Issued) -> Result<Channel, tonic::transport::Error> {
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(self.authority.certificate_pem()))
            .identity(tonic::transport::Identity::from_pem(
                &system.certificate_pem,
                &system.key_pem,
            ))
            .domain_name("localhost");
        Channel::from_shared(format!("https://{}", self.address()))
            .unwrap()
            .tls_config(tls)?
            .connect()
            .await
    }

    /// Drains the gateway and closes the ledger.
    pub fn drain(&mut self) {
        self.gateway.take().unwrap().drain();
        self.ledger.take().unwrap().close().unwrap();
    }

    /// Stops everything, verifies the ledger, and returns its entries.
    pub async fn entries(mut self) -> Vec<Entry> {
        tokio::task::spawn_blocking(move || {
            if self.gateway.is_some() {
                self.drain();
            }
            let mut entries = Vec::new();
            audit::verify_folder(
                &self.folder.path().join("ledger"),
                Some(&self.key),
                &mut |_, bytes| {
                    entries.push(wire::evidence::decode_entry(bytes).map_err(|e| e.to_string())?);
                    Ok(())
                },
                &mut |_, _| {},
            )
            .unwrap();
            entries
        })
        .await
        .unwrap()
    }
}

/// The key of one year.
pub fn pseudonyms() -> Pseudonyms {
    let key = PseudonymKey::from_hex(&"01ab".repeat(16)).unwrap();
    Pseudonyms::new(vec![("2026".parse().unwrap(), key)])
}

/// What contract a text in the language of `.proto` files makes.
pub fn contract(text: &str) -> Arc<mask::Contract> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("test.proto"), text).unwrap();
    let ours = concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto");
    let mut compiler = protox::Compiler::new([folder.path(), ours.as_ref()]).unwrap();
    compiler.include_imports(true).open_file("test.proto").unwrap();
    // Encoded by the compiler itself, which keeps options of ours.
    let set = compiler.encode_file_descriptor_set();
    Arc::new(mask::Contract::from_descriptor_set(&set).unwrap())
}

fn revision(authority: &Authority, system: &Issued, echo: SocketAddr) -> Source {
    let member = |id: &str, parent: Option<&str>| Member {
        id: id.parse().unwrap(),
        name: id.into(),
        parent: parent.map(|id| id.parse().unwrap()),
        classes: Vec::new(),
        attributes: Attributes::new(),
    };
    let method =
        |name: &str, effect| Method { name: name.into(), effect, attributes: Attributes::new() };
    Source {
        revision: RevisionId(1),
        members: vec![member("H26", None), member("H26.12", Some("H26")), member("G01", None)],
        systems: vec![System {
            id: "commune".parse().unwrap(),
            name: "Hệ thống một cửa".into(),
            member: "H26.12".parse().unwrap(),
            certificates: vec![digest(system)],
            attributes: Attributes::new(),
        }],
        nodes: vec![Node {
            services: vec![Service {
                name: SERVICE.into(),
                methods: vec![
                    method("Unary", Effect::Query),
                    method("Change", Effect::Update),
                    method("ServerStream", Effect::Query),
                    method("ClientStream", Effect::Update),
                    method("BidiStream", Effect::Query),
                ],
                attributes: Attributes::new(),
            }],
            ..node("echo", authority, echo)
        }],
        purposes: vec![Purpose { code: "residence".parse().unwrap(), name: "Cư trú".into() }],
        agreements: vec![agreement("echo-for-H26")],
        ..Source::default()
    }
}

/// A node of G01 that offers no service of its own.
pub fn node(id: &str, authority: &Authority, address: SocketAddr) -> Node {
    Node {
        id: id.parse().unwrap(),
        name: id.into(),
        provider: "G01".parse().unwrap(),
        services: Vec::new(),
        endpoints: vec![endpoint(address)],
        authorities: vec![authority.certificate_der()].into(),
        server_name: None,
        attributes: Attributes::new(),
    }
}

/// Policies in Cedar's own words.
pub fn policies(text: &str) -> Arc<cedar::text::Files> {
    let file = cedar::text::File { name: "test.cedar", text };
    Arc::new(cedar::text::Files::parse(&[file], &[]).unwrap())
}

/// A rule for the whole echo service that leaves everything open.
pub fn rule() -> RouteRule {
    RouteRule { service: SERVICE.into(), ..RouteRule::default() }
}

pub fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint { host: address.ip().to_string(), port: address.port() }
}

pub fn agreement(id: &str) -> Agreement {
    Agreement {
        id: id.parse().unwrap(),
        consumer: Consumer::Member("H26".parse().unwrap()),
        node: "echo".parse().unwrap(),
        service: SERVICE.into(),
        methods: Methods::All,
        purposes: vec!["residence".parse().unwrap()],
        legal_basis: "Nghị định 278/2025/NĐ-CP".into(),
        mode: Mode::ByDefault,
        valid_from: Timestamp::from_secs(1_767_000_000),
        valid_until: Timestamp::from_secs(1_830_000_000),
        state: State::Active,
        fields: Fields::All,
        request_fields: Fields::All,
        quota: Vec::new(),
        subjects: None,
    }
}

pub fn digest(issued: &Issued) -> CertificateDigest {
    wire::certificate::parse(&issued.certificate_der).unwrap().digest
}

pub fn identity(issued: &Issued) -> Identity {
    Identity {
        chain: vec![CertificateDer::from(issued.certificate_der.clone())],
        key: PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).unwrap(),
    }
}

/// The receipt in trailers, verified.
pub fn receipt_entry(trailers: &MetadataMap, key: &VerifyingKey) -> Entry {
    let bytes = trailers.get_bin("exchange-receipt-bin").expect("a receipt").to_bytes().unwrap();
    let receipt = wire::evidence::decode_receipt(&bytes).unwrap();
    audit::verify_receipt(&receipt, key).unwrap();
    wire::evidence::decode_entry(&receipt.entry).unwrap()
}

/// Reason and metadata of the `ErrorInfo` in a refusal.
pub fn error_info(status: &tonic::Status) -> (String, HashMap<String, String>) {
    use tonic_types::StatusExt;

    let info = status.get_details_error_info().expect("an ErrorInfo");
    assert_eq!(info.domain, "giaolien");
    (info.reason, info.metadata)
}

/// The reasons of all refusals and cut calls, in the order of the ledger.
pub fn reasons(entries: &[Entry]) -> Vec<Reason> {
    let reason = |entry: &Entry| match entry {
        Entry::Refused(refused) => Some(refused.reason),
        Entry::Finished(finished) => finished.reason,
        _ => None,
    };
    entries.iter().filter_map(reason).collect()
}

/// Waits until `condition` holds; fails the test if it does not within ten seconds.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("waited in vain until {what}");
}

/// Fails the test if `work` takes longer than any test should.
pub async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), work).await.expect("done within 30 s")
}
