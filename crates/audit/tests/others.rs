//! What others wrote for the same formats reads ours: signed notes.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that fails may panic"
)]

mod common;

use std::fs;

use audit::Log;
use common::{append, options, signer};
use signed_note::{Note, StandardVerifier, VerifierList};

#[test]
fn signed_note_verifies_our_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(options(folder.path())).unwrap();
    append(&log, 0..7);
    log.close().unwrap();

    let note = Note::from_bytes(&fs::read(folder.path().join("checkpoint")).unwrap()).unwrap();
    let line = signer().verifying_key().to_string();
    let verifier = StandardVerifier::new(&line).unwrap();
    let (verified, unverified) = note.verify(&VerifierList::new(vec![Box::new(verifier)])).unwrap();
    assert_eq!((verified.len(), unverified.len()), (1, 0));
    let text = String::from_utf8(note.text().to_vec()).unwrap();
    assert!(text.starts_with("ledger.example.vn/2026\n7\n"), "{text}");
}
