//! Open-loop and closed-loop gRPC load over mutual TLS, percentiles free of coordinated omission.
//!
//! Describe the load in a [`Plan`], hand it to [`run()`], print the [`Report`] or take its JSON.
//! Worker threads, each with its own single-threaded runtime, keep a fixed set of streams busy on
//! each connection; there is no task per call and no lock that two threads want.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! let mut plan = load::Plan::new("127.0.0.1:8443", "/pkg.Service/Method", Default::default());
//! plan.pace = load::Pace::Open { calls_per_second: 5_000.0 };
//! plan.duration = Duration::from_secs(30);
//! let report = load::run(plan)?;
//! let json = report.to_json();
//! # Ok::<(), load::LoadError>(())
//! ```
//!
//! A call belongs to the measured window by its intended start: in open loop the time the schedule
//! gives it, in closed loop the time it begins. Its latency counts from there to the last byte of
//! its answer, also when that comes after the window. A call that does not end before the drain
//! is over is counted with the age it has reached. Throughput and CPU time per call, on the
//! other hand, count what is answered between the window's two ends.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

mod answer;
mod connect;
mod error;
mod lane;
mod pace;
mod plan;
mod prepared;
mod process;
mod report;
mod run;
mod tally;
mod text;
mod worker;

pub use answer::Sample;
pub use error::LoadError;
pub use plan::{Identity, Pace, Pem, Plan, Tls, Watched};
pub use process::{Machine, ProcessUse, Resolution, Spent};
pub use report::Report;
pub use run::{Phase, Progress, run, run_with_progress};
pub use tally::{Count, Latency};
