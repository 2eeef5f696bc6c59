//! Texts meant to hurt: each is answered within bounds, on a stack of 2 MiB.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that meets what it does not expect may panic"
)]

use cedar::text::{File, Files, schema};
use cedar::{Engine, Workspace};

/// Reads, compiles and decides; `Some` if all went through, `None` if the text was refused.
fn survives(text: String) -> Option<()> {
    let all = move || {
        let files = Files::parse(&[File { name: "hostile", text: &text }], &[]).ok()?;
        let world =
            "entity U; action a appliesTo { principal: U, resource: U, context: {a: Bool} };";
        files.validate(&schema(File { name: "schema", text: world }).expect("a schema"));
        let engine = Engine::compile(&files.policies, Vec::new(), &[]).ok()?;
        let [user, action] = ["U::\"a\"", "Action::\"a\""].map(|it| it.parse().expect("a uid"));
        let prepared = engine.prepare(&user, &action, &user, &Default::default());
        engine.decide(&prepared.request(), &mut Workspace::default());
        Some(())
    };
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(all).expect("a thread");
    thread.join().expect("no panic")
}

fn condition(body: &str) -> String {
    format!("permit(principal, action, resource) when {{ {body} }};")
}

/// What grows with a number, in every way that syntax can.
fn grown(n: usize) -> Vec<(&'static str, String)> {
    let nested = |open: &str, inner: &str, close: &str| {
        format!("{}{inner}{}", open.repeat(n), close.repeat(n))
    };
    vec![
        ("parentheses", nested("(", "true", ")")),
        ("open parentheses", "(".repeat(n)),
        ("sets", nested("[", "", "]")),
        ("records", nested("{a: ", "1", "}")),
        ("calls", nested("ip(", "\"\"", ")")),
        ("methods", format!("context{}", ".contains(1)".repeat(n))),
        ("indexes", format!("context{}", "[\"a\"]".repeat(n))),
        ("attributes", format!("context{}", ".a".repeat(n))),
        ("has", format!("context has {}a", "a.".repeat(n))),
        ("and", vec!["context.a"; n].join(" && ")),
        ("or", vec!["context.a == 1"; n].join(" || ")),
        ("and with records", vec!["{} == {}"; n].join(" && ")),
        ("plus", format!("1 == {}", vec!["1"; n].join(" + "))),
        ("minus", format!("1 == 1{}", " - 1".repeat(n))),
        ("times", format!("1 == {}", vec!["1"; n].join(" * "))),
        ("negations", format!("{}true", "!(".repeat(n))),
        ("ifs", format!("{}true", "if true then true else ".repeat(n))),
        ("nested ifs", nested("if true then ", "true", " else true")),
        ("nested conditions", nested("if ", "true", " then true else true")),
        ("mixed", nested("[{a: (", "1", ").b}]")),
        ("comments", format!("true{}", "//(((\n".repeat(n))),
        ("comments that end", format!("true{}", "//\r(".repeat(n))),
        ("strings", format!("\"{}\" == \"\"", "(".repeat(n))),
        ("broken strings", format!("\"\\\n{}", "(".repeat(n))),
    ]
}

#[test]
fn small_texts_pass() {
    for (name, body) in grown(12) {
        let broken = ["open", "negations", "comments that end", "broken", "calls"];
        if !broken.iter().any(|it| name.starts_with(it)) {
            assert_eq!(survives(condition(&body)), Some(()), "{name}");
        }
    }
}

#[test]
fn texts_just_within_the_bounds_pass() {
    for (name, body) in [
        ("parentheses", format!("{}true{}", "(".repeat(72), ")".repeat(72))),
        ("or", vec!["context.a == 1"; 590].join(" || ")),
        ("ifs", format!("{}true", "if true then true else ".repeat(590))),
        ("attributes", format!("context{}", ".a".repeat(580))),
        ("set", format!("[{}].contains(1)", vec!["1"; 60_000].join(", "))),
        ("string", format!("context.a == \"{}\"", "x".repeat(3_000_000))),
    ] {
        assert_eq!(survives(condition(&body)), Some(()), "{name}");
    }
}

#[test]
fn sizes_in_between_do_no_harm() {
    for n in [60, 100, 150, 300, 550, 650, 1000, 5000] {
        for (_, body) in grown(n) {
            let _: Option<()> = survives(condition(&body));
        }
    }
}

#[test]
fn deep_texts_are_refused() {
    let harmless = ["comments", "strings"];
    for (name, body) in grown(100_000) {
        let wanted = harmless.contains(&name).then_some(());
        assert_eq!(survives(condition(&body)), wanted, "{name}");
    }
    let text = condition(&"(".repeat(100_000));
    let problems = Files::parse(&[File { name: "deep", text: &text }], &[]).expect_err("too deep");
    assert_eq!(
        problems[0].to_string(),
        "deep:1:117: found brackets or operators nested too deeply"
    );
}

#[test]
fn large_texts_are_refused() {
    let text = " ".repeat((4 << 20) + 1);
    let problems = Files::parse(&[File { name: "large", text: &text }], &[]).expect_err("large");
    assert_eq!(problems[0].to_string(), "large: found 4194305 bytes, expected at most 4194304");
}

#[test]
fn json_and_schemas_are_bounded_too() {
    let deep = format!("{}1{}", "{\"!\":{\"arg\":".repeat(50_000), "}}".repeat(50_000));
    let json = format!(
        r#"{{"staticPolicies":{{"a":{{"effect":"permit","principal":{{"op":"All"}},"action":{{"op":"All"}},
        "resource":{{"op":"All"}},"conditions":[{{"kind":"when","body":{deep}}}]}}}},"templates":{{}},"templateLinks":[]}}"#
    );
    assert_eq!(survives(json), None);
    let within = format!("{}{{\"Value\":true}}{}", "{\"!\":{\"arg\":".repeat(55), "}}".repeat(55));
    let json = format!(
        r#"{{"staticPolicies":{{"a":{{"effect":"permit","principal":{{"op":"All"}},"action":{{"op":"All"}},
        "resource":{{"op":"All"}},"conditions":[{{"kind":"when","body":{within}}}]}}}},"templates":{{}},"templateLinks":[]}}"#
    );
    assert_eq!(survives(json), Some(()));
    let sets = format!("entity U {{ a: {}Long{} }};", "Set<".repeat(10_000), ">".repeat(10_000));
    assert!(schema(File { name: "deep", text: &sets }).is_err());
    let records = format!("entity U {};", "{ a: ".repeat(10_000));
    assert!(schema(File { name: "deep", text: &records }).is_err());
}

#[test]
fn what_follows_a_refused_text_is_not_hidden_by_strings() {
    // An apostrophe is no string; a quote in a comment opens none.
    for trick in ["// \"\n", "\"\\\"\" == \"", "'\"'"] {
        let text = condition(&format!("{trick}{}", "(".repeat(100_000)));
        let _: Option<()> = survives(text);
    }
}
