//! Events in a file, one JSON object a line.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

/// A file that lines are added to. It is opened anew each time, so that it may be moved away.
#[derive(Debug)]
pub(crate) struct Lines(pub(crate) PathBuf);

impl Lines {
    /// Adds lines; they are on disk when this returns.
    pub(crate) fn add(&self, lines: &[String]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let mut file = File::options().read(true).append(true).create(true).open(&self.0)?;
        let mut text = String::new();
        if !ends_with_a_line(&mut file)? {
            // A crash cut the line; its event is told again.
            text.push('\n');
        }
        lines.iter().for_each(|line| text.extend([line.as_str(), "\n"]));
        file.write_all(text.as_bytes())?;
        file.sync_data()
    }
}

fn ends_with_a_line(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

    use std::fs;

    use super::*;

    #[test]
    fn a_line_that_was_cut_stays_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        fs::write(&path, "{\"whole\":1}\n{\"cu").unwrap();
        let lines = Lines(path.clone());
        lines.add(&["{\"next\":2}".to_owned()]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"whole\":1}\n{\"cu\n{\"next\":2}\n");
        // Moved away by a program that rotates files.
        fs::rename(&path, folder.path().join("events.1")).unwrap();
        lines.add(&["{\"next\":3}".to_owned()]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"next\":3}\n");
    }
}
