//! What the contract says of registered methods.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use mask::{Class, Contract, Method, Watch};

use crate::compile::{Problems, nearest};
use crate::problem::Subject;
use crate::registry::{Contracted, Side};

/// A message that may hold any other, which it says only by itself.
const ANY: &str = "google.protobuf.Any";

/// The types of requests and answers that were met already.
pub(super) struct Sides<'a> {
    contract: Option<&'a Contract>,
    met: HashMap<&'a str, Side>,
}

impl<'a> Sides<'a> {
    pub(super) fn new(contract: Option<&'a Contract>) -> Self {
        Self { contract, met: HashMap::new() }
    }

    /// Whether the contract describes a service of this name.
    pub(super) fn knows(&self, service: &str) -> bool {
        self.contract.is_some_and(|contract| knows(contract, service))
    }

    /// What the contract says of a method of a service that it knows; `None` after reporting why
    /// it cannot be used.
    pub(super) fn method(
        &mut self,
        problems: &mut Problems,
        subject: &Subject,
        field: &str,
        path: &str,
    ) -> Option<Box<Contracted>> {
        let contract = self.contract?;
        let Some(method) = contract.method(path) else {
            let (service, name) = path.trim_start_matches('/').rsplit_once('/')?;
            let known = methods(contract, service).filter_map(|it| it.path.rsplit('/').next());
            let hint = nearest(name, known).map(|near| format!("did you mean `{near}`?"));
            let found = format!("`{name}`, which the contract does not have");
            let expected = format!("a method of `{service}`, as its contract has them");
            problems.add_hinted(subject, field, found, &expected, hint);
            return None;
        };
        let request = self.side(contract, &method.input);
        let answer = self.side(contract, &method.output);
        match (request, answer) {
            (Ok(request), Ok(answer)) => Some(Box::new(Contracted { request, answer })),
            (Err(problem), _) | (_, Err(problem)) => {
                let found = format!("a method of messages that cannot be read ({problem})");
                problems.add(subject, field, found, "messages of fewer types");
                None
            }
        }
    }

    fn side(&mut self, contract: &'a Contract, message: &'a str) -> Result<Side, mask::Problem> {
        if let Some(met) = self.met.get(message) {
            return Ok(met.clone());
        }
        let watch = match message {
            // Of whom it is, only what it holds could say.
            ANY => None,
            _ => Some(Watch::compile(contract, message)?),
        };
        let side = Side {
            message: message.into(),
            has_secret: has_secret(contract, message),
            watch: watch.filter(|watch| !watch.is_blind()).map(Arc::new),
        };
        self.met.insert(message, side.clone());
        Ok(side)
    }
}

/// Whether the contract describes a service of this name.
pub(super) fn knows(contract: &Contract, service: &str) -> bool {
    methods(contract, service).next().is_some()
}

/// The methods of a service.
fn methods<'c>(contract: &'c Contract, service: &str) -> impl Iterator<Item = &'c Method> {
    let prefix = format!("/{service}/");
    let all = contract.methods();
    let first = all.partition_point(|method| *method.path < *prefix);
    let rest = all.get(first..).unwrap_or_default().iter();
    rest.take_while(move |method| method.path.starts_with(&prefix))
}

/// Whether anything in a message is secret, however deep, or may be, since it can hold any message.
fn has_secret(contract: &Contract, message: &str) -> bool {
    let mut met = BTreeSet::from([message]);
    let mut waiting = vec![message];
    while let Some(message) = waiting.pop() {
        for field in contract.message(message).into_iter().flat_map(|message| &message.fields) {
            if field.class == Class::Secret {
                return true;
            }
            let held = contract.held(field).map(|held| held.name.as_str());
            if held == Some("google.protobuf.Any") {
                return true;
            }
            waiting.extend(held.filter(|held| met.insert(held)));
        }
    }
    false
}
