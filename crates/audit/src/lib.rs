//! The ledger: entries, segments, tree, checkpoints, receipts, verifier.
//!
//! Entries are opaque bytes here. An append gives a [`Ticket`]; when its batch is on disk the
//! ticket turns into a [`Durable`], the only way to a receipt. One thread writes; nothing is
//! told durable before the sync that made it so has returned.
//!
//! ```
//! use std::sync::Arc;
//!
//! let folder = tempfile::tempdir()?;
//! let origin: tlog::Origin = "ledger.example.vn".parse()?;
//! let (signer, _pem) = tlog::Signer::generate(origin.clone())?;
//! let key = signer.verifying_key();
//! let mut options = audit::Options::new(folder.path().into(), origin, Arc::new(signer));
//! options.segment_bytes = 1 << 20;
//!
//! let (log, recovered) = audit::Log::open(options)?;
//! assert_eq!(recovered.entries, 0);
//! let ticket = log.append(b"a call was allowed")?;
//! let durable = ticket.wait()?;
//! let receipt = durable.receipt(b"a call was allowed");
//! audit::verify_receipt(&receipt, &key)?;
//! log.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod checkpoint;
mod disk;
#[cfg(test)]
mod faults;
mod fields;
mod folder;
mod frame;
mod locate;
mod log;
mod prepare;
mod queue;
mod read;
mod receipt;
mod recover;
mod scan;
mod segment;
mod sync;
mod ticket;
mod verify;
mod writer;
mod zeros;

pub use frame::ENTRY_BYTES_MAX;
pub use log::{CloseError, Log, Options, Recovered, Status};
pub use queue::{AppendError, Trouble};
pub use read::{Entries, ReadError, entries};
pub use receipt::{GROUP_ENTRIES_MAX, ReceiptError, verify_receipt};
pub use recover::OpenError;
pub use segment::{SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN};
pub use ticket::{Durable, DurableFuture, LedgerError, Ticket};
pub use verify::{Verified, VerifyError, verify_folder};
