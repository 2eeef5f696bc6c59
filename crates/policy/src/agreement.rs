//! An agreement in its compiled form.

use std::sync::Arc;

use model::{AgreementId, PurposeCode};

use crate::registry::Ix;
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
    pub(crate) service: Ix,
    /// Indexes into the methods table, sorted; `None` for all of the service.
    pub(crate) methods: Option<Box<[Ix]>>,
    pub(crate) purposes: Box<[PurposeCode]>,
    pub(crate) legal_basis: Box<str>,
    pub(crate) mode: Mode,
    pub(crate) fields: Fields,
    pub(crate) quota: Box<[Quota]>,
    pub(crate) subjects: Option<SubjectBudget>,
}

impl Clauses {
    /// Bytes on the heap, about, with the counters of what shares them.
    pub(crate) fn memory_bytes(&self) -> usize {
        let fields = match &self.fields {
            Fields::All => 0,
            Fields::Named(names) => names.iter().map(|name| size_of::<String>() + name.len()).sum(),
        };
        size_of::<Self>()
            + 16
            + self.methods.as_deref().map_or(0, size_of_val)
            + size_of_val(&*self.purposes)
            + self.legal_basis.len()
            + size_of_val(&*self.quota)
            + fields
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

    /// The fields it covers: an obligation towards the provider.
    pub fn fields(&self) -> &Fields {
        &self.clauses.fields
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
