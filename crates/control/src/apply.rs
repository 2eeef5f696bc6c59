//! Puts new files in the place of those in force, so that dying at any moment loses nothing.
//!
//! The new files are written to `.staged` in the configuration folder and checked there. Then:
//!
//! 1. every file and folder of `.staged` is made durable, and `.replaced` is made, empty;
//! 2. `.applying` is made durable: it lists the parts that are new. From here on the new files
//!    count, and whoever loads the folder next finishes what is left;
//! 3. part after part, what is in force moves to `.replaced` and what is new takes its place;
//! 4. `.replaced` takes the place of `.previous`, which held the files before those;
//! 5. all folders are made durable, and `.applying` is removed.
//!
//! Before step 2 the folder is untouched. After it every part lies in one of two places at any
//! moment, what was in force in the folder or in `.replaced`, what is new in `.staged` or in the
//! folder, and step 3 can be done again from wherever it stopped. An apply that fails leaves
//! `.previous` as it was: it goes only once all that is new is in its place.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::LoadError;
use crate::folder::APPLYING;
use crate::inputs::PARTS;

/// Where new files wait.
pub(crate) const STAGED: &str = ".staged";
/// Where the files before are kept.
const PREVIOUS: &str = ".previous";
/// Where they wait until all that is new is in its place.
const REPLACED: &str = ".replaced";
/// Largest list of new parts.
const MARKER_BYTES_MAX: u64 = 4096;

/// How replacing the files failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplaceError {
    /// The files in force are as they were.
    #[error("cannot replace the files, nothing has changed")]
    NotCommitted(#[source] io::Error),
    /// Some files are replaced. The next load finishes it.
    #[error("cannot replace all files, the next load goes on with it")]
    Unknown(#[source] io::Error),
}

/// Finishes an apply that was cut short; does nothing if there is none.
pub(crate) fn finish(folder: &Path) -> Result<(), LoadError> {
    if !is_unfinished(folder) {
        return Ok(());
    }
    let marker = folder.join(APPLYING);
    go_on(folder).map_err(|source| LoadError::Unreadable { path: marker, source })
}

/// Whether an apply was cut short, or is under way.
pub(crate) fn is_unfinished(folder: &Path) -> bool {
    is_there(&folder.join(APPLYING))
}

/// Puts the files of `.staged` in the place of those in force.
pub(crate) fn replace(folder: &Path) -> Result<(), ReplaceError> {
    begin(folder).map_err(ReplaceError::NotCommitted)?;
    go_on_or_back(folder)
}

/// The steps after the second; back to before it if they cannot be done.
fn go_on_or_back(folder: &Path) -> Result<(), ReplaceError> {
    let Err(cause) = go_on(folder) else { return Ok(()) };
    match take_back(folder) {
        Ok(()) => Err(ReplaceError::NotCommitted(cause)),
        Err(_) => Err(ReplaceError::Unknown(cause)),
    }
}

/// Steps 1 and 2.
fn begin(folder: &Path) -> io::Result<()> {
    let (staged, replaced) = (folder.join(STAGED), folder.join(REPLACED));
    make_durable(&staged)?;
    // Whatever failed before has moved back what was in it.
    remove(&replaced)?;
    fs::create_dir(&replaced)?;
    sync(folder)?;
    let new: Vec<&str> = PARTS.into_iter().filter(|part| is_there(&staged.join(part))).collect();
    // Written under another name first: a marker that is there is whole.
    let draft = folder.join(".applying.tmp");
    let mut file = File::create(&draft)?;
    file.write_all(new.join("\n").as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, folder.join(APPLYING))?;
    sync(folder)
}

/// Steps 3 to 5, from wherever they stopped.
fn go_on(folder: &Path) -> io::Result<()> {
    let (staged, replaced) = (folder.join(STAGED), folder.join(REPLACED));
    let new = new_parts(folder)?;
    // Without `.replaced` step 4 is done.
    if is_there(&replaced) {
        move_parts(folder, &new)?;
        for path in [&replaced, &staged, folder].into_iter().filter(|path| is_there(path)) {
            sync(path)?;
        }
        let previous = folder.join(PREVIOUS);
        remove(&previous)?;
        fs::rename(&replaced, &previous)?;
    }
    sync(folder)?;
    fs::remove_file(folder.join(APPLYING))?;
    sync(folder)
}

/// Step 3.
fn move_parts(folder: &Path, new: &[String]) -> io::Result<()> {
    let (staged, replaced) = (folder.join(STAGED), folder.join(REPLACED));
    for part in PARTS {
        let (from, at, aside) = (staged.join(part), folder.join(part), replaced.join(part));
        let is_new = new.iter().any(|name| name == part);
        // A new part that no longer waits has taken its place already.
        let pending = if is_new { is_there(&from) } else { !is_there(&aside) };
        if pending && is_there(&at) {
            fs::rename(&at, &aside)?;
        }
        if pending && is_new {
            fs::rename(&from, &at)?;
        }
    }
    Ok(())
}

/// Undoes what was done of step 3, and step 2. After step 4 there is no way back.
fn take_back(folder: &Path) -> io::Result<()> {
    let (staged, replaced) = (folder.join(STAGED), folder.join(REPLACED));
    if !is_there(&replaced) {
        return Err(io::Error::other("the new files are in their place already"));
    }
    for part in new_parts(folder)? {
        let (from, at) = (staged.join(&part), folder.join(&part));
        if !is_there(&from) && is_there(&at) {
            fs::rename(&at, &from)?;
        }
    }
    for part in PARTS {
        let (at, aside) = (folder.join(part), replaced.join(part));
        if is_there(&aside) && !is_there(&at) {
            fs::rename(&aside, &at)?;
        }
    }
    sync(folder)?;
    fs::remove_file(folder.join(APPLYING))?;
    sync(folder)
}

/// The parts that the marker lists. A part of another name is none of ours and is left alone.
fn new_parts(folder: &Path) -> io::Result<Vec<String>> {
    let bytes = crate::material::read_bounded(&folder.join(APPLYING), MARKER_BYTES_MAX)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.lines().filter(|line| PARTS.contains(line)).map(str::to_owned).collect())
}

