//! What a revision is read from: where each file lies, and the digest of its bytes.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// SHA-256 of the bytes of a file.
pub(crate) type Digest = [u8; 32];

/// What an operator may replace through the admin API. The rest of the folder, with the gateway's
/// own settings and keys, is not among it.
pub(crate) const PARTS: [&str; 5] = ["registry", "agreements", "policies", "protos", "routes.yaml"];

/// The digest of `bytes`.
pub(crate) fn digest(bytes: &[u8]) -> Digest {
    Sha256::digest(bytes).into()
}

/// Where the files of a configuration lie: all in one folder, or with the [`PARTS`] in another
/// one, where they wait to be checked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roots {
    folder: PathBuf,
    staged: Option<PathBuf>,
}

impl Roots {
    /// The configuration folder alone.
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), staged: None }
    }

    /// The configuration folder, with the parts that lie in `staged`.
    pub(crate) fn staged(folder: &Path, staged: &Path) -> Self {
        Self { folder: folder.to_owned(), staged: Some(staged.to_owned()) }
    }

    /// The configuration folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the file lies that configuration calls `name`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        let name = Path::new(name);
        let first = name.components().find(|part| *part != Component::CurDir);
        let is_part = PARTS.iter().any(|part| first == Some(Component::Normal(part.as_ref())));
        match &self.staged {
            Some(staged) if is_part => staged.join(name),
            _ => self.folder.join(name),
        }
    }
}

/// The files that a configuration was read from, by the names that it calls them, agreements
/// aside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Inputs(BTreeMap<String, Digest>);

impl Inputs {
    /// Adds a file that was read.
    pub(crate) fn add(&mut self, name: &str, bytes: &[u8]) {
        self.0.insert(name.to_owned(), digest(bytes));
    }

    /// Names and digests.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Digest)> {
        self.0.iter().map(|(name, digest)| (name.as_str(), digest))
    }

    /// Whether each of these files was the same in `other`.
    pub(crate) fn are_in(&self, other: &Self) -> bool {
        self.0.iter().all(|(name, digest)| other.0.get(name) == Some(digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_parts_are_staged() {
        let roots = Roots::staged("/c".as_ref(), "/c/.staged".as_ref());
        let path = |name: &str| roots.path(name).display().to_string();
        assert_eq!(path("registry/a.yaml"), "/c/.staged/registry/a.yaml");
        assert_eq!(path("./routes.yaml"), "/c/.staged/./routes.yaml");
        assert_eq!(path("gateway.yaml"), "/c/gateway.yaml");
        assert_eq!(path("registry-keys/a.crt"), "/c/registry-keys/a.crt");
        assert_eq!(path("/etc/registry/a.crt"), "/etc/registry/a.crt");
        assert_eq!(Roots::new("/c".as_ref()).path("registry"), PathBuf::from("/c/registry"));
    }
}
