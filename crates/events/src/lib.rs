//! Security events: what a security operations centre should know, as OCSF in JSON, by syslog over
//! TLS and to a file.
//!
//! Events are made from the ledger's entries once they are durable: refusals, troubles with
//! certificates, quotas, what operators did, who read the ledger. So none is lost while the
//! gateway or the receiver is down, and none can be left out without showing in the ledger. Every
//! event is told at least once; `metadata.uid` tells which are the same.

mod cursor;
mod file;
mod forward;
mod ocsf;
mod syslog;

pub use forward::{Events, Options, Progress, Receiver};
pub use ocsf::{Event, Severity, Source, event};
pub use syslog::{SETTLED_AFTER, Syslog, SyslogError};
