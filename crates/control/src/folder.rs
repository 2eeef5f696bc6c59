//! The files of a configuration folder: which are read, which are passed over, which are refused.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::LoadError;
use crate::material::read_bounded;
use crate::problem::{Position, Report, Reported};
use crate::yaml;

/// The settings of the gateway itself.
pub(crate) const GATEWAY: &str = "gateway.yaml";
/// What differs from the default for some services.
pub(crate) const ROUTES: &str = "routes.yaml";
/// The folder of members, systems, nodes and purposes.
pub(crate) const REGISTRY: &str = "registry";
/// The folder of agreements.
pub(crate) const AGREEMENTS: &str = "agreements";
const POLICIES: &str = "policies";

/// Largest file of agreements; others are smaller.
const AGREEMENTS_BYTES_MAX: u64 = 64 << 20;
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Most files under one folder.
const FILES_MAX: usize = 10_000;
/// Deepest folder below `registry` and the like.
const FOLDERS_DEEP_MAX: usize = 8;

/// A configuration folder.
pub(crate) struct Folder<'d> {
    root: &'d Path,
}

impl<'d> Folder<'d> {
    /// The folder at `root`.
    pub(crate) fn open(root: &'d Path) -> Result<Self, LoadError> {
        let folder = Self { root };
        folder.names(root)?;
        Ok(folder)
    }

    /// Whether it has a file or folder of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.root.join(name).exists()
    }

    /// The YAML files below the folder `name`, sorted. Files that look like configuration but
    /// would not be read are reported.
    pub(crate) fn files(&self, name: &str, report: &mut Report) -> Result<Vec<String>, LoadError> {
        let mut files = Vec::new();
        for file in self.walk(name)? {
            match kind(&file) {
                Kind::Yaml => files.push(file),
                Kind::Aside => {}
                Kind::Cedar => refuse_cedar(file, report),
                Kind::Other => {
                    let stem = file.rsplit_once('.').map_or(&*file, |(stem, _)| stem);
                    let hint = format!("rename it to `{stem}.yaml`, or move it elsewhere");
                    report.enter(file.as_str().into());
                    let expected = "files that end in `.yaml`";
                    report.add(Position::START, "a file of another kind", expected, Some(hint));
                }
            }
        }
        Ok(files)
    }

    /// Reports what would be passed over in silence although it looks like configuration.
    pub(crate) fn survey(&self, report: &mut Report) -> Result<(), LoadError> {
        for name in self.names(self.root)? {
            if kind(&name) == Kind::Cedar {
                refuse_cedar(name, report);
            } else if matches!(&*name, "gateway.yml" | "routes.yml") {
                let hint = format!("rename it to `{}.yaml`", name.trim_end_matches(".yml"));
                report.enter(name.into());
                let expected = "a file that ends in `.yaml`";
                report.add(Position::START, "a file of another kind", expected, Some(hint));
            }
        }
        if self.has(POLICIES) {
            // A schema restricts nothing by itself; whatever else lies here means to.
            let schema = |file: &String| file.ends_with(".cedarschema");
            for file in self.walk(POLICIES)?.into_iter().filter(|file| !schema(file)) {
                refuse_cedar(file, report);
            }
        }
        if !self.has(REGISTRY) {
            report.enter(REGISTRY.into());
            report.add(Position::START, "no such folder", "the folder `registry`", None);
        }
        Ok(())
    }

    /// The bytes of a file; `Err` inside if it was refused.
    pub(crate) fn read(
        &self,
        name: &str,
        report: &mut Report,
    ) -> Result<Result<Vec<u8>, Reported>, LoadError> {
        report.enter(Arc::from(name));
        let many = name.starts_with(AGREEMENTS);
        let bytes_max = if many { AGREEMENTS_BYTES_MAX } else { FILE_BYTES_MAX };
        let path = self.root.join(name);
        match read_bounded(&path, bytes_max) {
            Ok(bytes) => Ok(Ok(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(Err(report.add(Position::START, "no such file", format!("`{name}`"), None)))
            }
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                let expected = format!("at most {} MiB", bytes_max >> 20);
                let hint = "split it into several files".to_owned();
                Ok(Err(report.add(Position::START, "a larger file", expected, Some(hint))))
            }
            Err(source) => Err(LoadError::Unreadable { path, source }),
        }
    }

    /// Reads a file and gives its root to `decode`, unless it is empty. Reports what keeps it
    /// from being read.
    pub(crate) fn decode<T>(
        &self,
        name: &str,
        report: &mut Report,
        decode: impl FnOnce(&yaml::Node<'_>, &mut Report) -> T,
    ) -> Result<Result<Option<T>, Reported>, LoadError> {
        let bytes = match self.read(name, report)? {
            Ok(bytes) => bytes,
            Err(reported) => return Ok(Err(reported)),
        };
        let root = yaml::text(&bytes, report).and_then(|text| yaml::read(text, report));
        Ok(root.map(|root| root.map(|root| decode(&root, report))))
    }

    /// Every file below the folder `name`, by its path from the root, sorted.
    fn walk(&self, name: &str) -> Result<Vec<String>, LoadError> {
        let mut files = Vec::new();
        let mut folders = vec![(name.to_owned(), 0)];
        while let Some((folder, depth)) = folders.pop() {
            for name in self.names(&self.root.join(&folder))? {
                let name = format!("{folder}/{name}");
                if kind(&name) == Kind::Aside {
                    continue;
                }
                match self.root.join(&name).is_dir() {
                    true => folders.push((name, depth + 1)),
                    false => files.push(name),
                }
                let path = || self.root.join(&folder);
                if files.len() > FILES_MAX {
                    return Err(unreadable(path(), format!("more than {FILES_MAX} files")));
                }
                if depth >= FOLDERS_DEEP_MAX {
                    return Err(unreadable(path(), "folders nested too deeply".to_owned()));
                }
            }
        }
        files.sort_unstable();
        Ok(files)
    }

    /// The names in a folder.
    fn names(&self, folder: &Path) -> Result<Vec<String>, LoadError> {
        let wrap = |source| LoadError::Unreadable { path: folder.to_owned(), source };
        let mut names = Vec::new();
        for entry in folder.read_dir().map_err(wrap)? {
            let name = entry.map_err(wrap)?.file_name();
            let name = name.into_string().map_err(|name| {
                unreadable(folder.join(&name), "the name is not UTF-8".to_owned())
            })?;
            names.push(name);
        }
        names.sort_unstable();
        Ok(names)
    }
}

