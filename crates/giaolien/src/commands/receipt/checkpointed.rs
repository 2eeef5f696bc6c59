//! A receipt held against a checkpoint: of a ledger that is published, or in a proof file.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use model::{Receipt, Timestamp};
use publish::{Client, FetchError};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tlog::bundle::{BUNDLE_BYTES_MAX, Bundle, BundleError, Policy, Proven};
use tlog::note::NOTE_BYTES_MAX;
use tlog::proof::{self, ProofError};
use tlog::tile::{Reader, TILE_BYTES};
use tlog::{Checkpoint, Head, Note, Prefix, VerifyingKey, WitnessKey, tree};

use super::{read_bounded, read_witness_key};
use crate::commands::admin::runtime;

/// Longest file of certificates that is read, in bytes.
const PEM_BYTES_MAX: usize = 1 << 20;

/// What a receipt is held against, beyond the signature that it bears.
#[derive(Debug, Args)]
pub(crate) struct Against {
    /// A proof file (C2SP tlog-proof) for the same entry, as `giaolien audit proof` writes it.
    #[arg(long, value_name = "FILE", conflicts_with = "ledger")]
    proof: Option<PathBuf>,
    /// Where the ledger is published: its newest checkpoint and the tiles needed are fetched.
    #[arg(long, value_name = "URL")]
    ledger: Option<Prefix>,
    /// An authority that vouches for the certificate of an https URL; may be given more than once.
    #[arg(long, value_name = "FILE", requires = "ledger")]
    authority: Vec<PathBuf>,
    /// The public key of a witness that must have cosigned the checkpoint; may be given more than
    /// once.
    #[arg(long, value_name = "FILE")]
    witness: Vec<PathBuf>,
}

/// What came of it. That nothing could be found out is an error of its own.
pub(super) enum Finding {
    /// The entry stands in the tree: lines that say in which.
    Shown(Vec<String>),
    /// What was given does not show it.
    NotShown(String),
    /// Two statements of the ledger contradict one another.
    Tampered(String),
    /// Nothing was asked for.
    NotAsked,
}

/// Keys that are trusted.
pub(super) struct Trusted<'a> {
    pub(super) keys: &'a [VerifyingKey],
    pub(super) witnesses: Vec<WitnessKey>,
}

impl Against {
    /// Whether only the receipt's own signature is to be looked at.
    pub(super) fn is_empty(&self) -> bool {
        self.proof.is_none() && self.ledger.is_none()
    }

    /// The keys of the witnesses.
    pub(super) fn witnesses(&self) -> Result<Vec<WitnessKey>> {
        self.witness.iter().map(|path| read_witness_key(path)).collect()
    }

    /// Holds a receipt, whose signature is valid, against what was given.
    ///
    /// # Errors
    ///
    /// Fails if nothing could be found out: a file cannot be read, the ledger cannot be reached, or
    /// its checkpoint does not reach to the entry yet.
    pub(super) fn check(&self, receipt: &Receipt, trusted: &Trusted<'_>) -> Result<Finding> {
        match (&self.proof, &self.ledger) {
            (Some(path), _) => in_proof(receipt, &read_bundle(path)?, trusted),
            (None, Some(prefix)) => {
                let authorities = self.authority.iter().map(|path| read_authorities(path));
                let authorities = authorities.collect::<Result<Vec<_>>>()?;
                let client = Client::new(prefix.clone(), &authorities.concat())?;
                in_published(receipt, &client, trusted)
            }
            (None, None) if !self.witness.is_empty() => {
                bail!("found --witness alone, expected --proof or --ledger beside it")
            }
            (None, None) => Ok(Finding::NotAsked),
        }
    }
}

/// The certificates in a file, in DER.
fn read_authorities(path: &Path) -> Result<Vec<Vec<u8>>> {
    let (bytes, shown) = (read_bounded(path, PEM_BYTES_MAX)?, path.display());
    let certificates = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.with_context(|| format!("certificates in `{shown}`"))?;
    ensure!(!certificates.is_empty(), "found no certificate in `{shown}`, expected PEM");
    Ok(certificates.iter().map(|certificate| certificate.to_vec()).collect())
}

fn read_bundle(path: &Path) -> Result<Bundle> {
    let text = String::from_utf8(read_bounded(path, BUNDLE_BYTES_MAX)?);
    let shown = path.display();
    let text = text.with_context(|| format!("proof `{shown}` is no text"))?;
    text.parse().with_context(|| format!("proof `{shown}`"))
}

/// Checks a proof file that holds its entry itself.
pub(super) fn alone(bundle: &Bundle, trusted: &Trusted<'_>) -> Result<Proven, String> {
    let entry = bundle.extra.as_deref().ok_or("the proof holds no entry, give its receipt, too")?;
    bundle.verify(entry, &policy(trusted)).map_err(|error| error.to_string())
}

/// All witnesses that are named must have cosigned.
fn policy(trusted: &Trusted<'_>) -> Policy {
    let Trusted { keys, witnesses } = trusted;
    Policy { log: keys.to_vec(), witnesses: witnesses.clone(), quorum: witnesses.len() }
}

/// What a proof shows, in lines.
pub(super) fn lines(proven: &Proven) -> Vec<String> {
    let Proven { size, signed_by, cosigned, .. } = proven;
    let checkpoint = format!("in the tree of {size} entries, checkpoint signed by {signed_by}");
    let cosigned = cosigned
        .iter()
        .map(|(witness, time)| format!("cosigned by {witness} at {}", Timestamp::from_secs(*time)));
    std::iter::once(checkpoint).chain(cosigned).collect()
}

