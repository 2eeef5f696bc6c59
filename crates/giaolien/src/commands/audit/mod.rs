//! `giaolien audit`: reading a ledger, as an auditor does.

mod acts;
mod copy;
mod cosigned;
mod criteria;
mod expire;
mod export;
mod place;
mod proof;
mod search;
mod shown;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use audit::{Removed, Source, Unread, Verified, VerifyError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Subcommand;
use tlog::VerifyingKey;

use super::receipt::{read_key, read_witness_key};
use super::say;
use crate::progress::Progress;
use place::Place;

/// Work with a ledger folder.
#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Reads everything again: framing, digests, tree, checkpoints, signatures.
    ///
    /// Without --key the signatures are checked with the key that the ledger itself names, which
    /// proves that it is whole but not whose it is. Exits with 0 if the ledger is whole, 1 if it
    /// was tampered with or is damaged, and says where; 2 if there is no ledger, or it, some of its
    /// segments or the key could not be read. What was removed after its term is named; the ledger
    /// is whole without it if it says who removed it.
    #[command(after_help = "Examples:\n  giaolien audit verify /var/lib/giaolien/ledger \
        --key ledger.pub\n  giaolien audit verify copy/ledger --archive copy/archive \
        --sealing-key 2026-a=2026-a.key\n  giaolien audit verify --config /etc/giaolien")]
    Verify {
        /// The ledger folder.
        #[arg(required_unless_present = "config")]
        ledger_dir: Option<PathBuf>,
        /// A configuration folder, which names ledger, archive and keys.
        #[arg(long, value_name = "DIR")]
        config: Option<PathBuf>,
        #[command(flatten)]
        place: Place,
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
    /// Finds what operators did, newest first: read the ledger, applied configurations, removed
    /// entries. This too is a reading, and recorded.
    ///
    /// Exits as `search` does.
    #[command(after_help = "Examples:\n  giaolien audit acts --config /etc/giaolien \
        --reason 'yearly review' --kind read --operator 'thanh tra'\n  \
        giaolien audit acts --ledger copy/ledger --from 2026-11-01")]
    Acts(Box<acts::Acts>),
    /// Lists the segments whose entries are all past their term, or removes them.
    ///
    /// Asks a running gateway, with an operator's certificate. With --remove the ledger says who
    /// removes what and why before anything is deleted; hashes stay, so that the rest verifies.
    /// Nothing is ever removed otherwise. Exits with 0, 1 if the gateway declines, 2 if it was not
    /// reached, 3 if the connection broke and it is not known whether a segment was removed.
    #[command(after_help = "Examples:\n  giaolien audit expire --config /etc/giaolien\n  \
        giaolien audit expire --config /etc/giaolien --remove --why 'term over, order 12/2036'")]
    Expire(expire::Expire),
    /// Writes entries as rows with named columns: JSON lines, or Parquet.
    ///
    /// Of a ledger folder, all of which is verified meanwhile; that is recorded nowhere. Without a
    /// folder, of a running gateway, which records who exports what and why; then nothing is
    /// verified, and the end of the export says so. Persons stay pseudonyms. Exits with 0, 1 if the
    /// ledger is not whole or the gateway declines, 2 if not all could be read or reached; there is no
    /// file unless it is 0.
    #[command(
        after_help = "Examples:\n  giaolien audit export copy/ledger --ledger-key ledger.pub \
        --format parquet --out entries.parquet\n  giaolien audit export --config /etc/giaolien \
        --reason 'yearly report' --first 0 --last 99999 > entries.jsonl"
    )]
    Export(Box<export::Export>),
}

impl Audit {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let (source, key, witness) = match self {
            Self::Verify { ledger_dir, config, place, key, witness } => {
                (place.found(ledger_dir.as_deref(), config.as_deref()), key, witness)
            }
            Self::Proof(proof) => return proof.run(),
            Self::Search(search) => return search.run(),
            Self::Subject(subject) => return subject.run(),
            Self::Acts(acts) => return acts.run(),
            Self::Expire(expire) => return expire.run(),
            Self::Export(export) => return export.run(),
        };
        let read = || {
            let witnesses = witness.iter().map(|path| read_witness_key(path));
            let key = key.as_deref().map(read_key).transpose()?;
            anyhow::Ok((source?, key, witnesses.collect::<Result<Vec<_>>>()?))
        };
        let (source, key, witnesses) = match read() {
            Ok(read) => read,
            Err(error) => return Ok(not_verified(&error)),
        };
        Ok(match verify(&source, key.as_ref()) {
            Ok(verified) => {
                report(&verified, "whole");
                match cosigned::report(&source.folder, &witnesses) {
                    Ok(code) => code,
                    Err(error) => not_verified(&error),
                }
            }
            Err(error @ (VerifyError::Unreadable { .. } | VerifyError::NoLedger(_))) => {
                not_verified(&error.into())
            }
            Err(VerifyError::Unread(unread)) => {
                report_unread(&unread);
                ExitCode::from(2)
            }
            Err(error) => {
                eprintln!("not whole: {:#}", anyhow::Error::from(error));
                ExitCode::from(1)
            }
        })
    }
}

/// Reads a ledger again, down to the content of its entries.
pub(super) fn verify(source: &Source, key: Option<&VerifyingKey>) -> Result<Verified, VerifyError> {
    let mut progress = Progress::new("verifying");
    audit::verify(
        source,
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

/// Some entries could not be read: what was proved all the same.
fn report_unread(unread: &Unread) {
    let entries = unread.proved.entries;
    eprintln!("not verified: not all of the {entries} entries could be read");
    for segment in &unread.segments {
        eprintln!("not read: `{}`: {}", segment.file.display(), segment.why);
    }
    eprintln!("their hashes and all other entries lead to the signed root, as follows");
    report(&unread.proved, "hashes whole");
}

fn report(verified: &Verified, word: &str) {
    let Verified { entries, checkpoint_size, segments, bytes, key, .. } = verified;
    say(format_args!("{word}: {entries} entries in {segments} segments, {bytes} bytes read"));
    if verified.sealed_segments > 0 {
        say(format_args!("{} of the segments are sealed", verified.sealed_segments));
    }
    for Removed { segment, first_index, count, recorded } in &verified.removed {
        say(format_args!(
            "removed after their term: {count} entries from {first_index} on with segment \
             {segment}, as entry {recorded} says"
        ));
    }
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
