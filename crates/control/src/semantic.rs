//! Compiles a source, and finds the place of each problem that the compiler tells by object and
//! field.

use std::collections::BTreeMap;
use std::sync::Arc;

use policy::{Problem as Semantic, Snapshot, Source};

use crate::LoadError;
use crate::draft::{Draft, Place};
use crate::folder::Folder;
use crate::problem::{Position, Report};
use crate::yaml::{self, Node, Value};

/// Compiles `source`; `None` after reporting why not. `draft` knows where its objects stand.
pub(crate) fn compile(
    source: Source,
    draft: &Draft,
    folder: &Folder,
    report: &mut Report,
) -> Result<Option<Snapshot>, LoadError> {
    let mut problems = match Snapshot::compile(source) {
        Ok(snapshot) => return Ok(Some(snapshot)),
        Err(problems) => problems,
    };
    // INVARIANT: a problem is dropped as a consequence only beside its reported cause.
    if !report.is_empty() {
        problems.retain(|problem| !draft.is_consequence(problem));
    }
    let mut by_file: BTreeMap<&str, Vec<(Located<'_>, &Semantic)>> = BTreeMap::new();
    for problem in &problems {
        match draft.place(&problem.subject) {
            Some((list, place)) => {
                let located = Located { list, place };
                by_file.entry(&place.file).or_default().push((located, problem));
            }
            None => add(Position::START, problem, report),
        }
    }
    for (file, problems) in by_file {
        locate(file, &problems, folder, report)?;
    }
    Ok(None)
}

struct Located<'d> {
    list: &'static str,
    place: &'d Place,
}

/// Reads `file` once more for the places of single fields. Keeping them for every object of a
/// large configuration, of which hardly any has a problem, would cost more than the objects.
fn locate(
    file: &str,
    problems: &[(Located<'_>, &Semantic)],
    folder: &Folder,
    report: &mut Report,
) -> Result<(), LoadError> {
    let mut again = Report::default();
    let bytes = folder.read(file, &mut again)?.unwrap_or_default();
    let root = yaml::text(&bytes, &mut again).and_then(|text| yaml::read(text, &mut again));
    let root = root.ok().flatten();
    report.enter(Arc::from(file));
    for (Located { list, place }, problem) in problems {
        let object = root.as_ref().and_then(|root| root.get(list)?.item(place.item));
        let at = object.and_then(|object| field(object, &problem.field)).unwrap_or(place.at);
        add(at, problem, report);
    }
    Ok(())
}

fn add(at: Position, problem: &Semantic, report: &mut Report) {
    report.add(at, problem.found.as_str(), problem.expected.as_str(), problem.hint.clone());
}

/// Where a field of an object stands that is written as `consumer`, `purposes[1]` or
/// `splits[0].zone`. A path that leads further than the file is followed as far as it goes.
fn field(object: &Node<'_>, path: &str) -> Option<Position> {
    let mut at = None;
    let mut node = object;
    for step in path.split('.').filter(|step| !step.is_empty()) {
        let (name, index) = match step.split_once('[') {
            Some((name, rest)) => (name, rest.strip_suffix(']').and_then(|n| n.parse().ok())),
            None => (step, None),
        };
        let Some(next) = node.get(name) else { break };
        node = next;
        at = Some(node.at);
        let Some(index) = index else { continue };
        let Some(next) = node.item(index) else { break };
        node = next;
        at = Some(node.at);
    }
    // `consumer: {member: G99}` is about `G99`.
    match &node.value {
        Value::Map(entries) if at.is_some() => match entries.as_slice() {
            [only] => Some(only.value.at),
            _ => at,
        },
        _ => at,
    }
}
