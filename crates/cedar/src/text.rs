//! Policy files, schemas and validation.

use cedar_policy::{PolicySet, Schema};

use crate::{Entity, Place, Uid};

/// What is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Name of the file, empty if there is none.
    pub file: Box<str>,
    /// Line from 1, 0 if unknown.
    pub line: u32,
    /// Column from 1, 0 if unknown.
    pub column: u32,
    /// The policy or entity that it is about.
    pub subject: Option<Box<str>>,
    /// What was found and what was expected.
    pub message: String,
    /// What may help.
    pub hint: Option<String>,
}

/// A file by name.
#[derive(Debug, Clone, Copy)]
pub struct File<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its text.
    pub text: &'a str,
}

/// A template to link.
#[derive(Debug, Clone)]
pub struct Link {
    /// The template's id.
    pub template: Box<str>,
    /// Id of the new policy.
    pub id: Box<str>,
    /// What stands for `?principal`.
    pub principal: Option<Uid>,
    /// What stands for `?resource`.
    pub resource: Option<Uid>,
}

/// Policies with where each stands.
#[derive(Debug, Clone)]
pub struct Files {
    /// The policies.
    pub policies: PolicySet,
    /// Place by policy or template id.
    pub places: std::collections::BTreeMap<Box<str>, Place>,
}

impl Files {
    /// Parse.
    pub fn parse(_files: &[File<'_>], _links: &[Link]) -> Result<Files, Vec<Problem>> {
        todo!()
    }

    /// Validate strictly.
    pub fn validate(&self, _schema: &Schema) -> Verdict {
        todo!()
    }
}

/// What validation found.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// Errors.
    pub problems: Vec<Problem>,
    /// Warnings.
    pub warnings: Vec<Problem>,
}

/// Reads a schema in Cedar's text or JSON.
pub fn schema(_file: File<'_>) -> Result<Schema, Vec<Problem>> {
    todo!()
}

/// What of the entities does not conform to the schema.
pub fn conform(_entities: &[Entity], _schema: &Schema) -> Vec<Problem> {
    todo!()
}
