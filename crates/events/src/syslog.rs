//! Syslog (RFC 5424) over TLS (RFC 5425): how a message is written, and the connection.
//!
//! Syslog has no acknowledgement. A message counts as told once the connection it went over has
//! held for some seconds longer than TCP waits for the other machine to take it; what was sent
//! later is sent again over the next connection. After one broke, few are sent at first, so that a
//! receiver that breaks down under many gets on all the same.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::Timestamp;
use rustls::pki_types::{InvalidDnsNameError, ServerName};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use socket2::SockRef;
use thiserror::Error;

use crate::ocsf::{Event, Severity};

/// Log audit, among the facilities of RFC 5424.
const FACILITY: u32 = 13;
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
const WRITE_TIME_MAX: Duration = Duration::from_secs(10);
/// How long is listened for a word of the receiver, which mostly says nothing.
const LISTEN_TIME: Duration = Duration::from_millis(1);
/// How long TCP waits for the other machine to take what was sent.
const TAKEN_TIME_MAX: Duration = Duration::from_secs(8);
/// How long a connection must hold after a message, by default.
pub const SETTLED_AFTER: Duration = Duration::from_secs(10);

/// Why a receiver could not be told.
#[derive(Debug, Error)]
pub enum SyslogError {
    /// It could not be reached.
    #[error("cannot connect to `{address}`: {source}")]
    Connect {
        /// Its address.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// TLS could not be set up.
    #[error("TLS with `{address}`: {source}")]
    Tls {
        /// Its address.
        address: String,
        /// Why.
        source: rustls::Error,
    },
    /// The name to verify is no name.
    #[error(transparent)]
    Name(#[from] InvalidDnsNameError),
    /// The connection broke.
    #[error("connection to `{address}` broke: {source}")]
    Broken {
        /// Its address.
        address: String,
        /// Why.
        source: io::Error,
    },
}

/// A receiver of syslog over TLS.
#[derive(Clone, Debug)]
pub struct Syslog {
    /// Host and port, as `soc.example.vn:6514`.
    pub address: String,
    /// The name that the receiver's certificate must have.
    pub server_name: String,
    /// Whom the receiver's certificate must be vouched for by, and what is shown to it.
    pub tls: Arc<ClientConfig>,
    /// This machine's name in messages.
    pub host: String,
    /// How long a connection must hold after a message for it to count as told.
    pub settled_after: Duration,
}

/// The connection to a receiver, while there is one.
#[derive(Debug)]
pub(crate) struct Line {
    to: Syslog,
    connection: Option<Connection>,
    /// Events that may be on their way at once.
    window: usize,
}

#[derive(Debug)]
struct Connection {
    stream: StreamOwned<ClientConnection, TcpStream>,
    /// What was sent and may yet be lost.
    unsettled: VecDeque<Sent>,
}

#[derive(Debug)]
struct Sent {
    /// Index of the entry after it.
    next: u64,
    events: usize,
    at: Instant,
}

impl Line {
    pub(crate) fn new(to: Syslog) -> Self {
        Self { to, connection: None, window: usize::MAX }
    }

    /// Whether there is a connection, as far as is known.
    pub(crate) fn is_up(&self) -> bool {
        self.connection.is_some()
    }

    /// Makes sure that there is a connection.
    pub(crate) fn connect(&mut self) -> Result<(), SyslogError> {
        if self.connection.is_none() {
            let stream = self.to.connect()?;
            self.connection = Some(Connection { stream, unsettled: VecDeque::new() });
        }
        Ok(())
    }

    /// How many events may be sent now.
    pub(crate) fn room(&self) -> usize {
        let sent = self.connection.as_ref().map_or(0, Connection::sent);
        self.window.saturating_sub(sent)
    }

    /// Sends events, once connected; `next` is the index of the entry after them.
    pub(crate) fn tell(&mut self, events: &[Event], next: u64) -> Result<(), SyslogError> {
        let messages: Vec<String> = events.iter().map(|event| self.to.message(event)).collect();
        self.connect()?;
        let Some(connection) = &mut self.connection else { return Ok(()) };
        let sent = connection.send(&messages, next);
        self.checked(sent)
    }

    /// The index after all that can be taken for told. Fails if the receiver has hung up.
    pub(crate) fn settled(&mut self) -> Result<Option<u64>, SyslogError> {
        let Some(connection) = &mut self.connection else { return Ok(None) };
        let settled = connection.settled(self.to.settled_after);
        if let Ok(Some(_)) = settled {
            self.window = self.window.saturating_mul(2);
        }
        self.checked(settled)
    }

    fn checked<T>(&mut self, result: io::Result<T>) -> Result<T, SyslogError> {
        result.map_err(|source| {
            let sent = self.connection.take().map_or(0, |connection| connection.sent());
            self.window = (sent / 2).max(1);
            SyslogError::Broken { address: self.to.address.clone(), source }
        })
    }
}

impl Syslog {
    fn connect(&self) -> Result<StreamOwned<ClientConnection, TcpStream>, SyslogError> {
        let unreachable = |source| SyslogError::Connect { address: self.address.clone(), source };
        let tcp = self.reach().map_err(unreachable)?;
        let name = ServerName::try_from(self.server_name.clone())?;
        let tls = ClientConnection::new(self.tls.clone(), name);
        let tls =
            tls.map_err(|source| SyslogError::Tls { address: self.address.clone(), source })?;
        let mut stream = StreamOwned::new(tls, tcp);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).map_err(unreachable)?;
        }
        stream.sock.set_read_timeout(Some(LISTEN_TIME)).map_err(unreachable)?;
        Ok(stream)
    }

