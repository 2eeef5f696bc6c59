//! What others wrote for the same formats reads ours: signed notes, tree hashes and proofs.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that fails may panic"
)]

mod common;

use std::fs;

use audit::Log;
use common::{append, entry, options, signer};
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use sha2::Sha256;
use signed_note::{Note, StandardVerifier, VerifierList};
use tlog::VerifyingKey;
use tlog::tree;

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

#[test]
fn we_verify_what_signed_note_signs() {
    // The key pair of the C2SP documentation and of Go's package `note`.
    let secret = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    let public = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    let text = b"If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n";
    let mut note = Note::new(text, &[]).unwrap();
    note.add_sigs(&[&signed_note::StandardSigner::new(secret).unwrap()]).unwrap();
    let signed = String::from_utf8(note.to_bytes()).unwrap();

    let key: VerifyingKey = public.parse().unwrap();
    let ours: tlog::note::Note = signed.parse().unwrap();
    ours.verify(&key).unwrap();
    assert_eq!(ours.to_string(), signed);
    let other: tlog::note::Note = signed.replace("answer", "ANSWER").parse().unwrap();
    assert_eq!(other.verify(&key), Err(tlog::note::NoteError::Signature));
}

#[test]
fn ct_merkle_gives_the_same_roots_and_proofs() {
    let mut theirs = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    let mut leaves = Vec::new();
    for number in 0..200 {
        theirs.push(entry(number));
        leaves.push(tree::leaf_hash(&entry(number)));
        assert_eq!(theirs.root().as_bytes().as_slice(), tree::root(&leaves));
    }
    for index in 0..200 {
        let path = tree::inclusion_path(&leaves, index).unwrap().concat();
        assert_eq!(theirs.prove_inclusion(index).as_bytes(), path);
    }
}
