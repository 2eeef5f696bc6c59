//! The schema that policies and registry keep to, and whether it fits what the gateway asks.

use std::str::FromStr;

use cedar::text::{self, File};
use cedar_policy::{Context, EntityUid, Request};
use policy::{Source, entities};
use serde_json::{Value, json};

use crate::draft::Draft;
use crate::folder::SCHEMA;
use crate::policies::one_line;
use crate::problem::{Position, Report};

/// The gateway's questions, as Cedar writes them.
const ACTIONS: [&str; 2] = ["Action::\"query\"", "Action::\"update\""];
const PRINCIPAL: &str = "System::\"system\"";
/// What a call need not state.
const OPTIONAL: [&str; 5] = ["dossier", "procedure", "zone", "fields", "token"];
const RESOURCE: &str = "Method::\"/package.Service/Method\"";

/// A schema that the gateway can work with.
pub(crate) struct Schema {
    cedar: cedar_policy::Schema,
    /// Whether it is the operator's.
    own: bool,
}

impl Schema {
    /// What holds where the operator gives no schema.
    pub(crate) fn built_in() -> Option<Self> {
        let file = File { name: "", text: policy::SCHEMA };
        text::schema(file).ok().map(|cedar| Self { cedar, own: false })
    }

    /// The operator's; `None` after reporting what keeps the gateway from working with it.
    pub(crate) fn own(cedar: cedar_policy::Schema, report: &mut Report) -> Option<Self> {
        let questions = ACTIONS.iter().flat_map(|action| [(action, least()), (action, most())]);
        for (action, context) in questions {
            let Err(cause) = ask(&cedar, action, context.clone()) else { continue };
            let found = match culprit(&cedar, action, &context) {
                Some(name) => format!("a schema that has `{name}` in another way for {action}"),
                None => format!("a schema that no call fits ({})", one_line(&cause)),
            };
            let expected = "what the gateway's own schema declares, and more";
            let hint = "begin with a copy of the gateway's own schema".to_owned();
            report.enter(SCHEMA.into());
            report.add(Position::START, found, expected, Some(hint));
            return None;
        }
        Some(Self { cedar, own: true })
    }

    /// The schema itself.
    pub(crate) fn cedar(&self) -> &cedar_policy::Schema {
        &self.cedar
    }

    /// The actions with the groups that they are in.
    pub(crate) fn actions(&self, report: &mut Report) -> Vec<cedar::Entity> {
        text::actions(&self.cedar).unwrap_or_else(|error| {
            report.enter(SCHEMA.into());
            let found = format!("actions that cannot be read ({})", one_line(&error.to_string()));
            report.add(Position::START, found, "actions with groups at most", None);
            Vec::new()
        })
    }

    /// Reports what the registry says of its objects that is not as the schema has it. A policy
    /// that meets such an attribute would end in an error and be passed over.
    pub(crate) fn check(&self, source: &Source, draft: &Draft, report: &mut Report) {
        if source.policies.is_none() && !self.own {
            return;
        }
        for (subject, entity) in entities(source) {
            for problem in text::conform(std::slice::from_ref(&entity), &self.cedar) {
                let Some((_, place)) = draft.place(&subject) else { continue };
                let hint = format!("attributes are declared in `{SCHEMA}`");
                let found =
                    format!("what the schema does not take ({})", one_line(&problem.message));
                report.enter(place.file.clone());
                report.add(place.at, found, "attributes as the schema declares them", Some(hint));
            }
        }
    }
}

/// The attribute of the context without which, or with which, the schema takes the call.
fn culprit(schema: &cedar_policy::Schema, action: &str, context: &Value) -> Option<&'static str> {
    let (Value::Object(context), Value::Object(all)) = (context, most()) else { return None };
    OPTIONAL.into_iter().find(|name| {
        let mut other = context.clone();
        if other.remove(*name).is_none() {
            other.extend(all.get(*name).map(|value| ((*name).to_owned(), value.clone())));
        }
        ask(schema, action, Value::Object(other)).is_ok()
    })
}

/// Whether the schema takes such a call; else why not.
fn ask(schema: &cedar_policy::Schema, action: &str, context: Value) -> Result<(), String> {
    let uid = |text: &str| EntityUid::from_str(text).map_err(|error| error.to_string());
    let context = Context::from_json_value(context, None).map_err(|error| error.to_string())?;
    let (principal, resource) = (uid(PRINCIPAL)?, uid(RESOURCE)?);
    match Request::new(principal, uid(action)?, resource, context, Some(schema)) {
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// The context of a call that states nothing that need not be stated.
fn least() -> Value {
    let extension =
        |name: &str, argument: &str| json!({ "__extn": { "fn": name, "arg": argument } });
    json!({
        "purpose": "p",
        "agreement": { "id": "a", "mode": "by_default", "legal_basis": "b" },
        "source": extension("ip", "192.0.2.1"),
        "time": extension("datetime", "2026-01-01"),
        "time_of_day": extension("duration", "8h"),
        "weekday": 1,
    })
}

/// The context of a call that states everything.
fn most() -> Value {
    let mut context = least();
    let more = json!({
        "dossier": "d",
        "procedure": "p",
        "zone": "z",
        "fields": ["f"],
        "token": { "issuer": "i", "subject": "s", "level": 2, "unit": "u", "roles": ["r"] },
    });
    if let (Value::Object(context), Value::Object(more)) = (&mut context, more) {
        context.extend(more);
    }
    context
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_schema_fits_what_the_gateway_asks() {
        let schema = Schema::built_in().unwrap();
        for action in ACTIONS {
            for context in [least(), most()] {
                assert_eq!(ask(&schema.cedar, action, context), Ok(()));
            }
        }
    }
}
