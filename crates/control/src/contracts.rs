//! Reads `protos/`: the services' contracts, as `.proto` files and as descriptor sets, joined.

mod order;
mod sets;
mod sources;

use std::collections::BTreeMap;
use std::sync::Arc;

use mask::{Contract, ContractError};

use crate::LoadError;
use crate::folder::{CONTRACTS, Folder};
use crate::problem::{Position, Report};
use crate::yaml;

use sets::Set;
use sources::Sources;

/// The options that contracts say classes and subjects with.
const ANNOTATIONS: (&str, &str) = (
    "giaolien/annotations/v1/annotations.proto",
    include_str!("../../../proto/giaolien/annotations/v1/annotations.proto"),
);
/// Most files below `protos`.
const FILES_MAX: usize = 1_000;
/// Most bytes of all `.proto` files together, and of all descriptor sets.
const SOURCE_BYTES_MAX: usize = 8 << 20;
const SET_BYTES_MAX: usize = 64 << 20;

/// What `protos/` gave.
#[derive(Debug, Default)]
pub(crate) struct Read {
    /// What the services' messages hold; `None` where there are no files, or bad ones.
    pub(crate) contract: Option<Arc<Contract>>,
    /// Whether something could not be read, so that any service may be described there.
    pub(crate) is_partial: bool,
}

/// Reads the contracts of a folder.
pub(crate) fn contracts(folder: &Folder, report: &mut Report) -> Result<Read, LoadError> {
    let names = folder.contracts(report)?;
    if names.is_empty() {
        return Ok(Read::default());
    }
    let failed = Ok(Read { contract: None, is_partial: true });
    if names.len() > FILES_MAX {
        report.enter(CONTRACTS.into());
        let found = format!("{} files", names.len());
        report.add(Position::START, found, format!("at most {FILES_MAX}"), None);
        return failed;
    }
    let Some((sources, sets)) = read(folder, &names, report)? else { return failed };
    let Some(compiled) = sources.compile(&sets, report) else { return failed };
    let Some(contract) = join(&compiled, &sets, &sources, report) else { return failed };
    Ok(Read { contract: Some(Arc::new(contract)), is_partial: false })
}

/// The files; `None` if any could not be read.
fn read(
    folder: &Folder,
    names: &[String],
    report: &mut Report,
) -> Result<Option<(Sources, Vec<Set>)>, LoadError> {
    let mut sources = Sources::default();
    let mut sets = Vec::new();
    let (mut source_bytes, mut set_bytes) = (0_usize, 0_usize);
    let mut is_whole = true;
    for name in names {
        let Ok(bytes) = folder.read(name, report)? else {
            is_whole = false;
            continue;
        };
        let is_source = name.ends_with(".proto");
        let (sum, most) = match is_source {
            true => (&mut source_bytes, SOURCE_BYTES_MAX),
            false => (&mut set_bytes, SET_BYTES_MAX),
        };
        *sum = sum.saturating_add(bytes.len());
        if *sum > most {
            let expected = format!("at most {} MiB of its kind below `{CONTRACTS}`", most >> 20);
            report.add(Position::START, "a file that makes them more", expected, None);
            return Ok(None);
        }
        is_whole &= match is_source {
            true => yaml::text(&bytes, report).is_ok_and(|text| sources.add(name, text, report)),
            false => match Set::read(name, &bytes) {
                Ok(set) => {
                    sets.push(set);
                    true
                }
                Err(found) => {
                    let hint = "write it with `protoc --include_imports --descriptor_set_out`";
                    let expected = "an encoded `google.protobuf.FileDescriptorSet`";
                    report.add(Position::START, found, expected, Some(hint.to_owned()));
                    false
                }
            },
        };
    }
    Ok(is_whole.then_some((sources, sets)))
}

/// Descriptors by the names of their files.
type Descriptors = BTreeMap<String, Vec<u8>>;

/// One contract of what was compiled and what sets hold. A file of both, or of several sets, is
/// to mean the same in all.
fn join(
    compiled: &Descriptors,
    sets: &[Set],
    sources: &Sources,
    report: &mut Report,
) -> Option<Contract> {
    let mut joined = compiled.clone();
    for set in sets {
        for (name, descriptor) in &set.files {
            joined.entry(name.clone()).or_insert_with(|| descriptor.clone());
        }
    }
    let contract = match Contract::from_descriptor_set(&sets::encoded(&joined)) {
        Ok(contract) => contract,
        Err(error) => {
            tell(&error, sources, sets, report);
            return None;
        }
    };
    let mut is_one = true;
    for set in sets {
        if let Some(found) = otherwise(set, &joined, &contract) {
            report.enter(set.name.as_str().into());
            let hint = "keep one of them, or write both from the same files".to_owned();
            let expected = "files that mean the same wherever they are";
            report.add(Position::START, found, expected, Some(hint));
            is_one = false;
        }
    }
    is_one.then_some(contract)
}

/// What a set has otherwise than the contract.
fn otherwise(set: &Set, joined: &Descriptors, contract: &Contract) -> Option<String> {
    let differs = |(name, bytes): &(&String, &Vec<u8>)| joined.get(*name) != Some(*bytes);
    // What the gateway knows itself stays as it knows it.
    let own = set.files.iter().filter(|(name, _)| !sources::is_known(name));
    let other: Vec<_> = own.filter(differs).collect();
    if other.is_empty() {
        return None;
    }
    let mut with = joined.clone();
    with.extend(other.into_iter().map(|(name, bytes)| (name.clone(), bytes.clone())));
    let cause = match Contract::from_descriptor_set(&sets::encoded(&with)) {
        Ok(other) => mask::compare(contract, &other).into_iter().next()?.to_string(),
        Err(error) => error.to_string(),
    };
    Some(format!("another version of what `{CONTRACTS}` has already ({cause})"))
}

/// Reports why descriptors are no contract, where the declaration stands if that can be told.
fn tell(error: &ContractError, sources: &Sources, sets: &[Set], report: &mut Report) {
    let name = match error {
        ContractError::Missing { by, .. } => by,
        ContractError::Twice(name) | ContractError::Declaration { name, .. } => name,
        ContractError::Malformed(_) | ContractError::TooLarge { .. } => "",
    };
    let (file, at) = match (sources.find(name), sets) {
        (Some(place), _) => place,
        (None, [only]) => (only.name.clone(), Position::START),
        (None, _) => (CONTRACTS.to_owned(), Position::START),
    };
    report.enter(file.into());
    let found = format!("an unusable contract ({error})");
    report.add(at, found, "services and messages that masks can be made for", None);
}
