//! `giaolien receipt`: what a caller took away, checked without the ledger.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use clap::Subcommand;
use model::{Action, Entry, Operator, Reading, Receipt as Carried};
use tlog::VerifyingKey;

use super::say;

/// The file that holds a ledger's public key, where no other is named.
const KEY_FILE: &str = "ledger.pub";

/// Work with receipts.
#[derive(Debug, Subcommand)]
pub(crate) enum Receipt {
    /// Checks a receipt offline and prints what it proves.
    ///
    /// FILE holds the value of the trailer `exchange-receipt-bin`: its bytes, or their base64.
    /// Exits with 0 if the receipt is valid, 1 if it is not.
    #[command(after_help = "Example:\n  giaolien receipt verify call.receipt --key ledger.pub")]
    Verify {
        /// The receipt.
        file: PathBuf,
        /// The ledger's public key; `ledger.pub` beside the receipt if not given.
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
    },
}

impl Receipt {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let Self::Verify { file, key } = self;
        let bytes = fs::read(&file).with_context(|| format!("read `{}`", file.display()))?;
        let key_file = key.unwrap_or_else(|| file.with_file_name(KEY_FILE));
        let key = read_key(&key_file)?;
        match verify(&bytes, &key) {
            Ok((receipt, entry)) => {
                say(format_args!("valid: entry {} of {}", receipt.index, key.origin()));
                say(format_args!("signed by {key}, read from `{}`", key_file.display()));
                say(format_args!("durable since {}, {}", receipt.time, describe(&entry)));
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => {
                eprintln!("not valid: {error:#}");
                Ok(ExitCode::FAILURE)
            }
        }
    }
}

/// Reads a public key in the C2SP form.
pub(crate) fn read_key(path: &Path) -> Result<VerifyingKey> {
    let shown = path.display();
    let text = fs::read_to_string(path)
        .with_context(|| format!("read public key `{shown}`; name it with --key"))?;
    text.trim().parse().with_context(|| format!("public key `{shown}`"))
}

/// Checks a receipt against `key`: the signature, the way from the entry to it, and that the entry
/// can be read.
pub(crate) fn verify(bytes: &[u8], key: &VerifyingKey) -> Result<(Carried, Entry)> {
    let receipt = decode(bytes)?;
    audit::verify_receipt(&receipt, key)?;
    let entry = wire::evidence::decode_entry(&receipt.entry).context("entry in the receipt")?;
    Ok((receipt, entry))
}

/// A receipt comes as bytes, or as the base64 in which trailers carry bytes.
fn decode(bytes: &[u8]) -> Result<Carried> {
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let base64 = GeneralPurpose::new(&base64::alphabet::STANDARD, config);
    match base64.decode(bytes.trim_ascii()) {
        Ok(decoded) => wire::evidence::decode_receipt(&decoded),
        Err(_not_base64) => wire::evidence::decode_receipt(bytes),
    }
    .context("not a receipt")
}

/// What an entry says, in one line.
pub(crate) fn describe(entry: &Entry) -> String {
    match entry {
        Entry::Opened(opened) => {
            format!("opened by version {} at {}", opened.version, opened.time)
        }
        Entry::Admitted(call) => format!(
            "call {} admitted at {}: {} of {} may {} {} on {} under {} for {}",
            call.exchange,
            call.time,
            call.system,
            call.member,
            call.effect.as_str(),
            call.method,
            call.node,
            call.agreement,
            call.purpose
        ),
        Entry::Refused(call) => {
            let system = call.system.as_ref().map_or("an unknown system", |id| id.as_str());
            let method = call.method.as_deref().unwrap_or("a connection");
            let reason = call.reason.name();
            format!(
                "call {} refused at {}: {reason} for {system} at {method}",
                call.exchange, call.time
            )
        }
        Entry::Finished(call) => format!(
            "call {} finished at {}: {}, {} messages there and {} back",
            call.exchange,
            call.time,
            call.code.name(),
            call.request.messages,
            call.response.messages
        ),
        Entry::LedgerRead(read) => {
            let what = match read.reading {
                Reading::Search | Reading::Subject => "exchanges",
                Reading::Acts => "acts of operators",
                Reading::Export => "entries exported",
            };
            format!(
                "ledger read at {} by {}: {} {what} for {}, because: {}",
                read.time,
                operator(&read.operator),
                read.results,
                read.criteria,
                read.why
            )
        }
        Entry::AdminAction(done) => format!(
            "{} at {} by {}",
            match done.action {
                Action::Apply => format!("revision {} applied", done.revision),
            },
            done.time,
            operator(&done.operator)
        ),
        Entry::SegmentRemoved(removed) => format!(
            "{} entries from {} on removed with segment {} at {} by {}, kept until {}, because: {}",
            removed.count,
            removed.first,
            removed.segment,
            removed.time,
            operator(&removed.operator),
            removed.keep_until,
            removed.why
        ),
    }
}

fn operator(operator: &Operator) -> String {
    let Operator { certificate, name } = operator;
    match name {
        Some(name) => format!("{name} with certificate {certificate}"),
        None => format!("certificate {certificate}"),
    }
}
