//! To and from the types of `cedar-policy`, and its evaluator for policies not compiled here.

use std::collections::{BTreeMap, HashMap, HashSet};

use cedar_policy::{
    Authorizer, Context, Entities, EntityUid, EvalResult, Policy, PolicySet, RestrictedExpression,
};

use crate::names::{Names, Spelling};
use crate::program::Truth;
use crate::value::{Held, Key, Record, RecordForm, SetForm};
use crate::{ConvertError, Datum, Entity, EntityRef, Request, Uid, Value};

/// The evaluator of `cedar-policy` with what it needs.
#[derive(Debug)]
pub(crate) struct Reference {
    /// Each in a set of its own.
    policies: Vec<PolicySet>,
    entities: Entities,
    authorizer: Authorizer,
}

impl Reference {
    pub(crate) fn new(policies: Vec<Policy>, entities: &[Entity]) -> Result<Self, ConvertError> {
        let alone = |policy: Policy| {
            // A linked policy needs its template; what it is evaluated as does not.
            let policy = match policy.template_id() {
                Some(_) => detached(&policy)?,
                None => policy,
            };
            PolicySet::from_policies([policy]).map_err(|error| ConvertError(error.to_string()))
        };
        let policies = policies.into_iter().map(alone).collect::<Result<_, _>>()?;
        let entities = entities.iter().map(entity_for).collect::<Result<Vec<_>, _>>()?;
        let entities = Entities::from_entities(entities, None)
            .map_err(|error| ConvertError(error.to_string()))?;
        Ok(Self { policies, entities, authorizer: Authorizer::new() })
    }

    pub(crate) fn ask(&self, ix: u32, request: &Request<'_>, names: &Names) -> Truth {
        let spelling = Spelling { base: names, own: request.names };
        let (Some(policies), Ok(request)) =
            (self.policies.get(ix as usize), request_for(request, spelling))
        else {
            return Truth::Error;
        };
        let response = self.authorizer.is_authorized(&request, policies, &self.entities);
        if response.diagnostics().errors().next().is_some() {
            return Truth::Error;
        }
        response.diagnostics().reason().next().is_some().into()
    }
}

/// A linked policy as one that stands alone.
fn detached(policy: &Policy) -> Result<Policy, ConvertError> {
    let json = policy.to_json().map_err(|error| ConvertError(error.to_string()))?;
    Policy::from_json(Some(policy.id().clone()), json)
        .map_err(|error| ConvertError(error.to_string()))
}

fn request_for(
    request: &Request<'_>,
    spelling: Spelling<'_>,
) -> Result<cedar_policy::Request, ConvertError> {
    let uid = |entity: EntityRef| {
        let uid = spelling.uid(entity).ok_or_else(unknown)?;
        uid.to_reference().map_err(|error| ConvertError(error.to_string()))
    };
    let mut pairs = Vec::new();
    for (key, value) in attributes(request.context) {
        let name = spelling.key(key).ok_or_else(unknown)?;
        pairs.push((name.to_owned(), expression(&datum(value, spelling)?)?));
    }
    let context = Context::from_pairs(pairs).map_err(|error| ConvertError(error.to_string()))?;
    let (principal, action) = (uid(request.principal)?, uid(request.action)?);
    cedar_policy::Request::new(principal, action, uid(request.resource)?, context, None)
        .map_err(|error| ConvertError(error.to_string()))
}

fn unknown() -> ConvertError {
    ConvertError("the request names what its engine does not know".to_owned())
}

fn attributes<'a>(record: Record<'a>) -> Vec<(Key, Value<'a>)> {
    match record.0 {
        RecordForm::Held(all) => all.iter().map(|(key, held)| (*key, held.view())).collect(),
        RecordForm::Given(all) => all.to_vec(),
        RecordForm::Scratch(..) => Vec::new(),
    }
}

/// A value of a request with its names spelled out.
fn datum(value: Value<'_>, spelling: Spelling<'_>) -> Result<Datum, ConvertError> {
    Ok(match value {
        Value::Bool(it) => Datum::Bool(it),
        Value::Long(it) => Datum::Long(it),
        Value::Str(it) => Datum::String(it.into()),
        Value::Entity(it) => Datum::Entity(spelling.uid(it).ok_or_else(unknown)?),
        Value::Set(set) => {
            let members = match set.0 {
                SetForm::Held(all) => all.iter().map(Held::view).collect(),
                SetForm::Given(all) => all.to_vec(),
                SetForm::Scratch(..) => Vec::new(),
            };
            let members = members.into_iter().map(|it| datum(it, spelling));
            Datum::Set(members.collect::<Result<_, _>>()?)
        }
        Value::Record(record) => {
            let pairs = attributes(record).into_iter().map(|(key, value)| {
                let name = spelling.key(key).ok_or_else(unknown)?;
                Ok((name.into(), datum(value, spelling)?))
            });
            Datum::Record(pairs.collect::<Result<_, ConvertError>>()?)
        }
        Value::Decimal(it) => Datum::Decimal(it),
        Value::Datetime(it) => Datum::Datetime(it),
        Value::Duration(it) => Datum::Duration(it),
        Value::Ip(it) => Datum::Ip(it),
    })
}

