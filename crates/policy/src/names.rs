//! Names of objects and their numbers, close together in memory: every call looks three up.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::registry::{Ix, row};

/// Names by number, and numbers by name. Numbers are given in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    /// Part of the hash of each name, and its number.
    table: HashTable<(u32, Ix)>,
    /// All names, one after the other: as bytes, which are cut out without looking at characters.
    text: Vec<u8>,
    /// Where each name ends.
    ends: Vec<u32>,
}

impl Names {
    /// Gives `name` the next number. False if it had one; then both numbers are taken.
    pub(crate) fn push(&mut self, name: &str) -> bool {
        let is_new = self.get(name).is_none();
        let ix = Ix::try_from(self.ends.len()).unwrap_or(Ix::MAX);
        self.text.extend_from_slice(name.as_bytes());
        self.ends.push(u32::try_from(self.text.len()).unwrap_or(u32::MAX));
        let short = short(name);
        self.table.insert_unique(spread(short), (short, ix), |(short, _)| spread(*short));
        is_new
    }

    /// The number of `name`.
    pub(crate) fn get(&self, name: &str) -> Option<Ix> {
        let short = short(name);
        let is_it = |(other, ix): &(u32, Ix)| {
            *other == short && self.bytes(*ix).is_some_and(|bytes| bytes == name.as_bytes())
        };
        self.table.find(spread(short), is_it).map(|(_, ix)| *ix)
    }

    fn bytes(&self, ix: Ix) -> Option<&[u8]> {
        let end = *row(&self.ends, ix)?;
        let start = ix.checked_sub(1).and_then(|before| row(&self.ends, before));
        let start = start.copied().unwrap_or_default();
        self.text.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
    }

    /// All names, in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..).map_while(|ix| std::str::from_utf8(self.bytes(ix)?).ok())
    }
}

fn short(name: &str) -> u32 {
    let mut hasher = FixedState::default().build_hasher();
    hasher.write(name.as_bytes());
    u32::try_from(hasher.finish() >> 32).unwrap_or_default()
}

/// A hash for the table, which looks at the highest and the lowest bits.
fn spread(short: u32) -> u64 {
    u64::from(short) << 32 | u64::from(short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_their_numbers() {
        let mut names = Names::default();
        assert!(names.push("H26") && names.push("") && names.push("H26.12"));
        assert_eq!([names.get("H26"), names.get(""), names.get("H26.12")], [0, 1, 2].map(Some));
        assert_eq!(names.get("H2"), None);
        assert!(!names.push("H26"));
        assert_eq!(names.iter().collect::<Vec<_>>(), ["H26", "", "H26.12", "H26"]);
    }
}
