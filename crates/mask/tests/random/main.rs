//! Random contracts, messages and selections: what comes out of a mask decodes to what an
//! independent decode, filter, encode gives, and nothing that was withheld is left in its bytes.
//!
//! `MASK_CASES=100000 cargo test -p mask --test random` tries more.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets what it does not expect may panic"
)]

#[path = "../support/mod.rs"]
mod support;

mod adversary;
mod contracts;
mod reference;
mod rng;

use std::collections::BTreeSet;

use mask::{Contract, Fault, Mask, Selection, Watch, Workspace};
use memchr::memmem;
use proptest::prelude::*;
use protox::prost_reflect::prost::Message as _;
use protox::prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};

use crate::reference::Reference;
use crate::rng::Rng;

/// One contract with a mask of it.
struct Case {
    pool: DescriptorPool,
    descriptor: MessageDescriptor,
    selection: Selection,
    mask: Mask,
    watch: Watch,
    text: String,
}

impl Case {
    fn new(rng: &mut Rng) -> Self {
        let text = contracts::declarations(rng);
        let (contract, pool): (Contract, _) = support::contract("syntax = \"proto2\";", &text);
        let descriptor = pool.get_message_by_name("t.M0").unwrap();
        let selection = contracts::selection(rng, &contract, "t.M0");
        let mask = Mask::compile(&contract, "t.M0", &selection)
            .unwrap_or_else(|problems| panic!("{problems:?}\n{text}"));
        let watch = Watch::compile(&contract, "t.M0").unwrap();
        Self { pool, descriptor, selection, mask, watch, text }
    }

    fn check(&self, bytes: &[u8], is_plain: bool) {
        let told = || format!("{:?}\n{}\n{bytes:02x?}", self.selection, self.text);
        let mut workspace = Workspace::new();
        let mut out = bytes.to_vec();
        let applied = match self.mask.apply(&mut out, &mut workspace) {
            Ok(applied) => applied,
            // A message that came in parts where their order matters.
            Err(error) if !is_plain && error.fault == Fault::Split => {
                assert!(out.is_empty());
                return;
            }
            Err(error) => panic!("{error}\n{}", told()),
        };
        assert_eq!(applied.length, out.len());
        assert_eq!(applied.withheld == 0, out == bytes, "{}", told());
        assert_eq!(applied.withheld == 0, workspace.withheld().next().is_none());

        let whole = DynamicMessage::decode(self.descriptor.clone(), bytes).unwrap();
        let reference = Reference::new(self.pool.clone(), &self.selection);
        let expected = reference.filtered(&whole);
        let found = DynamicMessage::decode(self.descriptor.clone(), out.as_slice()).unwrap();
        assert_eq!(found.unknown_fields().count(), 0);
        assert_eq!(found, expected, "{}", told());
        if is_plain {
            assert_eq!(found.encoded_len(), out.len(), "lengths are minimal\n{}", told());
        }

        let [mut all, mut kept] = [const { BTreeSet::new() }; 2];
        contracts::marks(&whole, &mut all);
        contracts::marks(&expected, &mut kept);
        for mark in all.difference(&kept) {
            assert!(memmem::find(&out, mark).is_none(), "{mark:02x?} is left\n{}", told());
        }
        assert!(memmem::find(&out, b"<unknown>").is_none(), "{}", told());

        self.check_subjects(bytes, &whole, &reference, &mut workspace);
        self.check_beside(bytes, &out, &mut workspace);
    }

    /// Mask and watch see the same subjects as the reference.
    fn check_subjects(
        &self,
        bytes: &[u8],
        whole: &DynamicMessage,
        reference: &Reference,
        workspace: &mut Workspace,
    ) {
        let mut expected = Vec::new();
        reference.subjects(whole, &mut expected);
        expected.sort();
        let found = |workspace: &Workspace| {
            let text = |subject: &[u8]| String::from_utf8(subject.to_vec()).unwrap();
            let mut found: Vec<_> = workspace.subjects().map(text).collect();
            found.sort();
            found
        };
        if !workspace.has_more_subjects() {
            assert_eq!(found(workspace), expected, "{}", self.text);
        }
        self.watch.read(bytes, workspace).unwrap();
        if !workspace.has_more_subjects() {
            assert_eq!(found(workspace), expected, "{}", self.text);
        }
        assert!(!self.watch.is_blind() || expected.is_empty());
    }

    /// Into another buffer it comes out the same, and a second time nothing is withheld.
    fn check_beside(&self, bytes: &[u8], out: &[u8], workspace: &mut Workspace) {
        let mut beside = b"what was there".to_vec();
        let applied = self.mask.apply_to(bytes, &mut beside, workspace).unwrap();
        match applied.withheld {
            0 => assert!(beside.is_empty()),
            _ => assert_eq!(beside, out),
        }
        let mut again = out.to_vec();
        let applied = self.mask.apply(&mut again, workspace).unwrap();
        assert_eq!((applied.withheld, again.as_slice()), (0, out));
    }
}

fn cases() -> u32 {
    let cases = std::env::var("MASK_CASES").ok().and_then(|cases| cases.parse().ok());
    cases.unwrap_or(400)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_masked_message_is_the_filtered_message(seed: u64) {
        let mut rng = Rng(seed);
        let case = Case::new(&mut rng);
        for _ in 0..4 {
            let message = contracts::message(&mut rng, &case.descriptor, 4, &mut 0);
            let bytes = message.encode_to_vec();
            case.check(&bytes, true);
            let otherwise = adversary::encoded_otherwise(&mut rng, &bytes, &case.descriptor);
            case.check(&otherwise, false);
        }
    }
}
