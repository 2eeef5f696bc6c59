//! A hundred Cedar policies as operators write them: some over all calls, some for a class, a
//! member, a service, a node or a system.

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
    let dossier = "
        when { context.purpose == \"muc-dich-NN\" && resource has sensitive && resource.sensitive }
        unless { context has dossier }";
    let reads = "
        when { context.purpose == \"muc-dich-NN\" }
        unless { principal has level && principal.level >= 4 && context has dossier }";
    let mut text = String::new();
    for number in (0..8).map(|n| n * 5) {
        policy(&mut text, "dossier-for-purpose-NN", ["", "", ""], dossier, number);
    }
    for number in (0..6).map(|n| n * 6 + 1) {
        let scope = ["", "== Action::\"update\"", ""];
        policy(&mut text, "purpose-NN-only-reads", scope, reads, number);
    }
    text
}

/// Addresses closed after incidents, and hours in which everything is serviced: 10, over all
/// calls.
fn of_incidents() -> String {
    let incident = "when { context.source.isInRange(ip(\"10.1NN.7.0/24\")) }";
    let window = "
        when
        {
          context.time >= datetime(\"2026-12-NNT15:00:00Z\") &&
          context.time < datetime(\"2026-12-NNT18:00:00Z\")
        }";
    let mut text = String::new();
    for number in (0..6).map(|n| n * 9) {
        policy(&mut text, "incident-2026-NN", ["", "", ""], incident, number);
    }
    for number in 1..5 {
        policy(&mut text, "service-window-NN", ["", "", ""], window, number);
    }
    text
}

/// For classes, members and systems: 30.
fn of_members() -> String {
    let dossier = "unless { context has dossier }";
    let batch = "
        when
        {
          context.purpose == \"muc-dich-39\" &&
          context.time_of_day >= duration(\"8h\") &&
          context.time_of_day < duration(\"17h\")
        }";
    let network = "
        when { resource has sensitive && resource.sensitive }
        unless
        {
          context has zone && [\"chuyen-dung\", \"trung-tam-du-lieu\"].contains(context.zone)
        }";
    let token = "
        unless
        {
          context has token &&
          (context.token.roles.contains(\"tra-cuu\") || context.token.roles.contains(\"mot-cua\"))
        }";
    let replaced = "when { context.time >= datetime(\"2027-01-01\") || context.weekday > 5 }";
    let update = "== Action::\"update\"";
    let mut text = String::new();
    for (class, number) in ["province", "commune", "ministry"].iter().zip(1..) {
        let scope = format!("in Class::\"{class}\"");
        policy(&mut text, "class-NN-dossier-for-updates", [&scope, update, ""], dossier, number);
        policy(&mut text, "class-NN-no-batch-by-day", [&scope, "", ""], batch, number);
    }
    for number in (0..10).map(|n| n * 3) {
        let scope = ["in Member::\"HNN\"", "", ""];
        policy(&mut text, "province-NN-network", scope, network, number);
    }
    for number in (0..6).map(|n| n * 3) {
        let scope = ["in Member::\"GNN\"", update, ""];
        policy(&mut text, "ministry-NN-officials-by-token", scope, token, number);
    }
    for number in (0..8).map(|n| n * 4) {
        let scope = ["== System::\"HNN.he-thong-000NN\"", "", ""];
        policy(&mut text, "system-NN-being-replaced", scope, replaced, number);
    }
    text
}

/// For nodes, services and methods: 30.
fn of_services() -> String {
    let zone = "
        when { resource.node has zone && resource.node.zone == \"chuyen-dung\" }
        unless
        {
          context.source.isInRange(ip(\"10.0.0.0/8\")) ||
          context has zone && context.zone == \"doi-tac\"
        }";
    let hours = "
        when
        {
          context.weekday > 6 ||
          context.time_of_day < duration(\"6h\") ||
          context.time_of_day >= duration(\"20h\")
        }
        unless { context has dossier || principal has level && principal.level > 4 }";
    let basis = "
        when
        {
          context.agreement.mode == \"by_default\" &&
          context.agreement.legal_basis like \"*194/2025*\"
        }
        unless
        {
          context has procedure || context has dossier ||
          principal.member in Class::\"ministry\"
        }";
    let service = "in Service::\"vn.gov.databaseNN.v1.LookupService\"";
    let mut text = String::new();
    for number in (0..10).map(|n| n * 6) {
        let scope = ["", "", "in Node::\"csdl-NN\""];
        policy(&mut text, "node-NN-within-its-zone", scope, zone, number);
    }
    for number in (0..12).map(|n| n * 5 + 1) {
        let scope = ["", "== Action::\"query\"", service];
        policy(&mut text, "service-NN-in-office-hours", scope, hours, number);
    }
    for number in (0..8).map(|n| n * 7) {
        // The first method of the service.
        let first = number * 400 / 60;
        let path = format!("/vn.gov.database{number:02}.v1.LookupService/TraCuuThongTin{first}");
        let scope = format!("== Method::\"{path}\"");
        policy(&mut text, "service-NN-basis-of-the-first", ["", "", &scope], basis, number);
    }
    text
}

/// Writes a policy, with the number in two digits for every `NN`.
fn policy(
    text: &mut String,
    id: &str,
    [principal, action, resource]: [&str; 3],
    conditions: &str,
    number: usize,
) {
    let policy = format!(
        "@id(\"{id}\")\n\
         forbid (principal {principal}, action {action}, resource {resource})\n{conditions};\n\n"
    );
    text.push_str(&policy.replace("NN", &format!("{number:02}")));
}
