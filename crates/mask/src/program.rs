//! What a selection became: tables that say for each field number what happens to it.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::class::Class;
use crate::compile;
use crate::contract::Contract;
use crate::selection::{Problem, Selection};

/// Field numbers below this have a place of their own in a state's table.
pub(crate) const DENSE_MAX: usize = 64;

/// The path id of fields that the contract does not know.
pub(crate) const UNKNOWN: u16 = 0;

/// The most paths that are told of one field.
const PATHS_MAX: usize = 256;
/// The most steps that are taken to find them.
const STEPS_MAX: usize = 65_536;

/// What happens to a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// It stays as it is.
    Pass,
    /// It is dropped.
    Withhold,
    /// It stays; `state` says what becomes of what it holds.
    Descend,
    /// It is dropped; `state` finds the subjects in what it holds.
    Search,
    /// It is an `Any`: `state` is the place of its types among [`Program::anys`].
    Any,
}

/// What a state does with the field of one number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Action {
    pub(crate) verb: Verb,
    /// A bit for each wire type in which the field may come. In others it is unknown.
    pub(crate) wires: u8,
    /// The wire types in which it just passes, and there is no more to it.
    pub(crate) passes: u8,
    pub(crate) is_subject: bool,
    /// A field that is given: sets this bit of its message, for its `oneof`. One that is withheld
    /// must not come after the bit was set, since for receivers it would unset the other.
    pub(crate) oneof: u8,
    /// Sets this bit of its message, and must not come again.
    pub(crate) once: u8,
    pub(crate) state: u32,
    pub(crate) path: u16,
}

impl Action {
    /// For numbers that the contract does not have.
    pub(crate) const STRANGER: Self = Self {
        verb: Verb::Withhold,
        wires: 0,
        passes: 0,
        is_subject: false,
        oneof: 0,
        once: 0,
        state: 0,
        path: UNKNOWN,
    };
}

/// What happens to the fields of one type of message in one place.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    /// By field number.
    pub(crate) dense: Vec<Action>,
    /// Larger numbers, sorted.
    pub(crate) sparse: Vec<(u32, Action)>,
}

impl State {
    #[inline(always)]
    pub(crate) fn action(&self, number: u32) -> &Action {
        match self.dense.get(number as usize) {
            Some(action) => action,
            None => self.sparse(number),
        }
    }

    #[cold]
    fn sparse(&self, number: u32) -> &Action {
        let found = self.sparse.binary_search_by_key(&number, |(number, _)| *number);
        let found = found.ok().and_then(|at| self.sparse.get(at));
        found.map_or(&Action::STRANGER, |(_, action)| action)
    }
}

/// A type that an `Any` may hold.
#[derive(Clone, Debug)]
pub(crate) struct AnyType {
    pub(crate) name: String,
    /// The state for the `Any` itself, which descends into the value.
    pub(crate) state: u32,
}

/// The tables of a mask or a watch. The first state is that of the message itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Program {
    pub(crate) states: Vec<State>,
    pub(crate) anys: Vec<Vec<AnyType>>,
    /// What may be withheld, by path id. The first is what the contract does not know.
    pub(crate) withheld: Vec<Origin>,
    /// What is given.
    pub(crate) given: Vec<Origin>,
    /// The ways to each state: the state before it and the name of the step. The first is the one
    /// on which it was found, and leads from an earlier state.
    pub(crate) ways: Vec<Vec<Origin>>,
}

/// A field of a state, told by name.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) state: u32,
    pub(crate) name: Arc<str>,
    pub(crate) class: Class,
}

impl Program {
    /// All paths to a field, the one on which it was found first; of types that hold themselves
    /// only those on which nothing comes twice. At most [`PATHS_MAX`].
    fn paths(&self, origin: &Origin) -> Vec<String> {
        let mut found = Vec::new();
        let mut steps = STEPS_MAX;
        self.back(&mut vec![origin], &mut found, &mut steps);
        found
    }

