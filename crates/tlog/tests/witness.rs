//! Witness, cosignatures and proof files through the public door, and what others wrote for them.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that fails may panic"
)]

use std::collections::HashMap;
use std::sync::Mutex;

use proptest::prelude::*;
use tlog::bundle::{Bundle, BundleError, Policy};
use tlog::proof;
use tlog::tree::{self, Nodes};
use tlog::witness::{self, AddCheckpoint, Answer, RequestError, States, Witness};
use tlog::{Checkpoint, Cosigner, Hash, Head, Note, NoteError, Origin, Signer, WitnessKey};

const NOW: u64 = 1_795_000_000;

/// States that can be made to fail, or to have moved meanwhile.
#[derive(Default)]
struct Heads {
    heads: Mutex<HashMap<String, Head>>,
    meanwhile: Mutex<Option<Head>>,
    broken: Mutex<bool>,
}

impl States for &Heads {
    type Error = String;

    fn load(&self, origin: &Origin) -> Result<Option<Head>, String> {
        Ok(self.heads.lock().unwrap().get(origin.as_str()).copied())
    }

    fn replace(&self, origin: &Origin, old: Option<&Head>, new: &Head) -> Result<bool, String> {
        if *self.broken.lock().unwrap() {
            return Err("disk failed".into());
        }
        let mut heads = self.heads.lock().unwrap();
        if let Some(head) = self.meanwhile.lock().unwrap().take() {
            heads.insert(origin.to_string(), head);
        }
        let is_old = heads.get(origin.as_str()) == old;
        if is_old {
            heads.insert(origin.to_string(), *new);
        }
        Ok(is_old)
    }
}

fn origin() -> Origin {
    "ledger.example.vn/2026".parse().unwrap()
}

fn leaves(count: u64) -> Vec<Hash> {
    (0..count).map(|n| tree::leaf_hash(&n.to_le_bytes())).collect()
}

fn checkpoint(leaves: &[Hash], signer: &Signer) -> Note {
    let size = leaves.len() as u64;
    let text = Checkpoint { origin: origin(), size, root_hash: tree::root(leaves) }.to_string();
    Note::sign(&text, signer).unwrap()
}

fn request(leaves: &[Hash], old: u64, signer: &Signer) -> AddCheckpoint {
    let new = leaves.len() as u64;
    let proof = proof::consistency(&mut Nodes::over(leaves), old, new).unwrap_or_default();
    AddCheckpoint { old_size: old, proof, checkpoint: checkpoint(leaves, signer) }
}

struct Setting {
    log: Signer,
    cosigner: Mutex<Option<Cosigner>>,
    key: WitnessKey,
}

fn setting() -> Setting {
    let (log, _) = Signer::generate(origin()).unwrap();
    let (cosigner, _) = Cosigner::generate("witness.example.vn/w1".parse().unwrap()).unwrap();
    let key = cosigner.key();
    Setting { log, cosigner: Mutex::new(Some(cosigner)), key }
}

impl Setting {
    fn witness<'a>(&self, heads: &'a Heads) -> Witness<&'a Heads> {
        let cosigner = self.cosigner.lock().unwrap().take().unwrap();
        Witness::new(cosigner, vec![self.log.verifying_key()], heads)
    }
}

fn ask(witness: &Witness<&Heads>, request: &AddCheckpoint) -> Answer {
    let body = request.to_string();
    assert_eq!(body.parse().as_ref(), Ok(request));
    witness.add_checkpoint(body.as_bytes(), NOW)
}

#[test]
fn a_witness_follows_a_ledger_that_only_grows() {
    let setting = setting();
    let heads = Heads::default();
    let witness = setting.witness(&heads);
    let mut last = 0;
    for size in [0, 0, 1, 5, 5, 6, 300] {
        let leaves = leaves(size);
        let request = request(&leaves, last, &setting.log);
        let answer = ask(&witness, &request);
        assert_eq!((answer.status(), answer.content_type()), (200, "text/plain; charset=utf-8"));
        let keys = [setting.key.clone()];
        let found = witness::cosignatures(&answer.body(), &request.checkpoint, &keys).unwrap();
        let mut cosigned = request.checkpoint.clone();
        cosigned.add(found[0].clone()).unwrap();
        assert_eq!(setting.key.verify(&cosigned), Ok(NOW));
        let kept = heads.heads.lock().unwrap()[origin().as_str()];
        assert_eq!(kept, Head { size, root_hash: tree::root(&leaves) });
        last = size;
    }
}

