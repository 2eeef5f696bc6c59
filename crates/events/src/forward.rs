//! From the ledger to the receivers: a thread for each, which follows the ledger at its own pace.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use audit::{ReadError, Tail};
use parking_lot::{Condvar, Mutex};
use thiserror::Error;

use crate::cursor::Cursor;
use crate::file::Lines;
use crate::ocsf::{Event, Source, event};
use crate::syslog::{Line, Syslog, SyslogError};

/// How often the ledger is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long to wait after the first failure, and at most.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How often a cursor is kept while nothing else asks for it.
const KEPT_EVERY: Duration = Duration::from_secs(1);

/// What events are made from, and who gets them.
pub struct Options {
    /// Where events come from.
    pub source: Source,
    /// What the ledger is read from.
    pub ledger: audit::Source,
    /// Where it is kept how far each receiver has got; made if absent.
    pub directory: PathBuf,
    /// Who gets events. Each has a name of its own.
    pub receivers: Vec<(String, Receiver)>,
    /// How many entries of the ledger are durable.
    pub durable: Arc<dyn Fn() -> u64 + Send + Sync>,
}

/// Who gets events.
#[derive(Clone, Debug)]
pub enum Receiver {
    /// A file, a JSON object a line. It may be moved away at any time.
    File(PathBuf),
    /// Syslog over TLS.
    Syslog(Syslog),
}

/// How far a receiver has got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Its name.
    pub receiver: String,
    /// Index of the first entry that was not looked at yet.
    pub next: u64,
    /// Events that were told, the repeated ones counted again.
    pub told: u64,
    /// Why it is not told more, if so.
    pub trouble: Option<String>,
}

/// Events on their way, until dropped or stopped.
pub struct Events {
    signal: Arc<Signal>,
    progress: Vec<Arc<Mutex<Progress>>>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Error)]
enum ForwardError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("entry {index} cannot be understood: {source}")]
    Entry { index: u64, source: wire::evidence::EvidenceError },
    #[error("cannot write `{}`: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Syslog(#[from] SyslogError),
}

/// Whether to stop.
#[derive(Default)]
struct Signal {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Signal {
    /// Waits; true once it is time to stop.
    fn wait(&self, pause: Duration) -> bool {
        let mut stopped = self.stopped.lock();
        if !*stopped {
            self.changed.wait_for(&mut stopped, pause);
        }
        *stopped
    }
}

impl Events {
    /// Begins to tell events, each receiver from where it left off.
    ///
    /// # Errors
    ///
    /// Fails if it cannot be read or kept how far a receiver has got.
    pub fn start(options: Options) -> io::Result<Self> {
        let Options { source, ledger, directory, receivers, durable } = options;
        fs::create_dir_all(&directory).map_err(|error| naming(&directory, error))?;
        let signal = Arc::new(Signal::default());
        let (mut progress, mut threads) = (Vec::new(), Vec::new());
        for (name, receiver) in receivers {
            let path = directory.join(format!("{name}.cursor"));
            let mut cursor =
                Cursor::open(path.clone(), &source.origin).map_err(|e| naming(&path, e))?;
            if cursor.next() > durable() {
                tracing::warn!(receiver = name, "the ledger is shorter than what was told of it");
                cursor.advance(0).map_err(|error| naming(&path, error))?;
            }
            let next = cursor.next();
            let shown = Progress { receiver: name.clone(), next, told: 0, trouble: None };
            let shown = Arc::new(Mutex::new(shown));
            progress.push(shown.clone());
            let forward = Forward {
                source: source.clone(),
                tail: Tail::new(ledger.clone(), next),
                ledger: ledger.clone(),
                durable: durable.clone(),
                cursor,
                kept: Instant::now(),
                outlet: match receiver {
                    Receiver::File(path) => Outlet::File(Lines(path)),
                    Receiver::Syslog(to) => Outlet::Syslog(Box::new(Line::new(to))),
                },
                progress: shown,
            };
            let signal = signal.clone();
            let thread = thread::Builder::new().name(format!("events-{name}"));
            threads.push(thread.spawn(move || forward.run(&signal))?);
        }
        Ok(Self { signal, progress, threads })
    }

    /// How far each receiver has got.
    pub fn progress(&self) -> Vec<Progress> {
        self.progress.iter().map(|progress| progress.lock().clone()).collect()
    }

