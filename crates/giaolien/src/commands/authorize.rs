//! `giaolien authorize`: decisions over Cedar files, in Cedar's own formats.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use cedar::Decision;
use cedar::authorize::{Answer, Answers, InputError};
use cedar::text::Problem;
use clap::Args;
use serde_json::{Value, json};

use super::say;

const ALLOWED: u8 = 0;
const BAD_INPUT: u8 = 1;
const DENIED: u8 = 2;

/// Decides requests by Cedar policies and prints one line of JSON for each.
///
/// A line has the `decision`, the ids of the policies that decided (`reason`) and of those that
/// ended in an error and were passed over (`errors`). Exits with 0 if the request is allowed, 2 if
/// it is denied, 1 if some input is bad; for an array of requests with 0 if all were decided.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  giaolien authorize --policies p.cedar --entities e.json \
    --request r.json\n\n\
    A request:\n  {\"principal\": \"User::\\\"a\\\"\", \"action\": \"Action::\\\"read\\\"\", \
    \"resource\": {\"type\": \"File\", \"id\": \"1\"}, \"context\": {}}")]
pub(crate) struct Authorize {
    /// Policies, in Cedar's text or JSON.
    #[arg(long, value_name = "FILE")]
    policies: PathBuf,
    /// Entities, in Cedar's JSON.
    #[arg(long, value_name = "FILE")]
    entities: PathBuf,
    /// A request, or an array of requests, in JSON.
    #[arg(long, value_name = "FILE")]
    request: PathBuf,
    /// A schema, in Cedar's text or JSON: policies, entities and requests must be as it says.
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
}

impl Authorize {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let policies = read(&self.policies)?;
        let entities = read(&self.entities)?;
        let request = read(&self.request)?;
        let schema = self.schema.as_deref().map(read).transpose()?;
        let answers =
            cedar::authorize::authorize(&policies, &entities, &request, schema.as_deref());
        match answers {
            Ok(Answers { answers, one }) => {
                answers.iter().map(line).for_each(say);
                let denied = |answer: &Answer| answer.decision == Decision::Deny;
                let code = if one && answers.iter().any(denied) { DENIED } else { ALLOWED };
                Ok(ExitCode::from(code))
            }
            Err(error) => {
                let told = self.tell(&error, &entities, &request);
                told.iter().for_each(|line| eprintln!("{line}"));
                Ok(ExitCode::from(BAD_INPUT))
            }
        }
    }

    /// What is wrong, with the file that it is in and, where that is known, the place.
    fn tell(&self, error: &InputError, entities: &str, request: &str) -> Vec<String> {
        let (entities_file, request_file) = (self.entities.display(), self.request.display());
        match error {
            InputError::Text(problems) => {
                problems.iter().map(|problem| self.tell_problem(problem)).collect()
            }
            InputError::Entities(message) => vec![match not_json(entities) {
                Some((line, column, cause)) => {
                    format!("{entities_file}:{line}:{column}: found {cause}, expected JSON")
                }
                None => format!("{entities_file}: {message}"),
            }],
            InputError::Requests(message) => vec![match not_json(request) {
                Some((line, column, cause)) => {
                    format!("{request_file}:{line}:{column}: found {cause}, expected JSON")
                }
                None => format!("{request_file}: {message}"),
            }],
            InputError::Request { index, message } => {
                let (line, column) = position(request, element(request, *index));
                vec![format!("{request_file}:{line}:{column}: request {index}: {message}")]
            }
            error => vec![format!("{}: {error}", self.policies.display())],
        }
    }

    fn tell_problem(&self, problem: &Problem) -> String {
        let file = match (&*problem.file, &self.schema) {
            ("schema", Some(schema)) => schema,
            _ => &self.policies,
        };
        let file = file.display();
        let Problem { line, column, message, .. } = problem;
        let place = if *line > 0 { format!(":{line}:{column}") } else { String::new() };
        let subject = problem.subject.iter().map(|id| format!("`{id}`: ")).collect::<String>();
        let hint = problem.hint.iter().map(|hint| format!("; {hint}")).collect::<String>();
        format!("{file}{place}: {subject}{message}{hint}")
    }
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("read `{}`", path.display()))
}

/// An answer as scripts read it. The order of the keys is part of what they may rely on.
fn line(answer: &Answer) -> String {
    let decision = match answer.decision {
        Decision::Allow => "allow",
        Decision::Deny => "deny",
    };
    let (reason, errors) = (json!(answer.reasons), json!(answer.errors));
    format!(r#"{{"decision":"{decision}","reason":{reason},"errors":{errors}}}"#)
}

/// Where and why a text is not JSON.
fn not_json(text: &str) -> Option<(usize, usize, String)> {
    let error = serde_json::from_str::<Value>(text).err()?;
    let told = error.to_string();
    let cause = told.split(" at line ").next().unwrap_or_default().to_owned();
    Some((error.line(), error.column().max(1), cause))
}

/// Where the element with this index begins in an array; where the text begins if it is none.
/// The text is known to be JSON.
fn element(text: &str, index: usize) -> usize {
    let start = text.len() - text.trim_start().len();
    if !text.trim_start().starts_with('[') {
        return start;
    }
    let (mut depth, mut passed, mut in_string, mut escaped) = (0_usize, 0_usize, false, false);
    for (at, byte) in text.bytes().enumerate().skip(start) {
        let is_first = depth == 1 && passed == index && !byte.is_ascii_whitespace();
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' if is_first && !in_string => return at,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b',' if depth == 1 => passed += 1,
            _ if is_first => return at,
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    start
}

/// Line and column of a byte, both from 1; columns count characters.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_of_an_array_are_found() {
        let text = " [\n  {\"a\": \"],\\\"{\", \"b\": [1, 2]},\n  {\"đ\": 1}, 7,\"x\"]";
        let at = |index| position(text, element(text, index));
        assert_eq!([at(0), at(1), at(2), at(3)], [(2, 3), (3, 3), (3, 13), (3, 15)]);
        assert_eq!(position("\n {}", element("\n {}", 0)), (2, 2));
    }

    #[test]
    fn what_is_not_json_has_a_place() {
        let (line, column, cause) = not_json("[\n  {]").unwrap();
        assert_eq!((line, column, cause.as_str()), (2, 4, "key must be a string"));
        assert!(not_json("[{}]").is_none());
    }
}
