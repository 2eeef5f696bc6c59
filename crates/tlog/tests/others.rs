//! What others wrote for the same formats: signed notes, tree hashes and proofs.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use sha2::Sha256;
use signed_note::Note;
use tlog::{VerifyingKey, tree};

fn entry(number: usize) -> Vec<u8> {
    format!("entry {number}").into_bytes()
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
    let ours: tlog::Note = signed.parse().unwrap();
    ours.verify(&key).unwrap();
    assert_eq!(ours.to_string(), signed);
    let other: tlog::Note = signed.replace("answer", "ANSWER").parse().unwrap();
    assert_eq!(other.verify(&key), Err(tlog::NoteError::Signature));
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
