//! The five sample national services on embedded databases with synthetic people.
//!
//! A [`Country`] is a folder with five SQLite files that agree with each other: the civil servants
//! are citizens, the insured work for their units, the general database holds their copies.
//! [`serve`] runs the gRPC service of one of them, for the gateway alone. [`people::People`]
//! knows whom one can ask about, without opening a database.
//!
//! ```no_run
//! # async fn sandbox() -> anyhow::Result<()> {
//! use nodes::people::Sample;
//! use nodes::{Country, CountryOptions, NodeKind, ServerTls};
//! use tokio::net::TcpListener;
//!
//! let options = CountryOptions { people: 10_000, seed: 1 };
//! let country = Country::create("nodes".as_ref(), &options, &mut |_| {})?;
//! let someone = country.people().sample(Sample::Adult, 0);
//!
//! let tls = ServerTls {
//!     cert_pem: std::fs::read_to_string("pki/population.pem")?,
//!     key_pem: std::fs::read_to_string("pki/population.key")?,
//!     client_ca_pem: std::fs::read_to_string("pki/ca.pem")?,
//!     allowed_client_sha256: vec![nodes::certificate_sha256(&std::fs::read("pki/gateway.der")?)],
//! };
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let database = country.database(NodeKind::Population);
//! nodes::serve(NodeKind::Population, &database, listener, tls, async {
//!     let _ = tokio::signal::ctrl_c().await;
//! })
//! .await?;
//! # Ok(())
//! # }
//! ```
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

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
