//! One agreement for one of its purposes: all that a decision asks of it.

use model::Timestamp;

use crate::agreement::Agreement;
use crate::registry::{ConsumerIx, Ix};
use crate::source::State;

/// Methods of a service that a slot tells apart; beyond them the clauses decide.
const MASK_BITS: Ix = 64;

/// Consumer and service of an agreement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key(u64);

impl Key {
    /// No agreement has this key.
    pub(super) const NONE: Self = Self(u64::MAX);

    pub(crate) fn new(ConsumerIx(consumer): ConsumerIx, service: Ix) -> Self {
        Self(u64::from(consumer) << 32 | u64::from(service))
    }

    pub(crate) fn consumer(self) -> ConsumerIx {
        ConsumerIx(Ix::try_from(self.0 >> 32).unwrap_or(Ix::MAX))
    }

    pub(crate) fn service(self) -> Ix {
        Ix::try_from(self.0 & u64::from(Ix::MAX)).unwrap_or(Ix::MAX)
    }

    /// A number whose high bits choose the shard and whose low bits the slot.
    pub(super) fn hash(self) -> u64 {
        let product = u128::from(self.0 ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93;
        let folded = product >> 64 ^ product;
        u64::try_from(folded & u128::from(u64::MAX)).unwrap_or_default()
    }
}

/// One agreement for one of its purposes. One cache line.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(crate) struct Slot {
    pub(crate) key: Key,
    pub(crate) purpose: Ix,
    pub(crate) state: State,
    pub(crate) valid_from: Timestamp,
    pub(crate) valid_until: Timestamp,
    /// Whether `methods` cannot tell them apart, so that the clauses decide.
    wide: bool,
    /// The methods it covers, by their place in the service; all set for all of the service.
    methods: u64,
    pub(crate) agreement: Agreement,
}

const _: () = assert!(size_of::<Option<Slot>>() == 64, "a slot is one cache line");

impl Slot {
    /// Whether it covers a method, which stands at `place` in its service.
    pub(crate) fn covers(&self, method: Ix, place: Ix) -> bool {
        if !self.wide {
            return self.methods == u64::MAX || place < MASK_BITS && self.methods >> place & 1 == 1;
        }
        let named = self.agreement.clauses.coverage.methods.as_ref();
        named.is_some_and(|methods| methods.binary_search(&method).is_ok())
    }

    /// What slots of one consumer and service are in order of.
    pub(super) fn order(&self) -> (&str, Ix) {
        (self.agreement.id.as_str(), self.purpose)
    }
}

/// What the compiler makes of an agreement.
#[derive(Clone, Debug)]
pub(crate) struct Compiled {
    pub(crate) key: Key,
    pub(crate) purposes: Vec<Ix>,
    pub(crate) state: State,
    pub(crate) valid_from: Timestamp,
    pub(crate) valid_until: Timestamp,
    pub(crate) agreement: Agreement,
    /// Where the methods of its service begin.
    pub(crate) first_method: Ix,
}

impl Compiled {
    pub(super) fn slots(self) -> impl Iterator<Item = Slot> {
        let Self { key, purposes, state, valid_from, valid_until, agreement, first_method } = self;
        let named = agreement.clauses.coverage.methods.as_deref();
        let mask = named.map_or(Some(u64::MAX), |methods| mask(methods, first_method));
        let (wide, methods) = (mask.is_none(), mask.unwrap_or_default());
        purposes.into_iter().map(move |purpose| Slot {
            key,
            purpose,
            state,
            valid_from,
            valid_until,
            wide,
            methods,
            agreement: agreement.clone(),
        })
    }
}

/// One bit for each method of the service; `None` where there are too many, or where they would
/// look like all methods.
fn mask(methods: &[Ix], first: Ix) -> Option<u64> {
    let bit = |method: &Ix| {
        method.checked_sub(first).filter(|place| *place < MASK_BITS).map(|place| 1_u64 << place)
    };
    let mask = methods.iter().map(bit).try_fold(0, |mask, bit| Some(mask | bit?));
    mask.filter(|mask| *mask != u64::MAX)
}
