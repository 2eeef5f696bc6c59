//! `giaolien audit`: reading a ledger, as an auditor does.

mod copy;
mod cosigned;
mod criteria;
mod proof;
mod search;
mod shown;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use audit::{Verified, VerifyError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Subcommand;
use tlog::VerifyingKey;

use super::receipt::{read_key, read_witness_key};
use super::say;
use crate::progress::Progress;

/// Work with a ledger folder.
#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Reads everything again: framing, digests, tree, checkpoints, signatures.
    ///
    /// Without --key the signatures are checked with the key that the ledger itself names, which
    /// proves that it is whole but not whose it is. Exits with 0 if the ledger is whole, 1 if it
    /// was tampered with or is damaged, and says where; 2 if there is no ledger, or it or the key
    /// could not be read.
    #[command(after_help = "Example:\n  giaolien audit verify /var/lib/giaolien/ledger \
        --key ledger.pub")]
    Verify {
        /// The ledger folder.
        ledger_dir: PathBuf,
        /// The ledger's public key.
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        /// The public key of a witness that must have cosigned a checkpoint of the ledger; may be
        /// given more than once.
        #[arg(long, value_name = "FILE")]
        witness: Vec<PathBuf>,
    },
    /// Writes the proof that an entry stands in the ledger: a C2SP tlog-proof file, with the entry,
    /// for whoever does not have the ledger.
    ///
    /// The proof is under the newest checkpoint that witnesses cosigned, or the newest signed one
    /// where none of those covers the entry. `giaolien receipt verify` checks it.
    #[command(
        after_help = "Example:\n  giaolien audit proof /var/lib/giaolien/ledger --index 4711 \
        --out 4711.proof"
    )]
    Proof(proof::Proof),
    /// Finds exchanges in the ledger, newest first, and records that they were looked for.
    ///
    /// Asks a running gateway, with an operator's certificate; the ledger says who read what and
    /// why before the answer is given. With --ledger it searches a copy, which is not recorded.
    /// Exits with 0, 1 if the gateway declines or the copy is damaged, 2 if it was not reached.
    #[command(after_help = "Examples:\n  giaolien audit search --config /etc/giaolien \
        --member H26.102 --from 2026-11-01 --reason 'inspection 12/2026'\n  \
        giaolien audit search --ledger copy/ledger --refused-for AGREEMENT_MISSING --format json")]
    Search(Box<search::Search>),
    /// Finds all exchanges about a person, newest first, and records that they were looked for.
    ///
    /// The gateway turns the number into the pseudonyms that the ledger has, under the keys in
    /// `ledger.pseudonyms`; the number itself gets into no log and not into the ledger. What fell
    /// in a period whose key was destroyed cannot be found any more. Exits as `search` does.
    #[command(after_help = "Example:\n  giaolien audit subject - --config /etc/giaolien \
        --reason 'request of the person, 17/2026' --receipts receipts < number.txt")]
    Subject(Box<search::Subject>),
}

impl Audit {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let (ledger_dir, key, witness) = match self {
            Self::Verify { ledger_dir, key, witness } => (ledger_dir, key, witness),
            Self::Proof(proof) => return proof.run(),
            Self::Search(search) => return search.run(),
            Self::Subject(subject) => return subject.run(),
        };
        let read = || {
            let witnesses = witness.iter().map(|path| read_witness_key(path));
            let key = key.as_deref().map(read_key).transpose()?;
            anyhow::Ok((key, witnesses.collect::<Result<Vec<_>>>()?))
        };
        let (key, witnesses) = match read() {
            Ok(keys) => keys,
            Err(error) => return Ok(not_verified(&error)),
        };
        Ok(match verify(&ledger_dir, key.as_ref()) {
            Ok(verified) => {
                report(&verified);
                match cosigned::report(&ledger_dir, &witnesses) {
                    Ok(code) => code,
                    Err(error) => not_verified(&error),
                }
            }
            Err(error @ (VerifyError::Unreadable { .. } | VerifyError::NoLedger(_))) => {
                not_verified(&error.into())
            }
            Err(error) => {
                eprintln!("not whole: {:#}", anyhow::Error::from(error));
                ExitCode::from(1)
            }
        })
    }
}

/// Reads a ledger folder again, down to the content of its entries.
pub(super) fn verify(dir: &Path, key: Option<&VerifyingKey>) -> Result<Verified, VerifyError> {
    let mut progress = Progress::new("verifying");
    audit::verify_folder(
        dir,
        key,
        &mut |_index, entry| match wire::evidence::decode_entry(entry) {
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        },
        &mut |done, total| progress.at(done, total),
    )
}

/// Nothing is known about the ledger, for this reason.
fn not_verified(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::from(2)
}

fn report(verified: &Verified) {
    let Verified { entries, checkpoint_size, segments, bytes, key, .. } = verified;
    say(format_args!("whole: {entries} entries in {segments} segments, {bytes} bytes read"));
    say(format_args!("root hash {}", STANDARD.encode(verified.root_hash)));
    say(format_args!("checkpoint covers {checkpoint_size} entries, signed by {key}"));
    if !verified.key_given {
        say("that key is the one the ledger itself names; give --key to check one you trust");
    }
    if verified.live {
        say("the ledger was being written meanwhile");
    }
    for file in &verified.unknown_files {
        say(format_args!("not part of a ledger: `{}`", file.display()));
    }
}
