//! Who is told of security events, as the configuration has it.

use std::sync::Arc;

use anyhow::{Context, Result};
use audit::Log;
use control::SyslogReceiver;
use events::{Events, Options, Receiver, SETTLED_AFTER, Source, Syslog};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

/// Where Linux says what the machine is called.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";
/// What RFC 5424 has for no name.
const NO_NAME: &str = "-";

/// Begins to tell events.
pub(crate) fn start(
    settings: &control::Events,
    origin: &str,
    ledger: audit::Source,
    log: Arc<Log>,
) -> Result<Events> {
    let mut receivers = Vec::new();
    if let Some(file) = &settings.file {
        receivers.push(("file".to_owned(), Receiver::File(file.clone())));
    }
    if let Some(to) = &settings.syslog {
        receivers.push(("syslog".to_owned(), Receiver::Syslog(syslog(to)?)));
    }
    let options = Options {
        source: Source { origin: origin.to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
        ledger,
        directory: settings.directory.clone(),
        receivers,
        durable: Arc::new(move || log.status().size),
    };
    Events::start(options).context("begin to tell security events")
}

fn syslog(to: &SyslogReceiver) -> Result<Syslog> {
    let mut roots = RootCertStore::empty();
    for authority in &to.authorities {
        let added = roots.add(CertificateDer::from(authority.clone()));
        added.context("an authority of the receiver of syslog")?;
    }
    let tls = ClientConfig::builder().with_root_certificates(roots);
    let tls = match &to.identity {
        None => tls.with_no_client_auth(),
        Some(identity) => {
            let chain = identity.certificates.iter().cloned().map(CertificateDer::from).collect();
            let tls = tls.with_client_auth_cert(chain, identity.key.to_der());
            tls.context("the certificate shown to the receiver of syslog")?
        }
    };
    Ok(Syslog {
        address: to.address.clone(),
        server_name: to.server_name.clone(),
        tls: Arc::new(tls),
        host: host_name(),
        settled_after: SETTLED_AFTER,
    })
}

/// The machine's name, as messages carry it.
fn host_name() -> String {
    let name = std::fs::read_to_string(HOST_NAME).unwrap_or_default();
    let name: String = name.trim().chars().filter(char::is_ascii_graphic).collect();
    if name.is_empty() { NO_NAME.to_owned() } else { name }
}
