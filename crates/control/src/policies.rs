//! Reads `policies/`: Cedar policies and links of templates, validated against a schema.

use std::collections::HashSet;
use std::sync::Arc;

use cedar::text::{self, File, Files, Link};
use cedar::{Place, Uid};

use crate::LoadError;
use crate::draft::Draft;
use crate::fields::{Fields, at_most, list, located, scalar};
use crate::folder::{Folder, LINKS, POLICIES, SCHEMA};
use crate::problem::{Position, Report};
use crate::scalar::{Mismatch, policy_id};
use crate::schema::Schema;
use crate::yaml::{self, Node};

const LINK_KEYS: [&str; 4] = ["id", "template", "principal", "resource"];
/// Most links of templates.
const LINKS_MAX: usize = 10_000;

/// What `policies/` gave.
#[derive(Default)]
pub(crate) struct Read {
    /// The policies; `None` if there are none, or they could not be read.
    pub(crate) policies: Option<Arc<Files>>,
    /// What holds for policies and registry; `None` if it could not be read.
    pub(crate) schema: Option<Schema>,
}

/// Reads the policies of a folder, and keeps in the draft where each stands.
pub(crate) fn policies(
    folder: &Folder,
    draft: &mut Draft,
    report: &mut Report,
) -> Result<Read, LoadError> {
    let names = folder.policies(report)?;
    let own = folder.has(SCHEMA);
    if names.is_empty() && !own && !folder.has(LINKS) {
        return Ok(Read::default());
    }
    let schema = match own {
        true => own_schema(folder, report)?,
        false => Schema::built_in(),
    };
    let links = links(folder, report)?;
    let texts = texts(folder, &names, report)?;
    let (Some(links), Some(texts)) = (links, texts) else { return Ok(Read::default()) };
    if texts.is_empty() && links.is_empty() {
        return Ok(Read { policies: None, schema });
    }
    let files: Vec<File<'_>> =
        texts.iter().map(|(name, text)| File { name, text: text.as_str() }).collect();
    let bare: Vec<Link> = links.iter().map(|(_, link)| link.clone()).collect();
    let files = match Files::parse(&files, &bare) {
        Ok(files) => files,
        Err(problems) => {
            tell(&problems, Told::Policies, &links, report);
            return Ok(Read { policies: None, schema });
        }
    };
    for (id, Place { file, line }) in &files.places {
        draft.add_policy(id, file, Position { line: *line, column: 1 });
    }
    for (at, link) in &links {
        draft.add_policy(&link.id, LINKS, *at);
    }
    if let Some(schema) = &schema {
        tell(&files.validate(schema.cedar()).problems, Told::Validation, &links, report);
    }
    Ok(Read { policies: Some(Arc::new(files)), schema })
}

/// The schema of the folder; `None` if it could not be read.
fn own_schema(folder: &Folder, report: &mut Report) -> Result<Option<Schema>, LoadError> {
    let Ok(bytes) = folder.read(SCHEMA, report)? else { return Ok(None) };
    let Ok(written) = yaml::text(&bytes, report) else { return Ok(None) };
    match text::schema(File { name: SCHEMA, text: written }) {
        Ok(schema) => Ok(Schema::own(schema, report)),
        Err(problems) => {
            tell(&problems, Told::Schema, &[], report);
            Ok(None)
        }
    }
}

/// The text of each file; `None` if any could not be read.
fn texts<'n>(
    folder: &Folder,
    names: &'n [String],
    report: &mut Report,
) -> Result<Option<Vec<(&'n str, String)>>, LoadError> {
    let mut texts = Some(Vec::with_capacity(names.len()));
    for name in names {
        let bytes = folder.read(name, report)?;
        let text = bytes.and_then(|bytes| yaml::text(&bytes, report).map(str::to_owned));
        match (text, &mut texts) {
            (Ok(text), Some(texts)) => texts.push((name.as_str(), text)),
            (Ok(_), None) => {}
            (Err(_), _) => texts = None,
        }
    }
    Ok(texts)
}

type Links = Vec<(Position, Link)>;

/// The links of templates; `None` if they could not be read.
fn links(folder: &Folder, report: &mut Report) -> Result<Option<Links>, LoadError> {
    if !folder.has(LINKS) {
        return Ok(Some(Vec::new()));
    }
    let read = folder.decode(LINKS, report, |root, report| {
        let fields = Fields::of(root, &["links"], report)?;
        let links = at_most(LINKS_MAX, list(located(link)));
        fields.required("links", links, report)
    })?;
    Ok(match read {
        Ok(Some(links)) => links,
        Ok(None) => Some(Vec::new()),
        Err(_) => None,
    })
}

fn link(node: &Node<'_>, report: &mut Report) -> Option<Link> {
    let fields = Fields::of(node, &LINK_KEYS, report)?;
    let id = fields.required("id", scalar(policy_id), report);
    let template = fields.required("template", scalar(policy_id), report);
    let mut slot = |key: &str| match fields.get(key) {
        Some(node) => scalar(entity)(node, report).map(Some),
        None => Some(None),
    };
    let (principal, resource) = (slot("principal"), slot("resource"));
    Some(Link { template: template?, id: id?, principal: principal?, resource: resource? })
}

fn entity(text: &str) -> Result<Uid, Mismatch> {
    text.parse().map_err(|_| Mismatch {
        expected: "an entity such as `Member::\"G09\"`".to_owned(),
        hint: None,
    })
}

/// What Cedar speaks of when it finds something wrong.
#[derive(Clone, Copy)]
enum Told {
    Policies,
    Schema,
    Validation,
}

/// Reports what Cedar says, where it says it. What is about a link stands with the link. Cedar
/// tells the same mistake once for each action; here once is enough.
fn tell(problems: &[text::Problem], told: Told, links: &[(Position, Link)], report: &mut Report) {
    let mut places = HashSet::new();
    for problem in problems {
        let linked = problem.subject.as_ref().and_then(|subject| {
            links.iter().find(|(_, link)| link.id == *subject).map(|(at, _)| *at)
        });
        let at = Position { line: problem.line.max(1), column: problem.column.max(1) };
        let (file, at) = match linked {
            Some(at) => (LINKS, at),
            None if problem.file.is_empty() => (POLICIES, at),
            None => (&*problem.file, at),
        };
        if !places.insert((file, at.line, at.column, &problem.subject)) {
            continue;
        }
        let message = one_line(&problem.message);
        let (found, expected) = match told {
            Told::Policies => (format!("unusable Cedar ({message})"), "policies in Cedar"),
            Told::Schema => (format!("an unusable schema ({message})"), "a schema in Cedar"),
            Told::Validation => {
                (format!("a policy against the schema ({message})"), "what the schema declares")
            }
        };
        report.enter(file.into());
        report.add(at, found, expected, problem.hint.as_deref().map(one_line));
    }
}

/// Cedar's words, whatever layout they have.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