    fn reach(&self) -> io::Result<TcpStream> {
        let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in self.address.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, CONNECT_TIME_MAX) {
                Ok(stream) => {
                    SockRef::from(&stream).set_tcp_user_timeout(Some(TAKEN_TIME_MAX))?;
                    stream.set_write_timeout(Some(WRITE_TIME_MAX))?;
                    stream.set_read_timeout(Some(WRITE_TIME_MAX))?;
                    return Ok(stream);
                }
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// An event as a message.
    pub(crate) fn message(&self, event: &Event) -> String {
        let severity = match event.severity {
            Severity::Informational => 6,
            Severity::Low => 5,
            Severity::Medium => 4,
            Severity::High => 3,
        };
        let (priority, time) = (FACILITY * 8 + severity, moment(event.time));
        let (host, process) = (&self.host, std::process::id());
        let mut message =
            format!("<{priority}>1 {time} {host} giaolien {process} {} - ", event.kind);
        message.push_str(&ascii(&event.body.to_string()));
        message
    }
}

impl Connection {
    fn send(&mut self, messages: &[String], next: u64) -> io::Result<()> {
        for message in messages {
            // The length in bytes, as RFC 5425 frames messages.
            write!(self.stream, "{} {message}", message.len())?;
        }
        self.stream.flush()?;
        let (events, at) = (messages.len(), Instant::now());
        self.unsettled.push_back(Sent { next, events, at });
        Ok(())
    }

    /// Events that may yet be lost.
    fn sent(&self) -> usize {
        self.unsettled.iter().map(|sent| sent.events).sum()
    }

    fn settled(&mut self, after: Duration) -> io::Result<Option<u64>> {
        let mut said = [0; 64];
        match self.stream.read(&mut said) {
            Ok(0) => return Err(io::ErrorKind::ConnectionAborted.into()),
            // Nothing that a receiver of syslog says means anything.
            Ok(_) => {}
            Err(error) if is_silence(&error) => {}
            Err(error) => return Err(error),
        }
        let mut settled = None;
        while let Some(sent) = self.unsettled.pop_front_if(|sent| sent.at.elapsed() >= after) {
            settled = Some(sent.next);
        }
        Ok(settled)
    }
}

fn is_silence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// RFC 3339 in UTC, to the microsecond.
fn moment(time: Timestamp) -> String {
    let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    // A dash is what RFC 5424 has for no time.
    jiff::Timestamp::from_microsecond(micros).map_or("-".into(), |time| format!("{time:.6}"))
}

/// JSON with all but ASCII escaped: then there is no question of its encoding.
fn ascii(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_ascii() {
            escaped.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            // Writing to a string never fails.
            let _ = write!(escaped, "\\u{unit:04x}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

    use super::*;

    #[test]
    fn all_but_ascii_is_escaped_and_reads_the_same() {
        let json = serde_json::json!({ "vendor": "Giao Liên", "other": "𝄞\n" });
        let escaped = ascii(&json.to_string());
        assert!(escaped.is_ascii(), "{escaped}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped).unwrap(), json);
    }

    #[test]
    fn moments_are_to_the_microsecond() {
        let time = Timestamp::from_micros(1_795_000_000_000_001);
        assert_eq!(moment(time), "2026-11-18T11:06:40.000001Z");
    }
}
