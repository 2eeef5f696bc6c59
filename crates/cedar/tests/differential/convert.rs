//! Cedar's JSON forms of entities and values to the engine's own data, by the explicit escapes
//! that worlds are written with.

use std::collections::BTreeMap;

use cedar::{Datum, Entity, Uid, parse_datetime, parse_duration};
use serde_json::{Map, Value as Json};

pub(crate) fn entity(json: &Json) -> Option<Entity> {
    let mut entity = Entity::new(uid(&json["uid"])?);
    entity.parents = json["parents"].as_array()?.iter().map(uid).collect::<Option<_>>()?;
    entity.attributes = fields(&json["attrs"])?;
    if let Some(tags) = json.get("tags") {
        entity.tags = fields(tags)?;
    }
    Some(entity)
}

pub(crate) fn fields(json: &Json) -> Option<BTreeMap<Box<str>, Datum>> {
    let field = |(name, value): (&String, &Json)| Some((name.as_str().into(), datum(value)?));
    json.as_object()?.iter().map(field).collect()
}

pub(crate) fn uid(json: &Json) -> Option<Uid> {
    Some(Uid::new(json["type"].as_str()?, json["id"].as_str()?))
}

fn datum(json: &Json) -> Option<Datum> {
    Some(match json {
        Json::Bool(value) => Datum::Bool(*value),
        Json::Number(number) => Datum::Long(number.as_i64()?),
        Json::String(text) => Datum::String(text.as_str().into()),
        Json::Array(items) => Datum::Set(items.iter().map(datum).collect::<Option<_>>()?),
        Json::Object(fields) => return object(fields, json),
        Json::Null => return None,
    })
}

fn object(escape: &Map<String, Json>, json: &Json) -> Option<Datum> {
    if let Some(name) = escape.get("__entity") {
        return uid(name).map(Datum::Entity);
    }
    let Some(call) = escape.get("__extn") else { return fields(json).map(Datum::Record) };
    let text = call["arg"].as_str()?;
    match call["fn"].as_str()? {
        "ip" => text.parse().ok().map(Datum::Ip),
        "decimal" => text.parse().ok().map(Datum::Decimal),
        "datetime" => parse_datetime(text).map(Datum::Datetime),
        _ => parse_duration(text).map(Datum::Duration),
    }
}
