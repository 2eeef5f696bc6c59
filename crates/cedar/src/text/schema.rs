//! Schemas, and whether policies and entities are as a schema says.

use cedar_policy::{Entities, PolicyId, Schema, ValidationMode, Validator};
use miette::Diagnostic;

use super::measure::{Language, measure};
use super::{File, Files, Problem};
use crate::reference::{entities_of, entity_for};
use crate::{ConvertError, Entity};

/// What validation found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What must be changed.
    pub problems: Vec<Problem>,
    /// What had better be looked at.
    pub warnings: Vec<Problem>,
}

/// Reads a schema in Cedar's own text or, if it begins with `{`, in its JSON.
///
/// ```
/// use cedar::text::{File, schema};
/// assert!(schema(File { name: "a.cedarschema", text: "entity User;" }).is_ok());
/// assert!(schema(File { name: "b.cedarschema", text: "entity User" }).is_err());
/// ```
pub fn schema(file: File<'_>) -> Result<Schema, Vec<Problem>> {
    let json = file.text.trim_start().starts_with('{');
    let language = if json { Language::Json } else { Language::Schema };
    if let Some(problem) = measure(file.name, file.text, language) {
        return Err(vec![problem]);
    }
    let found = |error: &dyn Diagnostic| {
        let related = error.related().into_iter().flatten();
        let mut problems = vec![Problem::found(file.name, file.text, error)];
        problems.extend(related.map(|error| Problem::found(file.name, file.text, error)));
        problems
    };
    if json {
        return Schema::from_json_str(file.text).map_err(|error| found(&error));
    }
    match Schema::from_cedarschema_str(file.text) {
        Ok((schema, _)) => Ok(schema),
        Err(error) => Err(found(&error)),
    }
}

/// The actions of a schema as entities, each with every group of actions that it is in.
///
/// ```
/// use cedar::text::{File, actions, schema};
/// let text = "entity User; action all; action read in [all] appliesTo { principal: User,
///             resource: User };";
/// let schema = schema(File { name: "s", text }).map_err(|it| format!("{it:?}"))?;
/// let actions = actions(&schema)?;
/// let read = actions.iter().find(|it| &*it.uid.id == "read").ok_or("no such action")?;
/// assert_eq!(read.parents, [cedar::Uid::new("Action", "all")]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn actions(schema: &Schema) -> Result<Vec<Entity>, ConvertError> {
    let actions = schema.action_entities().map_err(|error| ConvertError(error.to_string()))?;
    let mut actions = entities_of(&actions)?;
    for action in &mut actions {
        action.parents.sort();
    }
    actions.sort_by(|a, b| a.uid.cmp(&b.uid));
    Ok(actions)
}

impl Files {
    /// Validates all policies and templates strictly.
    ///
    /// ```
    /// use cedar::text::{File, Files, schema};
    /// let text = "entity User; action read appliesTo { principal: User, resource: User };";
    /// let schema = schema(File { name: "s", text }).map_err(|it| format!("{it:?}"))?;
    /// let text = "permit(principal, action, resource) when { principal.nmae == 1 };";
    /// let files = Files::parse(&[File { name: "p", text }], &[]).map_err(|it| format!("{it:?}"))?;
    /// assert_eq!(files.validate(&schema).problems[0].subject.as_deref(), Some("policy0"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn validate(&self, schema: &Schema) -> Verdict {
        let validator = Validator::new(schema.clone());
        let result = validator.validate(&self.policies, ValidationMode::Strict);
        let errors = result.validation_errors().map(|it| self.problem(it.policy_id(), it));
        let warnings = result.validation_warnings().map(|it| self.problem(it.policy_id(), it));
        let mut verdict = Verdict { problems: errors.collect(), warnings: warnings.collect() };
        // The validator finds what is wrong once for each kind of request it may concern.
        for list in [&mut verdict.problems, &mut verdict.warnings] {
            list.sort_by(|a, b| {
                (&a.file, a.line, a.column, &a.subject, &a.message)
                    .cmp(&(&b.file, b.line, b.column, &b.subject, &b.message))
            });
            list.dedup();
        }
        verdict
    }

    fn problem(&self, id: &PolicyId, diagnostic: &dyn Diagnostic) -> Problem {
        let id = id.to_string();
        let place = self.places.get(id.as_str());
        let file = place.map_or("", |place| &*place.file);
        let text = self.texts.get(file).map_or("", |text| &**text);
        let mut problem = Problem::found(file, text, diagnostic);
        if text.is_empty() || problem.line == 0 {
            problem.line = place.map_or(0, |place| place.line);
            problem.column = u32::from(problem.line > 0);
        }
        // Messages of the validator begin with the policy; that is said already.
        let prefix = format!("for policy `{id}`, ");
        if let Some(message) = problem.message.strip_prefix(&prefix) {
            problem.message = message.to_owned();
        }
        problem.about(id)
    }
}

/// What of the entities is not as the schema says, one problem for each of them at most.
pub fn conform(entities: &[Entity], schema: &Schema) -> Vec<Problem> {
    let one = |entity: &Entity| -> Option<Problem> {
        let subject = entity.uid.to_string();
        let (message, hint) = match entity_for(entity) {
            Err(error) => (error.to_string(), None),
            Ok(converted) => match Entities::from_entities([converted], Some(schema)) {
                Ok(_) => return None,
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    let hint = error.help().map(|help| help.to_string());
                    (cause.unwrap_or_else(|| error.to_string()), hint)
                }
            },
        };
        Some(Problem { message, hint, ..Problem::default() }.about(subject))
    };
    entities.iter().filter_map(one).collect()
}
