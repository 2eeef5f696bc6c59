//! Whole authorization worlds made of a stream of choices, put to the engine and to the reference
//! crate, whole answers compared. Test, example and fuzz targets share it.
#![allow(dead_code, reason = "each user takes a part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails may panic"
)]

pub(crate) mod check;
pub(crate) mod choices;
mod condition;
mod convert;
mod data;
mod expression;
pub(crate) mod mix;
mod paths;
mod policy;
mod shrink;
pub(crate) mod strings;
pub(crate) mod texts;
mod vocabulary;
pub(crate) mod world;

use cedar::Workspace;

use check::{Built, Trouble};
use choices::Choices;
use mix::Mix;
use world::{Size, World};

/// Makes the world of a seed and puts all its requests to both sides.
pub(crate) fn run_seed(
    seed: u64,
    size: Option<Size>,
    validate: bool,
    workspace: &mut Workspace,
    mix: &mut Mix,
) -> Result<(), String> {
    let mut choices = Choices::seeded(seed);
    let size = size.unwrap_or_else(|| Size::any(&mut choices));
    let world = world::world(size, &mut choices);
    run(&world, validate, workspace, mix).map_err(|told| format!("seed {seed}: {told}"))
}

/// Puts all requests of a world to both sides. An error says all that is needed to see why.
pub(crate) fn run(
    world: &World,
    validate: bool,
    workspace: &mut Workspace,
    mix: &mut Mix,
) -> Result<(), String> {
    let built = match Built::new(world) {
        Ok(built) => built,
        Err(Trouble::Refused(told)) => return Err(format!("the world is not valid: {told}")),
        Err(Trouble::Mismatch(told)) => {
            return Err(format!("{told}\n{}", shrink::report(world, &world.asks[0])));
        }
    };
    mix.add_world(world, &built.reference, validate);
    mix.uncompiled += built.engine.uncompiled().count() as u64;
    let policies = built.reference.policies.num_of_policies();
    for ask in &world.asks {
        match built.check(ask, workspace) {
            Ok(answer) => mix.add_answer(&answer, policies),
            Err(Trouble::Refused(told)) => return Err(format!("request {ask:?}: {told}")),
            Err(Trouble::Mismatch(told)) => {
                // Cutting down may take minutes.
                eprintln!("a mismatch: {told}");
                return Err(format!("{told}\ncut down: {}", shrink::report(world, ask)));
            }
        }
    }
    Ok(())
}
