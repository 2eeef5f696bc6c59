//! What is in the slots of a program, each looked up when it is first asked for in a request.

use crate::engine::Engine;
use crate::eval::Run;
use crate::names::number;
use crate::program::{Slot, SlotIx, Variable};
use crate::scalar::Scalar;
use crate::value::{Held, Key, Record, RecordForm, Value};

/// What is known of a slot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// In which turn.
    turn: u32,
    pub(crate) scalar: Scalar,
}

const UNSEEN: Seen = Seen { turn: 0, scalar: Scalar::ABSENT };

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

    pub(crate) fn put(&mut self, slot: SlotIx, scalar: Scalar) -> Scalar {
        if let Some(it) = self.slots.get_mut(slot as usize) {
            *it = Seen { turn: self.turn, scalar };
        }
        scalar
    }
}

impl<'a> Run<'a, '_> {
    #[inline(always)]
    pub(crate) fn seen(&mut self, slot: SlotIx) -> &Scalar {
        if self.glances.get(slot).is_none() {
            self.look(slot);
        }
        self.glances.scalar(slot)
    }

    /// What is in a slot, at a glance.
    pub(crate) fn glance(&mut self, slot: SlotIx) -> Scalar {
        match self.glances.get(slot) {
            Some(seen) => seen.scalar,
            None => self.look(slot),
        }
    }

    #[inline(never)]
    fn look(&mut self, slot: SlotIx) -> Scalar {
        let scalar = self.peek(slot).unwrap_or(Scalar::ABSENT);
        self.glances.put(slot, scalar)
    }

    /// What a slot holds, at a glance, without a copy of it where that can be.
    fn peek(&self, slot: SlotIx) -> Option<Scalar> {
        match *self.engine.program.slots.get(slot as usize)? {
            Slot::Attribute(Variable::Context, key) => {
                let place = self.glances.place(key)?;
                match self.request.context.0 {
                    RecordForm::Held(all) => all.get(place).map(|(_, it)| Scalar::of_held(it)),
                    RecordForm::Given(all) => all.get(place).map(|(_, it)| Scalar::of(it)),
                    RecordForm::Scratch(..) => None,
                }
            }
            Slot::Attribute(variable, key) => {
                let entity = self.entity(variable)?;
                self.stored(entity)?.attribute(key).map(Scalar::of_held)
            }
            Slot::Deeper(base, key) => match self.load(base)? {
                Value::Record(Record(RecordForm::Given(all))) => {
                    all.iter().find(|(it, _)| *it == key).map(|(_, it)| Scalar::of(it))
                }
                base => self.select(base, key).as_ref().map(Scalar::of),
            },
            Slot::Variable(_) => self.load(slot).as_ref().map(Scalar::of),
        }
    }

    /// What is in a slot.
    pub(crate) fn load(&self, slot: SlotIx) -> Option<Value<'a>> {
        match *self.engine.program.slots.get(slot as usize)? {
            Slot::Variable(variable) => match self.entity(variable) {
                Some(entity) => Some(Value::Entity(entity)),
                None => Some(Value::Record(self.request.context)),
            },
            Slot::Attribute(variable, key) => match self.entity(variable) {
                Some(entity) => self.stored(entity)?.attribute(key).map(Held::view),
                None => self.request.context.at(self.glances.place(key)?),
            },
            Slot::Deeper(base, key) => {
                let base = self.load(base)?;
                self.select(base, key)
            }
        }
    }
}
