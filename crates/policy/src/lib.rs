//! Compile and decide: a [`Source`] becomes one immutable [`Snapshot`], and a snapshot answers
//! who calls, where a method leads, and whether the call is allowed.
//!
//! Pure and synchronous: no I/O, no lock, no clock (the time comes in), nothing allocated when a
//! call is allowed.

mod agreement;
mod agreements;
mod cedar_text;
mod compile;
mod concern;
mod context;
mod decide;
mod entities;
mod explain;
mod guards;
mod names;
mod problem;
mod registry;
mod routes;
mod snapshot;
pub mod source;
mod zones;

pub use agreement::Agreement;
pub use compile::{Change, nearest};
pub use concern::Concerned;
pub use context::{Context, Token, Workspace};
pub use entities::entities;
pub use explain::{Candidate, Explanation, Missing, WhatIf};
pub use guards::{MEMBERS_MAX, SCHEMA};
pub use problem::{Problem, Subject};
pub use routes::{Destination, Limits, Selection, draw};
pub use snapshot::{Caller, Decision, Route, Snapshot};
pub use source::Source;
