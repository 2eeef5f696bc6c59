//! Asks this crate and the reference the same, and compares whole answers.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that meets what it does not expect may panic"
)]
#![allow(dead_code, missing_docs, unreachable_pub, reason = "each test takes what it needs")]

use cedar::{Decision, Engine, Workspace};
use cedar_policy::{Authorizer, Context, Entities, EntityUid, PolicySet, Request};

/// Decision, reasons and errors, the ids sorted.
pub type Answer = (Decision, Vec<String>, Vec<String>);

pub fn policies(text: &str) -> PolicySet {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

pub fn entities(json: &str) -> Entities {
    Entities::from_json_str(json, None).unwrap_or_else(|error| panic!("{error:?}"))
}

pub fn uid(text: &str) -> EntityUid {
    text.parse().unwrap_or_else(|error| panic!("`{text}`: {error:?}"))
}

pub fn request(principal: &str, action: &str, resource: &str, context: &str) -> Request {
    let context = Context::from_json_str(context, None).unwrap_or_else(|error| panic!("{error:?}"));
    Request::new(uid(principal), uid(action), uid(resource), context, None).expect("no schema")
}

pub fn expected(policies: &PolicySet, entities: &Entities, request: &Request) -> Answer {
    let response = Authorizer::new().is_authorized(request, policies, entities);
    let decision = match response.decision() {
        cedar_policy::Decision::Allow => Decision::Allow,
        cedar_policy::Decision::Deny => Decision::Deny,
    };
    let mut reasons: Vec<_> = response.diagnostics().reason().map(ToString::to_string).collect();
    let mut errors: Vec<_> = response
        .diagnostics()
        .errors()
        .map(|error| match error {
            cedar_policy::AuthorizationError::PolicyEvaluationError(it) => {
                it.policy_id().to_string()
            }
        })
        .collect();
    reasons.sort();
    errors.sort();
    (decision, reasons, errors)
}

pub fn actual(engine: &Engine, request: &Request, workspace: &mut Workspace) -> Answer {
    let prepared = engine.prepare_reference(request).expect("a known request");
    let decision = engine.decide(&prepared.request(), workspace);
    let ids = |all: &[cedar::PolicyIx]| {
        let mut ids: Vec<_> =
            all.iter().map(|ix| engine.policy(*ix).expect("its own").id.to_string()).collect();
        ids.sort();
        ids
    };
    (decision, ids(workspace.determining()), ids(workspace.erring()))
}

/// Compares all requests, and returns the engine.
pub fn check(policies: &PolicySet, entities: &Entities, requests: &[Request]) -> Engine {
    let engine = Engine::from_reference(policies, entities).expect("compile");
    let mut workspace = Workspace::default();
    for request in requests {
        assert_eq!(
            actual(&engine, request, &mut workspace),
            expected(policies, entities, request),
            "request {request}, policies:\n{policies}"
        );
    }
    engine
}
