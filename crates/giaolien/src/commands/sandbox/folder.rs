//! The folder of a sandbox: what lies where, and which folders may become one.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{self, Path, PathBuf};

use anyhow::{Context, Result, bail};

/// A new folder's name begins so, in the system's folder of temporary files.
const TEMPORARY_PREFIX: &str = "giaolien-sandbox-";
const PUBLIC: u32 = 0o644;
const PRIVATE: u32 = 0o600;

/// The folder of a sandbox.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// The folder at `dir`, made if it is missing; without `dir` a new one.
    ///
    /// # Errors
    ///
    /// Fails if something else lies there, which is left as it is.
    pub(super) fn choose(dir: Option<&Path>) -> Result<Self> {
        let Some(dir) = dir else {
            let made = tempfile::Builder::new().prefix(TEMPORARY_PREFIX).tempdir();
            return Ok(Self(made.context("make a temporary folder")?.keep()));
        };
        // Absolute, so that what is printed can be pasted anywhere.
        let folder = Self(path::absolute(dir).context("find the current folder")?);
        let shown = folder.shown();
        fs::create_dir_all(dir).with_context(|| format!("make folder {shown}"))?;
        let mut content = fs::read_dir(dir).with_context(|| format!("read folder {shown}"))?;
        if !folder.is_sandbox() && content.next().is_some() {
            bail!("{shown} is not empty and holds no whole sandbox; empty it or name another");
        }
        Ok(folder)
    }

    /// Whether a whole sandbox lies here. The configuration is written last.
    pub(super) fn is_sandbox(&self) -> bool {
        self.config().is_dir()
    }

    /// The configuration folder.
    pub(super) fn config(&self) -> PathBuf {
        self.0.join("config")
    }

    /// Where the nodes' databases lie.
    pub(super) fn nodes(&self) -> PathBuf {
        self.0.join("nodes")
    }

    /// The ledger folder.
    pub(super) fn ledger(&self) -> PathBuf {
        self.0.join("ledger")
    }

    /// The receipts of all calls, with the key that they are checked with.
    pub(super) fn receipts(&self) -> PathBuf {
        self.0.join("receipts")
    }

    /// A certificate.
    pub(super) fn certificate(&self, name: &str) -> PathBuf {
        self.0.join("pki").join(format!("{name}.crt"))
    }

    /// The private key of a certificate.
    pub(super) fn key(&self, name: &str) -> PathBuf {
        self.0.join("pki").join(format!("{name}.key"))
    }

    /// The ledger's public key.
    pub(super) fn ledger_key(&self) -> PathBuf {
        self.0.join("pki").join("ledger.pub")
    }

    /// The folder in a message.
    pub(super) fn shown(&self) -> String {
        format!("`{}`", self.0.display())
    }
}

impl AsRef<Path> for Folder {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

/// Writes a file that everybody may read, and the folders above it.
pub(super) fn write(path: &Path, content: &[u8]) -> Result<()> {
    write_with(path, content, PUBLIC)
}

/// Writes a file that only its owner may read.
pub(super) fn write_private(path: &Path, content: &[u8]) -> Result<()> {
    write_with(path, content, PRIVATE)
}

fn write_with(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    let write = || {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(mode);
        options.open(path)?.write_all(content)
    };
    write().with_context(|| format!("write `{}`", path.display()))
}
