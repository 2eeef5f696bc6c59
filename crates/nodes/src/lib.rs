//! The five sample national services on embedded databases with synthetic people.

mod number;
pub mod people;
pub mod proto;

pub use number::PersonalNumber;
pub use proto::DESCRIPTOR_SET;
