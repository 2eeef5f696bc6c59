//! Moving sealed segments to the archive, and removing entries after their term. What stays in
//! the ledger's folder is the segment without its blocks: enough to follow the tree past it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use model::Timestamp;
use thiserror::Error;
use tlog::tree::Hash;

use crate::closed::{Closed, ClosedError};
use crate::disk::{Disk, Step};
use crate::folder;
use crate::keep::Archive;
use crate::log::Log;
use crate::queue::AppendError;
use crate::read::records;
use crate::seal::SealError;
use crate::sealed::Form;
use crate::source::{Place, Source};
use crate::ticket::LedgerError;

/// Bytes copied with one call.
const CHUNK_BYTES: usize = 1 << 20;
/// Where a closed segment's header says which entry records its removal.
const RECORDED_OFFSET: u64 = 152;

/// Moves a segment to the archive if it is sealed and old enough; whether it did.
pub(crate) fn archive(
    disk: &dyn Disk,
    folder: &Path,
    archive: &Archive,
    number: u64,
    now: Timestamp,
) -> Result<bool, SealError> {
    let path = folder::sealed_path(folder, number);
    if !path.exists() {
        return Ok(false);
    }
    let closed = Closed::open(&path, number)?;
    if closed.header.latest.after(archive.after) > now {
        return Ok(false);
    }
    let copy = folder::sealed_path(&archive.folder, number);
    copy_to(disk, &path, &archive.folder, &copy)?;
    // If we stop here the copy is durable and nothing speaks of it: it is found and used.
    let stub = folder::archived_path(folder, number);
    write_stub(disk, folder, &stub, &closed.stub(Form::Archived))?;
    // If we stop here the copy counts, and `tidy` removes what it was copied from.
    disk.remove(Step::Archive, &path).map_err(SealError::io("remove", &path))?;
    Ok(true)
}

/// Makes a durable copy under its final name, and reads it back.
fn copy_to(disk: &dyn Disk, from: &Path, folder: &Path, to: &Path) -> Result<(), SealError> {
    let expected = file_digest(from).map_err(SealError::io("read", from))?;
    if to.exists() {
        // From an attempt before, or another ledger's.
        let found = file_digest(to).map_err(SealError::io("read", to))?;
        let other = || {
            io::Error::other(
                "another file of this name is there, give this ledger an archive of its own",
            )
        };
        if found != expected {
            return Err(SealError::io("archive to", to)(other()));
        }
        return disk.sync_folder(Step::Archive, folder).map_err(SealError::io("sync", folder));
    }
    let temporary = folder::temporary_path(to);
    let copied = copy_chunks(disk, from, &temporary)
        .map_err(SealError::io("copy to", &temporary))
        .and_then(|()| match file_digest(&temporary) {
            Ok(found) if found == expected => Ok(()),
            Ok(_) => Err(SealError::Differs(temporary.clone())),
            Err(error) => Err(SealError::io("read", &temporary)(error)),
        });
    copied.inspect_err(|_| {
        let _ = std::fs::remove_file(&temporary);
    })?;
    disk.rename(Step::Archive, &temporary, to).map_err(SealError::io("rename", &temporary))?;
    disk.sync_folder(Step::Archive, folder).map_err(SealError::io("sync", folder))
}

fn copy_chunks(disk: &dyn Disk, from: &Path, to: &Path) -> io::Result<()> {
    let mut source = File::open(from)?;
    let file = File::options().write(true).create(true).truncate(true).open(to)?;
    let mut chunk = Vec::with_capacity(CHUNK_BYTES);
    let mut offset = 0;
    loop {
        chunk.clear();
        source.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut chunk)?;
        if chunk.is_empty() {
            return disk.sync(Step::Archive, &file);
        }
        disk.write_at(Step::Archive, &file, &chunk, offset)?;
        offset += chunk.len() as u64;
    }
}

fn file_digest(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut context = Context::new(&SHA256);
    let mut chunk = Vec::with_capacity(CHUNK_BYTES);
    loop {
        chunk.clear();
        file.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut chunk)?;
        if chunk.is_empty() {
            return Ok(context.finish().as_ref().to_vec());
        }
        context.update(&chunk);
    }
}

