//! `giaolien audit export`: entries as rows, of a folder or of a running gateway.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use audit::VerifyError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, ValueEnum};
use export::{ExportError, JsonWriter, ParquetWriter, Tree, entry_time};
use model::{Entry, Timestamp};
use tempfile::NamedTempFile;
use wire::evidence::decode_entry;
use wire::generated::admin::{ExportRequest, ExportTree, LedgerEntry};

use super::criteria::times;
use super::place::Place;
use super::report_unread;
use crate::commands::admin::{Unanswered, runtime};
use crate::commands::receipt::read_key;
use crate::commands::whom::Whom;
use crate::progress::Progress;

/// Entries asked of a gateway at once.
const PART_ENTRIES: u64 = 1_000_000;

/// Of a ledger folder, or of a running gateway.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The ledger folder; a running gateway is asked if not given.
    ledger_dir: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
    /// The ledger's public key.
    #[arg(long = "ledger-key", value_name = "FILE", requires = "ledger_dir")]
    ledger_key: Option<PathBuf>,
    /// Index of the first entry.
    #[arg(long, value_name = "N", default_value_t = 0)]
    first: u64,
    /// Index of the last entry; the newest if not given.
    #[arg(long, value_name = "N")]
    last: Option<u64>,
    /// Only what happened then or later: a date (in Vietnam), or a time in RFC 3339.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Only what happened before that: a time in RFC 3339, or a date, which still counts whole.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// In which form.
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    format: Format,
    /// The file to write; standard output if not given, for JSON lines only.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Why the ledger is read; the gateway records it, with who reads and what.
    #[arg(long, value_name = "TEXT", required_unless_present = "ledger_dir")]
    reason: Option<String>,
    #[command(flatten)]
    whom: Whom,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Jsonl,
    Parquet,
}

impl Export {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let (from, until) = times(self.from.as_deref(), self.until.as_deref())?;
        let end = self.last.map_or(u64::MAX, |last| last.saturating_add(1));
        let sink = Sink::open(self.out.as_deref(), self.format)?;
        let rows = Rows { sink, first: self.first, end, from, until, written: 0, failed: None };
        match self.ledger_dir.clone() {
            Some(folder) => self.of_folder(&folder, rows),
            None => self.of_gateway(rows),
        }
    }

    fn of_folder(&self, folder: &Path, mut rows: Rows) -> Result<ExitCode> {
        eprintln!("reading a folder is not recorded");
        let source = self.place.source(folder)?;
        let key = self.ledger_key.as_deref().map(read_key).transpose()?;
        let mut progress = Progress::new("exporting");
        let verified = audit::verify(
            &source,
            key.as_ref(),
            &mut |index, bytes| rows.take(index, bytes),
            &mut |done, total| progress.at(done, total),
        );
        if let Some(error) = rows.failed.take() {
            return Err(error.into());
        }
        let verified = match verified {
            Ok(verified) => verified,
            Err(VerifyError::Unread(unread)) => {
                report_unread(&unread);
                return Ok(ExitCode::from(2));
            }
            Err(error) => {
                eprintln!("not whole: {:#}", anyhow::Error::from(error));
                return Ok(ExitCode::FAILURE);
            }
        };
        rows.finish(Tree {
            origin: verified.key.origin().to_string(),
            size: verified.entries,
            root_hash: STANDARD.encode(verified.root_hash),
            verified: true,
            rows: 0,
        })
    }

    fn of_gateway(self, mut rows: Rows) -> Result<ExitCode> {
        let why = self.reason.context("found no --reason, expected why the ledger is read")?;
        let door = self.whom.door()?;
        let work = async {
            let mut client = match door.open().await? {
                Ok(client) => client,
                Err(unanswered) => return anyhow::Ok(Err(unanswered)),
            };
            let mut progress = Progress::new("exporting");
            let mut first_index = rows.first;
            loop {
                let count = rows.end.saturating_sub(first_index).min(PART_ENTRIES);
                let request = ExportRequest { first_index, count, why: why.clone() };
                let mut parts = match client.export(request).await {
                    Ok(parts) => parts.into_inner(),
                    Err(status) => return Ok(Err(Unanswered::from(status))),
                };
                let mut ended: Option<(u64, ExportTree)> = None;
                loop {
                    let part = match parts.message().await {
                        Ok(Some(part)) => part,
                        Ok(None) => break,
                        Err(status) => return Ok(Err(Unanswered::from(status))),
                    };
                    for LedgerEntry { index, entry } in part.entries {
                        let taken = rows.take(index, &entry);
                        if let Some(error) = rows.failed.take() {
                            return Err(error.into());
                        }
                        taken.map_err(anyhow::Error::msg)?;
                        progress.at(index, index.max(rows.end.min(index + 1)));
                    }
                    for gone in part.gone {
                        let (first, next) = (gone.first_index, gone.next_index);
                        eprintln!("not there: entries from {first} up to {next}: {}", gone.why);
                    }
                    ended = part.tree.map(|tree| (part.next_index, tree));
                }
                let Some((next, tree)) = ended else {
                    bail!("the gateway's answer ended before its last part");
                };
                if next <= first_index || next >= rows.end {
                    return Ok(Ok(tree));
                }
                first_index = next;
            }
        };
        match runtime()?.block_on(work)? {
            Ok(tree) => rows.finish(Tree {
                origin: tree.origin,
                size: tree.size,
                root_hash: STANDARD.encode(tree.root_hash),
                verified: false,
                rows: 0,
            }),
            Err(unanswered) => Ok(unanswered.tell(&door.admin)),
        }
    }
}

