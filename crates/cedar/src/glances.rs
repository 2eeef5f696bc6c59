//! What is in the slots of a program, each looked up when it is first asked for in a request.

use crate::engine::Engine;
use crate::names::number;
use crate::program::SlotIx;
use crate::scalar::Scalar;
use crate::value::{Key, Record, RecordForm};

/// What is in the slots, each from when it is first asked for in a request.
#[derive(Debug, Default)]
pub(crate) struct Glances {
    /// For each key of the engine, where the context has it, from 1; or 0.
    places: Vec<u32>,
    /// With the turn in which it was put there.
    slots: Vec<(u32, Scalar)>,
    turn: u32,
}

impl Glances {
    /// Forgets what was in the slots; there are as many as the program has.
    pub(crate) fn begin(&mut self, engine: &Engine, context: Record<'_>) {
        if self.turn == u32::MAX {
            self.slots.clear();
            self.turn = 0;
        }
        self.turn += 1;
        let (slots, keys) = (engine.program.slots.len(), engine.names.keys.len() as usize);
        if self.slots.len() < slots {
            self.slots.resize(slots, (0, Scalar::ABSENT));
        }
        if self.places.len() < keys {
            self.places.resize(keys, 0);
        }
        self.mark(context, true);
    }

    pub(crate) fn end(&mut self, context: Record<'_>) {
        self.mark(context, false);
    }

    /// Notes for each key where the context has it, or forgets it again.
    fn mark(&mut self, context: Record<'_>, present: bool) {
        let mut set = |place: usize, key: Key| {
            if let Some(slot) = self.places.get_mut(key.0 as usize) {
                *slot = if present { number(place) + 1 } else { 0 };
            }
        };
        match context.0 {
            RecordForm::Held(all) => all.iter().enumerate().for_each(|(ix, it)| set(ix, it.0)),
            RecordForm::Given(all) => all.iter().enumerate().for_each(|(ix, it)| set(ix, it.0)),
            RecordForm::Scratch(..) => {}
        }
    }

    /// Where the context has a key.
    pub(crate) fn place(&self, key: Key) -> Option<usize> {
        Some(self.places.get(key.0 as usize)?.checked_sub(1)? as usize)
    }

    #[inline(always)]
    pub(crate) fn get(&self, slot: SlotIx) -> Option<Scalar> {
        match self.slots.get(slot as usize) {
            Some((turn, scalar)) if *turn == self.turn => Some(*scalar),
            _ => None,
        }
    }

    pub(crate) fn put(&mut self, slot: SlotIx, scalar: Scalar) {
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = (self.turn, scalar);
        }
    }
}
