//! What errors say, alone and in a chain.

use std::error::Error;
use std::io;
use std::iter::successors;

use audit::{CloseError, OpenError, ReadError, VerifyError};
use tlog::NoteError;

/// Each error of a chain tells its own part: printed one after another nothing is told twice.
fn check(error: &(dyn Error + 'static), expected: &str) {
    let chain = successors(Some(error), |&error| error.source());
    let told: Vec<String> = chain.map(ToString::to_string).collect();
    assert_eq!(told.join(": "), expected);
}

fn cause() -> io::Error {
    io::Error::other("the disk is on fire")
}

#[test]
fn a_cause_is_told_once() {
    let path = || "ledger".into();
    let open = OpenError::Io { action: "lock", path: path(), source: cause() };
    check(&open, "cannot lock `ledger`: the disk is on fire");
    let checkpoint = OpenError::Checkpoint(NoteError::Signature);
    let told = "file `checkpoint` is not valid, put it back from a copy: signature does not match";
    check(&checkpoint, told);
    let verify = VerifyError::Unreadable { path: path(), source: cause() };
    check(&verify, "cannot read `ledger`: the disk is on fire");
    let read = ReadError::Unreadable { path: path(), source: cause() };
    check(&read, "cannot read `ledger`: the disk is on fire");
    let close = CloseError::Checkpoint(cause());
    check(&close, "cannot write the last checkpoint: the disk is on fire");
}
