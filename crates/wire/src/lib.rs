//! What travels and what is kept, as bytes: generated code of the `giaolien` packages, and the
//! only conversions between wire formats and [`model`].

mod calls;
pub mod certificate;
pub mod evidence;
pub mod health;
mod operators;
pub mod search;
pub mod status;
pub mod term;

/// Generated from `proto/giaolien`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod generated {
    /// `giaolien.admin.v1`
    pub mod admin {
        tonic::include_proto!("giaolien.admin.v1");
    }
    /// `giaolien.evidence.v1`
    pub mod evidence {
        tonic::include_proto!("giaolien.evidence.v1");
    }
}
