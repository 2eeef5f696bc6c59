//! The locks, waits and clock of the commit protocol, in one place: the model in `tests/model` runs
//! the same code on primitives of the same names, with a scheduler behind them that tries orders.

pub(crate) use std::sync::OnceLock;
pub(crate) use std::thread::{Thread, current, park};
pub(crate) use std::time::Instant;

pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};
