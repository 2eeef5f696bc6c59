//! A ledger in public: its tiles over HTTP, witnesses that cosign its checkpoints, and a client
//! that fetches from such a ledger. Also how anything small is served over HTTP with bounds.

mod client;
pub mod http;
mod signed;
mod submit;
mod tiles;
mod witnesses;

pub use client::{Client, ClientError, FetchError, Fetched};
pub use signed::Signed;
pub use tiles::{Published, Publishing};
pub use witnesses::{Standing, WitnessSettings, Witnesses, WitnessesError, WitnessesSettings};
