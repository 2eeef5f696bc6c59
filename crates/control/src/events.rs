//! Reads `events` of `gateway.yaml`: who is told what a security operations centre should know.

use std::net::IpAddr;
use std::path::PathBuf;

use crate::fields::{Fields, located, scalar};
use crate::material::{Identity, authorities, identity, path};
use crate::problem::Report;
use crate::scalar::{endpoint, host_name};
use crate::yaml::Node;

const KEYS: [&str; 3] = ["directory", "file", "syslog"];
const SYSLOG_KEYS: [&str; 5] = ["address", "server_name", "authorities", "certificate", "key"];

/// Who is told of security events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Events {
    /// Where it is kept how far each receiver has got; it may not exist yet.
    pub directory: PathBuf,
    /// A file that gets a JSON object a line.
    pub file: Option<PathBuf>,
    /// A receiver of syslog over TLS.
    pub syslog: Option<SyslogReceiver>,
}

/// A receiver of syslog over TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyslogReceiver {
    /// Host and port.
    pub address: String,
    /// The name in its certificate.
    pub server_name: String,
    /// Who vouches for its certificate, in DER. At least one.
    pub authorities: Vec<Vec<u8>>,
    /// What the gateway proves itself with, where the receiver wants it.
    pub identity: Option<Identity>,
}

pub(crate) fn events(node: &Node<'_>, report: &mut Report) -> Option<Events> {
    let fields = Fields::of(node, &KEYS, report)?;
    let directory = fields.required("directory", located(path), report);
    let file = fields.optional("file", path, report);
    let syslog = fields.optional("syslog", syslog, report);
    if fields.get("file").is_none() && fields.get("syslog").is_none() {
        report.add(fields.at(), "neither `file` nor `syslog`", "who is told", None);
        return None;
    }
    let (at, directory) = directory?;
    if directory.exists() && !directory.is_dir() {
        report.add(at, "a path that is not a folder", "a folder for events", None);
        return None;
    }
    Some(Events { directory, file, syslog })
}

fn syslog(node: &Node<'_>, report: &mut Report) -> Option<SyslogReceiver> {
    let fields = Fields::of(node, &SYSLOG_KEYS, report)?;
    let address = fields.required("address", scalar(endpoint), report);
    let server_name = fields.optional("server_name", scalar(host_name), report);
    let authorities = fields.required("authorities", authorities, report);
    let shown = fields.get("certificate").is_some() || fields.get("key").is_some();
    let identity = match shown {
        true => Some(identity(&fields, report)?),
        false => None,
    };
    let (address, authorities) = (address?, authorities?);
    let host = match address.host.parse::<IpAddr>() {
        Ok(IpAddr::V6(host)) => format!("[{host}]"),
        _ => address.host.clone(),
    };
    Some(SyslogReceiver {
        server_name: server_name.unwrap_or(address.host),
        address: format!("{host}:{}", address.port),
        authorities,
        identity,
    })
}
