//! What tests and the sandbox share: a test certificate authority, a stopped clock, an echo node.

mod authority;
mod clock;
#[cfg(feature = "echo")]
pub mod echo;

pub use authority::{Authority, Issued, Profile, ed25519_key_pem};
pub use clock::StoppedClock;
