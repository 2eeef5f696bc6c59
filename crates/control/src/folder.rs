//! The files of a configuration folder: which are read, which are passed over, which are refused.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::LoadError;
use crate::inputs::Roots;
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
/// The folder of Cedar policies.
pub(crate) const POLICIES: &str = "policies";
/// What the policies speak of, where it is not what the gateway says anyway.
pub(crate) const SCHEMA: &str = "policies/schema.cedarschema";
/// Links of templates.
pub(crate) const LINKS: &str = "policies/links.yaml";
/// The folder of the services' contracts.
pub(crate) const CONTRACTS: &str = "protos";
/// What tells of an apply that has not come to its end.
pub(crate) const APPLYING: &str = ".applying";

/// Largest file of agreements, and largest descriptor set; others are smaller.
const AGREEMENTS_BYTES_MAX: u64 = 64 << 20;
const SET_BYTES_MAX: u64 = 16 << 20;
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Most files under one folder.
const FILES_MAX: usize = 10_000;
/// Deepest folder below `registry` and the like.
const FOLDERS_DEEP_MAX: usize = 8;

/// A configuration folder.
pub(crate) struct Folder {
    roots: Roots,
}

impl Folder {
    /// The folder that lies there.
    pub(crate) fn open(roots: Roots) -> Result<Self, LoadError> {
        let folder = Self { roots };
        folder.names(folder.roots.folder())?;
        Ok(folder)
    }