fn in_proof(receipt: &Receipt, bundle: &Bundle, trusted: &Trusted<'_>) -> Result<Finding> {
    let Receipt { index, entry, .. } = receipt;
    if bundle.index != *index {
        let of = bundle.index;
        let why = format!("the proof is of entry {of}, the receipt of entry {index}");
        return Ok(Finding::NotShown(why));
    }
    let policy = policy(trusted);
    Ok(match bundle.verify(entry, &policy) {
        Ok(proven) if proven.size == receipt.tree_size && proven.root_hash != receipt.root_hash => {
            Finding::Tampered(contradiction(
                format!("other entries among the first {}", proven.size),
                &bundle.checkpoint,
            ))
        }
        Ok(proven) => Finding::Shown(lines(&proven)),
        Err(BundleError::Path { .. }) => match &bundle.extra {
            // A path is not signed; only one that leads to the root from another entry says
            // something about the ledger.
            Some(other) if other != entry && bundle.verify(other, &policy).is_ok() => {
                let what = format!("another entry at index {index}");
                Finding::Tampered(contradiction(&what, &bundle.checkpoint))
            }
            _ => Finding::NotShown("the proof does not lead from the entry to its tree".to_owned()),
        },
        Err(error) => Finding::NotShown(format!("proof: {error}")),
    })
}

fn in_published(receipt: &Receipt, client: &Client, trusted: &Trusted<'_>) -> Result<Finding> {
    let runtime = runtime()?;
    let text = runtime.block_on(client.get("checkpoint", NOTE_BYTES_MAX))?;
    let note: Note = std::str::from_utf8(&text).context("the checkpoint is no text")?.parse()?;
    let checkpoint: Checkpoint = note.text().parse().context("the published checkpoint")?;
    let signers = note.signers(trusted.keys).context(
        "the published checkpoint is not signed with a key given; a ledger that went over to \
         another key needs --key for both",
    )?;
    let signed_by = signers.into_iter().find(|key| *key.origin() == checkpoint.origin);
    let signed_by = signed_by.context("the published checkpoint is of another ledger")?;
    let mut cosigned = Vec::new();
    for witness in &trusted.witnesses {
        match witness.verify(&note) {
            Ok(time) => cosigned.push((witness.clone(), time)),
            Err(error) => {
                let name = witness.name();
                return Ok(Finding::NotShown(format!("not witnessed by {name}: {error}")));
            }
        }
    }
    let Checkpoint { origin, size, root_hash } = checkpoint;
    let Receipt { index, .. } = *receipt;
    if size <= index {
        bail!("the published checkpoint covers {size} entries, not yet entry {index}; try later");
    }
    let head = Head { size, root_hash };
    let fetch = |path: &str| runtime.block_on(tile(client, path));
    let mut tiles = Reader::new(head, fetch);
    if let Some(what) = contradicts(receipt, &head, &mut tiles)? {
        return Ok(Finding::Tampered(contradiction(&what, &note)));
    }
    let signed_by = signed_by.clone();
    let mut shown = lines(&Proven { origin, index, size, root_hash, signed_by, cosigned });
    if receipt.tree_size > size {
        let beyond = receipt.tree_size;
        shown.push(format!("the receipt's own tree of {beyond} entries is not published yet"));
    }
    Ok(Finding::Shown(shown))
}

/// What in the tree is not as the receipt says.
fn contradicts<F>(receipt: &Receipt, head: &Head, tiles: &mut Reader<F>) -> Result<Option<String>>
where
    F: FnMut(&str) -> Result<Vec<u8>, FetchError>,
{
    let Receipt { index, tree_size, root_hash, .. } = *receipt;
    let leaf = tree::leaf_hash(&receipt.entry);
    let path = proof::inclusion(tiles, index, head.size).map_err(no_tile)?;
    if proof::verify_inclusion(&leaf, index, head, &path).is_err() {
        return Ok(Some(format!("another entry at index {index}")));
    }
    if tree_size <= head.size {
        let old = Head { size: tree_size, root_hash };
        let path = proof::consistency(tiles, tree_size, head.size).map_err(no_tile)?;
        if proof::verify_consistency(&old, head, &path).is_err() {
            return Ok(Some(format!("other entries among the first {tree_size}")));
        }
    }
    Ok(None)
}

/// Nothing signed was contradicted if tiles are missing or wrong: whoever gives them out did not
/// sign them.
fn no_tile<E: std::error::Error + Send + Sync + 'static>(error: ProofError<E>) -> anyhow::Error {
    anyhow::Error::from(error).context("the published tiles cannot be used")
}

/// A tile; the full one where a partial one is not kept any more.
async fn tile(client: &Client, path: &str) -> Result<Vec<u8>, FetchError> {
    let found = match (client.get(path, TILE_BYTES).await, path.split_once(".p/")) {
        (Err(FetchError::Status { .. }), Some((full, _))) => client.get(full, TILE_BYTES).await,
        (found, _) => found,
    };
    found.map(Vec::from)
}

fn contradiction(what: impl fmt::Display, checkpoint: &Note) -> String {
    format!(
        "the ledger signed the receipt, and it signed a checkpoint over a tree with {what}\n\
         keep the receipt and this checkpoint, together they prove it:\n\n{checkpoint}"
    )
}
