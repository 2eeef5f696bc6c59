//! A world put before both: the reference crate and the engine, whole answers compared.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};

use cedar::{CompileError, Datum, Engine, Workspace};
use cedar_policy::{
    AuthorizationError, Authorizer, Context, Decision, Entities, EntityId, EntityTypeName,
    EntityUid, Policy, PolicyId, PolicySet, Request, Schema, SlotId, Template, ValidationMode,
    Validator,
};
use serde_json::Value as Json;

use super::convert;
use super::data::Name;
use super::policy::{Form, Piece};
use super::world::{Ask, World};

/// What was decided, and by which policies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Answer {
    pub(crate) allowed: bool,
    pub(crate) reasons: Vec<String>,
    pub(crate) errors: Vec<String>,
}

/// Why a world or a request could not be checked, or did not pass.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The reference does not take the world: the generator's fault.
    Refused(String),
    /// The engine does not do what the reference does.
    Mismatch(String),
}

/// A world as the reference crate has it.
pub(crate) struct Reference {
    pub(crate) policies: PolicySet,
    entities: Entities,
    schema: Option<Schema>,
    contexts: Vec<Context>,
    authorizer: Authorizer,
    /// Pieces that the reference does not take, and why.
    pub(crate) dropped: Vec<String>,
}

/// A world in the forms of both sides.
pub(crate) struct Built {
    pub(crate) reference: Reference,
    pub(crate) engine: Engine,
    /// The contexts as the engine's own data, where the engine was made from its own data.
    contexts: Option<Vec<BTreeMap<Box<str>, Datum>>>,
}

impl Reference {
    pub(crate) fn new(world: &World) -> Result<Self, Trouble> {
        let schema = world.schema.clone().map(Schema::from_json_value).transpose();
        let schema = schema.map_err(|error| refused("schema", &error))?;
        let mut dropped = Vec::new();
        let policies = policies(&world.pieces, &mut dropped);
        let list = Json::Array(world.entities.clone());
        let entities = Entities::from_json_value(list, schema.as_ref());
        let entities = entities.map_err(|error| refused("entities", &error))?;
        let contexts = world.contexts.iter().map(|context| {
            Context::from_json_value(context.clone(), None)
                .map_err(|error| refused("context", &error))
        });
        let contexts = contexts.collect::<Result<Vec<_>, _>>()?;
        Ok(Self { policies, entities, schema, contexts, authorizer: Authorizer::new(), dropped })
    }

    fn drop(&mut self, id: &PolicyId) -> Result<(), Trouble> {
        let linked = self.policies.policy(id).is_some_and(|policy| !policy.is_static());
        let gone = match linked {
            true => self.policies.unlink(id.clone()),
            false => self.policies.remove_static(id.clone()),
        };
        gone.map_err(|error| refused("policies", &error))?;
        self.dropped.push(format!("`{id}` has a list that is too large"));
        Ok(())
    }

    fn request(&self, ask: &Ask) -> Result<Request, Trouble> {
        let end = |name: &Name| {
            uid(name).ok_or_else(|| Trouble::Refused(format!("{name:?} is no entity")))
        };
        let (principal, resource) = (end(&ask.principal)?, end(&ask.resource)?);
        let context = self.contexts[ask.context].clone();
        Request::new(principal, end(&ask.action)?, resource, context, None)
            .map_err(|error| refused("request", &error))
    }

    fn answer(&self, request: &Request) -> Answer {
        let answer = self.authorizer.is_authorized(request, &self.policies, &self.entities);
        let diagnostics = answer.diagnostics();
        Answer {
            allowed: answer.decision() == Decision::Allow,
            reasons: sorted(diagnostics.reason().map(ToString::to_string)),
            errors: sorted(diagnostics.errors().map(erring)),
        }
    }

    /// The reference's answer alone.
    pub(crate) fn ask(&self, ask: &Ask) -> Result<Answer, Trouble> {
        Ok(self.answer(&self.request(ask)?))
    }

    /// How many of the policies pass strict validation against the world's schema, if it has one,
    /// and what is said of one that does not.
    pub(crate) fn valid(&self) -> Option<(usize, Option<String>)> {
        let validator = Validator::new(self.schema.clone()?);
        let result = validator.validate(&self.policies, ValidationMode::Strict);
        let mut wrong: Vec<&PolicyId> =
            result.validation_errors().map(|error| error.policy_id()).collect();
        wrong.sort();
        wrong.dedup();
        let valid = self.policies.num_of_policies().saturating_sub(wrong.len());
        let first = result.validation_errors().next();
        let told = first.map(|error| {
            let policy = self.policies.policy(error.policy_id());
            format!("{error}\n{}", policy.map(ToString::to_string).unwrap_or_default())
        });
        Some((valid, told))
    }
}

