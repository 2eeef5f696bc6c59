//! Nanoseconds for a decision under a hundred guard-rails, in a country with twelve thousand
//! systems.
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "an example for the terminal"
)]

use std::hint::black_box;
use std::time::Instant;

use cedar::{Datum, Engine, Entity, EntityRef, IpNet, Key, Request, Uid, Value, Workspace};

const WIDE: &str = include_str!("../../../benches/decide/src/wide.cedar");
const SYSTEMS: usize = 12_000;
const METHODS: usize = 400;
const SERVICES: usize = 60;
const CALLS: usize = 4_096;

/// Scope and conditions, and the numbers for each of which there is one.
const MANY: [(&str, &str, &[usize]); 14] = [
    (
        "principal, action, resource",
        r#"when { context.purpose == "muc-dich-NN" && resource has sensitive && resource.sensitive }
           unless { context has dossier }"#,
        &[0, 5, 10, 15, 20, 25, 30, 35],
    ),
    (
        r#"principal, action == Action::"update", resource"#,
        r#"when { context.purpose == "muc-dich-NN" }
           unless { principal has level && principal.level >= 4 && context has dossier }"#,
        &[1, 7, 13, 19, 25, 31],
    ),
    (
        "principal, action, resource",
        r#"when { context.source.isInRange(ip("10.1NN.7.0/24")) }"#,
        &[0, 9, 18, 27, 36, 45],
    ),
    (
        "principal, action, resource",
        r#"when { context.time >= datetime("2026-12-NNT15:00:00Z") &&
                  context.time < datetime("2026-12-NNT18:00:00Z") }"#,
        &[1, 2, 3, 4],
    ),
    (
        r#"principal in Class::"NN", action == Action::"update", resource"#,
        "unless { context has dossier }",
        &[1, 2, 3],
    ),
    (
        r#"principal in Class::"NN", action, resource"#,
        r#"when { context.purpose == "muc-dich-39" && context.time_of_day >= duration("8h") &&
                  context.time_of_day < duration("17h") }"#,
        &[1, 2, 3],
    ),
    (
        r#"principal in Member::"HNN", action, resource"#,
        r#"when { resource has sensitive && resource.sensitive }
           unless { context has zone &&
                    ["chuyen-dung", "trung-tam-du-lieu"].contains(context.zone) }"#,
        &[0, 3, 6, 9, 12, 15, 18, 21, 24, 27],
    ),
    (
        r#"principal in Member::"HNN", action == Action::"update", resource"#,
        r#"unless { context has token && (context.token.roles.contains("tra-cuu") ||
                    context.token.roles.contains("mot-cua")) }"#,
        &[1, 4, 7, 10, 13, 16],
    ),
    (
        r#"principal == System::"he-thong-NN", action, resource"#,
        r#"when { context.time >= datetime("2027-01-01") || context.weekday > 5 }"#,
        &[0, 4, 8, 12, 16, 20, 24, 28],
    ),
    (
        r#"principal, action, resource in Node::"csdl-NN""#,
        r#"when { resource.node has zone && resource.node.zone == "chuyen-dung" }
           unless { context.source.isInRange(ip("10.0.0.0/8")) ||
                    context has zone && context.zone == "doi-tac" }"#,
        &[0, 6, 12, 18, 24, 30, 36, 42, 48, 54],
    ),
    (
        r#"principal, action == Action::"query", resource in Service::"NN""#,
        r#"when { context.weekday > 6 || context.time_of_day < duration("6h") ||
                  context.time_of_day >= duration("20h") }
           unless { context has dossier || principal has level && principal.level > 4 }"#,
        &[1, 6, 11, 16, 21, 26, 31, 36, 41, 46, 51, 56],
    ),
    (
        r#"principal, action, resource == Method::"/NN""#,
        r#"when { context.agreement.mode == "by_default" &&
                  context.agreement.legal_basis like "*194/2025*" }
           unless { context has procedure || context has dossier ||
                    principal.member in Class::"3" }"#,
        &[0, 7, 14, 21, 28, 35, 42, 49],
    ),
    ("principal, action, resource", "when { false }", &[]),
    ("principal, action, resource", "when { true }", &[]),
];

