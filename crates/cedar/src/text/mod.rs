//! Policies, schemas and entities as people write them: reading, checking, and what is wrong.

mod files;
mod measure;
mod problem;
mod schema;

pub use files::{File, Files, Link};
pub use measure::{NESTING_MAX, TEXT_BYTES_MAX};
pub use problem::Problem;
pub use schema::{Verdict, actions, conform, schema};
