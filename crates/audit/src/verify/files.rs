//! The files of a ledger that is verified.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::VerifyError;
use crate::folder::{self, Listing};
use crate::source::{Place, Source};

pub(super) fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> VerifyError + '_ {
    move |source| VerifyError::Unreadable { path: path.to_owned(), source }
}

/// As [`unreadable`], for a file that must be there.
pub(super) fn missing(path: &Path) -> impl FnOnce(io::Error) -> VerifyError + '_ {
    move |source| match source.kind() {
        io::ErrorKind::NotFound => VerifyError::Missing(path.to_owned()),
        _ => VerifyError::Unreadable { path: path.to_owned(), source },
    }
}

/// Whether another process holds the ledger's lock.
pub(super) fn is_live(dir: &Path) -> bool {
    let lock = File::open(dir.join(folder::LOCK));
    lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(fs::TryLockError::WouldBlock)))
}

pub(super) fn total_bytes(source: &Source, listing: &Listing) -> Result<u64, VerifyError> {
    let length = |number| match source.place(number)? {
        Some(Place::Raw(path)) => match fs::metadata(&path) {
            Ok(found) => Ok(found.len()),
            // Sealed meanwhile: only progress is counted with this.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(source) => Err(VerifyError::Unreadable { path, source }),
        },
        Some(Place::Sealed { closed, .. } | Place::Away(closed) | Place::Gone(closed)) => {
            Ok(closed.file_bytes)
        }
        None => Ok(0),
    };
    listing.numbers().into_iter().map(length).sum()
}
