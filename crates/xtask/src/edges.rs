//! Which crate may depend on which: only on crates of a floor below. `ARCHITECTURE.md` has the map.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The floors, bottom to top.
const FLOORS: [&[&str]; 6] = [
    &["model", "prefetch"],
    &["cedar", "mask", "tlog"],
    &["audit", "policy", "wire"],
    &["control", "dataplane", "events", "export", "load", "nodes", "publish", "search"],
    &[],
    &["giaolien"],
];
/// Crates for tests, sandbox and tidying. They may stand on the bottom floor only, so that every
/// other crate may use them in its tests.
const DEVELOPMENT: [&str; 2] = ["testkit", "xtask"];
/// Dependencies that a crate deliberately does without.
const ABSENT: [(&str, &[&str]); 6] = [
    ("model", &["tokio", "prost", "serde_json", "rustls"]),
    ("policy", &["tokio", "prost", "serde_json", "rustls", "cedar-policy"]),
    ("audit", &["tokio", "prost", "rustls"]),
    ("mask", &["tokio", "prost", "prost-reflect", "rustls", "model"]),
    ("tlog", &["tokio", "prost", "rustls", "model"]),
    ("dataplane", &["rusqlite", "saphyr-parser", "tonic", "async-nats"]),
];

/// Edges that go sideways or up, and dependencies that must be absent.
pub(crate) fn check(root: &Path) -> Result<Vec<String>> {
    let metadata = metadata(root)?;
    let packages = metadata.get("packages").and_then(Value::as_array).context("no packages")?;
    let mut problems = Vec::new();
    for package in packages {
        let name = text(package, "name")?;
        let dependencies = package.get("dependencies").and_then(Value::as_array);
        for dependency in dependencies.context("no dependencies")? {
            // Tests may look down from anywhere, and use what is made for tests.
            if dependency.get("kind").is_some_and(|kind| kind == "dev") {
                continue;
            }
            let other = text(dependency, "name")?;
            if dependency.get("path").is_some() && !may_depend(name, other) {
                problems.push(format!("`{name}` must not depend on `{other}`: not a floor below"));
            }
            let absent = ABSENT.iter().find(|(crate_name, _)| *crate_name == name);
            if absent.is_some_and(|(_, absent)| absent.contains(&other)) {
                problems.push(format!("`{name}` deliberately does without `{other}`"));
            }
        }
        if floor(name).is_none() && !DEVELOPMENT.contains(&name) {
            problems.push(format!("`{name}` stands on no floor; add it to the map"));
        }
    }
    Ok(problems)
}

fn may_depend(name: &str, other: &str) -> bool {
    match (floor(name), floor(other)) {
        (Some(upper), Some(lower)) => lower < upper,
        // The sandbox is made of what tests use.
        (Some(_), None) => name == "giaolien" && other == "testkit",
        (None, Some(lower)) => lower == 0,
        (None, None) => false,
    }
}

fn floor(name: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&name))
}

fn metadata(root: &Path) -> Result<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root)
        .output()
        .context("run cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).context("read cargo metadata")
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value.get(key).and_then(Value::as_str).with_context(|| format!("no `{key}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_go_down() {
        assert!(may_depend("dataplane", "audit"));
        assert!(!may_depend("audit", "wire"));
        assert!(!may_depend("policy", "dataplane"));
        assert!(!may_depend("dataplane", "testkit"));
        assert!(may_depend("giaolien", "testkit"));
    }
}
