//! Cedar policies compiled once into an immutable [`Engine`], with the answers of the
//! `cedar-policy` crate.
//!
//! Parsing, validation and formatting are those of `cedar-policy`; evaluation is done here. The
//! engine interns every name, lowers conditions to flat programs and files policies under what
//! their scopes ask for, so that a decision runs only the policies that can apply.
//!
//! ```
//! use cedar::{Decision, Engine, Request, Workspace};
//!
//! let policies = r#"permit(principal == User::"an", action, resource)
//!                   when { context.purpose == "residence" };"#.parse()?;
//! let engine = Engine::compile(&policies, Vec::new(), &[])?;
//! let an = engine.entity("User", "an").ok_or("not interned")?;
//! let purpose = engine.key("purpose").ok_or("not interned")?;
//! let context = [(purpose, cedar::Value::Str("residence"))];
//! let mut workspace = Workspace::default();
//! let request = Request::new(an, an, an, &context);
//! assert_eq!(engine.decide(&request, &mut workspace), Decision::Allow);
//! assert_eq!(workspace.determining().len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod authorize;
mod bounds;
mod data;
mod decimal;
mod engine;
mod eval;
mod glances;
mod index;
mod ip;
mod lower;
mod names;
mod operators;
mod pattern;
mod program;
mod reference;
mod request;
mod scalar;
mod scope;
mod sets;
mod steps;
mod store;
pub mod text;
mod time;
mod value;

pub use data::{Datum, Entity, Uid, UidError};
pub use decimal::Decimal;
pub use engine::{
    CompileError, Decision, ENTITIES_MAX, Effect, Engine, POLICIES_MAX, Place, PolicyInfo,
    PolicyIx, Workspace,
};
pub use ip::IpNet;
pub use request::{ConvertError, Prepared, Request};
pub use time::{parse_datetime, parse_duration};
pub use value::{EntityRef, Key, Record, Set, Value};
