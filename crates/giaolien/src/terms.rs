//! How long each entry is kept, by the service that it is about.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use audit::{EntryTerm, Reader, Source};
use control::Retention;
use model::ExchangeId;
use parking_lot::Mutex;
use wire::term::{Concerns, concerns};

/// Calls that were met and not their ends, at most. Beyond that their terms are looked up.
const OPEN_CALLS_MAX: usize = 1 << 16;

/// What is asked the term of each entry, segment by segment.
struct Terms {
    retention: Retention,
    /// The longest of all, for what cannot be found out.
    longest: Duration,
    open: HashMap<ExchangeId, Duration>,
    reader: Reader,
}

/// The term of each entry of the ledger in `source`.
pub(crate) fn terms(retention: &Retention, source: Source) -> EntryTerm {
    let default = retention.default;
    if retention.services.is_empty() {
        return Arc::new(move |_| default);
    }
    let longest = retention.services.values().copied().fold(default, Duration::max);
    let terms = Terms {
        retention: retention.clone(),
        longest,
        open: HashMap::new(),
        reader: Reader::new(source),
    };
    let terms = Mutex::new(terms);
    Arc::new(move |entry| terms.lock().of(entry))
}

impl Terms {
    fn of(&mut self, entry: &[u8]) -> Duration {
        match concerns(entry) {
            Concerns::Begun(exchange, service) => {
                let term = self.of_service(&service);
                if self.open.len() >= OPEN_CALLS_MAX {
                    self.open.clear();
                }
                self.open.insert(exchange, term);
                term
            }
            // An end is kept as long as its beginning: what the ledger says of a call is whole.
            Concerns::Ended { exchange, admitted } => match self.open.remove(&exchange) {
                Some(term) => term,
                None => self.look_up(admitted),
            },
            Concerns::During { exchange, admitted } => match self.open.get(&exchange) {
                Some(term) => *term,
                None => self.look_up(admitted),
            },
            Concerns::Service(service) => self.of_service(&service),
            Concerns::Nothing => self.retention.default,
        }
    }

    fn of_service(&self, service: &str) -> Duration {
        self.retention.services.get(service).copied().unwrap_or(self.retention.default)
    }

    /// The term of an admission that was met before this process started, or in a segment whose
    /// sealing was begun anew.
    fn look_up(&mut self, admitted: u64) -> Duration {
        match self.reader.entry(admitted) {
            Ok(Some(entry)) => match concerns(&entry) {
                Concerns::Begun(_, service) => self.of_service(&service),
                _ => self.retention.default,
            },
            // Too long does less harm than too short.
            Ok(None) | Err(_) => self.longest,
        }
    }
}
