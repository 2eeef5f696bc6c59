//! The five sample national services on embedded databases with synthetic people.

mod civilservants;
mod country;
mod database;
mod generaldata;
mod input;
mod insurance;
mod kind;
mod number;
pub mod people;
mod population;
pub mod proto;
mod server;
mod socialsecurity;
mod transactions;

pub use country::{Country, CountryError, CountryOptions, Progress};
pub use database::OpenError;
pub use kind::NodeKind;
pub use number::PersonalNumber;
pub use proto::DESCRIPTOR_SET;
pub use server::{ServeError, ServerTls, certificate_sha256, serve};
