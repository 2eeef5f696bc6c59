//! `giaolien receipt`: what a caller took away, checked without the ledger.

mod checkpointed;

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use clap::Subcommand;
use model::{Action, Entry, LedgerRead, Operator, Reading, Receipt as Carried};
use tlog::bundle::{BUNDLE_BYTES_MAX, Bundle};
use tlog::{VerifyingKey, WitnessKey};

use super::say;
use checkpointed::{Against, Finding, Trusted};

/// The file that holds a ledger's public key, where no other is named.
const KEY_FILE: &str = "ledger.pub";

/// Longest receipt or proof that is read, in bytes.
const BYTES_MAX: usize = BUNDLE_BYTES_MAX;

/// How a proof file begins.
const PROOF_START: &[u8] = b"c2sp.org/tlog-proof@";

/// Work with receipts.
#[derive(Debug, Subcommand)]
pub(crate) enum Receipt {
    /// Checks a receipt and prints what it proves.
    ///
    /// FILE holds the value of the trailer `exchange-receipt-bin`: its bytes, or their base64. Or a
    /// proof file (C2SP tlog-proof) with its entry, as `giaolien audit proof` writes it.
    ///
    /// The receipt's own signature is checked offline. With --ledger or --proof also that the entry
    /// stands in the tree of a signed checkpoint, which the ledger cannot take back once witnesses
    /// have cosigned it. Exits with 0 if all that was asked for is valid, 1 if it is not or if the
    /// ledger contradicts itself, 2 if that could not be found out.
    #[command(
        after_help = "Examples:\n  giaolien receipt verify call.receipt --key ledger.pub\n  \
        giaolien receipt verify call.receipt --key ledger.pub --witness giamsat.pub \\\n    \
        --ledger http://socai.example.gov.vn:8481"
    )]
    Verify {
        /// The receipt, or a proof file.
        file: PathBuf,
        /// A public key of the ledger; may be given more than once, where it changed. `ledger.pub`
        /// beside the receipt if not given.
        #[arg(long, value_name = "FILE")]
        key: Vec<PathBuf>,
        #[command(flatten)]
        against: Box<Against>,
    },
}

impl Receipt {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let Self::Verify { file, mut key, against } = self;
        if key.is_empty() {
            key.push(file.with_file_name(KEY_FILE));
        }
        check(&file, &key, &against).or_else(|error| {
            eprintln!("error: {error:#}");
            Ok(ExitCode::from(2))
        })
    }
}

/// Checks a file, and says what it shows. Fails if that could not be found out.
fn check(file: &Path, key_files: &[PathBuf], against: &Against) -> Result<ExitCode> {
    let bytes = read_bounded(file, BYTES_MAX)?;
    let keys = key_files.iter().map(|path| read_key(path)).collect::<Result<Vec<_>>>()?;
    let trusted = Trusted { keys: &keys, witnesses: against.witnesses()? };
    if bytes.starts_with(PROOF_START) {
        ensure!(against.is_empty(), "found a proof with --proof or --ledger, expected a receipt");
        return Ok(check_proof(&bytes, &trusted));
    }
    let verified = decode(&bytes).and_then(|receipt| {
        let (place, key) = keys
            .iter()
            .enumerate()
            .find(|(_, key)| key.key_id() == receipt.key_id)
            .or_else(|| keys.iter().enumerate().next())
            .context("no key to check it with")?;
        let (receipt, entry) = verify(&bytes, key)?;
        Ok((receipt, entry, place, key))
    });
    let (receipt, entry, place, key) = match verified {
        Ok(verified) => verified,
        Err(error) => return Ok(not_valid(format_args!("{error:#}"))),
    };
    let finding = against.check(&receipt, &trusted)?;
    if let Finding::NotShown(why) = &finding {
        return Ok(not_valid(why));
    }
    if let Finding::Tampered(what) = &finding {
        eprintln!("evidence of tampering: {what}");
        return Ok(ExitCode::from(1));
    }
    let read_from = key_files.get(place).map(|path| path.display().to_string()).unwrap_or_default();
    say(format_args!("valid: entry {} of {}", receipt.index, key.origin()));
    say(format_args!("signed by {key}, read from `{read_from}`"));
    say(format_args!("durable since {}, {}", receipt.time, describe(&entry)));
    match finding {
        Finding::Shown(lines) => lines.into_iter().for_each(say),
        _ => say("no checkpoint was looked at; see --ledger and --proof"),
    }
    Ok(ExitCode::SUCCESS)
}

fn check_proof(bytes: &[u8], trusted: &Trusted<'_>) -> ExitCode {
    let bundle = String::from_utf8_lossy(bytes).parse::<Bundle>();
    let checked = bundle.map_err(|error| error.to_string()).and_then(|bundle| {
        let proven = checkpointed::alone(&bundle, trusted)?;
        let entry = bundle.extra.as_deref().unwrap_or_default();
        let entry = wire::evidence::decode_entry(entry).map_err(|error| error.to_string())?;
        Ok((proven, entry))
    });
    match checked {
        Ok((proven, entry)) => {
            say(format_args!("valid: entry {} of {}", proven.index, proven.origin));
            say(describe(&entry));
            checkpointed::lines(&proven).into_iter().for_each(say);
            ExitCode::SUCCESS
        }
        Err(why) => not_valid(why),
    }
}

fn not_valid(why: impl std::fmt::Display) -> ExitCode {
    eprintln!("not valid: {why}");
    ExitCode::from(1)
}

/// The bytes of a file that is no longer than `bytes_max`.
fn read_bounded(path: &Path, bytes_max: usize) -> Result<Vec<u8>> {
    let shown = path.display();
    let mut bytes = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(bytes_max as u64 + 1).read_to_end(&mut bytes));
    read.with_context(|| format!("read `{shown}`"))?;
    ensure!(bytes.len() <= bytes_max, "`{shown}` has more than {bytes_max} bytes");
    Ok(bytes)
}

/// Reads a public key in the C2SP form.
pub(crate) fn read_key(path: &Path) -> Result<VerifyingKey> {
    let shown = path.display();
    let text = fs::read_to_string(path)
        .with_context(|| format!("read public key `{shown}`; name it with --key"))?;
    text.trim().parse().with_context(|| format!("public key `{shown}`"))
}

/// Reads the public key of a witness in the C2SP form.
pub(crate) fn read_witness_key(path: &Path) -> Result<WitnessKey> {
    let shown = path.display();
    let text = fs::read_to_string(path)
        .with_context(|| format!("read public key of a witness `{shown}`"))?;
    text.trim().parse().with_context(|| format!("public key of a witness `{shown}`"))
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
        Entry::Passed(call) => format!(
            "call {} went on at {}: {} messages there and {} back until then",
            call.exchange, call.time, call.request.messages, call.response.messages
        ),
        Entry::Concerned(call) => {
            let persons = call.pseudonyms.len();
            format!("call {} concerned {persons} more persons at {}", call.exchange, call.time)
        }
        Entry::LedgerRead(read) => describe_reading(read),
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

fn describe_reading(read: &LedgerRead) -> String {
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

fn operator(operator: &Operator) -> String {
    let Operator { certificate, name } = operator;
    match name {
        Some(name) => format!("{name} with certificate {certificate}"),
        None => format!("certificate {certificate}"),
    }
}
