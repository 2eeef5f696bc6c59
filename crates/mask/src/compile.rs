//! From a selection to the tables of a mask, in two steps: drafts say for each type of message in
//! each place what could be given, then the states that are reached are laid out.

use std::collections::{BTreeMap, VecDeque};

use crate::class::Class;
use crate::contract::{Cardinality, Contract, Field, Kind, Message, MessageIx};
use crate::layout;
use crate::nearest::nearest;
use crate::program::Program;
use crate::selection::{Paths, Problem, Selection, Step};

/// The most states of a mask. A contract of the usual kind needs one for each type of message.
pub(crate) const STATES_MAX: usize = 4_096;

/// Where a message is, as far as it decides what is given of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    message: MessageIx,
    /// The strictest class on the way.
    pub(crate) strictest: Class,
    /// All of this class and below is given, because a message around it was named.
    ceiling: Option<Class>,
    /// Where the paths of the selection are.
    node: Option<usize>,
    /// Nothing is given; only subjects are looked for.
    pub(crate) is_dark: bool,
}

/// What could be given of a message in a place.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    pub(crate) place: Place,
    pub(crate) message: &'a Message,
    pub(crate) offers: Vec<Offer<'a>>,
    /// Whether anything in it is given.
    pub(crate) gives: bool,
}

/// What could be given of a field.
#[derive(Debug)]
pub(crate) struct Offer<'a> {
    pub(crate) field: &'a Field,
    /// Whether the field itself is given; else, if it is a message, something in it may be.
    pub(crate) is_released: bool,
    pub(crate) inside: Inside,
    /// The draft that finds the subjects in it, if nothing of it is given.
    pub(crate) search: Option<usize>,
    /// Counted with the strictest class on the way.
    pub(crate) class: Class,
}

/// What a field holds.
#[derive(Debug)]
pub(crate) enum Inside {
    /// A value, or a message that is of no interest.
    Nothing,
    /// A message, by its draft.
    Message(usize),
    /// An `Any` of these types, by their drafts.
    Any(Vec<usize>),
}

/// The tables that keep what the selection names.
pub(crate) fn mask(
    contract: &Contract,
    message: &str,
    selection: &Selection,
) -> Result<Program, Vec<Problem>> {
    let (ix, root) = find(contract, message).map_err(|problem| vec![problem])?;
    let paths = Paths::look_up(contract, root, selection)?;
    let mut drafts = Drafts { contract, selection, paths, known: BTreeMap::new(), all: Vec::new() };
    let place =
        Place { message: ix, strictest: Class::Open, ceiling: None, node: Some(0), is_dark: false };
    drafts.all_from(place).map_err(|problem| vec![problem])?;
    layout::program(drafts.finished())
}

/// The tables that find the subjects and keep nothing.
pub(crate) fn watch(contract: &Contract, message: &str) -> Result<Program, Problem> {
    let (ix, _) = find(contract, message)?;
    let selection = Selection::default();
    let paths = Paths::none();
    let mut drafts =
        Drafts { contract, selection: &selection, paths, known: BTreeMap::new(), all: Vec::new() };
    drafts.all_from(Place::dark(ix))?;
    layout::program(drafts.finished()).map_err(|problems| match problems.into_iter().next() {
        Some(problem) => problem,
        None => problem(message, "cannot be watched".into()),
    })
}

fn find<'a>(contract: &'a Contract, name: &str) -> Result<(MessageIx, &'a Message), Problem> {
    match contract.find(name).and_then(|ix| Some((ix, contract.get(ix)?))) {
        Some((_, message)) if message.is_any() || message.is_map_entry => {
            Err(problem(name, "cannot be masked by itself".into()))
        }
        Some(found) => Ok(found),
        None => {
            let known = contract.messages.iter().map(|message| message.name.as_str());
            let hint = nearest(name, known).map(|near| format!("did you mean `{near}`"));
            let found = "the contract has no such message".into();
            Err(Problem { hint, ..problem(name, found) })
        }
    }
}

pub(crate) fn problem(item: &str, found: String) -> Problem {
    Problem { item: item.to_owned(), found, hint: None }
}

impl Place {
    fn dark(message: MessageIx) -> Self {
        Self { message, strictest: Class::Open, ceiling: None, node: None, is_dark: true }
    }
}

struct Drafts<'a> {
    contract: &'a Contract,
    selection: &'a Selection,
    paths: Paths,
    known: BTreeMap<Place, usize>,
    all: Vec<Draft<'a>>,
}

