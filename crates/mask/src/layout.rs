//! Lays out the states of a program that are reached from its first, in the order in which they
//! are found: so ids follow from contract and selection alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::class::Class;
use crate::compile::{Draft, Inside, Offer, is_required, problem, spread};
use crate::contract::{Cardinality, Kind, Scalar};
use crate::program::{Action, AnyType, DENSE_MAX, Origin, Program, State, Verb};
use crate::selection::Problem;
use crate::wire::{FIXED32, FIXED64, GROUP, LENGTH, VARINT};

/// The bits of a message that say which fields were there; bit 0 is never set.
const BITS_MAX: u8 = 63;

/// The tables over these drafts, of which the first is the message itself.
pub(crate) fn program(drafts: Vec<Draft<'_>>) -> Result<Program, Vec<Problem>> {
    let mut layout = Layout { ids: vec![None; drafts.len()], ..Layout::default() };
    let unknown = Origin { state: 0, name: "?".into(), class: Class::Sensitive };
    layout.program.withheld.push(unknown);
    layout.id(0, None);
    let mut at = 0;
    while let Some(planned) = layout.planned.get(at) {
        match *planned {
            Planned::Message(draft) => match drafts.get(draft) {
                Some(draft) => layout.message(at as u32, draft, &drafts),
                None => layout.rows.push(Vec::new()),
            },
            Planned::Any(inside) => layout.any(at as u32, inside, &drafts),
        }
        at += 1;
    }
    layout.finished()
}

/// A state whose table is still to be made.
#[derive(Clone, Copy)]
enum Planned {
    Message(usize),
    /// The `Any` around the message of a draft.
    Any(usize),
}

/// A field of a state before it gets its place in the table.
struct Row {
    number: u32,
    action: Action,
    is_single: bool,
    oneof: Option<u32>,
}

#[derive(Default)]
struct Layout {
    /// The state of each draft.
    ids: Vec<Option<u32>>,
    planned: Vec<Planned>,
    rows: Vec<Vec<Row>>,
    program: Program,
    problems: Vec<Problem>,
}

impl Layout {
    /// The state of a draft, planned if it is new. `way` says from where it was reached.
    fn id(&mut self, draft: usize, way: Option<Origin>) -> u32 {
        if let Some(Some(id)) = self.ids.get(draft).copied() {
            if let Some(ways) = self.program.ways.get_mut(id as usize) {
                ways.extend(way);
            }
            return id;
        }
        let id = self.plan(Planned::Message(draft), way);
        if let Some(place) = self.ids.get_mut(draft) {
            *place = Some(id);
        }
        id
    }

    fn plan(&mut self, planned: Planned, way: Option<Origin>) -> u32 {
        self.planned.push(planned);
        self.program.ways.push(way.into_iter().collect());
        (self.planned.len() - 1) as u32
    }

