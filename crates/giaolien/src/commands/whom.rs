//! Which gateway a command asks: named in full, or found by its configuration folder.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;

use super::admin::{Door, local};

/// Where the sandbox and the sample configuration keep an operator's certificate.
const OPERATORS: [&str; 2] = ["pki/operator", "../pki/operator"];

/// Which gateway, and with what certificate.
#[derive(Debug, Args)]
pub(super) struct Whom {
    /// The gateway's configuration folder.
    #[arg(long, value_name = "DIR")]
    pub(super) config: Option<PathBuf>,
    /// Host and port of the admin API.
    #[arg(long, value_name = "HOST:PORT", requires_all = ["cert", "key", "ca"])]
    pub(super) admin: Option<String>,
    /// An operator's certificate, with those between it and its authority.
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// The key of that certificate.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// The authority of the gateway's certificate.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Name that the gateway's certificate must bear, where it is not the host; with --config
    /// `localhost` if not given.
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
}

impl Whom {
    /// Whom they mean.
    pub(super) fn door(self) -> Result<Door> {
        let Self { config, admin, cert, key, ca, server_name } = self;
        let known = (cert, key, ca);
        if let (Some(admin), (Some(cert), Some(key), Some(ca))) = (admin.clone(), known.clone()) {
            return Ok(Door { admin, cert, key, ca, server_name });
        }
        let (cert, key, ca) = known;
        let dir = config.context("found no --admin, expected it or --config")?;
        let admin = match admin {
            Some(admin) => admin,
            None => address(&dir)?,
        };
        let beside = |extension: &str| beside(&dir, extension);
        Ok(Door {
            admin,
            cert: cert.or_else(|| beside("crt")).with_context(|| missing(&dir, "--cert"))?,
            key: key.or_else(|| beside("key")).with_context(|| missing(&dir, "--key"))?,
            ca: ca.or_else(|| authority(&dir)).with_context(|| missing(&dir, "--ca"))?,
            server_name: server_name.or_else(|| Some("localhost".to_owned())),
        })
    }
}

fn missing(dir: &Path, option: &str) -> String {
    format!("found no pki/operator.crt for `{}`, expected {option}", dir.display())
}

/// Where the admin API of the folder's gateway listens, whatever is wrong with the rest of it.
fn address(dir: &Path) -> Result<String> {
    let shown = dir.display();
    let listen = control::admin_address(dir).with_context(|| {
        format!("find the admin API in `{shown}`; name it with --admin, or see `giaolien check`")
    })?;
    let listen = listen.with_context(|| format!("gateway.yaml in `{shown}` has no `admin`"))?;
    Ok(local(listen).to_string())
}

/// The operator's certificate or key where it usually lies.
fn beside(dir: &Path, extension: &str) -> Option<PathBuf> {
    let named = |stem: &str| dir.join(format!("{stem}.{extension}"));
    OPERATORS.iter().map(|stem| named(stem)).find(|path| path.is_file())
}

fn authority(dir: &Path) -> Option<PathBuf> {
    let operator = beside(dir, "crt")?;
    Some(operator.with_file_name("ca.crt")).filter(|path| path.is_file())
}
