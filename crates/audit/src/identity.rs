//! Which file is which, whatever it is called by now.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// Which file is being written, to notice when it is no longer the one in the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Identity {
    pub(crate) fn of(path: PathBuf, file: &File) -> std::io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self { path, device: metadata.dev(), inode: metadata.ino() })
    }

    /// Why the file is no longer in the folder, if so.
    pub(crate) fn lost(&self) -> Option<String> {
        let path = self.path.display();
        match std::fs::metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == (self.device, self.inode) => None,
            Ok(_) => Some(format!("segment `{path}` was replaced")),
            Err(error) => Some(format!("segment `{path}` is gone: {error}")),
        }
    }
}
