//! The data plane: calls in, calls through, entries out.
//!
//! Start reading at [`exchange`](mod@crate::exchange): its `run` is the path of one call from top
//! to bottom. This crate knows no YAML, no SQL and no admin API; its only files are the ledger's.

mod account;
mod admit;
mod attempt;
mod bearer;
mod body;
mod budget;
mod concerns;
mod connection;
mod evidence;
mod exchange;
mod forward;
mod gateway;
mod head;
mod health;
mod kept;
mod lens;
mod listener;
mod live;
mod meter;
mod opening;
mod persons;
mod pump;
mod quota;
mod reply;
mod respond;
mod ruling;
mod settings;
mod shadow;
mod tcp;
mod tls;
mod token;
mod upload;
mod upstream;

pub use admit::unmet;
pub use gateway::{Gateway, StartError};
pub use live::Live;
pub use settings::{Identity, Limits, Settings};
pub use token::{IssuerError, IssuerSettings, Issuers, TokenError};
