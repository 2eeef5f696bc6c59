//! An index on disk: opened if it belongs to the ledger, made anew if not.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use audit::{Reader, Source};
use rusqlite::Connection;

use crate::SearchError;
use crate::fill::Filler;
use crate::holes;
use crate::schema::{self, Cursor};

const FILE: &str = "index.sqlite";
/// What the database keeps beside its file.
const BESIDE: [&str; 3] = ["", "-wal", "-shm"];
const LOCK: &str = "index.lock";
/// Tells one run of the machine from another.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The file of the index in a folder.
pub(crate) fn file(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

/// An index that is being filled. One process at a time has it.
#[derive(Debug)]
pub struct Index {
    folder: PathBuf,
    ledger: Source,
    connection: Connection,
    cursor: Cursor,
    filler: Filler,
    _lock: File,
}

impl Index {
    /// Opens the index of the ledger in `ledger`, in a folder of its own that is made if absent. An
    /// index that belongs to another ledger, is of another version, may have lost something to a
    /// crash of the machine, or passed over entries that are to be had now, is made anew.
    ///
    /// # Errors
    ///
    /// Fails if a folder cannot be used or another process fills the index.
    pub fn open(folder: &Path, ledger: impl Into<Source>) -> Result<Self, SearchError> {
        let ledger = ledger.into();
        let unusable = |source| SearchError::Folder { path: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(unusable)?;
        let lock = lock(folder)?;
        let opened = match file(folder).exists() {
            true => existing(folder, &ledger).map_err(|error| match error {
                // Only what a new index would not cure.
                SearchError::Ledger(_) | SearchError::Folder { .. } => Err(error),
                other => Ok(other.to_string()),
            }),
            false => Err(Ok("there is none yet".to_owned())),
        };
        let (connection, cursor) = match opened {
            Ok(opened) => opened,
            Err(Err(error)) => return Err(error),
            Err(Ok(why)) => {
                tracing::info!(why, "the index is made anew");
                anew(folder)?
            }
        };
        schema::put_boot(&connection, &boot())?;
        let filler = Filler::new(Reader::new(&ledger));
        let folder = folder.to_owned();
        Ok(Self { folder, ledger, connection, cursor, filler, _lock: lock })
    }

    /// Entries of the ledger that are in the index.
    pub fn size(&self) -> u64 {
        self.cursor.size
    }

    /// Takes in the next entries, some ten thousand at most, of the first `durable` ones of the
    /// ledger. False if there was none.
    ///
    /// # Errors
    ///
    /// Fails if ledger or index cannot be used; the index then is as it was before.
    pub fn advance(&mut self, durable: u64) -> Result<bool, SearchError> {
        match self.filler.fill(&mut self.connection, &self.cursor, durable)? {
            Some(cursor) => {
                self.cursor = cursor;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// Throws the index away and begins anew.
    ///
    /// # Errors
    ///
    /// Fails if the folder cannot be used.
    pub fn rebuild(&mut self) -> Result<(), SearchError> {
        (self.connection, self.cursor) = anew(&self.folder)?;
        self.filler = Filler::new(Reader::new(&self.ledger));
        schema::put_boot(&self.connection, &boot())
    }

    /// Writes everything to disk, so that the index is believed after a crash of the machine.
    ///
    /// # Errors
    ///
    /// Fails if the disk takes it not; the index is made anew then.
    pub fn close(self) -> Result<(), SearchError> {
        self.settle()?;
        schema::put_boot(&self.connection, "")?;
        self.settle()
    }

    /// Carries the write-ahead log over into the index, and syncs that.
    fn settle(&self) -> Result<(), SearchError> {
        let unusable = |source| SearchError::Folder { path: self.folder.clone(), source };
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        File::open(file(&self.folder)).and_then(|file| file.sync_all()).map_err(unusable)
    }
}

fn lock(folder: &Path) -> Result<File, SearchError> {
    let path = folder.join(LOCK);
    let unusable = |source| SearchError::Folder { path: path.clone(), source };
    let file = File::options().write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(SearchError::Locked(folder.to_owned())),
        Err(fs::TryLockError::Error(source)) => Err(unusable(source)),
    }
}

/// An index without entries, in the place of whatever there is.
fn anew(folder: &Path) -> Result<(Connection, Cursor), SearchError> {
    for suffix in BESIDE {
        let path = folder.join(format!("{FILE}{suffix}"));
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(SearchError::Folder { path, source });
            }
            _ => {}
        }
    }
    let mut connection = Connection::open(file(folder))?;
    schema::prepare(&connection)?;
    schema::create(&mut connection)?;
    Ok((connection, Cursor::default()))
}

/// The index that there is, if it can be believed.
fn existing(folder: &Path, ledger: &Source) -> Result<(Connection, Cursor), SearchError> {
    let damaged = |why: &str| SearchError::Damaged(why.to_owned());
    let connection = Connection::open(file(folder))?;
    schema::prepare(&connection)?;
    if schema::version(&connection)? != schema::VERSION {
        return Err(damaged("it is of another version"));
    }
    let opened = schema::boot(&connection)?;
    if !opened.is_empty() && opened != boot() {
        return Err(damaged("the machine stopped while it was open"));
    }
    let cursor = schema::cursor(&connection)?;
    let mut reader = Reader::new(ledger);
    if !belongs(&cursor, &mut reader)? {
        return Err(damaged("it belongs to another ledger"));
    }
    for hole in holes::all(&connection)? {
        // A hole that stays one, or whose entries were removed meanwhile, is no reason.
        if reader.frame(hole.first).is_ok_and(|held| held.is_some()) {
            return Err(damaged("entries that it passed over are to be had now"));
        }
    }
    Ok((connection, cursor))
}

/// Whether the ledger has the name and, over as many entries, the root hash of the index.
fn belongs(cursor: &Cursor, reader: &mut Reader) -> Result<bool, SearchError> {
    if cursor.size == 0 {
        return Ok(true);
    }
    let origin = reader.origin()?.map(|origin| origin.to_string());
    let root_hash = match reader.root_hash(cursor.size) {
        Err(error) if error.is_gone() => None,
        found => found?,
    };
    Ok(root_hash.is_some_and(|root| root.as_slice() == cursor.root_hash)
        && origin.as_ref() == Some(&cursor.origin))
}

/// The run of the machine; never the same twice where it is not known.
fn boot() -> String {
    match fs::read_to_string(BOOT_ID) {
        Ok(id) => id.trim().to_owned(),
        Err(_) => format!("{:?}", std::time::SystemTime::now()),
    }
}
