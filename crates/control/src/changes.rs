//! What a new contract changes for whom, in words.

use std::sync::Arc;

use mask::{Change, Severity};
use policy::{Concerned, Snapshot};

/// Most changes that are told one by one.
const CHANGES_MAX: usize = 20;
/// Most agreements that are named with a change.
const AGREEMENTS_MAX: usize = 3;

/// What the contract of `new` changes for those who use that of `old`, a line for each change:
/// what breaks first, then what gives more than was agreed. Each names some of the agreements
/// under which the change is noticed.
pub fn contract_changes(old: &Snapshot, new: &Snapshot) -> Vec<String> {
    let (before, after) = match (old.contract(), new.contract()) {
        (Some(before), Some(after)) if !Arc::ptr_eq(before, after) => (before, after),
        (Some(before), None) => {
            let methods = before.methods().len();
            return vec![format!("contract: none is left; there was one of {methods} methods")];
        }
        (Some(_), Some(_)) | (None, _) => return Vec::new(),
    };
    let changes = mask::compare(before, after);
    let shown: Vec<&Change> = changes.iter().take(CHANGES_MAX).collect();
    // What breaks, breaks for those who have it now; the rest is for those who will get it.
    let (broken, others) = shown.split_at(breaking(&shown));
    let concerned = old.concerned(broken, AGREEMENTS_MAX).into_iter();
    let concerned = concerned.chain(new.concerned(others, AGREEMENTS_MAX));
    let mut lines: Vec<String> = shown
        .iter()
        .zip(concerned)
        .map(|(change, concerned)| format!("contract: {change}; {}", told(&concerned)))
        .collect();
    if let Some(more) = changes.len().checked_sub(CHANGES_MAX).filter(|more| *more > 0) {
        lines.push(format!("contract: and {more} more changes"));
    }
    lines
}

fn breaking(changes: &[&Change]) -> usize {
    changes.partition_point(|change| change.severity == Severity::Breaks)
}

fn told(Concerned { first, count }: &Concerned) -> String {
    let named: Vec<String> = first.iter().map(|id| format!("`{id}`")).collect();
    match (*count, count - named.len()) {
        (0, _) => "concerns no agreement".to_owned(),
        (1, _) => format!("concerns agreement {}", named.join(", ")),
        (_, 0) => format!("concerns agreements {}", named.join(", ")),
        (_, more) => format!("concerns agreements {} and {more} more", named.join(", ")),
    }
}
