//! Requests in text answered in one go: the library half of `giaolien authorize`.

use cedar_policy::{Context, Entities, EntityUid, Request, Schema};
use serde_json::{Map, Value};

use crate::text::{File, Files, Problem, schema as read_schema};
use crate::{CompileError, Decision, Engine, PolicyIx, Workspace};

/// The answer to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Allow or deny.
    pub decision: Decision,
    /// Ids of the determining policies, sorted.
    pub reasons: Vec<String>,
    /// Ids of the policies that erred, sorted.
    pub errors: Vec<String>,
}

/// The answers to all requests, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers {
    /// One for each request.
    pub answers: Vec<Answer>,
    /// Whether the requests were one object rather than an array.
    pub one: bool,
}

/// Input that cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// What is wrong with the policies or the schema.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Text(Vec<Problem>),
    /// What is wrong with the entities.
    #[error("entities: {0}")]
    Entities(String),
    /// What is wrong with the requests.
    #[error("requests: {0}")]
    Requests(String),
    /// What is wrong with one request.
    #[error("requests[{index}]: {message}")]
    Request {
        /// Which, from 0.
        index: usize,
        /// What is wrong.
        message: String,
    },
    /// Why policies and entities make no engine.
    #[error(transparent)]
    Compile(#[from] CompileError),
}

/// Answers requests.
///
/// Policies are Cedar's text or JSON, entities Cedar's JSON, requests an object or an array of
/// objects with `principal`, `action`, `resource` and perhaps `context`. With a schema, policies
/// must validate strictly, and entities and requests be as it says.
///
/// ```
/// use cedar::{Decision, authorize::authorize};
/// let policies = r#"@id("an") permit(principal == User::"an", action, resource);"#;
/// let request = r#"{"principal": "User::\"an\"", "action": "Action::\"read\"",
///                   "resource": {"type": "File", "id": "1"}}"#;
/// let answers = authorize(policies, "[]", request, None)?;
/// assert_eq!(answers.answers[0].decision, Decision::Allow);
/// assert_eq!(answers.answers[0].reasons, ["an"]);
/// # Ok::<(), cedar::authorize::InputError>(())
/// ```
pub fn authorize(
    policies: &str,
    entities: &str,
    requests: &str,
    schema: Option<&str>,
) -> Result<Answers, InputError> {
    let schema = match schema {
        Some(text) => Some(read_schema(File { name: "schema", text }).map_err(InputError::Text)?),
        None => None,
    };
    let files = Files::parse(&[File { name: "policies", text: policies }], &[])
        .map_err(InputError::Text)?;
    if let Some(schema) = &schema {
        let problems = files.validate(schema).problems;
        if !problems.is_empty() {
            return Err(InputError::Text(problems));
        }
    }
    let entities = Entities::from_json_str(entities, schema.as_ref())
        .map_err(|error| InputError::Entities(with_causes(&error)))?;
    let requests: Value = serde_json::from_str(requests)
        .map_err(|error| InputError::Requests(format!("not JSON: {error}")))?;
    let (requests, one) = match requests {
        Value::Array(requests) => (requests, false),
        request => (vec![request], true),
    };
    let engine = Engine::from_reference(&files.policies, &entities)?.with_places(&files.places);
    let mut workspace = Workspace::default();
    let mut answers = Vec::with_capacity(requests.len());
    for (index, request) in requests.into_iter().enumerate() {
        let failed = |message| InputError::Request { index, message };
        let request = read(request, schema.as_ref()).map_err(failed)?;
        let prepared =
            engine.prepare_reference(&request).map_err(|error| failed(error.to_string()))?;
        let decision = engine.decide(&prepared.request(), &mut workspace);
        // Policies are numbered in the order of their ids.
        let ids = |all: &[PolicyIx]| -> Vec<String> {
            all.iter().filter_map(|ix| Some(engine.policy(*ix)?.id.to_string())).collect()
        };
        let (reasons, errors) = (ids(workspace.determining()), ids(workspace.erring()));
        answers.push(Answer { decision, reasons, errors });
    }
    Ok(Answers { answers, one })
}

fn read(request: Value, schema: Option<&Schema>) -> Result<Request, String> {
    let Value::Object(mut request) = request else {
        return Err("expected an object with `principal`, `action` and `resource`".to_owned());
    };
    let principal = uid(&mut request, "principal")?;
    let action = uid(&mut request, "action")?;
    let resource = uid(&mut request, "resource")?;
    let context = request.remove("context").unwrap_or_else(|| Value::Object(Map::new()));
    if let Some(key) = request.keys().next() {
        return Err(format!(
            "unknown key `{key}`, expected `principal`, `action`, `resource` or `context`"
        ));
    }
    let context = Context::from_json_value(context, schema.map(|schema| (schema, &action)))
        .map_err(|error| format!("context: {}", with_causes(&error)))?;
    Request::new(principal, action, resource, context, schema).map_err(|error| with_causes(&error))
}

fn uid(request: &mut Map<String, Value>, key: &str) -> Result<EntityUid, String> {
    match request.remove(key) {
        Some(Value::String(text)) => {
            text.parse().map_err(|error| format!("{key}: `{text}` is no entity: {error}"))
        }
        Some(json) => {
            EntityUid::from_json(json).map_err(|error| format!("{key}: {}", with_causes(&error)))
        }
        None => Err(format!("no `{key}`")),
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
