//! What strangers read of a ledger: the Merkle tree of RFC 6962 and RFC 9162, and the signed
//! notes and checkpoints of C2SP. No I/O, no clock.

pub mod note;
pub mod sign;
pub mod tree;

pub use note::{Checkpoint, Note, NoteError};
pub use sign::{KeyError, Origin, OriginError, Signer, VerifyingKey};
pub use tree::Hash;