#[test]
fn a_witness_refuses_what_does_not_extend_what_it_saw() {
    let setting = setting();
    let heads = Heads::default();
    let witness = setting.witness(&heads);
    let log = &setting.log;
    assert_eq!(ask(&witness, &request(&leaves(7), 0, log)).status(), 200);
    let check = |request: &AddCheckpoint, status, body: &str| {
        let answer = ask(&witness, request);
        assert_eq!((answer.status(), answer.body().as_str()), (status, body));
        assert_eq!(heads.heads.lock().unwrap()[origin().as_str()].size, 7, "state is as it was");
    };
    // Behind, ahead, and rolled back.
    check(&request(&leaves(9), 5, log), 409, "7\n");
    check(&request(&leaves(9), 8, log), 409, "7\n");
    check(&request(&leaves(5), 5, log), 409, "7\n");
    let larger = "request cannot be read: old size 7 is larger than that of the checkpoint\n";
    check(&request(&leaves(5), 7, log), 400, larger);
    // The same size with another root, and another history.
    let mut other = leaves(9);
    other[3] = [0; 32];
    check(&request(&other[..7], 7, log), 409, "7\n");
    let forged = "checkpoint does not extend the last: \
        proof does not lead to the root hash of the tree of 7 leaves\n";
    check(&request(&other, 7, log), 422, forged);
    let mut short = request(&leaves(9), 7, log);
    short.proof.pop();
    assert_eq!(ask(&witness, &short).status(), 422);
    let mut needless = request(&leaves(7), 7, log);
    needless.proof.push([1; 32]);
    assert_eq!(ask(&witness, &needless).status(), 422);
    // Another key, another ledger.
    let (stranger, _) = Signer::generate(origin()).unwrap();
    check(
        &request(&leaves(9), 7, &stranger),
        403,
        "checkpoint is not signed by a key of its ledger\n",
    );
    let mut unknown = request(&leaves(9), 7, log);
    let text = unknown.checkpoint.text().replace("2026", "2027");
    unknown.checkpoint = Note::sign(&text, log).unwrap();
    check(&unknown, 404, "ledger is not known to this witness\n");
    assert_eq!(ask(&witness, &request(&leaves(9), 7, log)).status(), 200);
}

#[test]
fn the_state_decides_between_two_at_once() {
    let setting = setting();
    let heads = Heads::default();
    let witness = setting.witness(&heads);
    *heads.meanwhile.lock().unwrap() = Some(Head { size: 3, root_hash: tree::root(&leaves(3)) });
    assert_eq!(ask(&witness, &request(&leaves(2), 0, &setting.log)), Answer::Conflict(3));
    let conflict = Answer::Conflict(3);
    assert_eq!((conflict.status(), conflict.content_type()), (409, "text/x.tlog.size"));
    // What could not be made durable is not cosigned, and nothing inward is told.
    *heads.broken.lock().unwrap() = true;
    let answer = ask(&witness, &request(&leaves(4), 3, &setting.log));
    assert_eq!((answer.status(), answer.body().contains("disk")), (503, false));
}

#[test]
fn requests_that_are_none_are_named() {
    let check = |body: &str, expected: RequestError| {
        assert_eq!(body.parse::<AddCheckpoint>(), Err(expected));
    };
    let hash = "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n";
    check("", RequestError::NoCheckpoint);
    check("old 1\n", RequestError::NoCheckpoint);
    check("old 01\n\nx", RequestError::OldSize);
    check("new 1\n\nx", RequestError::OldSize);
    check(&format!("old 1\n{hash}short\n\nx"), RequestError::Hash(3));
    check(&format!("old 1\n{}\nx", hash.repeat(64)), RequestError::TooManyHashes);
    check(&format!("old 1\n{}\nx", hash.repeat(63)), RequestError::Note(NoteError::Text));
    let long = "x".repeat(witness::REQUEST_BYTES_MAX + 1);
    assert_eq!(long.parse::<AddCheckpoint>(), Err(RequestError::TooLong(long.len())));
    assert_eq!(AddCheckpoint::from_bytes(&[0xff]), Err(RequestError::NotText));
}

