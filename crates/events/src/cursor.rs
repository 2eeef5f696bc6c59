//! How far a receiver has got, kept from one start to the next.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Longest file that is read as a cursor.
const BYTES_MAX: u64 = 1024;

/// A file with the ledger's name and the index of the next entry, a line each.
#[derive(Debug)]
pub(crate) struct Cursor {
    path: PathBuf,
    origin: String,
    next: u64,
}

impl Cursor {
    /// Reads the cursor; it begins at 0 where there is none, or one of another ledger.
    pub(crate) fn open(path: PathBuf, origin: &str) -> io::Result<Self> {
        let text = match fs::metadata(&path) {
            Ok(metadata) if metadata.len() <= BYTES_MAX => fs::read_to_string(&path)?,
            Ok(_) => return Err(io::Error::other("too long for a cursor")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let mut lines = text.lines();
        let named = lines.next();
        let next = match named {
            None => 0,
            Some(name) if name == origin => {
                let next = lines.next().and_then(|line| line.parse().ok());
                next.ok_or_else(|| io::Error::other("no number in its second line"))?
            }
            Some(other) => {
                tracing::warn!(ledger = origin, found = other, "events begin with a new ledger");
                0
            }
        };
        Ok(Self { path, origin: origin.to_owned(), next })
    }

    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Keeps a new place. After a crash an earlier one may be found: what follows it is told again.
    pub(crate) fn advance(&mut self, next: u64) -> io::Result<()> {
        if next == self.next {
            return Ok(());
        }
        let temporary = self.path.with_added_extension("tmp");
        let mut file = File::create(&temporary)?;
        writeln!(file, "{}\n{next}", self.origin)?;
        // Else the name could outlive the content.
        file.sync_data()?;
        fs::rename(&temporary, &self.path)?;
        self.next = next;
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

    use super::*;

    #[test]
    fn a_cursor_is_found_again_and_belongs_to_its_ledger() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.cursor");
        let mut cursor = Cursor::open(path.clone(), "a.example.vn").unwrap();
        assert_eq!(cursor.next(), 0);
        cursor.advance(41).unwrap();
        assert_eq!(Cursor::open(path.clone(), "a.example.vn").unwrap().next(), 41);
        assert_eq!(Cursor::open(path.clone(), "b.example.vn").unwrap().next(), 0);
        fs::write(&path, "a.example.vn\nmany\n").unwrap();
        assert!(Cursor::open(path, "a.example.vn").is_err());
    }
}
