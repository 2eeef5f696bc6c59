//! Sets, records and lists of actions: those that are large are searched or refused.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that meets what it does not expect may panic"
)]

mod support;

use std::time::{Duration, Instant};

use cedar::text::{File, Files};
use cedar::{CompileError, Engine, Value, Workspace};
use cedar_policy::PolicySet;
use support::{check, entities, policies, request};

fn condition(body: &str) -> String {
    format!("\n@id(\"p\") forbid(principal, action, resource) when {{ {body} }};")
}

fn numbers(count: usize) -> String {
    (0..count).map(|ix| ix.to_string()).collect::<Vec<_>>().join(", ")
}

/// What is said of a text, first by its reader and then by the engine.
fn refusals(text: &str) -> Option<[String; 2]> {
    let parsed = Files::parse(&[File { name: "a.cedar", text }], &[]);
    let compiled = Engine::compile(&text.parse::<PolicySet>().expect("policies"), Vec::new(), &[]);
    match (parsed, compiled) {
        (Ok(_), Ok(_)) => None,
        (Err(problems), Err(error @ CompileError::TooLarge { .. })) => {
            assert_eq!(problems.len(), 1, "{problems:?}");
            Some([problems[0].to_string(), error.to_string()])
        }
        (parsed, compiled) => panic!("{:?}, {:?}", parsed.err(), compiled.err()),
    }
}

#[test]
fn constant_lists_are_bounded() {
    let set = |count| condition(&format!("[{}].contains(context.a)", numbers(count)));
    assert_eq!(refusals(&set(65_536)), None);
    let [text, engine] = refusals(&set(65_537)).expect("too large");
    let found = "found 65537 members of a set or record, expected at most 65536";
    assert_eq!(text, format!("a.cedar:2:1: `p`: {found}"));
    assert_eq!(engine, format!("policy `policy0`: {found}"));
    let actions = vec!["Action::\"a\""; 65_537].join(", ");
    let actions = format!("permit(principal, action in [{actions}], resource);");
    let [_, engine] = refusals(&actions).expect("too many");
    assert!(engine.ends_with("found 65537 actions in a scope, expected at most 65536"), "{engine}");
}

#[test]
fn lists_made_for_a_request_are_bounded() {
    let with = |count: usize| format!("context.a, {}", numbers(count - 1));
    let record = |count: usize| {
        let rest = (1..count).map(|ix| format!(", a{ix}: {ix}")).collect::<String>();
        format!("{{a: context.a{rest}}} == context.b")
    };
    let large = [
        format!("[{}].containsAll(context.b)", with(257)),
        format!("[1, [{}]].containsAll(context.b)", with(255)),
        format!("[1, if context.c then [{}] else [1]] == context.b", with(256)),
        format!("context.b == {{a: [{}]}}", with(256)),
        record(257),
    ];
    for body in large {
        let [_, engine] = refusals(&condition(&body)).expect("too large");
        assert!(engine.contains("of a set or record that depends on the request"), "{engine}");
        assert!(engine.ends_with("expected at most 256"), "{engine}");
    }
    let small = [
        format!("[{}].containsAll(context.b)", with(256)),
        format!("[1, [{}]].containsAll(context.b)", with(254)),
        format!("[context.a, [{}]].containsAll(context.b)", numbers(60_000)),
        record(256),
    ];
    for body in small {
        assert_eq!(refusals(&condition(&body)), None);
    }
}

#[test]
fn lists_left_to_the_reference_are_bounded() {
    let deep = |count| {
        let (open, close) = ("if true then ".repeat(120), " else false".repeat(120));
        condition(&format!("{open}[{}].contains(context.a){close}", numbers(count)))
    };
    let odd = |count| condition(&format!("ip().isIpv4() || [{}] == context.a", numbers(count)));
    for text in [deep(257), odd(257)] {
        let [_, engine] = refusals(&text).expect("too large");
        assert!(engine.contains("left to the reference evaluator"), "{engine}");
    }
    for text in [deep(256), odd(256)] {
        assert_eq!(refusals(&text), None);
    }
}

