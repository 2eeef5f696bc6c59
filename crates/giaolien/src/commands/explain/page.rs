//! A page of text: labels at the left, what they are about beside them.

use std::fmt::Display;

/// Characters before the text.
const MARGIN: usize = 12;

/// A page that grows block by block.
#[derive(Debug, Default)]
pub(super) struct Page(String);

impl Page {
    /// A block: its label, and its lines.
    pub(super) fn block(&mut self, label: &str, lines: impl IntoIterator<Item = impl Display>) {
        let mut label = label;
        for line in lines {
            let line = line.to_string();
            for part in line.trim_end().lines() {
                let row = format!("{label:<MARGIN$}{part}");
                self.0.push_str(row.trim_end());
                self.0.push('\n');
                label = "";
            }
        }
    }

    /// All of it.
    pub(super) fn text(self) -> String {
        self.0
    }
}

/// Every line of a text further in.
pub(super) fn indented(text: &str) -> String {
    let lines = text.trim_end().lines().map(|line| format!("  {line}"));
    lines.collect::<Vec<_>>().join("\n")
}
