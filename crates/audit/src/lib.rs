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

mod archive;
mod backlog;
#[cfg(test)]
mod backlog_tests;
mod checkpoint;
mod closed;
mod cosigned;
mod disk;
mod edge;
#[cfg(test)]
mod faults;
mod fields;
mod folder;
mod follow;
mod frame;
mod history;
mod identity;
mod keep;
mod keys;
mod locate;
mod log;
mod lookup;
mod pace;
mod prepare;
mod prove;
mod queue;
mod read;
mod receipt;
mod recover;
mod restore;
mod scan;
mod seal;
mod sealed;
mod segment;
mod source;
mod subtrees;
mod sync;
mod tail;
mod ticket;
mod tiler;
mod tiles;
mod verify;
mod window;
mod writer;
mod zeros;

pub use archive::{Expired, RemoveError};
pub use cosigned::{CosignedLog, CosignedNotes, cosigned, newest_checkpoint, written_after};
pub use follow::KeyChange;
pub use frame::ENTRY_BYTES_MAX;
pub use keep::{Archive, EntryTerm, Keeping, Sealing};
pub use keys::{Keys, KeysError};
pub use log::{CloseError, Log, Options, Recovered, Status};
pub use lookup::{Held, Lost, Reader};
pub use queue::{AppendError, Trouble};
pub use read::{Absence, Entries, ReadError, Record, Records, entries, records};
pub use receipt::{GROUP_ENTRIES_MAX, ReceiptError, verify_receipt};
pub use recover::OpenError;
pub use segment::{SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN};
pub use source::Source;
pub use tail::Tail;
pub use ticket::{Durable, DurableFuture, LedgerError, Ticket};
pub use tiles::{Tiles, TilesError};
pub use verify::{Removed, Unread, UnreadSegment, Verified, VerifyError, verify, verify_folder};
