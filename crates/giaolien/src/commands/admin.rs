//! The way to a running gateway: its admin API, over mutual TLS, with an operator's certificate.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::Args;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status};
use wire::generated::admin::Problem;
use wire::generated::admin::admin_service_client::AdminServiceClient;

const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
/// What commands end with if the gateway could not be reached.
pub(super) const UNREACHED: u8 = 2;
/// What commands end with if it is not known whether the gateway did what it was asked.
pub(super) const UNKNOWN: u8 = 3;

/// Whom to ask, and with what.
#[derive(Debug, Args)]
pub(super) struct Door {
    /// Host and port of the admin API.
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) admin: String,
    /// An operator's certificate, with those between it and its authority.
    #[arg(long, value_name = "FILE")]
    pub(super) cert: PathBuf,
    /// The key of that certificate.
    #[arg(long, value_name = "FILE")]
    pub(super) key: PathBuf,
    /// The authority of the gateway's certificate.
    #[arg(long, value_name = "FILE")]
    pub(super) ca: PathBuf,
    /// Name that the gateway's certificate must bear, where it is not the host.
    #[arg(long, value_name = "NAME")]
    pub(super) server_name: Option<String>,
}

/// Why a gateway did not answer as asked.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// It could not be reached, or the connection broke.
    Unreached(anyhow::Error),
    /// It declined.
    Declined(Status),
    /// It had all that it needs, and may have done what it was asked.
    Unknown(anyhow::Error),
}

impl Unanswered {
    /// Tells why, and gives what the command ends with.
    pub(super) fn tell(&self, admin: &str) -> ExitCode {
        match self {
            Self::Unreached(error) => {
                eprintln!("error: cannot reach the admin API on {admin}: {error:#}");
                ExitCode::from(UNREACHED)
            }
            Self::Declined(status) => {
                eprintln!("error: {}", status.message());
                ExitCode::FAILURE
            }
            Self::Unknown(error) => {
                eprintln!(
                    "error: it is not known whether the files are in force, see `giaolien status` \
                     on {admin}: {error:#}"
                );
                ExitCode::from(UNKNOWN)
            }
        }
    }

    /// What it is if the gateway had everything already and was to change something.
    pub(super) fn after_all_was_sent(self) -> Self {
        match self {
            Self::Unreached(error) => Self::Unknown(error),
            Self::Declined(status) if status.code() == Code::Unknown => {
                Self::Unknown(anyhow!("{}", status.message()))
            }
            other => other,
        }
    }
}

impl From<Status> for Unanswered {
    fn from(status: Status) -> Self {
        // The client makes these up itself when there is no connection, or not any more.
        let is_broken =
            status.code() == Code::Unavailable || std::error::Error::source(&status).is_some();
        match is_broken {
            true => Self::Unreached(status.into()),
            false => Self::Declined(status),
        }
    }
}

impl Door {
    /// Reads the certificates and connects.
    pub(super) async fn open(&self) -> Result<Result<AdminServiceClient<Channel>, Unanswered>> {
        let identity = Identity::from_pem(read(&self.cert)?, read(&self.key)?);
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(read(&self.ca)?))
            .identity(identity);
        let tls = match &self.server_name {
            Some(name) => tls.domain_name(name),
            None => tls,
        };
        let endpoint = Endpoint::from_shared(format!("https://{}", self.admin))
            .with_context(|| format!("found address `{}`, expected host:port", self.admin))?
            .tls_config(tls)
            .context("use these certificates")?
            .connect_timeout(CONNECT_TIME_MAX);
        let connected = endpoint.connect().await;
        Ok(connected
            .map(AdminServiceClient::new)
            .map_err(|error| Unanswered::Unreached(error.into())))
    }
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("read `{}`", path.display()))
}

/// Where to find on this machine what listens on `address`.
pub(super) fn local(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// A problem as `check` prints it.
pub(super) fn shown(problem: &Problem) -> String {
    let Problem { file, line, column, found, expected, hint } = problem;
    let hint = if hint.is_empty() { String::new() } else { format!("; {hint}") };
    format!("{file}:{line}:{column}: found {found}, expected {expected}{hint}")
}

/// A runtime for one command.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime> {
    // An error says that there is a provider already, which is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("start a runtime")
}