/// The cosigned checkpoint in C2SP tlog-cosignature. The key of its witness is not published, so
/// only its form can be compared.
#[test]
fn the_example_of_the_specification_is_read() {
    let note = "example.com/behind-the-sofa\n20852163\n\
        CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
        \u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7\
        u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
        \u{2014} witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9d\
        lrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";
    let note: Note = note.parse().unwrap();
    let cosignature = &note.signatures()[1];
    assert_eq!((cosignature.key_id, cosignature.bytes.len()), (0x8d66_cf3f, 72));
    let (time, _) = cosignature.bytes.split_first_chunk().unwrap();
    assert_eq!(u64::from_be_bytes(*time), 1_679_315_147);
}

/// A cosignature as `ed25519-dalek` signs and verifies it, put together by hand.
#[test]
fn others_sign_and_verify_cosignatures() {
    use ed25519_dalek::{Signer as _, SigningKey, Verifier};
    let theirs = SigningKey::from_bytes(&[9; 32]);
    let name: Origin = "witness.example.vn".parse().unwrap();
    let key = WitnessKey::new(name.clone(), theirs.verifying_key().to_bytes());
    let setting = setting();
    let mut note = checkpoint(&leaves(3), &setting.log);
    let message = format!("cosignature/v1\ntime {NOW}\n{}", note.text());
    let mut bytes = NOW.to_be_bytes().to_vec();
    bytes.extend_from_slice(&theirs.sign(message.as_bytes()).to_bytes());
    let signature = tlog::note::NoteSignature { name, key_id: key.key_id(), bytes };
    note.add(signature).unwrap();
    assert_eq!(key.verify(&note), Ok(NOW));

    let cosigner = setting.cosigner.lock().unwrap().take().unwrap();
    let ours = cosigner.cosign(note.text(), NOW);
    let (_, signature) = ours.bytes.split_first_chunk::<8>().unwrap();
    let public = ed25519_dalek::VerifyingKey::from_bytes(setting.key.public()).unwrap();
    let signature = ed25519_dalek::Signature::from_slice(signature).unwrap();
    public.verify(message.as_bytes(), &signature).unwrap();

    // Key id and line as the specification gives them, computed by `signed_note`.
    let material = [&[4][..], setting.key.public()].concat();
    assert_eq!(ours.key_id, signed_note::key_id(setting.key.name().as_str(), &material));
    // A time that was changed is noticed.
    let mut late = ours.clone();
    late.bytes[7] ^= 1;
    note.add(late).unwrap();
    assert_eq!(setting.key.verify(&note), Err(NoteError::Signature));
}

/// `signed_note` takes a note with the signatures of ledger and witness, and verifies the former.
#[test]
fn signed_note_reads_a_cosigned_checkpoint() {
    let setting = setting();
    let cosigner = setting.cosigner.lock().unwrap().take().unwrap();
    let mut note = checkpoint(&leaves(3), &setting.log);
    note.add(cosigner.cosign(note.text(), NOW)).unwrap();
    let theirs = signed_note::Note::from_bytes(note.to_string().as_bytes()).unwrap();
    let line = setting.log.verifying_key().to_string();
    let verifier = signed_note::StandardVerifier::new(&line).unwrap();
    let list = signed_note::VerifierList::new(vec![Box::new(verifier)]);
    let (verified, unverified) = theirs.verify(&list).unwrap();
    assert_eq!((verified.len(), unverified.len()), (1, 1));
    // And `tlog_tiles` its text.
    let head = tlog_tiles::Checkpoint::from_bytes(theirs.text()).unwrap();
    assert_eq!((head.origin(), head.size()), (origin().as_str(), 3));
    assert_eq!(head.hash().0, tree::root(&leaves(3)));
}