    /// Whether it has a file or folder of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.roots.path(name).exists()
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
                Kind::Contract => refuse_contract(file, report),
                Kind::Schema | Kind::Other => refuse_other(file, "yaml", report),
            }
        }
        Ok(files)
    }

    /// The Cedar files below `policies`, sorted. Files that would not be read are reported.
    pub(crate) fn policies(&self, report: &mut Report) -> Result<Vec<String>, LoadError> {
        let mut files = Vec::new();
        if !self.has(POLICIES) {
            return Ok(files);
        }
        for file in self.walk(POLICIES)? {
            match kind(&file) {
                Kind::Aside => {}
                Kind::Cedar => files.push(file),
                Kind::Schema if file == SCHEMA => {}
                Kind::Yaml if file == LINKS => {}
                Kind::Schema => {
                    let hint = "one schema holds for all policies".to_owned();
                    report.enter(file.into());
                    report.add(Position::START, "a schema", format!("`{SCHEMA}`"), Some(hint));
                }
                Kind::Yaml => {
                    let hint = "links of templates are read from there".to_owned();
                    report.enter(file.into());
                    report.add(Position::START, "a YAML file", format!("`{LINKS}`"), Some(hint));
                }
                Kind::Contract => refuse_contract(file, report),
                Kind::Other => refuse_other(file, "cedar", report),
            }
        }
        Ok(files)
    }

    /// The `.proto` files and descriptor sets below `protos`, sorted. Files that would not be read
    /// are reported.
    pub(crate) fn contracts(&self, report: &mut Report) -> Result<Vec<String>, LoadError> {
        let mut files = Vec::new();
        if !self.has(CONTRACTS) {
            return Ok(files);
        }
        for file in self.walk(CONTRACTS)? {
            match kind(&file) {
                Kind::Aside => {}
                Kind::Contract => files.push(file),
                Kind::Cedar => refuse_cedar(file, report),
                Kind::Yaml | Kind::Schema | Kind::Other => {
                    report.enter(file.into());
                    let expected = "files that end in `.proto` or `.binpb`";
                    let hint = "move it elsewhere".to_owned();
                    report.add(Position::START, "a file of another kind", expected, Some(hint));
                }
            }
        }
        Ok(files)
    }

    /// Reports what would be passed over in silence although it looks like configuration.
    pub(crate) fn survey(&self, report: &mut Report) -> Result<(), LoadError> {
        for name in self.names(self.roots.folder())? {
            if matches!(kind(&name), Kind::Cedar | Kind::Schema) {
                refuse_cedar(name, report);
            } else if kind(&name) == Kind::Contract {
                refuse_contract(name, report);
            } else if matches!(&*name, "gateway.yml" | "routes.yml") {
                refuse_other(name, "yaml", report);
            } else if name == APPLYING {
                let hint = "the gateway finishes it when it loads the folder".to_owned();
                report.enter(name.into());
                let found = "an apply that is under way or was cut short";
                report.add(Position::START, found, "a folder at rest", Some(hint));
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
        let many = holds_agreements(name);
        let bytes_max = match name.rsplit_once('.') {
            _ if many => AGREEMENTS_BYTES_MAX,
            Some((_, "binpb")) => SET_BYTES_MAX,
            _ => FILE_BYTES_MAX,
        };
        let path = self.roots.path(name);
        match read_bounded(&path, bytes_max) {
            Ok(bytes) => {
                // There may be so many agreements that each file of them is looked after apart.
                if !many {
                    report.has_read(name, &bytes);
                }
                Ok(Ok(bytes))
            }
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
        match self.read(name, report)? {
            Ok(bytes) => Ok(parse(&bytes, report, decode)),
            Err(reported) => Ok(Err(reported)),
        }
    }

    /// Every file below the folder `name`, by its path from the root, sorted.
    fn walk(&self, name: &str) -> Result<Vec<String>, LoadError> {
        let mut files = Vec::new();
        let mut folders = vec![(name.to_owned(), 0)];
        while let Some((folder, depth)) = folders.pop() {
            for name in self.names(&self.roots.path(&folder))? {
                let name = format!("{folder}/{name}");
                if kind(&name) == Kind::Aside {
                    continue;
                }
                match self.roots.path(&name).is_dir() {
                    true => folders.push((name, depth + 1)),
                    false => files.push(name),
                }
                let path = || self.roots.path(&folder);
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

/// Gives the root of a file to `decode`, unless the file is empty.
pub(crate) fn parse<T>(
    bytes: &[u8],
    report: &mut Report,
    decode: impl FnOnce(&yaml::Node<'_>, &mut Report) -> T,
) -> Result<Option<T>, Reported> {
    let root = yaml::text(bytes, report).and_then(|text| yaml::read(text, report))?;
    Ok(root.map(|root| decode(&root, report)))
}

/// Whether a file is one of agreements.
fn holds_agreements(name: &str) -> bool {
    name.strip_prefix(AGREEMENTS).is_some_and(|rest| rest.starts_with('/'))
}

fn refuse_cedar(file: String, report: &mut Report) {
    report.enter(file.into());
    let hint = format!("move it into the folder `{POLICIES}`; it has no effect here");
    report.add(Position::START, "a Cedar file", "Cedar below `policies` alone", Some(hint));
}

fn refuse_contract(file: String, report: &mut Report) {
    report.enter(file.into());
    let hint = format!("move it into the folder `{CONTRACTS}`; it has no effect here");
    report.add(Position::START, "a contract", "contracts below `protos` alone", Some(hint));
}

fn refuse_other(file: String, extension: &str, report: &mut Report) {
    let stem = file.rsplit_once('.').map_or(&*file, |(stem, _)| stem);
    let hint = format!("rename it to `{stem}.{extension}`, or move it elsewhere");
    report.enter(file.as_str().into());
    let expected = format!("files that end in `.{extension}`");
    report.add(Position::START, "a file of another kind", expected, Some(hint));
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Yaml,
    Cedar,
    Schema,
    /// A `.proto` file or a descriptor set.
    Contract,
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
        Some("cedarschema") => Kind::Schema,
        Some("proto" | "binpb") => Kind::Contract,
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
        assert_eq!(kind("protos/a.proto"), Kind::Contract);
        assert_eq!(kind("protos/all.binpb"), Kind::Contract);
        for name in ["a.yml", "a.YAML", "a", "a.json"] {
            assert_eq!(kind(name), Kind::Other, "{name}");
        }
    }
}
