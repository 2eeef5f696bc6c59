//! Worlds about one extension type: every text that its constructor may be given, as a constant
//! and as a value of the context, and what two values made of such texts are to each other.

use serde_json::{Map, json};

use super::choices::Choices;
use super::data::Name;
use super::policy::{Form, Piece};
use super::strings::{Extension, literal};
use super::world::{Ask, World};

/// Texts that are good ones with a character or two changed.
const CHANGED: usize = 200;

pub(crate) fn world(extension: Extension, choices: &mut Choices<'_>) -> World {
    let mut texts: Vec<String> = Vec::new();
    texts.extend(extension.good().iter().map(|text| (*text).to_owned()));
    texts.extend(extension.edge().iter().map(|text| (*text).to_owned()));
    texts.extend((0..CHANGED).map(|_| extension.text(choices)));
    let mut pieces = Vec::new();
    let mut context = Map::new();
    for (at, text) in texts.iter().enumerate() {
        context.insert(format!("t{at}"), json!(text));
        let other = choices.below(texts.len());
        let constant = constructed(extension, &literal(text, choices));
        let read = constructed(extension, &format!("context.t{at}"));
        let second = constructed(extension, &literal(&texts[other], choices));
        let mut add = |name: &str, condition: String| {
            let text = format!("permit(principal, action, resource) when {{ {condition} }};");
            pieces.push(Piece::Policy { id: format!("{name}{at}"), text, form: Form::Text });
        };
        add("same", format!("{constant} == {read}"));
        add("equal", format!("{read} == {second}"));
        for (number, test) in tests(extension).iter().enumerate() {
            let asked = test.replace("$1", &read).replace("$2", &second);
            add(&format!("test{number} "), asked);
            let asked = test.replace("$1", &constant).replace("$2", &second);
            add(&format!("constant{number} "), asked);
        }
    }
    let name = |kind: &str| Name { kind: kind.to_owned(), id: "a".to_owned() };
    let (principal, action, resource) = (name("User"), name("Action"), name("Doc"));
    World {
        schema: None,
        pieces,
        entities: Vec::new(),
        contexts: vec![context.into()],
        asks: vec![Ask { principal, action, resource, context: 0 }],
    }
}

fn constructed(extension: Extension, argument: &str) -> String {
    format!("{}({argument})", extension.constructor())
}

/// What there is to ask of one value or two.
fn tests(extension: Extension) -> &'static [&'static str] {
    match extension {
        Extension::Ip => &[
            "$1.isIpv4()",
            "$1.isLoopback()",
            "$1.isMulticast()",
            "$1.isInRange($2)",
            "$2.isInRange($1)",
        ],
        Extension::Decimal => &["$1.lessThan($2)", "$1.greaterThanOrEqual($2)"],
        Extension::Datetime => &[
            "$1 < $2",
            "$1.toDate() == $2.toDate()",
            "$1.toTime() <= $2.toTime()",
            "$1.toTime() >= duration(\"0ms\")",
            "$1.toDate() <= $1",
            "$1.durationSince($2) < duration(\"0ms\")",
            "$1.offset(duration(\"9223372036854775807ms\")) > $2",
            "$1.offset(duration(\"-9223372036854775808ms\")).toDate() < $2",
        ],
        Extension::Duration => &[
            "$1 <= $2",
            "$1.toDays() * 24 == $1.toHours()",
            "$1.toMinutes() > $2.toSeconds()",
            "$1.toMilliseconds() - $2.toMilliseconds() > 0",
            "datetime(\"1969-12-31\").offset($1).offset($2).toDate() > datetime(\"1970-01-01\")",
        ],
    }
}
