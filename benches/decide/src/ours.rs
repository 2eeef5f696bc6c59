//! Decisions from strings, and the floor: a bare look-up of the same strings.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::hint::black_box;

use hashbrown::{Equivalent, HashMap};
use model::MethodPath;
use policy::{Snapshot, Workspace};

use crate::inputs::{Circumstances, Inputs};
use decide::country::Call;

/// Decides all; how many are allowed. `read_id` looks at the text of the governing agreement's
/// id too, as whoever writes it down does.
pub fn decide(
    snapshot: &Snapshot,
    inputs: &Inputs,
    circumstances: &Circumstances,
    workspace: &mut Workspace,
    read_id: bool,
) -> usize {
    let mut allowed = 0;
    for input in inputs.iter() {
        let caller = snapshot.system(input.system);
        let route = MethodPath::parse(input.path).map(|path| snapshot.route(path));
        let (Some(caller), Some(Ok(route))) = (caller, &route) else {
            drop(black_box(route));
            continue;
        };
        let context = input.context(circumstances);
        match snapshot.decide(&caller, route, &context, workspace) {
            Ok(decision) => {
                allowed += 1;
                black_box((route.node, decision.agreement, decision.purpose));
                black_box(workspace.determining());
                if read_id {
                    black_box(decision.agreement.id().as_str().as_bytes().first().copied());
                }
            }
            Err(refusal) => drop(black_box(refusal)),
        }
    }
    allowed
}

/// A map from calls, as strings, to a number.
pub struct Floor<S>(HashMap<(String, String, String), u32, S>);

#[derive(Hash)]
struct Names<'a>((&'a str, &'a str, &'a str));

impl Equivalent<(String, String, String)> for Names<'_> {
    fn equivalent(&self, key: &(String, String, String)) -> bool {
        self.0 == (key.0.as_str(), key.1.as_str(), key.2.as_str())
    }
}

/// The standard library's hasher.
pub type Standard = Floor<RandomState>;
/// One of the fastest.
pub type Fast = Floor<foldhash::fast::RandomState>;

impl<S: BuildHasher + Default> Floor<S> {
    pub fn new(calls: &[Call]) -> Self {
        let key = |call: &Call| (call.system.clone(), call.path.clone(), call.purpose.clone());
        Self(calls.iter().zip(1..).map(|(call, number)| (key(call), number)).collect())
    }

    /// Looks all up; how many were found.
    pub fn look_up(&self, inputs: &Inputs) -> usize {
        let mut found = 0;
        let mut sum = 0_u64;
        for input in inputs.iter() {
            let names = Names((input.system, input.path, input.purpose));
            if let Some(number) = self.0.get(&names) {
                found += 1;
                sum += u64::from(*number);
            }
        }
        black_box(sum);
        found
    }
}
