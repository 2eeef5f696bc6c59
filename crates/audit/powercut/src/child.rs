//! The process that runs a ledger under load and reports each entry that it called durable.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use audit::{Archive, Keys, Log, Options, SEGMENT_BYTES_MIN, Sealing};
use tlog::{Origin, Signer, tree};

use crate::random::Random;

/// The ledger's key: one for all rounds.
const PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n\
    -----END PRIVATE KEY-----\n";
/// Seals segments.
const SEALING_KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const CALLERS: u64 = 8;
/// Bytes appended by one process at most, so that the disk does not fill up.
const BYTES_MAX: u64 = 2 << 20;
/// Often, so that cuts fall into checkpoints too.
const CHECKPOINT_INTERVAL: Duration = Duration::from_millis(10);
/// One entry in so many is long.
const LONG_EVERY: u64 = 40;
const LONG_BYTES_MAX: u64 = 60_000;
const USUAL_BYTES_MAX: u64 = 600;

/// What is wrong with the ledger on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    No,
    /// Entries are called durable before they are.
    Early,
    /// Syncs do nothing.
    Unsynced,
}

impl Broken {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Early => "early",
            Self::Unsynced => "unsynced",
        }
    }
}

impl FromStr for Broken {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let all = [Self::No, Self::Early, Self::Unsynced];
        all.into_iter().find(|broken| broken.name() == text).with_context(|| {
            format!("a ledger can be broken `no`, `early` or `unsynced`, not `{text}`")
        })
    }
}

/// What the process says: short enough to go through a pipe in one piece.
#[derive(Clone, Debug)]
pub(crate) enum Record {
    /// The ledger is open, with so many entries.
    Opened(u64),
    /// The entry at this index, with this leaf hash, was called durable.
    Durable(u64, tree::Hash),
    /// All is appended, or the ledger has failed.
    Done,
}

pub(crate) const RECORD_BYTES: usize = 41;

impl Record {
    fn encode(&self) -> Vec<u8> {
        let (kind, number, hash) = match self {
            Self::Opened(entries) => (b'O', entries, &[0; 32]),
            Self::Durable(index, hash) => (b'D', index, hash),
            Self::Done => (b'E', &0, &[0; 32]),
        };
        [[kind].as_slice(), &number.to_le_bytes(), hash].concat()
    }

    pub(crate) fn decode(record: &[u8; RECORD_BYTES]) -> Result<Self> {
        let [kind, rest @ ..] = record;
        let (number, hash) = rest.split_first_chunk().context("no number")?;
        let number = u64::from_le_bytes(*number);
        match kind {
            b'O' => Ok(Self::Opened(number)),
            b'E' => Ok(Self::Done),
            b'D' => Ok(Self::Durable(number, hash.try_into()?)),
            _ => bail!("unknown record `{kind}`"),
        }
    }
}

/// What becomes of full segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// They stay as they are.
    Raw,
    /// They are compressed and encrypted.
    Sealed,
    /// And moved to another folder at once.
    Archived,
}

impl Keeping {
    pub(crate) const ALL: [Self; 3] = [Self::Raw, Self::Sealed, Self::Archived];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Sealed => "sealed",
            Self::Archived => "archived",
        }
    }

    fn from_name(text: &str) -> Result<Self> {
        let keeping = Self::ALL.into_iter().find(|keeping| keeping.name() == text);
        keeping.with_context(|| format!("unknown way to keep segments `{text}`"))
    }
}

/// How the ledger is opened, here and when it is checked.
pub(crate) fn options(folder: PathBuf, keeping: Keeping) -> Result<Options> {
    let origin: Origin = "ledger.example.vn".parse()?;
    let signer = Signer::from_pkcs8_pem(PEM, origin.clone())?;
    let mut options = Options::new(folder, origin, Arc::new(signer));
    options.segment_bytes = SEGMENT_BYTES_MIN;
    options.checkpoint_interval = CHECKPOINT_INTERVAL;
    if keeping != Keeping::Raw {
        let mut keys = Keys::default();
        keys.add("one", SEALING_KEY)?;
        let mut sealing = Sealing::new(keys, Some("one".to_owned()));
        sealing.retry_pause = CHECKPOINT_INTERVAL;
        options.sealing = Some(sealing);
    }
    if keeping == Keeping::Archived {
        let folder = options.directory.with_file_name("archive");
        fs::create_dir_all(&folder)?;
        options.archive = Some(Archive { folder, after: Duration::ZERO });
    }
    Ok(options)
}

/// Runs a ledger in the folder given until it fails or the input ends.
pub(crate) fn run(arguments: &mut impl Iterator<Item = String>) -> Result<()> {
    let mut next = || arguments.next().context("`child` needs FOLDER SEED BROKEN KEEPING");
    let (folder, seed, broken) = (PathBuf::from(next()?), next()?.parse()?, next()?.parse()?);
    let keeping = Keeping::from_name(&next()?)?;
    thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let (log, recovered) = Log::open(options(folder, keeping)?)?;
    let mut output = output()?;
    output.write_all(&Record::Opened(recovered.entries).encode())?;
    let mut random = Random::new(seed);
    thread::scope(|scope| {
        for _ in 0..CALLERS {
            let (log, own) = (&log, Random::new(random.next()));
            scope.spawn(move || call(log, own, broken));
        }
    });
    output.write_all(&Record::Done.encode())?;
    // Rest until the power goes.
    loop {
        thread::park();
    }
}

fn output() -> Result<File> {
    // Not through the standard library's buffer: a record goes out whole or not at all.
    Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?))
}

fn call(log: &Log, mut random: Random, broken: Broken) -> Result<()> {
    let mut output = output()?;
    let mut left = BYTES_MAX / CALLERS;
    loop {
        let bytes = match random.below(LONG_EVERY) {
            0 => random.below(LONG_BYTES_MAX),
            _ => random.below(USUAL_BYTES_MAX),
        };
        let Some(rest) = left.checked_sub(bytes) else { return Ok(()) };
        left = rest;
        let mut entry = random.next().to_le_bytes().to_vec();
        entry.resize(8 + bytes as usize, random.next() as u8);
        let hash = tree::leaf_hash(&entry);
        let ticket = log.append(&entry)?;
        if broken == Broken::Early {
            output.write_all(&Record::Durable(ticket.index(), hash).encode())?;
        }
        let durable = ticket.wait()?;
        if broken != Broken::Early {
            output.write_all(&Record::Durable(durable.index(), hash).encode())?;
        }
    }
}