#[test]
fn a_large_set_is_searched_for_every_type() {
    let mut members = Vec::new();
    for ix in 0..12 {
        members.push(format!("{ix}"));
        members.push(format!("\"s{ix}\""));
        members.push(format!("User::\"u{ix}\""));
        members.push(format!("decimal(\"{ix}.5\")"));
        members.push(format!("datetime(\"2026-01-{:02}\")", ix + 1));
        members.push(format!("duration(\"{ix}h\")"));
        members.push(format!("ip(\"10.0.0.{ix}\")"));
        members.push(format!("[{ix}, \"x\"]"));
        members.push(format!("{{a: {ix}}}"));
    }
    members.push("true".to_owned());
    let all = members.join(", ");
    let text = format!(
        "permit(principal, action, resource) when {{ [{all}].contains(context.a) }};
         permit(principal, action, resource) when {{ [{all}].containsAll(context.b) }};
         permit(principal, action, resource) when {{ [{all}].containsAny(context.b) }};
         permit(principal, action, resource) when {{ context.b.containsAny([{all}]) }};
         permit(principal, action, resource) when {{ context.b.containsAll([{all}]) }};
         permit(principal, action, resource) when {{ [context.a, 1].containsAny([{all}]) }};
         permit(principal, action, resource) when {{ [{all}].containsAll([context.a, 1, 1]) }};
         permit(principal, action, resource) when {{ [[context.a], 1].containsAny([{all}]) }};
         permit(principal, action, resource) when {{ [{all}].contains({{a: context.a}}) }};"
    );
    let extension = |name: &str, text: &str| {
        format!("{{\"__extn\": {{\"fn\": \"{name}\", \"arg\": \"{text}\"}}}}")
    };
    let user = |id: &str| format!("{{\"__entity\": {{\"type\": \"User\", \"id\": \"{id}\"}}}}");
    let values = [
        "5".to_owned(),
        "12".to_owned(),
        "true".to_owned(),
        "false".to_owned(),
        "\"s5\"".to_owned(),
        "\"s55\"".to_owned(),
        user("u5"),
        user("u55"),
        extension("decimal", "5.50"),
        extension("decimal", "5.51"),
        extension("datetime", "2026-01-05"),
        extension("datetime", "2025-01-05"),
        extension("duration", "300m"),
        extension("duration", "301m"),
        extension("ip", "10.0.0.5/32"),
        extension("ip", "10.0.0.5/31"),
        "[\"x\", 5, 5]".to_owned(),
        "[\"x\", 55]".to_owned(),
        "{\"a\": 5}".to_owned(),
        "{\"a\": 5, \"b\": 5}".to_owned(),
        "[[[5]]]".to_owned(),
    ];
    let requests = values.iter().enumerate().map(|(ix, value)| {
        let other = &values[(ix * 7 + 3) % values.len()];
        let context = format!("{{\"a\": {value}, \"b\": [{other}, {value}, {other}]}}");
        request("User::\"u1\"", "Action::\"a\"", "User::\"u1\"", &context)
    });
    check(&policies(&text), &entities("[]"), &requests.collect::<Vec<_>>());
}

/// A step for each pair of members would take seconds.
#[test]
fn large_sets_of_entities_and_policies_meet_quickly() {
    let texts = |from: usize| {
        let members = (from..from + 60_000).map(|ix| format!("\"{ix:06}\""));
        members.collect::<Vec<_>>().join(", ")
    };
    let (first, second) = (texts(0), texts(60_000));
    let text = format!(
        "permit(principal, action, resource) when {{ principal.all.containsAny([{second}]) }};
         permit(principal, action, resource) when {{ [{second}].containsAny(context.some) }};
         permit(principal, action, resource) when {{ context.some.containsAny([{second}]) }};
         permit(principal, action, resource) when {{ context.some.containsAll([{second}]) }};"
    );
    let store = format!(
        r#"[{{"uid": {{"type": "User", "id": "an"}}, "parents": [],
        "attrs": {{"all": [{first}]}}}}]"#
    );
    let set = policies(&text);
    let engine = Engine::from_reference(&set, &entities(&store)).expect("compile");
    let an = engine.entity("User", "an").expect("known");
    let names: Vec<String> = (0..64).map(|ix| format!("{ix:06}")).collect();
    let members: Vec<Value<'_>> = names.iter().map(|name| Value::Str(name)).collect();
    let context = [(engine.key("some").expect("known"), Value::set(&members))];
    let request = cedar::Request::new(an, an, an, &context);
    let mut workspace = Workspace::default();
    let start = Instant::now();
    engine.decide(&request, &mut workspace);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert_eq!((workspace.determining(), workspace.erring()), (&[][..], &[][..]));
}

#[test]
fn numbers_of_other_engines_name_nothing() {
    let large =
        policies("permit(principal, action, resource); permit(principal, action, resource);");
    let small = policies("permit(principal, action, resource);");
    let [large, small] =
        [large, small].map(|set| Engine::compile(&set, Vec::new(), &[]).expect("compile"));
    let (last, _) = large.policies().last().expect("two policies");
    assert!(large.policy(last).is_some());
    assert!(small.policy(last).is_none());
}
