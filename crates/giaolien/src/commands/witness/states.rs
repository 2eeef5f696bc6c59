//! What a witness cosigned last, a file for each ledger.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use tlog::witness::States;
use tlog::{Checkpoint, Head, Origin};

/// Locked by the process that uses the folder; empty.
const LOCK: &str = "lock";
/// Longest file that is read as a state: the text of a checkpoint.
const BYTES_MAX: u64 = 1024;

/// A folder of states; one process uses it at a time.
#[derive(Debug)]
pub(super) struct StateFolder {
    folder: PathBuf,
    /// Held from looking at a state to replacing it.
    turn: Mutex<()>,
    _lock: File,
}

impl StateFolder {
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let shown = folder.display();
        fs::create_dir_all(folder).with_context(|| format!("make `{shown}`"))?;
        let lock = File::create(folder.join(LOCK)).with_context(|| format!("lock `{shown}`"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => bail!("`{shown}` is used by another witness"),
            Err(fs::TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("lock `{shown}`"));
            }
        }
        Ok(Self { folder: folder.to_owned(), turn: Mutex::new(()), _lock: lock })
    }

    /// Names hold what files cannot be called, so a digest stands for them.
    fn path(&self, origin: &Origin) -> PathBuf {
        let digest = Sha256::digest(origin.as_str());
        let mut name = String::new();
        for byte in digest {
            // Writing to a string never fails.
            let _ = write!(name, "{byte:02x}");
        }
        self.folder.join(name)
    }

    fn read(&self, origin: &Origin) -> io::Result<Option<Head>> {
        let path = self.path(origin);
        let wrong = |what: &str| io::Error::other(format!("`{}` {what}", path.display()));
        match fs::metadata(&path) {
            Ok(metadata) if metadata.len() <= BYTES_MAX => {}
            Ok(_) => return Err(wrong("is too long")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        }
        let text = fs::read_to_string(&path)?;
        let kept: Checkpoint = text.parse().map_err(|_| wrong("is not a checkpoint's text"))?;
        match kept.origin == *origin {
            true => Ok(Some(Head { size: kept.size, root_hash: kept.root_hash })),
            false => Err(wrong("is of another ledger")),
        }
    }

    fn write(&self, origin: &Origin, head: &Head) -> io::Result<()> {
        let path = self.path(origin);
        let temporary = path.with_added_extension("tmp");
        let Head { size, root_hash } = *head;
        let text = Checkpoint { origin: origin.clone(), size, root_hash }.to_string();
        let mut file = File::create(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        File::open(&self.folder)?.sync_all()
    }
}

impl States for StateFolder {
    type Error = io::Error;

    fn load(&self, origin: &Origin) -> io::Result<Option<Head>> {
        self.read(origin)
    }

    fn replace(&self, origin: &Origin, old: Option<&Head>, new: &Head) -> io::Result<bool> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if self.read(origin)?.as_ref() != old {
            return Ok(false);
        }
        self.write(origin, new)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_replaced_only_by_who_knows_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let states = StateFolder::open(folder.path()).unwrap();
        let origin: Origin = "ledger.example.vn/a".parse().unwrap();
        let other: Origin = "ledger.example.vn/b".parse().unwrap();
        let heads = [1, 2, 3].map(|size| Head { size, root_hash: [size as u8; 32] });
        assert!(states.replace(&origin, None, &heads[0]).unwrap());
        assert!(!states.replace(&origin, None, &heads[1]).unwrap());
        assert!(states.replace(&origin, Some(&heads[0]), &heads[1]).unwrap());
        assert!(!states.replace(&origin, Some(&heads[0]), &heads[2]).unwrap());
        assert_eq!(states.load(&other).unwrap(), None);
        assert!(StateFolder::open(folder.path()).is_err());
        drop(states);
        let states = StateFolder::open(folder.path()).unwrap();
        assert_eq!(states.load(&origin).unwrap(), Some(heads[1]));
        fs::write(states.path(&other), "ledger.example.vn/a\n1\nAAAA\n").unwrap();
        assert!(states.load(&other).is_err());
    }
}
