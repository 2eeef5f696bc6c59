//! The order in which files are compiled: imports first. The compiler goes down into imports that
//! it has not met by a call each, and so never goes deeper than one.

use std::collections::{BTreeMap, BTreeSet};

/// Which files import which, by name.
#[derive(Debug, Default)]
pub(super) struct Imports<'a>(BTreeMap<&'a str, Vec<&'a str>>);

/// The order of files.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Order<'a> {
    /// Each after all that it imports.
    pub(super) files: Vec<&'a str>,
    /// Files of which each imports the next, and the last the first, if there are any.
    pub(super) cycle: Vec<&'a str>,
}

impl<'a> Imports<'a> {
    /// Adds a file with what it imports.
    pub(super) fn add(&mut self, file: &'a str, imports: impl Iterator<Item = &'a str>) {
        self.0.insert(file, imports.collect());
    }

    /// What a file imports of the files that were added.
    pub(super) fn of(&self, file: &str) -> impl Iterator<Item = &'a str> {
        let imports = self.0.get(file).into_iter().flatten();
        imports.copied().filter(|import| self.0.contains_key(import))
    }

    /// The order of all files that `roots` need, themselves among them.
    pub(super) fn order(&self, roots: impl Iterator<Item = &'a str>) -> Order<'a> {
        let mut missing: BTreeMap<&str, usize> = BTreeMap::new();
        let mut users: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut ready = Vec::new();
        let mut waiting: Vec<&str> = roots.collect();
        while let Some(file) = waiting.pop() {
            if missing.contains_key(file) {
                continue;
            }
            let imports: BTreeSet<&str> = self.of(file).collect();
            missing.insert(file, imports.len());
            if imports.is_empty() {
                ready.push(file);
            }
            for import in imports {
                users.entry(import).or_default().push(file);
                waiting.push(import);
            }
        }
        let mut files = Vec::with_capacity(missing.len());
        while let Some(file) = ready.pop() {
            files.push(file);
            for user in users.get(file).into_iter().flatten() {
                if let Some(missing) = missing.get_mut(user) {
                    *missing -= 1;
                    if *missing == 0 {
                        ready.push(user);
                    }
                }
            }
        }
        missing.retain(|_, missing| *missing > 0);
        Order { files, cycle: self.cycle(&missing) }
    }

    /// A cycle among files of which each waits for another.
    fn cycle(&self, stuck: &BTreeMap<&'a str, usize>) -> Vec<&'a str> {
        let mut way: Vec<&str> = Vec::new();
        let mut met = BTreeMap::new();
        let mut at = stuck.keys().next().copied();
        while let Some(file) = at {
            if let Some(begin) = met.insert(file, way.len()) {
                return way.split_off(begin);
            }
            way.push(file);
            at = self.of(file).find(|import| stuck.contains_key(import));
        }
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imports(all: &[(&'static str, &[&'static str])]) -> Imports<'static> {
        let mut imports = Imports::default();
        all.iter().for_each(|(file, of)| imports.add(file, of.iter().copied()));
        imports
    }

    #[test]
    fn imports_come_first() {
        let all = imports(&[("a", &["b", "c", "b"]), ("b", &["c", "google"]), ("c", &[])]);
        let order = all.order(["a"].into_iter());
        assert_eq!(order, Order { files: vec!["c", "b", "a"], cycle: vec![] });
        assert_eq!(all.order(["c"].into_iter()).files, ["c"]);
    }

    #[test]
    fn a_cycle_is_found_behind_what_leads_to_it() {
        let all = imports(&[("a", &["b"]), ("b", &["c", "e"]), ("c", &["d"]), ("d", &["b"])]);
        let order = all.order(["a"].into_iter());
        assert_eq!(order, Order { files: vec![], cycle: vec!["b", "c", "d"] });
        let own = imports(&[("a", &["a"]), ("b", &[])]).order(["a", "b"].into_iter());
        assert_eq!(own, Order { files: vec!["b"], cycle: vec!["a"] });
    }
}