fn entities() -> Vec<Entity> {
    let entity = |kind: &str, id: &str, parents: &[Uid], attributes: &[(&str, Datum)]| Entity {
        parents: parents.to_vec(),
        attributes: attributes.iter().map(|(name, it)| ((*name).into(), it.clone())).collect(),
        ..Entity::new(Uid::new(kind, id))
    };
    let mut all = vec![
        entity("Action", "query", &[], &[]),
        entity("Action", "update", &[], &[]),
        entity("Class", "01", &[], &[]),
        entity("Class", "02", &[], &[]),
        entity("Class", "03", &[], &[]),
    ];
    let member = |n: usize| Uid::new("Member", format!("H{:02}", n % 34));
    let commune = |n: usize| Uid::new("Member", format!("H{:02}.{:04}", n % 34, n / 34));
    for n in 0..34 {
        all.push(entity("Member", &member(n).id, &[Uid::new("Class", "01")], &[]));
    }
    for n in 0..3_321 {
        let parents = [member(n), Uid::new("Class", "02")];
        all.push(entity("Member", &commune(n).id, &parents, &[]));
    }
    for n in 0..SYSTEMS {
        let level = if n % 20 == 7 { 2 } else { 3 + (n % 3) as i64 };
        let member = commune(n % 3_321);
        let attributes = [("level", Datum::Long(level)), ("member", Datum::Entity(member.clone()))];
        all.push(entity("System", &format!("he-thong-{n:02}"), &[member], &attributes));
    }
    for n in 0..SERVICES {
        let node = Uid::new("Node", format!("csdl-{n:02}"));
        let attributes = [
            ("zone", Datum::String("chuyen-dung".into())),
            ("provider", Datum::Entity(Uid::new("Member", format!("G{n}")))),
        ];
        all.push(entity("Node", &node.id, &[], &attributes));
        all.push(entity("Service", &format!("{n:02}"), &[node], &[]));
    }
    for n in 0..METHODS {
        let service = n * SERVICES / METHODS;
        let attributes = [
            ("sensitive", Datum::Bool(n % 3 == 0)),
            ("node", Datum::Entity(Uid::new("Node", format!("csdl-{service:02}")))),
        ];
        let parents = [Uid::new("Service", format!("{service:02}"))];
        all.push(entity("Method", &format!("/{n:02}"), &parents, &attributes));
    }
    all
}

fn engine() -> Engine {
    let mut text = WIDE.to_owned();
    for (scope, condition, numbers) in MANY {
        for number in numbers {
            let policy = format!("\nforbid({scope})\n{condition};\n");
            text.push_str(&policy.replace("NN", &format!("{number:02}")));
        }
    }
    let policies = text.parse().expect("policies");
    Engine::compile(&policies, entities(), &["id", "subject"]).expect("an engine")
}

/// What a call says; the words change with its number.
struct Call {
    principal: EntityRef,
    action: EntityRef,
    resource: EntityRef,
    purpose: String,
    agreement: String,
    source: IpNet,
}

fn calls(engine: &Engine) -> Vec<Call> {
    let mut state = 7_u64;
    let mut next = move |below: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let entity = |kind, id: String| engine.entity(kind, &id).expect("an entity");
    let call = |_| {
        let method = next(METHODS);
        let action = if method % 10 == 9 { "update" } else { "query" };
        let source = std::net::Ipv4Addr::new(10, next(100) as u8, next(256) as u8, next(256) as u8);
        Call {
            principal: entity("System", format!("he-thong-{:02}", next(SYSTEMS))),
            action: entity("Action", action.to_owned()),
            resource: entity("Method", format!("/{method:02}")),
            purpose: format!("muc-dich-{:02}", next(40)),
            agreement: format!("TT-2026-{:07}", next(1_000_000)),
            source: IpNet::new(source.into(), 32).expect("an address"),
        }
    };
    (0..CALLS).map(call).collect()
}

fn main() {
    let runs = std::env::args().nth(1).and_then(|runs| runs.parse().ok()).unwrap_or(60);
    let built = Instant::now();
    let engine = engine();
    let built = built.elapsed();
    let key = |name| -> Key { engine.key(name).expect("interned") };
    let roles = [Value::Str("mot-cua")];
    let token = [
        (key("issuer"), Value::Str("https://sso.gov.vn")),
        (key("roles"), Value::set(&roles)),
        (key("subject"), Value::Str("can-bo-0042")),
        (key("unit"), Value::Str("H26.12")),
    ];
    let calls = calls(&engine);
    let mut workspace = Workspace::default();
    let (mut forbidden, mut erring) = (0, 0);
    let [id, mode, legal_basis, purpose, agreement_key, time, time_of_day] =
        ["id", "mode", "legal_basis", "purpose", "agreement", "time", "time_of_day"].map(key);
    let [weekday, source, zone, dossier, token_key] =
        ["weekday", "source", "zone", "dossier", "token"].map(key);
    let mut run = || {
        let start = Instant::now();
        for (ix, call) in calls.iter().enumerate() {
            let agreement = [
                (id, Value::Str(&call.agreement)),
                (mode, Value::Str(if ix % 2 == 0 { "by_default" } else { "by_agreement" })),
                (legal_basis, Value::Str("Nghị định 278/2025/NĐ-CP")),
            ];
            let context = [
                (purpose, Value::Str(&call.purpose)),
                (agreement_key, Value::record(&agreement)),
                (time, Value::Datetime(1_794_970_000_000)),
                (time_of_day, Value::Duration(36_000_000)),
                (weekday, Value::Long(3)),
                (source, Value::Ip(call.source)),
                (zone, Value::Str("chuyen-dung")),
                (dossier, Value::Str("H26.12-261118-0042")),
                (token_key, Value::record(&token)),
            ];
            let length = context.len() - usize::from(ix % 2 == 0) - usize::from(ix % 8 == 0);
            let context = &context[..length];
            let request = Request::new(call.principal, call.action, call.resource, context);
            black_box(engine.decide(black_box(&request), &mut workspace));
            forbidden += usize::from(!workspace.determining().is_empty());
            erring += workspace.erring().len();
        }
        start.elapsed().as_nanos() / CALLS as u128
    };
    let each = std::iter::repeat_with(&mut run).take(runs).min().unwrap_or_default();
    let (policies, asked) = (engine.policies().count(), CALLS * runs);
    println!(
        "{policies} policies: {each} ns with the context, {forbidden} of {asked} forbidden, {erring} errors, built in {built:?}"
    );
}
