//! What is in the slots of a program, each looked up when it is first asked for in a request.

use crate::engine::Engine;
use crate::names::number;
use crate::program::SlotIx;
use crate::scalar::Scalar;
use crate::value::{Key, Record, RecordForm};

/// What a slot that has no value has in place of a number.
pub(crate) const NOWHERE: u32 = u32::MAX;

/// What is known of a slot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// In which turn.
    turn: u32,
    /// Number of the value among those loaded for the request, or [`NOWHERE`].
    pub(crate) place: u32,
    pub(crate) scalar: Scalar,
}

const UNSEEN: Seen = Seen { turn: 0, place: NOWHERE, scalar: Scalar::ABSENT };

/// What is in the slots, each from when it is first asked for in a request.
#[derive(Debug, Default)]
pub(crate) struct Glances {
    /// For each key of the engine, where the context has it, from 1; or 0.
    places: Vec<u32>,
    slots: Vec<Seen>,
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
            self.slots.resize(slots, UNSEEN);
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
    pub(crate) fn get(&self, slot: SlotIx) -> Option<&Seen> {
        self.slots.get(slot as usize).filter(|seen| seen.turn == self.turn)
    }

    /// What is in a slot that was looked at.
    #[inline(always)]
    pub(crate) fn scalar(&self, slot: SlotIx) -> &Scalar {
        self.slots.get(slot as usize).map_or(&Scalar::ABSENT, |seen| &seen.scalar)
    }

    pub(crate) fn put(&mut self, slot: SlotIx, place: u32, scalar: Scalar) -> Seen {
        let seen = Seen { turn: self.turn, place, scalar };
        if let Some(it) = self.slots.get_mut(slot as usize) {
            *it = seen;
        }
        seen
    }
}