impl Built {
    pub(crate) fn new(world: &World) -> Result<Self, Trouble> {
        let mut reference = Reference::new(world)?;
        // Both ways into the engine are taken, one by worlds with an even number of pieces.
        let own = reference.schema.is_none() && world.pieces.len().is_multiple_of(2);
        let entities =
            match own {
                true => Some(entities(world).ok_or_else(|| {
                    Trouble::Mismatch("an entity could not be converted".to_owned())
                })?),
                false => None,
            };
        let engine = loop {
            let made = caught("compile", || {
                let made = match &entities {
                    Some(own) => Engine::compile(&reference.policies, own.clone(), &["extra"]),
                    None => convert(&reference),
                };
                match made {
                    Ok(engine) => Ok(Ok(engine)),
                    Err(CompileError::TooLarge { policy, .. }) => Ok(Err(policy)),
                    Err(error) => Err(error.to_string()),
                }
            })?;
            // The bounds on lists are ours alone: such a policy is asked of neither.
            match made {
                Ok(engine) => break engine,
                Err(policy) => reference.drop(&PolicyId::new(policy))?,
            }
        };
        let contexts = world.contexts.iter().map(convert::fields).collect();
        Ok(Self { reference, engine, contexts: if own { contexts } else { None } })
    }

    /// Both answers to a request; they must be the same.
    pub(crate) fn check(&self, ask: &Ask, workspace: &mut Workspace) -> Result<Answer, Trouble> {
        let request = self.reference.request(ask)?;
        let expected = self.reference.answer(&request);
        let found = caught("decide", || self.decide(ask, &request, workspace))?;
        if found == expected {
            return Ok(found);
        }
        Err(Trouble::Mismatch(format!("expected {expected:?}\n   found {found:?}")))
    }

    fn decide(
        &self,
        ask: &Ask,
        request: &Request,
        workspace: &mut Workspace,
    ) -> Result<Answer, String> {
        let prepared = match &self.contexts {
            Some(contexts) => {
                let own = |name: &Name| cedar::Uid::new(name.kind.as_str(), name.id.as_str());
                let (principal, resource) = (own(&ask.principal), own(&ask.resource));
                let context = &contexts[ask.context];
                self.engine.prepare(&principal, &own(&ask.action), &resource, context)
            }
            None => self.engine.prepare_reference(request).map_err(|error| error.to_string())?,
        };
        let decision = self.engine.decide(&prepared.request(), workspace);
        let id = |ix: &cedar::PolicyIx| match self.engine.policy(*ix) {
            Some(policy) => policy.id.to_string(),
            None => format!("no policy: {ix:?}"),
        };
        Ok(Answer {
            allowed: decision == cedar::Decision::Allow,
            reasons: sorted(workspace.determining().iter().map(id)),
            errors: sorted(workspace.erring().iter().map(id)),
        })
    }
}

/// A panic of the engine is a mismatch as well.
fn caught<T>(what: &str, run: impl FnOnce() -> Result<T, String>) -> Result<T, Trouble> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => result.map_err(|error| Trouble::Mismatch(format!("{what}: {error}"))),
        Err(_) => Err(Trouble::Mismatch(format!("{what}: panicked"))),
    }
}

fn entities(world: &World) -> Option<Vec<cedar::Entity>> {
    world.entities.iter().map(convert::entity).collect()
}

fn convert(reference: &Reference) -> Result<Engine, CompileError> {
    Engine::from_reference(&reference.policies, &reference.entities)
}

fn policies(pieces: &[Piece], dropped: &mut Vec<String>) -> PolicySet {
    let mut set = PolicySet::new();
    for piece in pieces {
        if let Err(error) = add(&mut set, piece) {
            dropped.push(format!("{error}\n{piece:?}"));
        }
    }
    set
}

fn add(set: &mut PolicySet, piece: &Piece) -> Result<(), String> {
    match piece {
        Piece::Policy { id, text, form } => {
            let policy = Policy::parse(Some(PolicyId::new(id)), text);
            let policy = policy.map_err(|error| chain(&error))?;
            // A policy that one form does not take comes in as it was written.
            let policy = match form {
                Form::Text => None,
                Form::Json => policy
                    .to_json()
                    .ok()
                    .and_then(|json| Policy::from_json(Some(PolicyId::new(id)), json).ok()),
                Form::Tree => policy.to_pst().ok().and_then(|tree| Policy::from_pst(tree).ok()),
            }
            .unwrap_or(policy);
            set.add(policy).map_err(|error| error.to_string())
        }
        Piece::Template { id, text } => {
            let template = Template::parse(Some(PolicyId::new(id)), text);
            let template = template.map_err(|error| chain(&error))?;
            set.add_template(template).map_err(|error| error.to_string())
        }
        Piece::Link { template, id, principal, resource } => {
            let mut values = HashMap::new();
            values.extend(principal.as_ref().and_then(uid).map(|uid| (SlotId::principal(), uid)));
            values.extend(resource.as_ref().and_then(uid).map(|uid| (SlotId::resource(), uid)));
            set.link(PolicyId::new(template), PolicyId::new(id), values)
                .map_err(|error| error.to_string())
        }
    }
}

pub(crate) fn uid(name: &Name) -> Option<EntityUid> {
    let kind: EntityTypeName = name.kind.parse().ok()?;
    Some(EntityUid::from_type_name_and_id(kind, EntityId::new(&name.id)))
}

fn sorted(ids: impl Iterator<Item = String>) -> Vec<String> {
    let mut ids: Vec<String> = ids.collect();
    ids.sort();
    ids
}

fn refused(what: &str, error: &(dyn Error + 'static)) -> Trouble {
    Trouble::Refused(format!("{what}: {}", chain(error)))
}

fn erring(error: &AuthorizationError) -> String {
    let AuthorizationError::PolicyEvaluationError(error) = error;
    error.policy_id().to_string()
}

/// An error with its causes.
fn chain(error: &(dyn Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |&error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
