//! Compile and decide: a [`Source`] becomes one immutable [`Snapshot`], and a snapshot answers
//! who calls, where a method leads, and whether the call is allowed.
//!
//! Pure and synchronous: no I/O, no lock, no clock (the time comes in), nothing allocated when a
//! call is allowed.

mod compile;
mod decide;
mod problem;
mod snapshot;
pub mod source;

pub use compile::nearest;
pub use problem::{Problem, Subject};
pub use snapshot::{Caller, Decision, Route, Snapshot};
pub use source::Source;
