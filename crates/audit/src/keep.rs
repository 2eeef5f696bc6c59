//! What becomes of segments that the writer has left: a thread seals them and moves old ones to
//! the archive. Nothing here can stop the ledger: what fails is counted, shown, and tried again.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use model::Clock;
use parking_lot::{Condvar, Mutex};
use tlog::note::{Checkpoint, Note};
use tlog::sign::Signer;

use crate::archive;
use crate::checkpoint;
use crate::disk::{Disk, Step};
use crate::folder::{self, Listing};
use crate::keys::{Fresh, Keys};
use crate::queue::{Shared, Trouble};
use crate::scan::read_all;
use crate::seal::{Press, SealError, Survey, compare};
use crate::segment::is_segment_length;
use crate::source::Source;

/// How long the thread sleeps when there is nothing to do; archiving goes by age.
const IDLE_PAUSE: Duration = Duration::from_secs(60);
/// How long it waits for the checkpoint that covers a segment.
const CHECKPOINT_PAUSE: Duration = Duration::from_millis(50);

/// How long an entry is to be kept from the time it was written, told from its bytes.
/// [`Duration::MAX`] is for ever.
pub type EntryTerm = Arc<dyn Fn(&[u8]) -> Duration + Send + Sync>;

/// How left segments are sealed.
#[derive(Clone)]
pub struct Sealing {
    /// Keys by id. Older ones are needed to move or compare what was sealed with them.
    pub keys: Keys,
    /// Id of the key to seal with; without one, segments are compressed and not encrypted.
    pub seal_with: Option<String>,
    /// Level of Zstandard, 1 to 22. Most of an entry is digests, which no level makes smaller:
    /// from 3 to 15 an entry shrinks by a twentieth and takes ten times as long.
    pub level: i32,
    /// Term of each entry; a segment is kept for the longest of its entries.
    pub term: EntryTerm,
    /// Pause after a failure before the next attempt.
    pub retry_pause: Duration,
}

impl Sealing {
    /// Level 3, entries kept for ever, a minute between attempts.
    pub fn new(keys: Keys, seal_with: Option<String>) -> Self {
        let term: EntryTerm = Arc::new(|_| Duration::MAX);
        Self { keys, seal_with, level: 3, term, retry_pause: Duration::from_secs(60) }
    }
}

impl fmt::Debug for Sealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealing")
            .field("keys", &self.keys)
            .field("seal_with", &self.seal_with)
            .field("level", &self.level)
            .finish_non_exhaustive()
    }
}

/// Where sealed segments go in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// A folder of this ledger alone, which must be there; it may be on another file system.
    pub folder: PathBuf,
    /// Age of a segment's last entry at which it is moved.
    pub after: Duration,
}

/// How sealing and archiving stand, since the ledger was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keeping {
    /// Segments sealed.
    pub sealed: u64,
    /// Segments moved to the archive.
    pub archived: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Left segments that are not sealed yet.
    pub waiting: u64,
    /// Why the last attempt failed; `None` once one succeeded.
    pub trouble: Option<Arc<str>>,
}

struct State {
    /// Number of the segment being written: those before it are left.
    written: u64,
    ended: bool,
    keeping: Keeping,
}

/// What the writer, the thread and the ledger's face share.
pub(crate) struct Keep {
    state: Mutex<State>,
    wake: Condvar,
}

impl Keep {
    pub(crate) fn new(written: u64) -> Self {
        let state = State { written, ended: false, keeping: Keeping::default() };
        Self { state: Mutex::new(state), wake: Condvar::new() }
    }

    /// The writer moved on to this segment.
    pub(crate) fn moved_on(&self, written: u64) {
        self.state.lock().written = written;
        self.wake.notify_all();
    }

    /// The ledger closes: the thread ends at the next block.
    pub(crate) fn end(&self) {
        self.state.lock().ended = true;
        self.wake.notify_all();
    }

    pub(crate) fn keeping(&self) -> Keeping {
        self.state.lock().keeping.clone()
    }

    fn written(&self) -> u64 {
        self.state.lock().written
    }

    fn ended(&self) -> bool {
        self.state.lock().ended
    }

    fn change(&self, change: impl FnOnce(&mut Keeping)) {
        change(&mut self.state.lock().keeping);
    }

