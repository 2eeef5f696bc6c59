//! Only the fields agreed: a mask is a small program that runs over protobuf's wire format, keeps
//! what an agreement names and drops the rest, without building a message.
//!
//! [`Contract`] is what the descriptors of a node say about its messages and their fields.
//! [`Selection`] is what an agreement says about the fields it covers. The two make a [`Mask`] for
//! one type of message, or every reason why they cannot. A [`Watch`] changes nothing, and only
//! reads whom a message is about. [`compare`] says what a new contract changes for whom.
//!
//! Whole messages are masked, never parts: the length of a message stands before its fields and
//! is known only when its last field was looked at. So whoever calls holds a message up to the
//! limit of the route and refuses larger ones; no memory is needed beside it.
//!
//! ```
//! use mask::{Contract, Mask, Selection, Workspace};
//!
//! // What `protoc --include_imports --descriptor_set_out` writes; here the least of it.
//! let set = b"\x0a\x3e\x0a\x01f\x12\x01p\x22\x36\x0a\x01M\
//!     \x12\x18\x0a\x04name\x18\x01\x20\x01\x28\x09\x42\x0a\xa8\xed\x18\x02\xb0\xed\x18\x01\x50\x00\
//!     \x12\x17\x0a\x05faith\x18\x02\x20\x01\x28\x09\x42\x08\xa8\xed\x18\x03\x50\x00\x50\x00";
//! let contract = Contract::from_descriptor_set(set)?;
//! let selection = Selection::from_items(["basic"]);
//! let mask = Mask::compile(&contract, "p.M", &selection).map_err(|found| found[0].to_string())?;
//!
//! let mut workspace = Workspace::new();
//! let mut message = b"\x0a\x03Mai\x12\x04none".to_vec();
//! let applied = mask.apply(&mut message, &mut workspace)?;
//! assert_eq!(message, b"\x0a\x03Mai");
//! assert_eq!(applied.withheld, 1);
//! assert_eq!(workspace.subjects().collect::<Vec<_>>(), [b"Mai"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! No I/O, no clock, no async; nothing here knows what an agency is.

mod apply;
mod class;
mod compare;
mod compile;
mod contract;
mod descriptor;
mod layout;
mod nearest;
mod program;
mod selection;
mod sink;
mod wire;
mod workspace;

pub use apply::{Applied, SUBJECTS_BYTES_MAX, SUBJECTS_MAX};
pub use class::Class;
pub use compare::{Change, Severity, compare};
pub use contract::{Cardinality, Contract, ContractError, Field, Kind, Message, Method, Scalar};
pub use program::{FieldView, Mask, Watch};
pub use selection::{Problem, Selection};
pub use wire::{DEPTH_MAX, Fault, MalformedError};
pub use workspace::Workspace;