impl<'a> Drafts<'a> {
    /// Drafts for a place and all that can be reached from it.
    fn all_from(&mut self, root: Place) -> Result<(), Problem> {
        self.known.insert(root.clone(), 0);
        let mut waiting = VecDeque::from([root]);
        while let Some(place) = waiting.pop_front() {
            let Some(message) = self.contract.get(place.message) else {
                continue;
            };
            let mut offers = Vec::with_capacity(message.fields.len());
            for field in &message.fields {
                offers.push(match place.is_dark {
                    true => self.dark_offer(field, &mut waiting),
                    false => self.offer(&place, message, field, &mut waiting),
                });
            }
            self.all.push(Draft { place, message, offers, gives: false });
            if self.known.len() > STATES_MAX {
                return Err(problem(&message.name, format!("more than {STATES_MAX} states")));
            }
        }
        Ok(())
    }

    fn offer(
        &mut self,
        place: &Place,
        message: &Message,
        field: &'a Field,
        waiting: &mut VecDeque<Place>,
    ) -> Offer<'a> {
        let own = field.class;
        let strictest = place.strictest.max(own);
        if own == Class::Secret {
            return self.dark_offer(field, waiting);
        }
        // Paths go through the entry of a map without a word.
        let node = match (message.is_map_entry, field.number) {
            (true, 2) => place.node,
            (true, _) => None,
            (false, number) => self.paths.next(place.node, &Step::Field(number)),
        };
        let is_named = !message.is_map_entry && self.paths.is_named(node);
        let around = place.ceiling.filter(|ceiling| own <= *ceiling);
        let ceiling = around.max(is_named.then_some(own));
        let is_key = message.is_map_entry && field.number == 1;
        let is_class_named = self.selection.classes.contains(&strictest);
        let mut offer = self.dark_offer(field, waiting);
        offer.class = strictest;
        offer.is_released = is_key || ceiling.is_some() || is_class_named;
        let Some(held) = self.contract.held(field) else {
            return offer;
        };
        if held.is_any() {
            let types: Vec<_> = self.paths.types(node).collect();
            let drafts = types.into_iter().map(|(message, node)| {
                let ceiling = ceiling.max(self.paths.is_named(Some(node)).then_some(own));
                let inside =
                    Place { message, strictest, ceiling, node: Some(node), is_dark: false };
                self.draft(inside, waiting)
            });
            offer.inside = Inside::Any(drafts.collect());
            // An `Any` between the tags of a group is nothing that anybody sends.
            offer.is_released = matches!(
                (&field.kind, &offer.inside),
                (Kind::Message(_), Inside::Any(types)) if !types.is_empty()
            );
        } else if let Some(message) = field.kind.message() {
            let inside = Place { message, strictest, ceiling, node, is_dark: false };
            offer.inside = Inside::Message(self.draft(inside, waiting));
        }
        offer
    }

    /// A field of which nothing is given, though there may be subjects in it.
    fn dark_offer(&mut self, field: &'a Field, waiting: &mut VecDeque<Place>) -> Offer<'a> {
        let bearing = field.kind.message().filter(|held| self.contract.bears_subjects(*held));
        Offer {
            field,
            is_released: false,
            inside: Inside::Nothing,
            search: bearing.map(|message| self.draft(Place::dark(message), waiting)),
            class: field.class,
        }
    }

    /// The draft for a place, which is made later if it is new.
    fn draft(&mut self, place: Place, waiting: &mut VecDeque<Place>) -> usize {
        let new = self.known.len();
        let at = *self.known.entry(place.clone()).or_insert(new);
        if at == new {
            waiting.push_back(place);
        }
        at
    }

    /// The drafts, each knowing whether it gives anything.
    fn finished(mut self) -> Vec<Draft<'a>> {
        let mut users = vec![Vec::new(); self.all.len()];
        let mut giving = Vec::new();
        for (at, draft) in self.all.iter().enumerate() {
            for offer in &draft.offers {
                let is_key = draft.message.is_map_entry && offer.field.number == 1;
                if offer.is_released && !is_key {
                    giving.push(at);
                }
                if let Inside::Message(inside) = offer.inside
                    && let Some(users) = users.get_mut(inside)
                {
                    users.push(at);
                }
            }
        }
        let gives = spread(&users, giving);
        for (draft, gives) in self.all.iter_mut().zip(gives) {
            draft.gives = gives;
        }
        self.all
    }
}

/// What holds for the seeds holds for all their users, and theirs.
pub(crate) fn spread(users: &[Vec<usize>], seeds: Vec<usize>) -> Vec<bool> {
    let mut found = vec![false; users.len()];
    let mut waiting = seeds;
    while let Some(at) = waiting.pop() {
        if let (Some(found @ false), Some(users)) = (found.get_mut(at), users.get(at)) {
            *found = true;
            waiting.extend(users);
        }
    }
    found
}

/// Whether receivers refuse a message without the field.
pub(crate) fn is_required(field: &Field) -> bool {
    field.cardinality == Cardinality::Required
}