/// The rows that are asked for, on their way.
struct Rows {
    sink: Sink,
    first: u64,
    end: u64,
    from: Option<Timestamp>,
    until: Option<Timestamp>,
    written: u64,
    failed: Option<ExportError>,
}

impl Rows {
    /// Takes an entry; `Err` tells what is wrong with it, `failed` what is with the destination.
    fn take(&mut self, index: u64, bytes: &[u8]) -> Result<(), String> {
        let entry = decode_entry(bytes).map_err(|error| error.to_string())?;
        let time = entry_time(&entry);
        let is_asked = (self.first..self.end).contains(&index)
            && self.from.is_none_or(|from| time >= from)
            && self.until.is_none_or(|until| time < until);
        if !is_asked {
            return Ok(());
        }
        self.written += 1;
        self.sink.write(index, &entry).map_err(|error| {
            let text = error.to_string();
            self.failed = Some(error);
            text
        })
    }

    fn finish(self, tree: Tree) -> Result<ExitCode> {
        let tree = Tree { rows: self.written, ..tree };
        self.sink.finish(&tree)?;
        let held = if tree.verified { "all of it verified" } else { "not verified" };
        eprintln!("{} of {} entries exported, {held}", tree.rows, tree.size);
        Ok(ExitCode::SUCCESS)
    }
}

/// Where rows go. A file gets its name once it is whole and durable.
enum Sink {
    Standard(JsonWriter<BufWriter<io::Stdout>>),
    Json(JsonWriter<BufWriter<NamedTempFile>>, PathBuf),
    Parquet(Box<ParquetWriter<BufWriter<NamedTempFile>>>, PathBuf),
}

impl Sink {
    fn open(out: Option<&Path>, format: Format) -> Result<Self> {
        let Some(out) = out else {
            if format == Format::Parquet {
                bail!("found no --out, which Parquet needs");
            }
            return Ok(Self::Standard(JsonWriter::new(BufWriter::new(io::stdout()))));
        };
        let shown = out.display();
        let temporary = NamedTempFile::new_in(folder(out));
        let file =
            BufWriter::new(temporary.with_context(|| format!("make a file beside `{shown}`"))?);
        Ok(match format {
            Format::Jsonl => Self::Json(JsonWriter::new(file), out.to_owned()),
            Format::Parquet => Self::Parquet(Box::new(ParquetWriter::new(file)?), out.to_owned()),
        })
    }

    fn write(&mut self, index: u64, entry: &Entry) -> Result<(), ExportError> {
        match self {
            Self::Standard(writer) => writer.write(index, entry),
            Self::Json(writer, _) => writer.write(index, entry),
            Self::Parquet(writer, _) => writer.write(index, entry),
        }
    }

    fn finish(self, tree: &Tree) -> Result<()> {
        let (mut file, out) = match self {
            Self::Standard(writer) => {
                writer.finish(tree)?.flush().context("write to standard output")?;
                return Ok(());
            }
            Self::Json(writer, out) => (writer.finish(tree)?, out),
            Self::Parquet(writer, out) => (writer.finish(tree)?, out),
        };
        let shown = out.display();
        file.flush().with_context(|| format!("write `{shown}`"))?;
        let file = file.into_inner().with_context(|| format!("write `{shown}`"))?;
        file.as_file().sync_all().with_context(|| format!("sync `{shown}`"))?;
        file.persist(&out).with_context(|| format!("name `{shown}`"))?;
        let folder = File::open(folder(&out)).and_then(|folder| folder.sync_all());
        folder.with_context(|| format!("sync the folder of `{shown}`"))
    }
}

/// The folder that a file lies in.
fn folder(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
