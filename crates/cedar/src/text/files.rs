//! Policy files: several texts to one set, with an id and a place for each policy.

use std::collections::{BTreeMap, HashMap};

use cedar_policy::{EntityUid, Policy, PolicyId, PolicySet, PolicySetError, SlotId, Template};

use super::Problem;
use super::measure::{Language, measure};
use super::problem::position;
use crate::engine::refused;
use crate::{Place, Uid};

/// A file by name.
#[derive(Debug, Clone, Copy)]
pub struct File<'a> {
    /// Its name, as problems and places show it.
    pub name: &'a str,
    /// Its text.
    pub text: &'a str,
}

/// A policy to be made from a template.
#[derive(Debug, Clone)]
pub struct Link {
    /// Id of the template.
    pub template: Box<str>,
    /// Id of the policy.
    pub id: Box<str>,
    /// What stands for `?principal`.
    pub principal: Option<Uid>,
    /// What stands for `?resource`.
    pub resource: Option<Uid>,
}

/// Policies from files, with where each stands.
///
/// ```
/// use cedar::text::{File, Files};
/// let text = "\n@id(\"open\") permit(principal, action, resource);";
/// let file = File { name: "open.cedar", text };
/// let files = Files::parse(&[file], &[]).map_err(|problems| format!("{problems:?}"))?;
/// assert_eq!(files.places["open"].line, 2);
///
/// let broken = File { name: "broken.cedar", text: "permit(principal);" };
/// let problems = Files::parse(&[broken], &[]).err().ok_or("parsed")?;
/// assert_eq!((problems[0].line, problems[0].column), (1, 17));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Files {
    /// All policies and templates.
    pub policies: PolicySet,
    /// Where each policy and template stands, by id; a linked policy where its template does.
    pub places: BTreeMap<Box<str>, Place>,
    /// Texts by name of the file.
    pub(super) texts: BTreeMap<Box<str>, Box<str>>,
}

impl Files {
    /// Reads policy files, each in Cedar's own text or, if it begins with `{`, in its JSON.
    ///
    /// A policy has the id of its `@id` annotation, in JSON that of the set. Others are numbered
    /// as Cedar does: `policy0` and so on, after the file's stem and a point where there are
    /// several files. Every file is read to its end before problems are returned.
    pub fn parse(files: &[File<'_>], links: &[Link]) -> Result<Files, Vec<Problem>> {
        let mut reading = Reading::default();
        for file in files {
            let stem = if files.len() > 1 { Some(stem(file.name)) } else { None };
            reading.file(*file, stem);
        }
        for link in links {
            reading.link(link);
        }
        if reading.problems.is_empty() {
            reading.lists();
        }
        if reading.problems.is_empty() { Ok(reading.files) } else { Err(reading.problems) }
    }
}

fn stem(name: &str) -> &str {
    let base = name.rsplit_once('/').map_or(name, |(_, base)| base);
    base.rsplit_once('.').map_or(base, |(stem, _)| stem)
}

#[derive(Default)]
struct Reading {
    files: Files,
    problems: Vec<Problem>,
}

impl Reading {
    fn file(&mut self, file: File<'_>, stem: Option<&str>) {
        let json = file.text.trim_start().starts_with('{');
        let language = if json { Language::Json } else { Language::Policies };
        if let Some(problem) = measure(file.name, file.text, language) {
            self.problems.push(problem);
            return;
        }
        let set = if json { self.json(file) } else { self.text(file) };
        let Some(set) = set else { return };
        self.files.texts.insert(file.name.into(), file.text.into());
        let mut renamed = HashMap::new();
        for template in set.templates() {
            let offset = template.as_ref().loc().map(|loc| loc.start());
            let annotated = template.annotation("id").filter(|_| !json);
            let id = self.id(template.id(), annotated, stem.filter(|_| !json));
            renamed.insert(template.id().clone(), id.clone());
            self.add(file, offset, &id, |set| {
                set.add_template(template.new_id(id.clone())).map_err(Box::new)
            });
        }
        let (mut fixed, linked): (Vec<&Policy>, Vec<&Policy>) =
            set.policies().partition(|policy| policy.is_static());
        // Sets are in no order; problems are to come in the order of the file.
        fixed.sort_by_key(|policy| policy.as_ref().loc().map(|loc| loc.start()));
        for policy in fixed {
            let offset = policy.as_ref().loc().map(|loc| loc.start());
            let annotated = policy.annotation("id").filter(|_| !json);
            let id = self.id(policy.id(), annotated, stem.filter(|_| !json));
            self.add(file, offset, &id, |set| set.add(policy.new_id(id.clone())).map_err(Box::new));
        }
        for policy in linked {
            let template = policy.template_id().and_then(|id| renamed.get(id)).cloned();
            let (Some(template), Some(values)) = (template, policy.template_links()) else {
                continue;
            };
            let id = policy.id().clone();
            self.add(file, None, &id, |set| {
                set.link(template, id.clone(), values).map_err(Box::new)
            });
        }
    }

