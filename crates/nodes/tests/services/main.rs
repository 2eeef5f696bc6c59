//! Each service through a real client over TLS.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod access;
mod civilservants;
mod contracts;
mod country;
mod generaldata;
mod insurance;
mod population;
mod socialsecurity;
mod support;
