//! Bytes make a world; the engine and the reference crate must give it the same answers.
#![no_main]

#[path = "../../tests/differential/mod.rs"]
mod generator;

use cedar::Workspace;
use generator::choices::Choices;
use generator::mix::Mix;
use generator::world::{self, Size};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut choices = Choices::bytes(bytes);
    let size = Size { policies: choices.between(1, 12), asks: 8 };
    let world = world::world(size, &mut choices);
    let result = generator::run(&world, false, &mut Workspace::default(), &mut Mix::default());
    if let Err(told) = result {
        panic!("{told}");
    }
});