    /// From the last of `way` back to the first state, on all ways.
    fn back<'a>(&'a self, way: &mut Vec<&'a Origin>, found: &mut Vec<String>, steps: &mut usize) {
        let Some(state) = way.last().map(|origin| origin.state) else {
            return;
        };
        if state == 0 {
            // Steps that paths do not name: into the entry of a map, and the value of an `Any`.
            let names = way.iter().rev().map(|origin| origin.name.as_ref());
            let names: Vec<_> = names.filter(|name| !name.is_empty()).collect();
            found.push(names.join("."));
            return;
        }
        for before in self.ways.get(state as usize).into_iter().flatten() {
            *steps = steps.saturating_sub(1);
            if *steps == 0 || found.len() == PATHS_MAX {
                return;
            }
            if way.iter().all(|origin| origin.state != before.state) {
                way.push(before);
                self.back(way, found, steps);
                way.pop();
            }
        }
    }
}

/// A field that a mask knows: where it is, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldView {
    /// As selections write it. A type that holds itself has no longer paths than those on which
    /// nothing comes twice.
    pub path: String,
    /// The class that counts: the strictest on the way.
    pub class: Class,
}

/// A compiled selection for one type of message: keeps what is selected, drops the rest.
///
/// A mask never changes and is shared by all calls under the agreement. What a run needs beside
/// the message is in the caller's [`Workspace`](crate::Workspace).
#[derive(Clone, Debug)]
pub struct Mask {
    pub(crate) program: Program,
    digest: [u8; 32],
}

impl Mask {
    /// The mask of a selection for the message of this full name, or all that stands against it.
    ///
    /// Beside words that name nothing, these stand against it: a field that receivers require
    /// (proto2) and that would be withheld; more states than 4,096; a message
    /// that is a `google.protobuf.Any` itself.
    pub fn compile(
        contract: &Contract,
        message: &str,
        selection: &Selection,
    ) -> Result<Self, Vec<Problem>> {
        let program = compile::mask(contract, message, selection)?;
        let text = text(contract, message, selection);
        Ok(Self { program, digest: Sha256::digest(text).into() })
    }

    /// SHA-256 over everything that the mask follows from, in lines: `giaolien mask v1`,
    /// `contract` with the [digest of the contract](Contract::digest) in hexadecimal, `message`
    /// with the full name, then `class` and `path` lines, each sorted.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// The paths of a field that was withheld, by its id: more than one where the same holds for
    /// the same type of message in several places, none if there is no such id. Id 0 is `?`: all
    /// that the contract does not know, extensions among it. Ids count in an order that follows
    /// from contract and selection, so they mean the same in all masks of one digest.
    pub fn paths(&self, id: u16) -> Vec<String> {
        let origin = self.program.withheld.get(usize::from(id));
        origin.map_or(Vec::new(), |origin| self.program.paths(origin))
    }

    /// The fields that are given: values, not the messages that only hold others.
    pub fn given(&self) -> impl Iterator<Item = FieldView> {
        self.views(&self.program.given)
    }

    /// The fields of the contract that are withheld, without those inside withheld messages.
    pub fn withheld(&self) -> impl Iterator<Item = FieldView> {
        self.views(self.program.withheld.get(1..).unwrap_or_default())
    }

    fn views<'a>(&'a self, origins: &'a [Origin]) -> impl Iterator<Item = FieldView> + 'a {
        origins.iter().flat_map(|origin| {
            let paths = self.program.paths(origin).into_iter();
            paths.map(|path| FieldView { path, class: origin.class })
        })
    }
}

/// Reads whom a message is about, and changes nothing.
#[derive(Clone, Debug)]
pub struct Watch {
    pub(crate) program: Program,
}

impl Watch {
    /// The watch for the message of this full name.
    pub fn compile(contract: &Contract, message: &str) -> Result<Self, Problem> {
        Ok(Self { program: compile::watch(contract, message)? })
    }

    /// Whether the message has any subjects. If not, there is no need to read messages.
    pub fn is_blind(&self) -> bool {
        let mut states = self.program.states.iter();
        !states.any(|state| {
            let sparse = state.sparse.iter().map(|(_, action)| action);
            state.dense.iter().chain(sparse).any(|action| action.is_subject)
        })
    }
}

fn text(contract: &Contract, message: &str, selection: &Selection) -> String {
    let digest: String = contract.digest().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut text = format!("giaolien mask v1\ncontract {digest}\nmessage {message}\n");
    for class in selection.classes() {
        text.push_str(&format!("class {class}\n"));
    }
    for path in selection.paths() {
        text.push_str(&format!("path {path}\n"));
    }
    text
}