/// A value as `cedar-policy` reads it.
fn expression(datum: &Datum) -> Result<RestrictedExpression, ConvertError> {
    Ok(match datum {
        Datum::Bool(it) => RestrictedExpression::new_bool(*it),
        Datum::Long(it) => RestrictedExpression::new_long(*it),
        Datum::String(it) => RestrictedExpression::new_string(it.to_string()),
        Datum::Entity(uid) => RestrictedExpression::new_entity_uid(
            uid.to_reference().map_err(|error| ConvertError(error.to_string()))?,
        ),
        Datum::Set(all) => {
            let members = all.iter().map(expression).collect::<Result<Vec<_>, _>>()?;
            RestrictedExpression::new_set(members)
        }
        Datum::Record(all) => {
            let pairs = all.iter().map(|(name, it)| Ok((name.to_string(), expression(it)?)));
            let pairs = pairs.collect::<Result<Vec<_>, ConvertError>>()?;
            RestrictedExpression::new_record(pairs)
                .map_err(|error| ConvertError(error.to_string()))?
        }
        Datum::Decimal(it) => RestrictedExpression::new_decimal(it.to_string()),
        Datum::Duration(ms) => RestrictedExpression::new_duration(format!("{ms}ms")),
        Datum::Ip(it) => RestrictedExpression::new_ip(it.to_string()),
        Datum::Datetime(ms) => format!("datetime(\"1970-01-01\").offset(duration(\"{ms}ms\"))")
            .parse()
            .map_err(|error| ConvertError(format!("no moment of `{ms}` ms: {error}")))?,
    })
}

/// An entity as `cedar-policy` has it.
pub(crate) fn entity_for(entity: &Entity) -> Result<cedar_policy::Entity, ConvertError> {
    let convert = |all: &BTreeMap<Box<str>, Datum>| {
        let pairs = all.iter().map(|(name, it)| Ok((name.to_string(), expression(it)?)));
        pairs.collect::<Result<HashMap<_, _>, ConvertError>>()
    };
    let uid = |uid: &Uid| uid.to_reference().map_err(|error| ConvertError(error.to_string()));
    let parents = entity.parents.iter().map(uid).collect::<Result<HashSet<_>, _>>()?;
    let (attributes, tags) = (convert(&entity.attributes)?, convert(&entity.tags)?);
    cedar_policy::Entity::new_with_tags(uid(&entity.uid)?, attributes, parents, tags)
        .map_err(|error| ConvertError(error.to_string()))
}

/// Entities as this crate has them.
pub(crate) fn entities_of(entities: &Entities) -> Result<Vec<Entity>, ConvertError> {
    let mut all = Vec::with_capacity(entities.len());
    for entity in entities.iter() {
        let uid = entity.uid();
        let mut taken = Entity::new(Uid::of_reference(&uid));
        let ancestors = entities.ancestors(&uid).into_iter().flatten();
        taken.parents = ancestors.map(Uid::of_reference).collect();
        for (name, value) in entity.attrs() {
            let value = value.map_err(|error| ConvertError(error.to_string()))?;
            taken.attributes.insert(name.into(), value_of(&value)?);
        }
        for (name, value) in entity.tags() {
            let value = value.map_err(|error| ConvertError(error.to_string()))?;
            taken.tags.insert(name.into(), value_of(&value)?);
        }
        all.push(taken);
    }
    Ok(all)
}

pub(crate) fn uid_of(part: &str, uid: Option<&EntityUid>) -> Result<Uid, ConvertError> {
    let unknown = || ConvertError(format!("the {part} of the request is not known"));
    uid.map(Uid::of_reference).ok_or_else(unknown)
}

pub(crate) fn context_of(
    request: &cedar_policy::Request,
) -> Result<BTreeMap<Box<str>, Datum>, ConvertError> {
    let unknown = || ConvertError("the context of the request is not known".to_owned());
    let context = request.context().ok_or_else(unknown)?;
    let mut taken = BTreeMap::new();
    for (name, _) in context.clone() {
        let value = context.get(&name).ok_or_else(unknown)?;
        taken.insert(name.into(), value_of(&value)?);
    }
    Ok(taken)
}

fn value_of(value: &EvalResult) -> Result<Datum, ConvertError> {
    Ok(match value {
        EvalResult::Bool(it) => Datum::Bool(*it),
        EvalResult::Long(it) => Datum::Long(*it),
        EvalResult::String(it) => Datum::String(it.as_str().into()),
        EvalResult::EntityUid(it) => Datum::Entity(Uid::of_reference(it)),
        EvalResult::Set(all) => Datum::Set(all.iter().map(value_of).collect::<Result<_, _>>()?),
        EvalResult::Record(all) => {
            let pairs = all.iter().map(|(name, it)| Ok((name.as_str().into(), value_of(it)?)));
            Datum::Record(pairs.collect::<Result<_, ConvertError>>()?)
        }
        EvalResult::ExtensionValue(text) => extension(text)
            .ok_or_else(|| ConvertError(format!("extension value `{text}` is not known here")))?,
    })
}

/// An extension value as `cedar-policy` writes it: a call of its constructor, or the offset of a
/// moment.
fn extension(text: &str) -> Option<Datum> {
    let argument = |name: &str, text: &str| {
        let text = text.strip_prefix(name)?.strip_prefix("(\"")?;
        text.strip_suffix("\")").map(str::to_owned)
    };
    if let Some((moment, offset)) = text.split_once(".offset(") {
        let bare = moment.strip_prefix('(').and_then(|it| it.strip_suffix(')'));
        let moment = argument("datetime", bare.unwrap_or(moment))?;
        let offset = argument("duration", offset.strip_suffix(')')?)?;
        let ms = crate::parse_datetime(&moment)?.checked_add(crate::parse_duration(&offset)?)?;
        return Some(Datum::Datetime(ms));
    }
    if let Some(text) = argument("decimal", text) {
        return text.parse().ok().map(Datum::Decimal);
    }
    if let Some(text) = argument("ip", text) {
        return text.parse().ok().map(Datum::Ip);
    }
    if let Some(text) = argument("datetime", text) {
        return crate::parse_datetime(&text).map(Datum::Datetime);
    }
    crate::parse_duration(&argument("duration", text)?).map(Datum::Duration)
}
