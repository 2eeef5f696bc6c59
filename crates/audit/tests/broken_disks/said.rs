//! What the processes said, and what must hold between them.

use std::collections::BTreeMap;
use std::process::Output;

/// What the process under load said before it ended.
#[derive(Debug, Default)]
pub(crate) struct Load {
    /// Hash of each entry that was called durable, and when its append began.
    pub(crate) durable: BTreeMap<u64, (String, u128)>,
    pub(crate) lines: Vec<String>,
}

impl Load {
    pub(crate) fn read(text: &str) -> Self {
        let mut load = Self::default();
        for line in text.lines() {
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["durable", index, hash, begun] => {
                    let (index, begun) = (index.parse().unwrap(), begun.parse().unwrap());
                    let before = load.durable.insert(index, (hash.to_owned(), begun));
                    assert_eq!(before, None, "index {index} was given out twice");
                }
                _ => load.lines.push(line.to_owned()),
            }
        }
        load
    }

    /// Lines that begin with this word.
    pub(crate) fn said(&self, word: &str) -> Vec<&str> {
        let lines = self.lines.iter().filter_map(|line| line.strip_prefix(word));
        lines.map(str::trim).collect()
    }

    pub(crate) fn opened(&self) -> bool {
        !self.said("open").is_empty()
    }

    /// Durable entries as the ledger counted them at its end.
    pub(crate) fn size(&self) -> u64 {
        let status = self.said("status");
        status[0].split(' ').next().unwrap().parse().unwrap()
    }

    /// The ledger has failed, all its callers know, and it knows no more entries than it told of.
    pub(crate) fn check_failed(&self) {
        assert!(self.said("status")[0].contains("Failed"), "{:?}", self.lines);
        let told = self.said("failed").len() + self.said("refused").len();
        assert!(told > 0, "nobody was told: {:?}", self.lines);
        let ended = self.said("refused").len() + self.said("done").len();
        assert_eq!(ended, 4, "each caller was refused, or done before: {:?}", self.lines);
        assert!(self.durable.keys().all(|index| *index < self.size()));
    }
}

/// Holds what a start afterwards found against what was called durable.
pub(crate) fn check_kept(load: &Load, check: &Output) -> u64 {
    let text = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(check.status.success(), "{text}{}", String::from_utf8_lossy(&check.stderr));
    let mut entries = BTreeMap::new();
    for line in text.lines() {
        if let ["entry", index, hash] = line.split(' ').collect::<Vec<_>>()[..] {
            entries.insert(index.parse::<u64>().unwrap(), hash.to_owned());
        }
    }
    assert!(text.lines().last().unwrap().starts_with("whole"), "{text}");
    for (index, (hash, _)) in &load.durable {
        assert_eq!(entries.get(index), Some(hash), "entry {index} is lost");
    }
    entries.len() as u64
}
