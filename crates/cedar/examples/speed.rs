//! Nanoseconds for a decision, on sets of several shapes and sizes.
#![allow(clippy::print_stdout, clippy::expect_used, reason = "an example for the terminal")]

use std::fmt::Write;
use std::hint::black_box;
use std::time::Instant;

use cedar::{Datum, Engine, Entity, Request, Uid, Value, Workspace};

const RUNS: usize = 60;

fn main() {
    let only = std::env::args().nth(1);
    let size = std::env::args().nth(2).and_then(|size| size.parse().ok());
    for count in [1, 10, 100, 1_000, 10_000, 60_000] {
        for (name, policy) in SHAPES {
            if size.is_some_and(|size: usize| size != count) {
                continue;
            }
            if only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
                continue;
            }
            let mut text = String::new();
            for ix in 0..count {
                writeln!(text, "{}", policy.replace("%", &ix.to_string())).expect("a string");
            }
            measure(name, count, &text);
        }
    }
}

const SHAPES: [(&str, &str); 5] = [
    (
        "each its own principal",
        r#"permit(principal == User::"%", action == Action::"read", resource in Folder::"1")
           when { context.purpose == "p1" && context.level >= 2 && resource.kind == "paper" };"#,
    ),
    (
        "each its own group and folder",
        r#"permit(principal in Group::"%", action in [Action::"read", Action::"list"], resource in Folder::"%")
           when { context.purpose == "p1" && context.level >= 2 };"#,
    ),
    (
        "each its own action",
        r#"permit(principal, action == Action::"read%", resource) when { context.level >= 2 };"#,
    ),
    (
        "for everybody, by purpose",
        r#"permit(principal, action, resource)
           when { context.purpose == "p%" && context.level >= 2 && resource.kind == "paper" };"#,
    ),
    (
        "for everybody, all looked at",
        r#"permit(principal, action, resource)
           when { context.level >= 2 && resource.kind == "paper" && context.purpose == "p%" };"#,
    ),
];

fn measure(name: &str, count: usize, text: &str) {
    let policies = text.parse().expect("policies");
    let mut user = Entity::new(Uid::new("User", "1"));
    user.parents.push(Uid::new("Group", "1"));
    let mut file = Entity::new(Uid::new("File", "1"));
    file.parents.push(Uid::new("Folder", "1"));
    file.attributes.insert("kind".into(), Datum::String("paper".into()));
    let read = Entity::new(Uid::new("Action", "read"));
    let built = Instant::now();
    let keys = ["purpose", "level", "other"];
    let engine = Engine::compile(&policies, vec![user, file, read], &keys).expect("an engine");
    let built = built.elapsed();
    let entity = |kind, id| engine.entity(kind, id).expect("interned");
    let key = |name| engine.key(name).expect("interned");
    let context = [
        (key("purpose"), Value::Str("p1")),
        (key("level"), Value::Long(3)),
        (key("other"), Value::Bool(true)),
    ];
    let request =
        Request::new(entity("User", "1"), entity("Action", "read"), entity("File", "1"), &context);
    let mut workspace = Workspace::default();
    // The best of many short runs: other programs on the machine disturb single ones.
    let rounds = 1 + 4_000 / if name.ends_with("looked at") { count } else { 1 };
    let run = || {
        let start = Instant::now();
        for _ in 0..rounds {
            black_box(engine.decide(black_box(&request), &mut workspace));
        }
        start.elapsed().as_nanos() / rounds as u128
    };
    let each = std::iter::repeat_with(run).take(RUNS).min().unwrap_or_default();
    let found = workspace.determining().len();
    let bytes = engine.memory_bytes() / count;
    println!(
        "{count:>6} {name:<30} {each:>7} ns, {found} determining, {bytes} bytes a policy, built in {built:?}"
    );
}