    fn text(&mut self, file: File<'_>) -> Option<PolicySet> {
        match file.text.parse::<PolicySet>() {
            Ok(set) => Some(set),
            Err(errors) => {
                let found = |error| Problem::found(file.name, file.text, error);
                let mut problems: Vec<_> =
                    errors.iter().map(|error| found(error as &dyn miette::Diagnostic)).collect();
                problems.dedup();
                self.problems.extend(problems);
                None
            }
        }
    }

    fn json(&mut self, file: File<'_>) -> Option<PolicySet> {
        let problem = |line: usize, column: usize, message: String| Problem {
            file: file.name.into(),
            line: crate::names::number(line),
            column: crate::names::number(column),
            message,
            ..Problem::default()
        };
        let value: serde_json::Value = match serde_json::from_str(file.text) {
            Ok(value) => value,
            Err(error) => {
                let message = format!("not JSON: {error}");
                self.problems.push(problem(error.line(), error.column(), message));
                return None;
            }
        };
        // One policy or template by itself says its effect.
        let single = value.get("effect").is_some();
        let id = || Some(PolicyId::new("policy0"));
        let set = if !single {
            PolicySet::from_json_value(value).map_err(|error| error.to_string())
        } else if let Ok(policy) = Policy::from_json(id(), value.clone()) {
            PolicySet::from_policies([policy]).map_err(|error| error.to_string())
        } else {
            let template = Template::from_json(id(), value).map_err(|error| error.to_string());
            template.and_then(|template| {
                let mut set = PolicySet::new();
                set.add_template(template).map_err(|error| error.to_string())?;
                Ok(set)
            })
        };
        set.map_err(|message| self.problems.push(problem(0, 0, message))).ok()
    }

    fn id(&self, numbered: &PolicyId, annotated: Option<&str>, stem: Option<&str>) -> PolicyId {
        match (annotated, stem) {
            (Some(id), _) => PolicyId::new(id),
            (None, Some(stem)) => PolicyId::new(format!("{stem}.{numbered}")),
            (None, None) => numbered.clone(),
        }
    }

    fn add(
        &mut self,
        file: File<'_>,
        offset: Option<usize>,
        id: &PolicyId,
        add: impl FnOnce(&mut PolicySet) -> Result<(), Box<PolicySetError>>,
    ) {
        let (line, column) = offset.map_or((1, 1), |offset| position(file.text, offset));
        let place = Place { file: file.name.into(), line };
        let name: Box<str> = id.to_string().into();
        if let Err(error) = add(&mut self.files.policies) {
            let message = match self.files.places.get(&name) {
                Some(Place { file, line }) => {
                    format!("its id is taken by the policy at {file}:{line}")
                }
                None => error.to_string(),
            };
            let problem = Problem { line, column, message, ..Problem::default() };
            self.problems.push(Problem { file: file.name.into(), ..problem.about(name) });
            return;
        }
        self.files.places.insert(name, place);
    }

    /// Notes policies that no engine takes, because of the size of their lists.
    fn lists(&mut self) {
        let refused = match refused(self.files.policies.policies()) {
            Ok(refused) => refused,
            Err(error) => {
                let message = error.to_string();
                self.problems.push(Problem { message, ..Problem::default() });
                return;
            }
        };
        let problems = refused.into_iter().map(|(policy, found)| {
            let id = policy.id().to_string();
            let place = self.files.places.get(id.as_str());
            let (file, line) = place.map_or(("", 0), |it| (&*it.file, it.line));
            let (column, message) = (u32::from(line > 0), found.to_string());
            let hint = Some("let a group, or an attribute of entities, say what the list says");
            let hint = hint.map(str::to_owned);
            Problem { file: file.into(), line, column, message, hint, ..Problem::default() }
                .about(id)
        });
        self.problems.extend(problems);
        self.problems.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    }

    fn link(&mut self, link: &Link) {
        if let Err(message) = self.try_link(link) {
            let place = self.files.places.get(&link.template);
            let (file, line) = place.map_or(("", 0), |it| (&*it.file, it.line));
            let problem = Problem { file: file.into(), line, message, ..Problem::default() };
            self.problems.push(problem.about(link.id.clone()));
            return;
        }
        if let Some(place) = self.files.places.get(&link.template).cloned() {
            self.files.places.insert(link.id.clone(), place);
        }
    }

    fn try_link(&mut self, link: &Link) -> Result<(), String> {
        let mut values: HashMap<SlotId, EntityUid> = HashMap::new();
        let slots = [(SlotId::principal(), &link.principal), (SlotId::resource(), &link.resource)];
        for (slot, uid) in slots {
            if let Some(uid) = uid {
                values.insert(slot, uid.to_reference().map_err(|error| error.to_string())?);
            }
        }
        if let Some(Place { file, line }) = self.files.places.get(&link.id) {
            return Err(format!("its id is taken by the policy at {file}:{line}"));
        }
        let (template, id) = (PolicyId::new(&link.template), PolicyId::new(&link.id));
        self.files.policies.link(template, id, values).map_err(|error| error.to_string())
    }
}
