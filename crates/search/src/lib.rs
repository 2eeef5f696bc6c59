//! A derived index over the ledger: which exchanges fit criteria, found without reading it all.
//!
//! The index holds nothing that the ledger does not, and is never believed: what it finds is read
//! back from the ledger and compared with what was asked. It is filled behind the durable end, by
//! frames, with its cursor in the same transaction, and made anew whenever it does not belong to
//! the ledger at hand. It lies in a folder of its own, beside the ledger.
//!
//! Exchanges are rows by the index of their first entry. Entries are grouped into blocks of 1,024;
//! for each word (a member, a purpose, a reason …), each dossier and each person a posting tells
//! the blocks in which it occurs. A query cuts the lists of blocks, newest first, and looks at the
//! rows of the blocks that remain. So every criterion is indexed alike, at a few bytes a row.
//!
//! Sealed and archived segments are read as others are. What was removed after its term is not
//! found any more, and what is away or stays shut is passed over: an answer says both.

mod acts;
mod blocks;
mod error;
mod fill;
mod follow;
mod found;
mod holes;
mod index;
mod query;
mod row;
mod schema;
mod words;

pub use error::SearchError;
pub use follow::Follower;
pub use found::{Act, Acts, Answer, Exchange, Finder, Last};
pub use holes::Hole;
pub use index::Index;
pub use query::LIMIT_MAX;
