//! The engine gives the answers of the `cedar-policy` crate: seeded worlds of every size, whole
//! answers compared. The example of the same name runs for as long as one likes.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that fails may panic"
)]

#[path = "differential/mod.rs"]
mod generator;

use cedar::Workspace;
use generator::choices::Choices;
use generator::mix::Mix;
use generator::strings::EXTENSIONS;
use generator::world::Size;
use generator::{run_seed, texts};

fn run(seeds: std::ops::Range<u64>, size: Option<Size>, validate: bool) -> Mix {
    let mut mix = Mix::default();
    let mut workspace = Workspace::default();
    for seed in seeds {
        if let Err(told) = run_seed(seed, size, validate, &mut workspace, &mut mix) {
            panic!("{told}");
        }
    }
    mix
}

#[test]
fn small_sets_are_answered_alike() {
    let mix = run(0..150, Some(Size { policies: 4, asks: 40 }), true);
    assert!(mix.valid * 10 > mix.validated * 7, "too few policies pass validation\n{mix}");
}

#[test]
fn sets_of_dozens_are_answered_alike() {
    let mix = run(1_000..1_060, Some(Size { policies: 50, asks: 40 }), false);
    for (what, part) in [
        ("allowed", mix.allowed),
        ("denied by a forbid", mix.denied_by_forbid),
        ("denied by none", mix.decisions - mix.allowed - mix.denied_by_forbid),
        ("with errors", mix.with_errors),
        ("without errors", mix.decisions - mix.with_errors),
        ("several reasons", mix.several_reasons),
    ] {
        assert!(part * 25 > mix.decisions, "too few decisions: {what}\n{mix}");
    }
    for (what, part) in [("links", mix.links), ("worlds with a schema", mix.with_schema)] {
        assert!(part > 0, "there are no {what}\n{mix}");
    }
    assert!(mix.dropped * 100 < mix.policies, "too many policies do not parse\n{mix}");
    assert!(mix.uncompiled > 0, "no policy is left to the reference\n{mix}");
}

#[test]
fn sets_of_thousands_are_answered_alike() {
    let mix = run(2_000..2_004, Some(Size { policies: 2_500, asks: 10 }), false);
    assert!(mix.allowed > 0 && mix.allowed < mix.decisions, "{mix}");
}

#[test]
fn texts_of_extensions_are_read_alike() {
    for extension in EXTENSIONS {
        let world = texts::world(extension, &mut Choices::seeded(1));
        let mut mix = Mix::default();
        if let Err(told) = generator::run(&world, false, &mut Workspace::default(), &mut mix) {
            panic!("{extension:?}: {told}");
        }
        assert!(mix.several_reasons == 1 && mix.several_errors == 1, "{mix}");
    }
}
