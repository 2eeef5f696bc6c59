//! What strangers read of a ledger: the Merkle tree of RFC 6962 and RFC 9162, its proofs and
//! tiles, and the signed notes, checkpoints, cosignatures and proof files of C2SP. No I/O, no
//! clock.

pub mod bundle;
pub mod cosignature;
pub mod note;
pub mod prefix;
pub mod proof;
pub mod sign;
pub mod tile;
pub mod tree;
pub mod witness;

pub use bundle::Bundle;
pub use cosignature::{Cosigner, WitnessKey};
pub use note::{Checkpoint, Note, NoteError};
pub use prefix::Prefix;
pub use proof::Head;
pub use sign::{KeyError, Origin, OriginError, Signer, VerifyingKey};
pub use tree::Hash;
