//! `giaolien audit proof`: an entry's proof in a file of its own.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use audit::{ReadError, Source, Tiles};
use clap::Args;
use model::{Entry, ExchangeId};
use tlog::{Bundle, Checkpoint};

use crate::commands::say;
use crate::progress::Progress;

/// Of a ledger folder.
#[derive(Debug, Args)]
pub(crate) struct Proof {
    /// The ledger folder.
    ledger_dir: PathBuf,
    /// An archive that holds sealed segments of the ledger; may be given more than once.
    #[arg(long, value_name = "DIR")]
    archive: Vec<PathBuf>,
    #[command(flatten)]
    which: Which,
    /// Where the proof is written; standard output if not given.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Which entry.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// The entry with this index.
    #[arg(long, value_name = "N")]
    index: Option<u64>,
    /// The first entry of the exchange with this id.
    #[arg(long, value_name = "ID")]
    exchange: Option<ExchangeId>,
}

impl Proof {
    pub(super) fn run(self) -> Result<ExitCode> {
        let mut source = Source::folder(self.ledger_dir);
        source.archives = self.archive;
        let (index, entry) = match self.which {
            Which { index: Some(index), .. } => (index, entry_at(&source, index)?),
            Which { exchange: Some(exchange), .. } => entry_of(&source, exchange)?,
            Which { .. } => bail!("found neither --index nor --exchange, expected one"),
        };
        let (bundle, checkpoint) = prove(source, index, &entry)?;
        match self.out {
            None => say(bundle.to_string().trim_end()),
            Some(path) => {
                let shown = path.display();
                fs::write(&path, bundle.to_string()).with_context(|| format!("write `{shown}`"))?;
            }
        }
        let cosignatures = bundle.checkpoint.signatures().len().saturating_sub(1);
        eprintln!(
            "entry {index} in the tree of {} entries of {}, {cosignatures} signatures beside the \
             ledger's",
            checkpoint.size, checkpoint.origin
        );
        Ok(ExitCode::SUCCESS)
    }
}

/// The proof of an entry, under the newest checkpoint that witnesses cosigned if that covers it.
fn prove(source: Source, index: u64, entry: &[u8]) -> Result<(Bundle, Checkpoint)> {
    let found = audit::newest_checkpoint(&source.folder, index).context("read checkpoints")?;
    let (note, checkpoint) = found
        .with_context(|| format!("no checkpoint covers entry {index} yet, the next one will"))?;
    let tiles = Tiles::open_source(source).context("the tree of the ledger")?;
    let mut bundles = tiles.bundles(&note, &[(index, entry)]).context("the tree of the ledger")?;
    let bundle = bundles.pop().context("no proof")?;
    // What is handed out was looked at as its reader will: only who signed is not known here.
    let head = tlog::Head { size: checkpoint.size, root_hash: checkpoint.root_hash };
    tlog::proof::verify_inclusion(&tlog::tree::leaf_hash(entry), index, &head, &bundle.path)
        .context("the ledger does not hold what its checkpoint says, verify it")?;
    Ok((bundle, checkpoint))
}

fn entry_at(source: &Source, index: u64) -> Result<Vec<u8>> {
    match audit::records(source, index)?.next() {
        Some(record) => Ok(record?.entry),
        None => bail!("the ledger ends before entry {index}"),
    }
}

/// The first entry of an exchange, found by reading all.
fn entry_of(source: &Source, exchange: ExchangeId) -> Result<(u64, Vec<u8>)> {
    let (mut progress, mut absent) = (Progress::new("searching"), 0);
    for record in audit::records(source, 0)? {
        let record = match record {
            Ok(record) => record,
            Err(ReadError::Absent { .. }) => {
                absent += 1;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        progress.at(record.index, record.index + 1);
        let entry = wire::evidence::decode_entry(&record.entry);
        let entry = entry.with_context(|| format!("entry {} of the ledger", record.index))?;
        let id = match &entry {
            Entry::Admitted(call) => Some(call.exchange),
            Entry::Refused(call) => Some(call.exchange),
            _ => None,
        };
        if id == Some(exchange) {
            return Ok((record.index, record.entry));
        }
    }
    match absent {
        0 => bail!("no exchange `{exchange}` in the ledger"),
        _ => bail!("no exchange `{exchange}` in what is to be had; {absent} segments are not"),
    }
}
