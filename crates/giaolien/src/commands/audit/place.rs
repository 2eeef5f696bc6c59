//! Where a ledger lies: its folder, its archives, and the keys that open it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use audit::{Keys, Source};
use clap::Args;

use crate::assemble;

/// Longest file of a key, in bytes.
const KEY_FILE_BYTES_MAX: u64 = 1 << 10;

/// What belongs to a ledger beside its folder.
#[derive(Debug, Default, Args)]
pub(crate) struct Place {
    /// Where archived segments lie; more than once for more than one folder.
    #[arg(long = "archive", value_name = "DIR")]
    archives: Vec<PathBuf>,
    /// A key that opens sealed segments, as `2026-a=2026-a.key`; more than once for more.
    #[arg(long = "sealing-key", value_name = "ID=FILE")]
    keys: Vec<String>,
}

impl Place {
    /// The ledger in `folder` with all that was named.
    pub(super) fn source(&self, folder: &Path) -> Result<Source> {
        let mut source = Source::folder(folder.to_owned());
        self.add(&mut source)?;
        Ok(source)
    }

    /// The ledger in `folder`, or the one that a configuration names.
    pub(super) fn found(&self, folder: Option<&Path>, config: Option<&Path>) -> Result<Source> {
        let mut source = match (folder, config) {
            (Some(folder), None) => Source::folder(folder.to_owned()),
            (folder, Some(config)) => configured(config, folder)?,
            (None, None) => bail!("found neither a ledger folder nor --config, expected one"),
        };
        self.add(&mut source)?;
        Ok(source)
    }

    fn add(&self, source: &mut Source) -> Result<()> {
        for archive in &self.archives {
            let shown = archive.display();
            if !archive.is_dir() {
                bail!("found no folder `{shown}`, expected an archive under --archive");
            }
            source.archives.push(archive.clone());
        }
        for named in &self.keys {
            let (id, file) = named.split_once('=').with_context(|| {
                format!("found --sealing-key `{named}`, expected an id, `=` and a file")
            })?;
            add_key(&mut source.keys, id, Path::new(file))?;
        }
        Ok(())
    }
}

fn add_key(keys: &mut Keys, id: &str, file: &Path) -> Result<()> {
    let shown = file.display();
    let bytes = file.metadata().with_context(|| format!("read key `{shown}`"))?.len();
    if bytes > KEY_FILE_BYTES_MAX {
        bail!("found {bytes} bytes in `{shown}`, expected a key of one line");
    }
    let text = fs::read_to_string(file).with_context(|| format!("read key `{shown}`"))?;
    keys.add(id, &text).with_context(|| format!("key in `{shown}`"))
}

/// The ledger that a configuration folder names; `folder` takes the place of its own.
fn configured(config: &Path, folder: Option<&Path>) -> Result<Source> {
    let shown = config.display();
    let found = control::whereabouts(config).map_err(|error| match error {
        control::LoadError::Problems(problems) => {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            anyhow::anyhow!("{}", problems.join("; "))
        }
        error => error.into(),
    });
    let found = found.with_context(|| format!("find the ledger of `{shown}`"))?;
    Ok(Source {
        folder: folder.map_or(found.directory, Path::to_owned),
        archives: found.archive.into_iter().collect(),
        keys: assemble::keys(&found.keys)?,
    })
}
