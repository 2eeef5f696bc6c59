//! What strangers read of a ledger: the Merkle tree of RFC 6962 and RFC 9162, its proofs,

pub mod note;
pub mod proof;
pub mod sign;
pub mod tile;
pub mod tree;

pub use note::{Checkpoint, Note, NoteError};
pub use proof::Head;
pub use sign::{KeyError, Origin, OriginError, Signer, VerifyingKey};
pub use tree::Hash;