#[test]
fn a_proof_file_needs_its_ledger_and_its_quorum() {
    let setting = setting();
    let first = setting.cosigner.lock().unwrap().take().unwrap();
    let (second, _) = Cosigner::generate("witness.example.vn/w2".parse().unwrap()).unwrap();
    let leaves = leaves(100);
    let mut note = checkpoint(&leaves, &setting.log);
    note.add(first.cosign(note.text(), NOW)).unwrap();
    let path = tree::inclusion_path(&leaves, 42).unwrap();
    let extra = Some(b"a receipt".to_vec());
    let bundle = Bundle { extra, index: 42, path, checkpoint: note };
    let bundle: Bundle = bundle.to_string().parse().unwrap();
    let entry = 42u64.to_le_bytes();
    let policy = |log: &Signer, witnesses: &[&Cosigner], quorum| Policy {
        log: vec![log.verifying_key()],
        witnesses: witnesses.iter().map(|witness| witness.key()).collect(),
        quorum,
    };
    let proven = bundle.verify(&entry, &policy(&setting.log, &[&first, &second], 1)).unwrap();
    assert_eq!((proven.index, proven.size), (42, 100));
    assert_eq!(proven.cosigned, [(first.key(), NOW)]);
    let check = |policy: Policy, expected: &str| {
        assert_eq!(bundle.verify(&entry, &policy).unwrap_err().to_string(), expected);
    };
    check(
        policy(&setting.log, &[&first, &second], 2),
        "1 of the trusted witnesses cosigned, 2 are needed",
    );
    check(
        policy(&setting.log, &[&first, &first], 2),
        "1 of the trusted witnesses cosigned, 2 are needed",
    );
    let (other, _) = Signer::generate(origin()).unwrap();
    check(policy(&other, &[], 0), "checkpoint: no signature by a key that is known");
    let wrong = bundle.verify(b"another", &policy(&setting.log, &[], 0));
    assert!(matches!(wrong, Err(BundleError::Path { index: 42, .. })));
    let mut moved = bundle.clone();
    moved.index = 43;
    assert!(moved.verify(&entry, &policy(&setting.log, &[], 0)).is_err());
}

#[test]
fn proof_files_that_are_none_are_named() {
    let check = |file: &str, expected: &str| {
        assert_eq!(file.parse::<Bundle>().unwrap_err().to_string(), expected);
    };
    let first = "c2sp.org/tlog-proof@v1\n";
    check("", "line 1 is not the head and a checkpoint of a proof");
    check("other\n\nx", "line 1 is not the first line of a proof");
    check(&format!("{first}extra !\nindex 1\n\nx"), "line 2 is not the extra data of a proof");
    check(&format!("{first}extra AAAA\nindex 01\n\nx"), "line 3 is not the index of a proof");
    check(&format!("{first}\nx"), "line 2 is not the index of a proof");
    check(&format!("{first}index 1\nAAAA\n\nx"), "line 3 is not a hash of a proof");
    let hash = "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n";
    check(
        &format!("{first}index 1\n{}\nx", hash.repeat(66)),
        "line 68 is not the end of the path of a proof",
    );
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic(
        text in "(old [0-9]{1,3}|c2sp.org/tlog-proof@v1|index [0-9]|extra |\n|\u{2014} |\
            [A-Za-z0-9+/]{43}=|a b|.){0,20}",
        bytes: Vec<u8>,
    ) {
        if let Ok(request) = AddCheckpoint::from_bytes(text.as_bytes()) {
            prop_assert_eq!(request.to_string(), text.clone());
        }
        if let Ok(bundle) = text.parse::<Bundle>() {
            prop_assert_eq!(bundle.to_string(), text.clone());
        }
        let _ = text.parse::<WitnessKey>();
        let _ = text.parse::<tlog::note::NoteSignature>();
        let _ = AddCheckpoint::from_bytes(&bytes);
        let setting = setting();
        let heads = Heads::default();
        let answer = setting.witness(&heads).add_checkpoint(&bytes, NOW);
        prop_assert_eq!(answer.status(), 400);
        let note = checkpoint(&leaves(1), &setting.log);
        prop_assert!(witness::cosignatures(&text, &note, &[setting.key]).is_err());
    }

    /// A request or proof with one byte changed is never taken for the whole one.
    #[test]
    fn a_changed_byte_is_never_taken(at in any::<prop::sample::Index>(), change in 1..=u8::MAX) {
        let setting = setting();
        let heads = Heads::default();
        let witness = setting.witness(&heads);
        prop_assert_eq!(ask(&witness, &request(&leaves(7), 0, &setting.log)).status(), 200);
        let request = request(&leaves(9), 7, &setting.log);
        let mut body = request.to_string().into_bytes();
        let at_byte = at.index(body.len());
        body[at_byte] ^= change;
        let answer = witness.add_checkpoint(&body, NOW);
        // A signature whose name or key id was changed is one by an unknown key.
        prop_assert_ne!(answer.status(), 200);
        prop_assert_eq!(heads.heads.lock().unwrap()[origin().as_str()].size, 7);
    }
}
