//! How long files and functions may grow. Tests are not counted.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

/// Files and functions that are too long to be checked by eye.
pub(crate) fn check(root: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for file in sources(&root.join("crates"))? {
        let text =
            fs::read_to_string(&file).with_context(|| format!("read `{}`", file.display()))?;
        let name = file.strip_prefix(root).unwrap_or(&file).display().to_string();
        // Unit tests stand last in a file.
        let product = text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or_default();
        problems.extend(check_file(&name, product));
    }
    Ok(problems)
}

fn check_file(name: &str, product: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let lines = product.lines().count();
    if lines > FILE_LINES_MAX {
        problems.push(format!("{name}: {lines} lines, at most {FILE_LINES_MAX}"));
    }
    for (line, length) in functions(product) {
        if length > FUNCTION_LINES_MAX {
            problems.push(format!(
                "{name}:{line}: a function of {length} lines, at most {FUNCTION_LINES_MAX}"
            ));
        }
    }
    problems
}

/// Line and length of each function, as rustfmt lays them out: from `fn` to the brace that closes
/// at the same indentation.
fn functions(text: &str) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let starts = code.starts_with("fn ")
            || (code.contains(" fn ") && code.starts_with("pub"))
            || code.starts_with("async fn ")
            || code.starts_with("const fn ");
        if !starts || code.starts_with("//") {
            continue;
        }
        let indent = line.len() - code.len();
        let closing = format!("{}}}", " ".repeat(indent));
        let body = lines.iter().skip(at).position(|line| *line == closing);
        found.extend(body.map(|length| (at + 1, length + 1)));
    }
    found
}

fn sources(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("read `{}`", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            // What was generated there is nobody's to read.
            let is_built = path.file_name().is_some_and(|name| name == "target");
            found.extend(if is_built { Vec::new() } else { sources(&path)? });
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && path.components().any(|part| part.as_os_str() == "src")
        {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_found_with_their_length() {
        let text = "fn a() {\n    x();\n}\n\nimpl B {\n    pub(crate) async fn b(\n        &self,\n    ) {\n    }\n}\n";
        assert_eq!(functions(text), [(1, 3), (6, 4)]);
    }

    #[test]
    fn what_is_too_long_is_named() {
        let text = format!("fn a() {{\n{}}}\n", "    x();\n".repeat(80));
        assert_eq!(check_file("x.rs", &text), ["x.rs:1: a function of 82 lines, at most 70"]);
    }
}