    /// Sleeps until the writer has moved on, the ledger closes, or it is time.
    fn sleep(&self, since: u64, pause: Duration, moved_on_wakes: bool) {
        let until = Instant::now() + pause;
        let mut state = self.state.lock();
        loop {
            let moved_on = moved_on_wakes && state.written != since;
            if state.ended || moved_on || self.wake.wait_until(&mut state, until).timed_out() {
                return;
            }
        }
    }
}

/// What a pass over the left segments came to.
enum Pass {
    Done,
    /// A segment has no checkpoint over it yet.
    Uncovered,
}

/// The thread that seals and archives.
pub(crate) struct Keeper {
    pub(crate) keep: Arc<Keep>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) signer: Arc<Signer>,
    /// Where the ledger lies, for reading.
    pub(crate) source: Source,
    pub(crate) folder: PathBuf,
    pub(crate) sealing: Option<Sealing>,
    pub(crate) archive: Option<Archive>,
}

impl Keeper {
    /// Starts the thread, if there is anything for it to do.
    pub(crate) fn start(self) -> io::Result<Option<JoinHandle<()>>> {
        if self.sealing.is_none() && self.archive.is_none() {
            return Ok(None);
        }
        let thread = thread::Builder::new().name("ledger-keeper".into());
        thread.spawn(move || self.run()).map(Some)
    }

    fn run(self) {
        let retry = self.sealing.as_ref().map_or(IDLE_PAUSE, |sealing| sealing.retry_pause);
        // What is to be archived young is looked at as often.
        let after = self.archive.as_ref().map_or(IDLE_PAUSE, |archive| archive.after);
        let idle = after.clamp(CHECKPOINT_PAUSE, IDLE_PAUSE);
        // A ledger that failed is left as it is, for the next start to look at.
        while !self.keep.ended() && !matches!(self.shared.head().1, Some(Trouble::Failed(_))) {
            let since = self.keep.written();
            match self.pass(since) {
                Ok(Pass::Done) => {
                    self.keep.change(|keeping| keeping.trouble = None);
                    self.keep.sleep(since, idle, true);
                }
                Ok(Pass::Uncovered) => self.keep.sleep(since, CHECKPOINT_PAUSE, false),
                Err(SealError::Stopped) => return,
                Err(error) => {
                    let why: Arc<str> = error.to_string().into();
                    if self.keep.keeping().trouble.as_ref() != Some(&why) {
                        // Once, not with each attempt.
                        tracing::warn!(%error, "segment not sealed or archived, tried again");
                    }
                    self.keep.change(|keeping| {
                        keeping.failed += 1;
                        keeping.trouble = Some(why);
                    });
                    self.keep.sleep(since, retry, false);
                }
            }
        }
    }

    fn pass(&self, written: u64) -> Result<Pass, SealError> {
        let listing = folder::list(&self.folder).map_err(SealError::io("list", &self.folder))?;
        self.tidy(&listing)?;
        let sealed = match &self.sealing {
            Some(sealing) => self.seal_left(sealing, &listing, written),
            None => Ok(Pass::Done),
        };
        // An archive that fails stops no sealing, nor the other way round.
        let archived = match &self.archive {
            Some(archive) => self.archive_old(archive),
            None => Ok(()),
        };
        sealed.and_then(|pass| archived.map(|()| pass))
    }

    /// Finishes what a crash cut between two forms of a segment.
    fn tidy(&self, listing: &Listing) -> Result<(), SealError> {
        let mut closed = listing.closed.iter();
        closed.try_for_each(|number| archive::tidy(&*self.disk, &self.source, *number))
    }

