//! A whole gateway as users run it: the real binary as a child process, a configuration folder, a
//! test authority, a node in the test's process and stock clients.

#![allow(dead_code, missing_docs, unreachable_pub, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails may panic")]
#![allow(clippy::panic, clippy::indexing_slicing, reason = "a test that fails may panic")]

use std::collections::HashMap;
use std::fs;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use model::{Entry, Receipt};
use tempfile::TempDir;
use testkit::echo::pb::echo_service_client::EchoServiceClient;
use testkit::echo::{EchoNode, SERVICE};
use testkit::{Authority, Issued, Profile};
use tlog::{Origin, Signer, VerifyingKey};
use tonic::metadata::MetadataMap;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};

mod gateway;
mod ledger;
pub mod node;
pub mod public;
pub mod python;

pub use gateway::Gateway;
pub use ledger::Ledger;

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_giaolien");
/// Longer than anything takes on a loaded machine; a test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// A folder with everything that a gateway needs, and a node that answers it.
pub struct World {
    pub authority: Authority,
    pub system: Issued,
    pub echo: EchoNode,
    pub key: VerifyingKey,
    pub folder: TempDir,
}

impl World {
    /// A world whose ledger has segments of the smallest length, in `ledger/`.
    pub async fn new() -> Self {
        let authority = Authority::new("Test CA").unwrap();
        let identity = authority.issue("echo", Profile::Server).unwrap();
        let echo = EchoNode::start(&authority, &identity).await.unwrap();
        let system = authority.issue("commune", Profile::Client).unwrap();
        let origin: Origin = "ledger.test".parse().unwrap();
        let (signer, ledger_key) = Signer::generate(origin).unwrap();
        let key = signer.verifying_key();
        let folder = tempfile::tempdir().unwrap();
        let world = Self { authority, system, echo, key, folder };
        world.write_pki(&ledger_key);
        world.write("gateway.yaml", gateway_yaml(&world.ledger_folder()));
        world.write("registry/members.yaml", MEMBERS);
        world.write("registry/nodes.yaml", node_yaml(world.echo.address));
        world.write("agreements/echo.yaml", AGREEMENT);
        world
    }

    fn write_pki(&self, ledger_key: &str) {
        let server = self.authority.issue("gateway", Profile::Server).unwrap();
        let client = self.authority.issue("gateway", Profile::Client).unwrap();
        self.write("pki/ca.crt", self.authority.certificate_pem());
        let pairs = [("gateway", &server), ("gateway-client", &client), ("commune", &self.system)];
        for (name, issued) in pairs {
            self.write(&format!("pki/{name}.crt"), &issued.certificate_pem);
            self.write(&format!("pki/{name}.key"), &issued.key_pem);
        }
        self.write("pki/ledger.key", ledger_key);
        self.write("pki/ledger.pub", self.key.to_string());
    }

    /// The configuration folder.
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("config")
    }

    /// A file of the configuration folder.
    pub fn config_file(&self, file: &str) -> PathBuf {
        self.config().join(file)
    }

    pub fn ledger_folder(&self) -> PathBuf {
        self.folder.path().join("ledger")
    }

    /// Writes a file of the configuration folder.
    pub fn write(&self, file: &str, content: impl AsRef<[u8]>) {
        let path = self.config_file(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Starts the gateway and waits until it takes connections.
    pub fn start(&self) -> Gateway {
        Gateway::start(self.command())
    }

    /// How the gateway is started.
    pub fn command(&self) -> Command {
        let mut command = Command::new(BINARY);
        command.arg("run").arg("--config").arg(self.config());
        command
    }

    /// A stock client (tonic) on a connection of its own.
    pub async fn client(&self, gateway: &Gateway) -> EchoServiceClient<Channel> {
        self.try_client(gateway.address()).await.unwrap()
    }

    pub async fn try_client(
        &self,
        address: SocketAddr,
    ) -> Result<EchoServiceClient<Channel>, tonic::transport::Error> {
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(self.authority.certificate_pem()))
            .identity(Identity::from_pem(&self.system.certificate_pem, &self.system.key_pem))
            .domain_name("localhost");
        let endpoint = Channel::from_shared(format!("https://{address}")).unwrap();
        Ok(EchoServiceClient::new(endpoint.tls_config(tls)?.connect().await?))
    }

    /// Reads the ledger and checks that it is whole.
    pub fn ledger(&self) -> Ledger {
        Ledger::read(&self.ledger_folder(), &self.key).unwrap()
    }

    /// Runs `giaolien audit verify` on the ledger.
    pub fn audit_verify(&self) -> Ran {
        let (ledger, key) = (self.ledger_folder(), self.config_file("pki/ledger.pub"));
        giaolien(&["audit", "verify", text(&ledger), "--key", text(&key)])
    }
}

