//! Checks that keep the tree tidy. They also run as a test: `cargo test -p xtask`.

mod edges;
mod sizes;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

fn main() -> Result<ExitCode> {
    let problems = tidy()?;
    problems.iter().for_each(|problem| eprintln!("{problem}"));
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Everything that is not tidy.
fn tidy() -> Result<Vec<String>> {
    let root = root();
    let mut problems = edges::check(&root)?;
    problems.extend(sizes::check(&root)?);
    Ok(problems)
}

/// The workspace's folder.
fn root() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", ".."].iter().collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_tree_is_tidy() {
        let problems = super::tidy().unwrap();
        assert!(problems.is_empty(), "\n{}", problems.join("\n"));
    }
}