    fn seal_left(
        &self,
        sealing: &Sealing,
        listing: &Listing,
        written: u64,
    ) -> Result<Pass, SealError> {
        let left: Vec<u64> =
            listing.segments.iter().copied().filter(|number| *number < written).collect();
        self.keep.change(|keeping| keeping.waiting = left.len() as u64);
        let mut first_error = None;
        for number in left {
            match self.seal(sealing, number) {
                Ok(Pass::Done) => self.keep.change(|keeping| {
                    keeping.waiting = keeping.waiting.saturating_sub(1);
                }),
                Ok(Pass::Uncovered) => return Ok(Pass::Uncovered),
                // One damaged segment stays as it is and does not hold up the others.
                Err(error @ SealError::Damaged { .. }) => {
                    first_error.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        first_error.map_or(Ok(Pass::Done), Err)
    }

    /// Puts the sealed form of a segment in its place.
    fn seal(&self, sealing: &Sealing, number: u64) -> Result<Pass, SealError> {
        let raw_path = folder::segment_path(&self.folder, number);
        let path = folder::sealed_path(&self.folder, number);
        let disk = &*self.disk;
        let next = self.source.segment_header(number + 1)?;
        let broken = || SealError::Damaged {
            path: raw_path.clone(),
            offset: 0,
            what: "the next segment does not go on where its frames end".to_owned(),
        };
        let next = next.ok_or_else(broken)?;
        if self.covered()? < next.frontier.size() {
            return Ok(Pass::Uncovered);
        }
        let segment = read_segment(&raw_path)?;
        if path.exists() && compare(&path, &sealing.keys, &segment).is_ok() {
            // A crash came between the last two steps.
            self.remove_raw(&raw_path)?;
            return Ok(Pass::Done);
        }
        let survey = Survey::of(&raw_path, &segment, &*sealing.term)?;
        if !survey.leads_to(&next) {
            return Err(broken());
        }
        let temporary = folder::temporary_path(&path);
        let stopped = || self.keep.ended();
        let press = Press {
            keys: &sealing.keys,
            key_id: sealing.seal_with.as_deref(),
            level: sealing.level,
            signer: &self.signer,
            stopped: &stopped,
        };
        let fresh = Fresh::random()?;
        // If we stop before the rename the raw segment is all there is; recovery removes the
        // temporary file. After a sync that failed the file is written anew, never synced again.
        press
            .write(disk, &temporary, &segment, &survey, &fresh)
            .and_then(|_| compare(&temporary, &sealing.keys, &segment))
            .inspect_err(|_| {
                let _ = std::fs::remove_file(&temporary);
            })?;
        disk.rename(Step::Seal, &temporary, &path).map_err(SealError::io("rename", &temporary))?;
        // If we stop here both forms are there, or the raw one.
        disk.sync_folder(Step::Seal, &self.folder).map_err(SealError::io("sync", &self.folder))?;
        // The sealed form is durable, and gives back the raw one byte for byte.
        self.remove_raw(&raw_path)?;
        self.keep.change(|keeping| keeping.sealed += 1);
        Ok(Pass::Done)
    }

    fn remove_raw(&self, path: &Path) -> Result<(), SealError> {
        // If the removal is lost both forms are there, and they are compared again.
        self.disk.remove(Step::Seal, path).map_err(SealError::io("remove", path))
    }

    /// Size that the ledger's newest checkpoint vouches for.
    fn covered(&self) -> Result<u64, SealError> {
        let path = self.folder.join(folder::CHECKPOINT);
        let text = checkpoint::read(&path).map_err(SealError::io("read", &path))?;
        let note: Option<Note> = text.parse().ok();
        let key = self.signer.verifying_key();
        let note = note.filter(|note| note.verify(&key).is_ok());
        let checkpoint = note.and_then(|note| note.text().parse::<Checkpoint>().ok());
        // One by the key before: the first of this key comes soon.
        Ok(checkpoint.map_or(0, |checkpoint| checkpoint.size))
    }

    fn archive_old(&self, archive: &Archive) -> Result<(), SealError> {
        let listing = folder::list(&self.folder).map_err(SealError::io("list", &self.folder))?;
        for number in listing.closed {
            if self.keep.ended() {
                return Err(SealError::Stopped);
            }
            if listing.segments.binary_search(&number).is_ok() {
                continue;
            }
            let moved =
                archive::archive(&*self.disk, &self.folder, archive, number, self.clock.now())?;
            if moved {
                self.keep.change(|keeping| keeping.archived += 1);
            }
        }
        Ok(())
    }
}

fn read_segment(path: &Path) -> Result<Vec<u8>, SealError> {
    let unreadable = SealError::io("read", path);
    let read = || {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Ok((length, is_segment_length(length).then(|| read_all(&file, length)).transpose()?))
    };
    match read().map_err(unreadable)? {
        (_, Some(bytes)) => Ok(bytes),
        (length, None) => Err(SealError::Damaged {
            path: path.to_owned(),
            offset: length,
            what: "length is not that of a segment".to_owned(),
        }),
    }
}