/// Puts what stays of a segment into the ledger's folder, whole or not at all.
fn write_stub(disk: &dyn Disk, folder: &Path, to: &Path, bytes: &[u8]) -> Result<(), SealError> {
    let temporary = folder::temporary_path(to);
    let write = || {
        let file = File::options().write(true).create(true).truncate(true).open(&temporary)?;
        disk.write_at(Step::Stub, &file, bytes, 0)?;
        disk.sync(Step::Stub, &file)
    };
    write().map_err(SealError::io("write", &temporary))?;
    disk.rename(Step::Stub, &temporary, to).map_err(SealError::io("rename", &temporary))?;
    disk.sync_folder(Step::Stub, folder).map_err(SealError::io("sync", folder))
}

/// Takes away the older forms of a closed segment, once the later one is sure to stay.
pub(crate) fn tidy(disk: &dyn Disk, source: &Source, number: u64) -> Result<(), SealError> {
    let folder = &source.folder;
    let [sealed, archived, gone] = [
        folder::sealed_path(folder, number),
        folder::archived_path(folder, number),
        folder::gone_path(folder, number),
    ];
    let copies = source.archives.iter().map(|archive| folder::sealed_path(archive, number));
    let copies: Vec<_> = copies.filter(|copy| copy.exists()).collect();
    if gone.exists() {
        let mut superseded = copies;
        superseded.extend([sealed, archived].into_iter().filter(|path| path.exists()));
        if !superseded.is_empty() {
            check_recorded(source, &Closed::open(&gone, number)?)?;
        }
        return remove_all(disk, Step::Expire, folder, &superseded);
    }
    if !archived.exists() || !sealed.exists() {
        return Ok(());
    }
    let expected = file_digest(&sealed).map_err(SealError::io("read", &sealed))?;
    match copies.iter().any(|copy| file_digest(copy).is_ok_and(|found| found == expected)) {
        true => remove_all(disk, Step::Archive, folder, &[sealed]),
        // It is archived again.
        false => Ok(()),
    }
}

/// INVARIANT: nothing is removed on the word of a stub alone: the ledger has an entry for it.
fn check_recorded(source: &Source, gone: &Closed) -> Result<(), SealError> {
    let damaged = |what: &str| SealError::Damaged {
        path: gone.path.clone(),
        offset: RECORDED_OFFSET,
        what: what.to_owned(),
    };
    let Form::Gone { recorded } = gone.header.form else {
        return Err(damaged("form does not match the file's name"));
    };
    let record = records(source, recorded).ok().and_then(|mut records| records.next());
    match record {
        Some(Ok(record))
            if record.index == recorded && holds(&record.entry, &gone.header.root_hash) =>
        {
            Ok(())
        }
        _ => Err(damaged("there is no entry that records this removal")),
    }
}

fn remove_all(
    disk: &dyn Disk,
    step: Step,
    folder: &Path,
    superseded: &[PathBuf],
) -> Result<(), SealError> {
    if !superseded.is_empty() {
        // The later form's name was perhaps not durable when the process ended.
        disk.sync_folder(step, folder).map_err(SealError::io("sync", folder))?;
    }
    for path in superseded {
        match disk.remove(step, path) {
            // Two threads may tidy at once.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed.map_err(SealError::io("remove", path))?,
        }
    }
    Ok(())
}

/// A segment whose entries may be removed, and was not held back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expired {
    /// Number of the segment.
    pub segment: u64,
    /// Index of its first entry.
    pub first_index: u64,
    /// How many entries it has.
    pub count: u64,
    /// Root hash of the tree after its last entry.
    pub root_hash: Hash,
    /// When its last entry was written.
    pub latest: Timestamp,
    /// Until when it had to be kept.
    pub keep_until: Timestamp,
}