fn unreadable(path: PathBuf, cause: String) -> LoadError {
    LoadError::Unreadable { path, source: io::Error::other(cause) }
}

fn refuse_cedar(file: String, report: &mut Report) {
    report.enter(file.into());
    let hint = "Cedar policies are not enforced by this version; remove the file".to_owned();
    report.add(Position::START, "a Cedar policy", "agreements alone", Some(hint));
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Yaml,
    Cedar,
    /// What editors and people leave beside configuration.
    Aside,
    Other,
}

fn kind(path: &str) -> Kind {
    let name = path.rsplit('/').next().unwrap_or(path);
    let temporary = name.starts_with(['.', '#']) || name.ends_with('~');
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        _ if temporary => Kind::Aside,
        Some("swp" | "swo" | "tmp" | "bak" | "orig" | "md") => Kind::Aside,
        Some("yaml") => Kind::Yaml,
        Some("cedar") => Kind::Cedar,
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart_by_name() {
        let aside = [".a.yaml.swp", "a.yaml~", "#a.yaml#", "x/.git", "README.md", "a.yaml.bak"];
        for name in aside {
            assert_eq!(kind(name), Kind::Aside, "{name}");
        }
        assert_eq!(kind("registry/v1.2/a.yaml"), Kind::Yaml);
        assert_eq!(kind("policies/a.cedar"), Kind::Cedar);
        for name in ["a.yml", "a.YAML", "a", "a.json"] {
            assert_eq!(kind(name), Kind::Other, "{name}");
        }
    }
}
