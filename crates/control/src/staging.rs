//! Receives the files of an apply: every path and size is looked at before anything is written.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::apply::{STAGED, remove};
use crate::folder::APPLYING;
use crate::inputs::PARTS;
use crate::problem::quoted;

/// Most bytes at once.
pub(crate) const CHUNK_BYTES_MAX: usize = 64 << 10;
/// Most bytes of all files together.
const TOTAL_BYTES_MAX: u64 = 1 << 30;
/// Most files.
const FILES_MAX: usize = 10_000;
/// Longest path, and longest name in it, in bytes.
const PATH_BYTES_MAX: usize = 1024;
const NAME_BYTES_MAX: usize = 255;
/// Most names in a path.
const NAMES_MAX: usize = 9;
/// The one part that is a file.
const FILE_PART: &str = "routes.yaml";

/// Why a file is not taken.
#[derive(Debug, Error)]
pub enum StagingError {
    /// The path leads where no file may be put.
    #[error("found path {found}, expected {expected}")]
    Path {
        /// The path, quoted.
        found: String,
        /// What was expected.
        expected: &'static str,
    },
    /// Bytes or files in an order that means nothing.
    #[error("found {found}, expected {expected}")]
    Order {
        /// What came.
        found: &'static str,
        /// What was expected.
        expected: &'static str,
    },
    /// There is more than is taken.
    #[error("found more than {0}")]
    TooMuch(String),
    /// The caller went away before the end.
    #[error("the caller went away before the last file was there")]
    Abandoned,
    /// The file could not be written.
    #[error("cannot write the files beside the configuration")]
    Unwritten(#[from] io::Error),
}

/// New files on their way to the folder `.staged`. What is left of them when this is dropped is
/// removed.
#[derive(Debug)]
pub(crate) struct Staging {
    root: PathBuf,
    open: Option<File>,
    paths: BTreeSet<String>,
    bytes: u64,
}

impl Staging {
    /// Begins in the configuration folder. What another apply left there is removed.
    pub(crate) fn begin(folder: &Path) -> Result<Self, StagingError> {
        let root = folder.join(STAGED);
        if folder.join(APPLYING).exists() {
            return Err(io::Error::other("an apply that was cut short is not finished").into());
        }
        remove(&root)?;
        fs::create_dir(&root)?;
        Ok(Self { root, open: None, paths: BTreeSet::new(), bytes: 0 })
    }

    /// Where the files lie.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Begins the next file.
    pub(crate) fn file(&mut self, path: &str) -> Result<(), StagingError> {
        check_path(path)?;
        if self.paths.len() >= FILES_MAX {
            return Err(StagingError::TooMuch(format!("{FILES_MAX} files")));
        }
        if !self.paths.insert(path.to_owned()) {
            return Err(StagingError::Path { found: quoted(path), expected: "each file once" });
        }
        let at = self.root.join(path);
        if let Some(above) = at.parent() {
            fs::create_dir_all(above)?;
        }
        self.open = Some(OpenOptions::new().write(true).create_new(true).open(at)?);
        Ok(())
    }

    /// Adds bytes to the file that began last.
    pub(crate) fn chunk(&mut self, bytes: &[u8]) -> Result<(), StagingError> {
        if bytes.len() > CHUNK_BYTES_MAX {
            return Err(StagingError::TooMuch(format!("{} KiB at once", CHUNK_BYTES_MAX >> 10)));
        }
        let Some(file) = &mut self.open else {
            return Err(StagingError::Order { found: "bytes", expected: "a path before them" });
        };
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if self.bytes > TOTAL_BYTES_MAX {
            return Err(StagingError::TooMuch(format!("{} GiB", TOTAL_BYTES_MAX >> 30)));
        }
        Ok(file.write_all(bytes)?)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Files that are half in their place are needed until the rest is.
        if !self.root.with_file_name(APPLYING).exists() {
            // What stays is in nobody's way, and the next apply removes it.
            let _ = remove(&self.root);
        }
    }
}

/// A path within the parts that may be replaced: plain names, none hidden, none that leads up.
fn check_path(path: &str) -> Result<(), StagingError> {
    let refuse = |expected| Err(StagingError::Path { found: quoted(path), expected });
    let (part, below) = match path.split_once('/') {
        Some((part, below)) => (part, Some(below)),
        None => (path, None),
    };
    if !PARTS.contains(&part) || (part == FILE_PART) != below.is_none() {
        return refuse(
            "a file in `registry`, `agreements`, `policies` or `protos`, or `routes.yaml`",
        );
    }
    let names: Vec<&str> = path.split('/').collect();
    if path.len() > PATH_BYTES_MAX || names.len() > NAMES_MAX {
        return refuse("at most 1024 bytes and 9 names");
    }
    let plain = |name: &&str| {
        let escapes = |c: char| c.is_control() || c == '\\';
        !name.is_empty()
            && name.len() <= NAME_BYTES_MAX
            && !name.starts_with('.')
            && !name.contains(escapes)
    };
    if !names.iter().all(plain) {
        return refuse("names without control characters that do not begin with a dot");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_within_the_parts() {
        let long = format!("registry/{}", "a".repeat(256));
        let deep = format!("registry/{}a", "a/".repeat(9));
        let bad = [
            "",
            "/",
            "/etc/passwd",
            "gateway.yaml",
            "./routes.yaml",
            "pki/gateway.key",
            "registry",
            "registry/",
            "registry//a",
            "registry/../gateway.yaml",
            "registry/a/../../b",
            "registry/./a",
            "registry/.hidden",
            ".staged/a",
            "routes.yaml/a",
            "routes.yaml/",
            "Registry/a",
            "registry\\a",
            "registry/a\\b",
            "registry/a\0b",
            "registry/a\nb",
            &long,
            &deep,
        ];
        for path in bad {
            assert!(matches!(check_path(path), Err(StagingError::Path { .. })), "{path:?}");
        }
        for path in ["routes.yaml", "registry/a.yaml", "agreements/2026/hà-nội.yaml", "protos/a"]
        {
            assert!(check_path(path).is_ok(), "{path}");
        }
    }

    #[test]
    fn files_are_bounded_and_removed_in_the_end() {
        let root = tempfile::tempdir().unwrap();
        let mut staging = Staging::begin(root.path()).unwrap();
        assert!(matches!(staging.chunk(b"x"), Err(StagingError::Order { .. })));
        staging.file("registry/a.yaml").unwrap();
        staging.chunk(b"ab").unwrap();
        staging.chunk(b"c").unwrap();
        let large = vec![0; CHUNK_BYTES_MAX + 1];
        assert!(matches!(staging.chunk(&large), Err(StagingError::TooMuch(_))));
        assert!(matches!(staging.file("registry/a.yaml"), Err(StagingError::Path { .. })));
        assert!(staging.file("registry/a.yaml/b").is_err());
        staging.bytes = TOTAL_BYTES_MAX;
        staging.file("registry/b.yaml").unwrap();
        assert!(matches!(staging.chunk(b"x"), Err(StagingError::TooMuch(_))));
        for number in 3..=FILES_MAX {
            staging.paths.insert(number.to_string());
        }
        assert!(matches!(staging.file("registry/c.yaml"), Err(StagingError::TooMuch(_))));
        let staged = root.path().join(STAGED);
        assert_eq!(fs::read(staged.join("registry/a.yaml")).unwrap(), b"abc");
        drop(staging);
        assert!(!staged.exists());
    }
}