/// Why entries were not removed.
#[derive(Debug, Error)]
pub enum RemoveError {
    /// The entry that is to record the removal does not hold the segment's root hash.
    #[error("the entry that records the removal of segment {0} does not hold its root hash")]
    Record(u64),
    /// The entry that is to record the removal was not taken.
    #[error("the removal could not be recorded")]
    Append(#[from] AppendError),
    /// The entry that is to record the removal did not become durable.
    #[error("the removal could not be recorded")]
    Ledger(#[from] LedgerError),
    /// A file could not be read, written or removed.
    #[error("removal did not end: {0}")]
    Files(Arc<str>),
}

impl From<SealError> for RemoveError {
    fn from(error: SealError) -> Self {
        Self::Files(error.to_string().into())
    }
}

impl From<ClosedError> for RemoveError {
    fn from(error: ClosedError) -> Self {
        SealError::from(error).into()
    }
}

impl Log {
    /// Archived segments whose term is over at the time of the ledger's clock, oldest first.
    pub fn expired(&self) -> Result<Vec<Expired>, RemoveError> {
        let site = self.site();
        let now = site.clock.now();
        let listing = folder::list(&site.source.folder)
            .map_err(SealError::io("list", &site.source.folder))?;
        let mut expired = Vec::new();
        for number in listing.closed {
            if folder::gone_path(&site.source.folder, number).exists() {
                continue;
            }
            let stub = folder::archived_path(&site.source.folder, number);
            if !stub.exists() {
                continue;
            }
            let header = Closed::open(&stub, number)?.header;
            if header.keep_until < now {
                expired.push(Expired {
                    segment: number,
                    first_index: header.first_index,
                    count: header.count,
                    root_hash: header.root_hash,
                    latest: header.latest,
                    keep_until: header.keep_until,
                });
            }
        }
        Ok(expired)
    }

    /// Removes the entries of an expired segment, after the entry `record` has become durable,
    /// which says who did so and why. It must hold the 32 bytes of the segment's root hash, so
    /// that nobody can later point to an entry that says something else.
    ///
    /// Returns the index of that entry. The segment's hashes stay, so that the rest verifies.
    /// If it fails after the entry was written, do it again: a second entry is as true.
    pub fn remove_expired(&self, expired: &Expired, record: &[u8]) -> Result<u64, RemoveError> {
        let number = expired.segment;
        if !holds(record, &expired.root_hash) {
            return Err(RemoveError::Record(number));
        }
        let site = self.site();
        let _one_at_a_time = site.removing.lock();
        if !self.expired()?.contains(expired) {
            return Err(RemoveError::Files(
                format!("segment {number} is not archived, or its term is not over").into(),
            ));
        }
        let stub = self.expiring(number)?;
        let recorded = self.append(record)?.wait()?.index();
        // If we stop here the ledger says that the entries were removed, and they are still
        // there: the next removal says so again.
        let gone = folder::gone_path(&site.source.folder, number);
        write_stub(&*site.disk, &site.source.folder, &gone, &stub.stub(Form::Gone { recorded }))?;
        // If we stop here the next start takes the rest away.
        tidy(&*site.disk, &site.source, number)?;
        Ok(recorded)
    }

    /// What stays of an archived segment, held against the archive's copy: that has the term too.
    fn expiring(&self, number: u64) -> Result<Box<Closed>, RemoveError> {
        let source = &self.site().source;
        let refused = |why: &str| RemoveError::Files(format!("segment {number} {why}").into());
        let Some(Place::Sealed { closed, stub: Some(stub) }) = source.place(number)? else {
            return Err(refused("is not in the archive"));
        };
        if !stub.is_stub_of(&closed) {
            return Err(refused("is not in the archive as it was sealed"));
        }
        match closed.blocks(&source.keys) {
            // The header is bound to each block.
            Ok(mut blocks) if !closed.index.is_empty() => {
                blocks.read(&closed, 0)?;
            }
            Ok(_) => {}
            // Its key may have been destroyed; it is removed all the same.
            Err(ClosedError::Shut { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(stub)
    }
}

/// Whether an entry holds a hash anywhere.
pub(crate) fn holds(entry: &[u8], hash: &Hash) -> bool {
    entry.windows(hash.len()).any(|window| window == hash)
}
