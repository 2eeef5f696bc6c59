//! A hundred Cedar policies as operators write them: some over all calls, some for a class, a
//! member, a service, a node or a system.

use std::fmt::Write;

use anyhow::{Result, bail};
use cedar::text::{File, Files};

/// Over all calls.
const WIDE: &str = include_str!("wide.cedar");

/// The policies, valid under the built-in schema.
pub fn policies() -> Result<Files> {
    let texts = [
        ("wide.cedar", WIDE.to_owned()),
        ("purposes.cedar", of_purposes()),
        ("incidents.cedar", of_incidents()),
        ("members.cedar", of_members()),
        ("services.cedar", of_services()),
    ];
    let files = texts.each_ref().map(|(name, text)| File { name, text });
    let parsed = Files::parse(&files, &[]);
    let parsed = parsed.map_err(|problems| anyhow::anyhow!("policies: {problems:?}"))?;
    let file = File { name: "schema", text: policy::SCHEMA };
    let schema = cedar::text::schema(file);
    let schema = schema.map_err(|problems| anyhow::anyhow!("schema: {problems:?}"))?;
    let verdict = parsed.validate(&schema);
    if !verdict.problems.is_empty() {
        bail!("policies: {:?}", verdict.problems);
    }
    let count = parsed.policies.policies().count();
    if count != 100 {
        bail!("found {count} policies, expected 100");
    }
    Ok(parsed)
}

/// What some purposes ask for: 14, over all calls.
fn of_purposes() -> String {
    let mut text = String::new();
    for n in 0..8 {
        let purpose = n * 5;
        policy(
            &mut text,
            &format!("dossier-for-purpose-{purpose:02}"),
            ["", "", ""],
            &format!(
                "when {{ context.purpose == \"muc-dich-{purpose:02}\" && resource has sensitive && resource.sensitive }} \
             unless {{ context has dossier }}"
            ),
        );
    }
    for n in 0..6 {
        let purpose = n * 6 + 1;
        policy(
            &mut text,
            &format!("purpose-{purpose:02}-only-reads"),
            ["", "== Action::\"update\"", ""],
            &format!(
                "when {{ context.purpose == \"muc-dich-{purpose:02}\" }} \
             unless {{ principal has level && principal.level >= 4 && context has dossier }}"
            ),
        );
    }
    text
}

/// Addresses closed after incidents, and hours in which a database is serviced: 10, over all
/// calls.
fn of_incidents() -> String {
    let mut text = String::new();
    for n in 0..6 {
        policy(
            &mut text,
            &format!("incident-2026-{n:02}"),
            ["", "", ""],
            &format!(
                "when {{ context.source.isInRange(ip(\"10.{}.{}.0/24\")) }}",
                40 + n * 7,
                n * 31
            ),
        );
    }
    for n in 0..4 {
        policy(
            &mut text,
            &format!("service-window-{n}"),
            ["", "", ""],
            &format!(
                "when {{ context.time >= datetime(\"2026-12-0{day}T15:00:00Z\") && context.time < datetime(\"2026-12-0{day}T18:00:00Z\") }}",
                day = n + 1
            ),
        );
    }
    text
}

/// For classes, members and systems: 30.
fn of_members() -> String {
    let mut text = String::new();
    for class in ["province", "commune", "ministry"] {
        let scope = format!("in Class::\"{class}\"");
        policy(
            &mut text,
            &format!("{class}-dossier-for-updates"),
            [&scope, "== Action::\"update\"", ""],
            "unless { context has dossier }",
        );
        policy(
            &mut text,
            &format!("{class}-no-batch-by-day"),
            [&scope, "", ""],
            "when { context.purpose == \"muc-dich-39\" && context.time_of_day >= duration(\"8h\") && context.time_of_day < duration(\"17h\") }",
        );
    }
    for n in 0..10 {
        let scope = format!("in Member::\"H{:02}\"", n * 3);
        policy(
            &mut text,
            &format!("province-{:02}-network", n * 3),
            [&scope, "", ""],
            "when { resource has sensitive && resource.sensitive } \
             unless { context has zone && [\"chuyen-dung\", \"trung-tam-du-lieu\"].contains(context.zone) }",
        );
    }
    for n in 0..6 {
        let scope = format!("in Member::\"G{:02}\"", n * 3);
        policy(
            &mut text,
            &format!("ministry-{:02}-officials-by-token", n * 3),
            [&scope, "== Action::\"update\"", ""],
            "unless { context has token && (context.token.roles.contains(\"tra-cuu\") || context.token.roles.contains(\"mot-cua\")) }",
        );
    }
    for n in 0..8 {
        let scope = format!("== System::\"H{:02}.he-thong-{:05}\"", n * 4, n * 4);
        policy(
            &mut text,
            &format!("system-{:02}-being-replaced", n * 4),
            [&scope, "", ""],
            "when { context.time >= datetime(\"2027-01-01\") || context.weekday > 5 }",
        );
    }
    text
}

/// For nodes, services and methods: 30.
fn of_services() -> String {
    let mut text = String::new();
    for n in 0..10 {
        let scope = format!("in Node::\"csdl-{:02}\"", n * 6);
        policy(
            &mut text,
            &format!("node-{:02}-within-its-zone", n * 6),
            ["", "", &scope],
            "when { resource.node has zone && resource.node.zone == \"chuyen-dung\" } \
             unless { context.source.isInRange(ip(\"10.0.0.0/8\")) || context has zone && context.zone == \"doi-tac\" }",
        );
    }
    for n in 0..12 {
        let scope = format!("in Service::\"vn.gov.database{:02}.v1.LookupService\"", n * 5 + 1);
        policy(
            &mut text,
            &format!("service-{:02}-in-office-hours", n * 5 + 1),
            ["", "== Action::\"query\"", &scope],
            "when { context.weekday > 6 || context.time_of_day < duration(\"6h\") || context.time_of_day >= duration(\"20h\") } \
             unless { context has dossier || principal has level && principal.level > 4 }",
        );
    }
    for n in 0..8 {
        let number = n * 20 / 3 * 7;
        let node = (number * 60 + 59) / 400;
        let scope = format!(
            "== Method::\"/vn.gov.database{node:02}.v1.LookupService/TraCuuThongTin{number}\""
        );
        policy(
            &mut text,
            &format!("method-{number}-basis"),
            ["", "", &scope],
            "when { context.agreement.mode == \"by_default\" && context.agreement.legal_basis like \"*194/2025*\" } \
             unless { context has procedure || context has dossier || principal.member in Class::\"ministry\" }",
        );
    }
    text
}

fn policy(text: &mut String, id: &str, [principal, action, resource]: [&str; 3], conditions: &str) {
    let written = writeln!(
        text,
        "@id(\"{id}\")\nforbid (principal {principal}, action {action}, resource {resource})\n{conditions};\n"
    );
    written.expect("strings take everything");
}
