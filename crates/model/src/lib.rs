//! The vocabulary of a governed exchange: what every other crate speaks of.
//!
//! Nothing here does I/O, waits, or knows a wire format. Outside text becomes one of these types
//! at the door and is never again a plain string.

mod acts;
mod call;
mod certificate;
mod code;
mod criteria;
mod entry;
mod id;
mod person;
mod reason;
mod receipt;
mod refusal;
mod time;

pub use acts::{ActCriteria, ActKind, act_time};
pub use call::{Effect, MethodPath, Terms};
pub use certificate::{Certificate, IssuerSerial};
pub use code::Code;
pub use criteria::{Criteria, Decided};
pub use entry::{
    Action, AdminAction, Admitted, CONCERNED_MAX, Concerned, Entry, FIELDS_BYTES_MAX, Finished,
    LedgerRead, MASKED_FIELDS_MAX, Masked, Opened, Operator, Passed, Reading, Refused,
    SegmentRemoved, Traffic,
};
pub use id::{
    AgreementId, CertificateDigest, ClassId, ExchangeId, IdError, MemberId, NodeId, Period,
    PurposeCode, RevisionId, SystemId, ZoneId,
};
pub use person::{
    PersonNumber, PersonNumberError, Pseudonym, PseudonymKey, PseudonymKeyError, Pseudonyms,
    Subject,
};
pub use reason::{Fault, Language, Reason};
pub use receipt::Receipt;
pub use refusal::{Fact, Refusal};
pub use time::{Clock, SystemClock, Timestamp};
