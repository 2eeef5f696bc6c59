//! Apart from what it tests, which the model of the commit protocol takes in as it is.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use tlog::Head;

use crate::backlog::{Backlog, LEAVES_MAX};

#[test]
fn what_is_too_much_is_not_kept_and_that_is_told() {
    let backlog = Backlog::default();
    let head = |size| Head { size, root_hash: [0; 32] };
    backlog.push(vec![[1; 32]; 3], head(3));
    backlog.release("note".into(), head(3));
    let work = backlog.wait().unwrap();
    assert_eq!((work.leaves.concat().len(), work.lost, work.head), (3, false, Some(head(3))));
    let batch = LEAVES_MAX / 2;
    for round in 1..=3 {
        backlog.push(vec![[1; 32]; batch], head((batch * round) as u64));
    }
    backlog.end();
    let work = backlog.wait().unwrap();
    assert_eq!((work.leaves.len(), work.lost), (0, true));
    assert_eq!(work.head, Some(head(batch as u64 * 3)));
    assert!(backlog.wait().is_none());
}
