//! A ledger in public: its tiles over HTTP, witnesses that cosign its checkpoints, and a client
//! that fetches from such a ledger. Also how anything small is served over HTTP with bounds.

pub mod http;
mod tiles;

pub use tiles::{Published, Publishing};
