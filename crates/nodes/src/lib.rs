//! The five sample national services on embedded databases with synthetic people.

pub mod proto;

pub use proto::DESCRIPTOR_SET;
