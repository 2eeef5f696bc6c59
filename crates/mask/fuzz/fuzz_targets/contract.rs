//! Any bytes as a descriptor set: what is a contract compares as equal with itself, and masks of
//! all its messages are compiled or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mask::{Contract, Mask, Selection, Watch, Workspace, compare};

fuzz_target!(|set: &[u8]| {
    let Ok(contract) = Contract::from_descriptor_set(set) else { return };
    assert!(compare(&contract, &contract).is_empty());
    let selection = Selection::from_items(["open", "basic"]);
    let mut workspace = Workspace::new();
    for message in contract.messages().iter().take(8) {
        if let Ok(mask) = Mask::compile(&contract, &message.name, &selection) {
            assert!(
                mask.given().chain(mask.withheld()).take(64).all(|field| !field.path.is_empty())
            );
            // The set itself is as good as any message.
            let _ = mask.apply(&mut set.to_vec(), &mut workspace);
        }
        let _ = Watch::compile(&contract, &message.name);
    }
});