/// What a command left.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs the binary to its end.
pub fn giaolien(arguments: &[&str]) -> Ran {
    let output = Command::new(BINARY).args(arguments).stdin(Stdio::null()).output().unwrap();
    Ran {
        code: output.status.code().expect("ended by itself"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Copies a folder with all that is in it.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for item in fs::read_dir(from).unwrap() {
        let item = item.unwrap();
        let to = to.join(item.file_name());
        match item.file_type().unwrap().is_dir() {
            true => copy_folder(&item.path(), &to),
            false => drop(fs::copy(item.path(), to).unwrap()),
        }
    }
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// What a caller takes away from a call: its id, and the receipt of its entry.
pub struct Taken {
    pub exchange: String,
    pub receipt: Receipt,
}

impl Taken {
    /// From the headers and trailers of an answer. Checks the receipt.
    pub fn from(metadata: &MetadataMap, key: &VerifyingKey) -> Self {
        let exchange = metadata.get("exchange-id").expect("an id").to_str().unwrap().to_owned();
        let bytes = metadata.get_bin("exchange-receipt-bin").expect("a receipt");
        let receipt = wire::evidence::decode_receipt(&bytes.to_bytes().unwrap()).unwrap();
        audit::verify_receipt(&receipt, key).unwrap();
        Self { exchange, receipt }
    }

    /// The call that the receipt's entry is about.
    pub fn entry(&self) -> Entry {
        wire::evidence::decode_entry(&self.receipt.entry).unwrap()
    }
}

/// Reason and metadata of the `ErrorInfo` in a refusal.
pub fn error_info(status: &tonic::Status) -> (String, HashMap<String, String>) {
    use tonic_types::StatusExt;

    let info = status.get_details_error_info();
    let info = info.unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
    assert_eq!(info.domain, "giaolien");
    (info.reason, info.metadata)
}

/// Waits until `condition` holds.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Fails the test if `work` takes longer than any test should.
pub async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("done in time")
}

/// `gateway.yaml` for a ledger in `ledger`; it ends within `limits`, so that lines may follow.
pub fn gateway_yaml(ledger: &Path) -> String {
    format!(
        "\
listen: 127.0.0.1:0
workers: 2
tls:
  certificate: pki/gateway.crt
  key: pki/gateway.key
  client_authorities: [pki/ca.crt]
upstream:
  certificate: pki/gateway-client.crt
  key: pki/gateway-client.key
  authorities: [pki/ca.crt]
ledger:
  directory: {}
  origin: ledger.test
  key: pki/ledger.key
  segment_size: 128KiB
  checkpoint_interval: 50ms
limits:
  drain_time_max: 10s
",
        ledger.display()
    )
}

const MEMBERS: &str = "\
members:
  - {id: H26, name: Thành phố Hà Nội}
  - {id: H26.12, name: Phường Ba Đình, parent: H26}
  - {id: G01, name: Bộ Công an}
systems:
  - id: commune
    name: Hệ thống một cửa
    member: H26.12
    certificates: [{file: pki/commune.crt}]
purposes:
  - {code: residence, name: Cư trú}
";

/// The node with the echo service, at `address`.
pub fn node_yaml(address: SocketAddr) -> String {
    format!(
        "\
nodes:
  - id: echo
    name: Echo
    provider: G01
    endpoints: ['{address}']
    services:
      - name: {SERVICE}
        methods:
          - {{name: Unary, effect: query}}
          - {{name: Change, effect: update}}
          - {{name: ServerStream, effect: query}}
          - {{name: ClientStream, effect: update}}
          - {{name: BidiStream, effect: query}}
"
    )
}

/// The agreement under which everything in the tests is called.
pub const AGREEMENT: &str = "\
agreements:
  - id: echo-for-H26
    consumer: {member: H26}
    node: echo
    service: testkit.echo.v1.EchoService
    methods: all
    purposes: [residence]
    legal_basis: Nghị định 278/2025/NĐ-CP, Điều 5
    mode: by_default
    state: active
    valid_from: 2020-01-01
    valid_until: 2044-12-31
";
