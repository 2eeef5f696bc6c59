//! An agreement in its compiled form.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use mask::Mask;
use model::{AgreementId, PurposeCode};

use crate::registry::Ix;
use crate::snapshot::Route;
use crate::source::{Fields, Mode, Quota, SubjectBudget};

/// A compiled agreement: its id, and what it shares with those that say the same.
#[derive(Clone, Debug)]
pub struct Agreement {
    pub(crate) id: AgreementId,
    pub(crate) clauses: Arc<Clauses>,
}

/// What an agreement says beside who, until when and in which state. Shared by all agreements
/// that say the same, as those of every commune do.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Clauses {
    pub(crate) coverage: Arc<Coverage>,
    pub(crate) purposes: Box<[PurposeCode]>,
    pub(crate) legal_basis: Box<str>,
    pub(crate) mode: Mode,
    pub(crate) quota: Box<[Quota]>,
    pub(crate) subjects: Option<SubjectBudget>,
}

/// What an agreement covers, and the masks that keep to it. Shared more widely than the clauses:
/// there may be a million of those, each with its own legal basis, but never so many of these.
#[derive(Debug)]
pub(crate) struct Coverage {
    pub(crate) service: Ix,
    /// Indexes into the methods table, sorted; `None` for all of the service.
    pub(crate) methods: Option<Box<[Ix]>>,
    /// Of answers.
    pub(crate) fields: Fields,
    /// Of requests that update.
    pub(crate) request_fields: Fields,
    pub(crate) answer_masks: Masks,
    pub(crate) request_masks: Masks,
}

/// Masks by method, sorted. Methods without one need none.
pub(crate) type Masks = Box<[(Ix, Arc<Mask>)]>;

// The masks follow from the rest and the contract, which is the same for all of a revision.
impl PartialEq for Coverage {
    fn eq(&self, other: &Self) -> bool {
        self.said() == other.said()
    }
}

impl Eq for Coverage {}

impl Hash for Coverage {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.said().hash(state);
    }
}

impl Coverage {
    fn said(&self) -> (Ix, Option<&[Ix]>, &Fields, &Fields) {
        (self.service, self.methods.as_deref(), &self.fields, &self.request_fields)
    }

    /// Bytes on the heap, about, with the counters of what shares them; masks not counted.
    pub(crate) fn memory_bytes(&self) -> usize {
        let named = |fields: &Fields| match fields {
            Fields::All => 0,
            Fields::Named(names) => names.iter().map(|name| size_of::<String>() + name.len()).sum(),
        };
        size_of::<Self>()
            + 16
            + self.methods.as_deref().map_or(0, size_of_val)
            + named(&self.fields)
            + named(&self.request_fields)
            + size_of_val(&*self.answer_masks)
            + size_of_val(&*self.request_masks)
    }
}

impl Clauses {
    /// Bytes on the heap, about, with the counters of what shares them; the coverage not counted.
    pub(crate) fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + 16
            + size_of_val(&*self.purposes)
            + self.legal_basis.len()
            + size_of_val(&*self.quota)
    }
}

impl Agreement {
    /// Asks memory for what policies may look at.
    #[inline]
    pub(crate) fn prefetch(&self) {
        prefetch::read(self.id.as_str());
        prefetch::read(&self.clauses.legal_basis);
        prefetch::read(&self.clauses.mode);
    }

    /// Its identifier.
    pub fn id(&self) -> &AgreementId {
        &self.id
    }

    /// What it is for.
    pub fn purposes(&self) -> &[PurposeCode] {
        &self.clauses.purposes
    }

    /// The law or document it rests on.
    pub fn legal_basis(&self) -> &str {
        &self.clauses.legal_basis
    }

    /// How it came about.
    pub fn mode(&self) -> Mode {
        self.clauses.mode
    }

    /// The fields of answers that it covers: an obligation towards the provider.
    pub fn fields(&self) -> &Fields {
        &self.clauses.coverage.fields
    }

    /// The fields of requests that it covers, where a method updates.
    pub fn request_fields(&self) -> &Fields {
        &self.clauses.coverage.request_fields
    }

    /// The mask that every answer of a method which the agreement covers has to go through.
    ///
    /// `None` says that answers pass untouched: the agreement names no fields, and the contract,
    /// if there is one for the method, knows nothing secret in them. An agreement that names
    /// fields has a mask for each of its methods.
    pub fn answer_mask(&self, route: &Route<'_>) -> Option<&Arc<Mask>> {
        find(&self.clauses.coverage.answer_masks, route)
    }

    /// The mask that every request of a method which the agreement covers has to go through, as
    /// [`Agreement::answer_mask`] for answers. Requests of queries need none.
    pub fn request_mask(&self, route: &Route<'_>) -> Option<&Arc<Mask>> {
        find(&self.clauses.coverage.request_masks, route)
    }

    /// Bounds on the calls under it, all systems together.
    pub fn quota(&self) -> &[Quota] {
        &self.clauses.quota
    }

    /// Bounds on the persons that a system may ask about.
    pub fn subjects(&self) -> Option<SubjectBudget> {
        self.clauses.subjects
    }
}

fn find<'m>(masks: &'m Masks, route: &Route<'_>) -> Option<&'m Arc<Mask>> {
    let at = masks.binary_search_by_key(&route.method_ix, |(method, _)| *method).ok()?;
    masks.get(at).map(|(_, mask)| mask)
}