/// Whether there is something of this name, be it a link that leads nowhere.
fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Makes durable what a folder holds. There are no links in it: this process wrote it.
fn make_durable(folder: &Path) -> io::Result<()> {
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => folders.push(entry.path()),
                false => sync(&entry.path())?,
            }
        }
        sync(&folder)?;
    }
    Ok(())
}

fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Removes a file or a folder with all that is in it; none is fine too.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A folder with files in force, and others that wait.
    fn prepared() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for name in ["gateway.yaml", "registry/a", "agreements/x/a", "policies/p", "routes.yaml"] {
            write(&root.path().join(name), "old");
        }
        for name in ["registry/a", "registry/b", "agreements/a", "routes.yaml", "protos/x"] {
            write(&root.path().join(STAGED).join(name), "new");
        }
        write(&root.path().join(PREVIOUS).join("registry/a"), "older");
        root
    }

    /// Every file outside hidden folders.
    fn files(folder: &Path) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() && !name.starts_with('.') {
                let below = files(&path).into_iter();
                found.extend(below.map(|(below, text)| (format!("{name}/{below}"), text)));
            } else if path.is_file() {
                found.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
        found
    }

    fn all(names: &[(&str, &str)]) -> BTreeMap<String, String> {
        names.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    fn replaced() -> BTreeMap<String, String> {
        let new = ["agreements/a", "protos/x", "registry/a", "registry/b", "routes.yaml"];
        let mut files = all(&new.map(|name| (name, "new")));
        files.insert("gateway.yaml".to_owned(), "old".to_owned());
        files
    }

    fn kept() -> BTreeMap<String, String> {
        all(&["agreements/x/a", "policies/p", "registry/a", "routes.yaml"].map(|n| (n, "old")))
    }

    #[test]
    fn new_parts_take_the_place_of_old_ones_and_those_are_kept() {
        let root = prepared();
        replace(root.path()).unwrap();
        assert_eq!(files(root.path()), replaced());
        assert_eq!(files(&root.path().join(PREVIOUS)), kept());
        assert!(!root.path().join(APPLYING).exists());
    }

    /// Dies after each of the moves, in turn: the next load comes to the same end.
    #[test]
    fn what_was_cut_short_is_finished_from_wherever_it_stopped() {
        for moves_done in 0..=12 {
            let root = prepared();
            begin(root.path()).unwrap();
            let before = files(root.path());
            let mut moves = Vec::new();
            for part in PARTS {
                let (from, at) = (root.path().join(STAGED).join(part), root.path().join(part));
                if at.exists() {
                    moves.push((at.clone(), root.path().join(REPLACED).join(part)));
                }
                if from.exists() {
                    moves.push((from, at));
                }
            }
            let (previous, aside) = (root.path().join(PREVIOUS), root.path().join(REPLACED));
            moves.push((previous.clone(), root.path().join("taken away")));
            moves.push((aside, previous));
            for (from, to) in moves.iter().take(moves_done) {
                fs::rename(from, to).unwrap();
            }
            remove(&root.path().join("taken away")).unwrap();
            if moves_done == 0 {
                assert_eq!(before.get("registry/a").unwrap(), "old");
            }
            finish(root.path()).unwrap();
            assert_eq!(files(root.path()), replaced(), "after {moves_done} moves");
            assert_eq!(files(&root.path().join(PREVIOUS)), kept(), "after {moves_done} moves");
            finish(root.path()).unwrap();
            assert_eq!(files(root.path()), replaced());
        }
    }

    #[test]
    fn what_cannot_be_replaced_is_taken_back() {
        let root = prepared();
        let before = files(root.path());
        begin(root.path()).unwrap();
        // The last part cannot move aside: where it would go there is a folder.
        write(&root.path().join(REPLACED).join("routes.yaml/x"), "in the way");
        let failed = go_on_or_back(root.path()).unwrap_err();
        assert!(matches!(failed, ReplaceError::NotCommitted(_)), "{failed:?}");
        assert_eq!(files(root.path()), before);
        let waiting = files(&root.path().join(STAGED));
        assert_eq!(waiting.len(), 5, "{waiting:?}");
        assert_eq!(files(&root.path().join(PREVIOUS)), all(&[("registry/a", "older")]));
        // What was in the way is no more: the next try succeeds.
        replace(root.path()).unwrap();
        assert_eq!(files(root.path()), replaced());
        assert_eq!(files(&root.path().join(PREVIOUS)), kept());
    }

    #[test]
    fn what_can_neither_go_on_nor_back_is_not_known() {
        let root = prepared();
        begin(root.path()).unwrap();
        let marker = root.path().join(APPLYING);
        let list = fs::read(&marker).unwrap();
        fs::remove_file(&marker).unwrap();
        fs::create_dir(&marker).unwrap();
        let failed = go_on_or_back(root.path()).unwrap_err();
        assert!(matches!(failed, ReplaceError::Unknown(_)), "{failed:?}");
        assert!(is_unfinished(root.path()));
        fs::remove_dir(&marker).unwrap();
        fs::write(&marker, list).unwrap();
        finish(root.path()).unwrap();
        assert_eq!(files(root.path()), replaced());
    }

    #[test]
    fn what_fails_before_anything_happened_keeps_the_files_before() {
        let root = prepared();
        let before = files(root.path());
        write(&root.path().join(".applying.tmp/x"), "in the way");
        let failed = replace(root.path()).unwrap_err();
        assert!(matches!(failed, ReplaceError::NotCommitted(_)), "{failed:?}");
        assert_eq!(files(root.path()), before);
        assert_eq!(files(&root.path().join(PREVIOUS)), all(&[("registry/a", "older")]));
    }

    #[test]
    fn nothing_happens_without_new_files() {
        let root = tempfile::tempdir().unwrap();
        write(&root.path().join("registry/a"), "old");
        finish(root.path()).unwrap();
        assert!(matches!(replace(root.path()), Err(ReplaceError::NotCommitted(_))));
        assert_eq!(files(root.path()), all(&[("registry/a", "old")]));
    }
}
