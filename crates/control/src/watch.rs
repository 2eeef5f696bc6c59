//! Notices that a configuration folder has changed, by looking at it again and again.
//!
//! Looking works on every file system. Notifications of the kernel do not come for changes that
//! other machines make on a network file system, nor for some that are made below an overlay, and
//! watching a folder of many files takes a descriptor for each folder and can overflow.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long the folder has to stand still.
const QUIET: Duration = Duration::from_millis(300);
/// Most of the time that looking may take, as one part of so many.
const TIME_SHARE: u32 = 20;
/// Most files that are looked at; a folder with more cannot be loaded either.
const FILES_MAX: usize = 50_000;
/// Deepest folder.
const FOLDERS_DEEP_MAX: usize = 12;

/// Watches a configuration folder, and files that it names elsewhere.
#[derive(Debug)]
pub struct Watch {
    folder: PathBuf,
    others: Vec<PathBuf>,
    seen: Stamps,
}

/// What tells that a file changed without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

type Stamps = BTreeMap<PathBuf, Stamp>;

impl Watch {
    /// Watches from now on: the files of `folder`, hidden ones aside, and `others`.
    pub fn new(folder: &Path, others: Vec<PathBuf>) -> Self {
        let mut watch = Self { folder: folder.to_owned(), others, seen: Stamps::new() };
        watch.seen = look(&watch.folder, &watch.others);
        watch
    }

    /// Waits until something has changed and nothing did for 300 ms. May be dropped while it
    /// waits: what it has not told of, the next call does.
    pub async fn changed(&mut self) {
        let mut pause = LOOK_EVERY;
        loop {
            sleep(pause).await;
            let (mut now, mut took) = self.look().await;
            pause = LOOK_EVERY.max(took * TIME_SHARE);
            if now == self.seen {
                continue;
            }
            loop {
                sleep(QUIET.max(took)).await;
                let (again, time) = self.look().await;
                took = time;
                if again == now {
                    break;
                }
                now = again;
            }
            self.seen = now;
            return;
        }
    }

    /// Looks at other files outside of the folder from now on. One that it did not look at before
    /// counts as changed, since it may have changed after it was read.
    pub fn also(&mut self, others: Vec<PathBuf>) {
        let is_gone = |path: &PathBuf| self.others.contains(path) && !others.contains(path);
        self.seen.retain(|path, _| !is_gone(path));
        self.others = others;
    }

    /// What there is, and how long looking took.
    async fn look(&self) -> (Stamps, Duration) {
        let (folder, others) = (self.folder.clone(), self.others.clone());
        let begun = Instant::now();
        let looked = spawn_blocking(move || look(&folder, &others)).await;
        // Looking does not panic; if it was cancelled, the process is about to end.
        (looked.unwrap_or_else(|_| self.seen.clone()), begun.elapsed())
    }
}

/// What there is. A file that cannot be looked at counts as one that is not there: loading says
/// what is wrong with it.
fn look(folder: &Path, others: &[PathBuf]) -> Stamps {
    let mut stamps = Stamps::new();
    let mut folders = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        for path in entries(&folder).unwrap_or_default() {
            let Ok(metadata) = fs::metadata(&path) else { continue };
            match metadata.is_dir() {
                true if depth < FOLDERS_DEEP_MAX => folders.push((path, depth + 1)),
                true => {}
                false => {
                    stamps.insert(path, Stamp::of(&metadata));
                }
            }
            if stamps.len() >= FILES_MAX {
                return stamps;
            }
        }
    }
    for path in others {
        stamps.extend(stamp(path).map(|stamp| (path.clone(), stamp)));
    }
    stamps
}

/// The paths in a folder, hidden ones aside.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let hidden = |name: &std::ffi::OsStr| name.as_encoded_bytes().starts_with(b".");
    let mut paths = Vec::new();
    for entry in folder.read_dir()? {
        let entry = entry?;
        if !hidden(&entry.file_name()) {
            paths.push(entry.path());
        }
    }
    Ok(paths)
}

fn stamp(path: &Path) -> Option<Stamp> {
    fs::metadata(path).ok().map(|metadata| Stamp::of(&metadata))
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    /// Time passes only while everybody waits.
    #[tokio::test(start_paused = true)]
    async fn a_change_is_told_once_it_is_over() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("registry/a.yaml", "a");
        let mut watch = Watch::new(root.path(), vec![]);
        let quiet = timeout(Duration::from_mins(1), watch.changed()).await;
        assert!(quiet.is_err(), "nothing has changed");

        write("registry/deep/b.yaml", "b");
        timeout(Duration::from_secs(10), watch.changed()).await.unwrap();
        write("registry/a.yaml", "as long or not");
        timeout(Duration::from_secs(10), watch.changed()).await.unwrap();
        fs::remove_file(root.path().join("registry/deep/b.yaml")).unwrap();
        timeout(Duration::from_secs(10), watch.changed()).await.unwrap();

        write(".staged/registry/a.yaml", "waits");
        write("registry/.a.yaml.swp", "is being edited");
        let quiet = timeout(Duration::from_mins(1), watch.changed()).await;
        assert!(quiet.is_err(), "hidden files are no configuration");
    }

    #[tokio::test(start_paused = true)]
    async fn files_elsewhere_are_looked_at_too() {
        let (root, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let list = other.path().join("ca.crl");
        let mut watch = Watch::new(root.path(), vec![list.clone()]);
        fs::write(&list, "1").unwrap();
        timeout(Duration::from_secs(10), watch.changed()).await.unwrap();
        watch.also(vec![]);
        fs::write(&list, "333").unwrap();
        let quiet = timeout(Duration::from_mins(1), watch.changed()).await;
        assert!(quiet.is_err());
        // It may have changed between being read and being looked at.
        watch.also(vec![list.clone()]);
        timeout(Duration::from_secs(10), watch.changed()).await.unwrap();
        watch.also(vec![list.clone()]);
        let quiet = timeout(Duration::from_mins(1), watch.changed()).await;
        assert!(quiet.is_err(), "it was looked at before");
        watch.also(vec![]);
        fs::write(&list, "22").unwrap();
        let quiet = timeout(Duration::from_mins(1), watch.changed()).await;
        assert!(quiet.is_err());
    }
}