    fn message(&mut self, id: u32, draft: &Draft<'_>, drafts: &[Draft<'_>]) {
        let mut rows = Vec::with_capacity(draft.offers.len());
        for offer in &draft.offers {
            // Paths have no word for what a map's entries hold.
            let name: Arc<str> = match draft.message.is_map_entry {
                true => "".into(),
                false => offer.field.name.as_str().into(),
            };
            let origin = Origin { state: id, name, class: offer.class };
            let mut action = self.action(&origin, offer, drafts);
            action.wires = wires(offer);
            action.is_subject = offer.field.is_subject;
            let is_lost = matches!(action.verb, Verb::Withhold | Verb::Search);
            if !draft.place.is_dark {
                let is_key = draft.message.is_map_entry && offer.field.number == 1;
                if is_lost {
                    action.path = self.withheld(origin);
                    self.check_required(draft, offer);
                } else if action.verb == Verb::Any {
                    // Of other types than those that are named.
                    let name = format!("{}.[?]", origin.name).into();
                    action.path = self.withheld(Origin { name, ..origin });
                } else if action.verb == Verb::Pass && !is_key {
                    self.program.given.push(origin);
                }
            }
            rows.push(Row {
                number: offer.field.number,
                action,
                is_single: offer.field.cardinality != Cardinality::Repeated,
                oneof: offer.field.oneof,
            });
        }
        self.rows.push(rows);
    }

    fn action(&mut self, origin: &Origin, offer: &Offer<'_>, drafts: &[Draft<'_>]) -> Action {
        let (verb, state) = match &offer.inside {
            Inside::Nothing if offer.is_released => (Verb::Pass, 0),
            Inside::Message(inside)
                if offer.is_released || drafts.get(*inside).is_some_and(|draft| draft.gives) =>
            {
                (Verb::Descend, self.id(*inside, Some(origin.clone())))
            }
            Inside::Any(types) if offer.is_released => {
                (Verb::Any, self.any_types(origin, types, drafts))
            }
            _ => match offer.search {
                Some(search) => (Verb::Search, self.id(search, Some(origin.clone()))),
                None => (Verb::Withhold, 0),
            },
        };
        Action { verb, state, ..Action::STRANGER }
    }

    /// The place of these types among the `Any`s.
    fn any_types(&mut self, origin: &Origin, types: &[usize], drafts: &[Draft<'_>]) -> u32 {
        let mut known = Vec::new();
        for inside in types {
            let Some(draft) = drafts.get(*inside) else {
                continue;
            };
            let state = self.plan(Planned::Any(*inside), Some(origin.clone()));
            known.push(AnyType { name: draft.message.name.clone(), state });
        }
        self.program.anys.push(known);
        (self.program.anys.len() - 1) as u32
    }

    /// An `Any` keeps the type and descends into the value.
    fn any(&mut self, id: u32, inside: usize, drafts: &[Draft<'_>]) {
        let name = drafts.get(inside).map_or("?", |draft| draft.message.name.as_str());
        let class = drafts.get(inside).map_or(Class::Sensitive, |draft| draft.place.strictest);
        let way = Origin { state: id, name: format!("[{name}]").into(), class };
        let state = self.id(inside, Some(way));
        let row = |number, verb, state| Row {
            number,
            action: Action { verb, state, wires: 1 << LENGTH, ..Action::STRANGER },
            is_single: true,
            oneof: None,
        };
        self.rows.push(vec![row(1, Verb::Pass, 0), row(2, Verb::Descend, state)]);
    }

    fn withheld(&mut self, origin: Origin) -> u16 {
        let id = self.program.withheld.len();
        self.program.withheld.push(origin);
        u16::try_from(id).unwrap_or_else(|_| {
            let limit = usize::from(u16::MAX);
            if id == limit + 1 {
                let found = format!("withholds more than {limit} different fields");
                self.problems.push(problem("?", found));
            }
            u16::MAX
        })
    }

    fn check_required(&mut self, draft: &Draft<'_>, offer: &Offer<'_>) {
        if is_required(offer.field) {
            let item = format!("{}.{}", draft.message.name, offer.field.name);
            let found = "is required, and receivers refuse a message without it".to_owned();
            let hint = Some("name it, or none of the message".to_owned());
            self.problems.push(Problem { item, found, hint });
        }
    }

    fn finished(mut self) -> Result<Program, Vec<Problem>> {
        let fragile = self.fragile();
        let mut states = Vec::with_capacity(self.rows.len());
        for (id, rows) in self.rows.iter_mut().enumerate() {
            if mark(rows, &fragile).is_none() {
                let found = format!("state {id} has more than {BITS_MAX} fields to watch");
                self.problems.push(problem("?", found));
            }
            states.push(table(rows));
        }
        self.program.states = states;
        match self.problems.is_empty() {
            true => Ok(self.program),
            false => Err(self.problems),
        }
    }

    /// The states in which it matters in what order fields come: those with an `Any`, or with a
    /// `oneof` that is given in part, and those that hold such a message once. Were the message
    /// to come in parts, the order over all parts would matter, which nobody looks at.
    fn fragile(&self) -> Vec<bool> {
        let mut users = vec![Vec::new(); self.rows.len()];
        let mut seeds = Vec::new();
        for (id, rows) in self.rows.iter().enumerate() {
            let has_any = rows.iter().any(|row| row.is_single && row.action.verb == Verb::Any);
            if has_any || !split_oneofs(rows).is_empty() {
                seeds.push(id);
            }
            let held = rows.iter().filter(|row| row.is_single && row.action.verb == Verb::Descend);
            for row in held {
                if let Some(users) = users.get_mut(row.action.state as usize) {
                    users.push(id);
                }
            }
        }
        spread(&users, seeds)
    }
}

/// Each `oneof` of which some members are given and others not.
fn split_oneofs(rows: &[Row]) -> BTreeSet<u32> {
    let members = |is_lost: bool| {
        let rows = rows
            .iter()
            .filter(move |row| is_lost == matches!(row.action.verb, Verb::Withhold | Verb::Search));
        rows.filter_map(|row| row.oneof).collect::<BTreeSet<_>>()
    };
    members(true).intersection(&members(false)).copied().collect()
}

/// Gives bits to what must not come again, and says what needs more than a look at the verb.
/// Nothing if there are not enough bits.
fn mark(rows: &mut [Row], fragile: &[bool]) -> Option<()> {
    let mut bits = 1..=BITS_MAX;
    let mut split = BTreeMap::new();
    for oneof in split_oneofs(rows) {
        split.insert(oneof, bits.next()?);
    }
    for row in rows {
        let is_fragile = match row.action.verb {
            Verb::Any => true,
            Verb::Descend => fragile.get(row.action.state as usize).is_some_and(|is| *is),
            _ => false,
        };
        if is_fragile && row.is_single {
            row.action.once = bits.next()?;
        }
        let oneof = row.oneof.and_then(|oneof| split.get(&oneof));
        row.action.oneof = oneof.copied().unwrap_or_default();
        let is_plain = row.action.verb == Verb::Pass
            && !row.action.is_subject
            && row.action.oneof == 0
            && row.action.once == 0;
        row.action.passes = if is_plain { row.action.wires } else { 0 };
    }
    Some(())
}

fn table(rows: &[Row]) -> State {
    let mut state = State::default();
    for Row { number, action, .. } in rows {
        match *number as usize {
            at if at < DENSE_MAX => {
                let length = state.dense.len().max(at + 1);
                state.dense.resize(length, Action::STRANGER);
                if let Some(place) = state.dense.get_mut(at) {
                    *place = *action;
                }
            }
            _ => state.sparse.push((*number, *action)),
        }
    }
    state
}

/// A bit for each wire type in which a field may come.
fn wires(offer: &Offer<'_>) -> u8 {
    let (wire, is_packable) = match &offer.field.kind {
        Kind::Message(_) | Kind::Map(_) => (LENGTH, false),
        Kind::Scalar(Scalar::String | Scalar::Bytes) => (LENGTH, false),
        Kind::Group(_) => (GROUP, false),
        Kind::Scalar(Scalar::Double | Scalar::Fixed64 | Scalar::Sfixed64) => (FIXED64, true),
        Kind::Scalar(Scalar::Float | Scalar::Fixed32 | Scalar::Sfixed32) => (FIXED32, true),
        Kind::Scalar(_) | Kind::Enum(_) => (VARINT, true),
    };
    let is_repeated = offer.field.cardinality == Cardinality::Repeated;
    let packed = u8::from(is_packable && is_repeated) << LENGTH;
    1 << wire | packed
}