    /// Tells what is durable by now, if the receivers take it, and ends.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        *self.signal.stopped.lock() = true;
        self.signal.changed.notify_all();
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.end();
    }
}

fn naming(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("`{}`: {error}", path.display()))
}

enum Outlet {
    File(Lines),
    Syslog(Box<Line>),
}

/// One receiver's thread.
struct Forward {
    source: Source,
    ledger: audit::Source,
    durable: Arc<dyn Fn() -> u64 + Send + Sync>,
    tail: Tail,
    cursor: Cursor,
    /// When the cursor was kept last.
    kept: Instant,
    outlet: Outlet,
    progress: Arc<Mutex<Progress>>,
}

impl Forward {
    fn run(mut self, signal: &Signal) {
        let mut pause = LOOK_EVERY;
        loop {
            let stopped = signal.wait(pause);
            let told = self.tell_all();
            let trouble = told.as_ref().err().map(ToString::to_string);
            pause = match told {
                Ok(()) => LOOK_EVERY,
                Err(_) => (pause * 2).clamp(PAUSE_MIN, PAUSE_MAX),
            };
            self.note(trouble);
            if stopped {
                break;
            }
        }
        if let Err(error) = self.keep() {
            tracing::warn!(%error, "events told last will be told again");
        }
    }

    /// Tells all that is durable now.
    fn tell_all(&mut self) -> Result<(), ForwardError> {
        if let Outlet::Syslog(line) = &mut self.outlet
            && !line.is_up()
        {
            line.connect()?;
            // What may have been lost with the connection before is told again.
            self.tail = Tail::new(self.ledger.clone(), self.cursor.next());
        }
        let durable = (self.durable)();
        while self.tail.next() < durable && self.room() > 0 {
            let entries = self.tail.read(durable)?;
            let mut events = Vec::new();
            for (index, bytes) in &entries {
                if wire::evidence::is_of_a_call(bytes) {
                    continue;
                }
                if events.len() == self.room() {
                    // This one and what follows it come later.
                    self.tail = Tail::new(self.ledger.clone(), *index);
                    break;
                }
                let entry = wire::evidence::decode_entry(bytes);
                let entry =
                    entry.map_err(|source| ForwardError::Entry { index: *index, source })?;
                events.extend(event(&self.source, *index, &entry));
            }
            self.tell(&events)?;
        }
        self.settle()
    }

    /// How many events the receiver takes now.
    fn room(&self) -> usize {
        match &self.outlet {
            Outlet::File(_) => usize::MAX,
            Outlet::Syslog(line) => line.room(),
        }
    }

    fn tell(&mut self, events: &[Event]) -> Result<(), ForwardError> {
        let next = self.tail.next();
        let told = match &mut self.outlet {
            Outlet::File(lines) => {
                let texts: Vec<String> = events.iter().map(|it| it.body.to_string()).collect();
                let added = lines.add(&texts);
                added.map_err(|source| ForwardError::Write { path: lines.0.clone(), source })
            }
            Outlet::Syslog(line) => line.tell(events, next).map_err(ForwardError::from),
        };
        if told.is_err() {
            // The same events come again.
            self.tail = Tail::new(self.ledger.clone(), self.cursor.next());
        }
        told?;
        let mut progress = self.progress.lock();
        progress.next = next;
        progress.told += events.len() as u64;
        Ok(())
    }

    /// Keeps how far the receiver has got, now and then.
    fn settle(&mut self) -> Result<(), ForwardError> {
        if self.kept.elapsed() < KEPT_EVERY {
            return Ok(());
        }
        self.kept = Instant::now();
        self.keep()
    }

    fn keep(&mut self) -> Result<(), ForwardError> {
        let next = match &mut self.outlet {
            Outlet::File(_) => Some(self.tail.next()),
            Outlet::Syslog(line) => line.settled()?,
        };
        let Some(next) = next else { return Ok(()) };
        let kept = self.cursor.advance(next);
        let path = || self.cursor.path().to_owned();
        kept.map_err(|source| ForwardError::Write { path: path(), source })
    }

    /// Shows trouble, and says so when it begins, changes and ends.
    fn note(&self, trouble: Option<String>) {
        let mut progress = self.progress.lock();
        if progress.trouble == trouble {
            return;
        }
        let receiver = &progress.receiver;
        match &trouble {
            Some(error) => tracing::warn!(receiver, %error, "events wait"),
            None => tracing::info!(receiver, "events go on"),
        }
        progress.trouble = trouble;
    }
}
