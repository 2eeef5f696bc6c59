//! The running gateway: its workers, what they share, and how it stops.

use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use audit::Log;
use model::{Clock, Entry, ExchangeId, Reason, Refused, Timestamp};
use parking_lot::Mutex;
use policy::Workspace;
use rustls::crypto::SecureRandom;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::runtime::LocalOptions;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::bearer::Tokens;
use crate::evidence;
use crate::listener;
use crate::live::Live;
use crate::meter::Salt;
use crate::persons::Persons;
use crate::quota::Quotas;
use crate::ruling::{Erring, Told};
use crate::settings::{Limits, Settings};
use crate::tls::{self, TlsError};
use crate::upstream::Upstreams;

/// Refusals of strangers recorded one by one, per second; further ones are counted.
const STRANGERS_PER_SECOND: u32 = 20;
/// How often a drain looks whether the last call has ended.
const DRAIN_LOOK_EVERY: Duration = Duration::from_millis(10);
/// How long cut calls have to write their last entries.
const CUT_TIME: Duration = Duration::from_secs(1);

/// Why the gateway cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The listening address cannot be used.
    #[error("listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// The TLS settings cannot be used.
    #[error("TLS towards consumers")]
    Tls(#[from] TlsError),
    /// A worker thread cannot be started.
    #[error("start a worker")]
    Worker(#[source] io::Error),
}

/// A running gateway. Dropping it cuts the calls in flight; [`Gateway::drain`] lets them finish.
pub struct Gateway {
    shared: Arc<Shared>,
    address: SocketAddr,
    workers: Mutex<Vec<JoinHandle<()>>>,
}

/// What all workers share.
pub(crate) struct Shared {
    pub(crate) live: Arc<Live>,
    pub(crate) ledger: Arc<Log>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: Limits,
    pub(crate) quotas: Quotas,
    pub(crate) persons: Persons,
    /// Bytes of messages that are being gathered.
    pub(crate) gathered: Arc<AtomicUsize>,
    pub(crate) ids: Ids,
    pub(crate) connections: Arc<AtomicUsize>,
    pub(crate) calls_in_flight: Arc<AtomicUsize>,
    pub(crate) phase: watch::Sender<Phase>,
    pub(crate) refusals: Mutex<RefusalBudget>,
    pub(crate) erring: Told,
}

/// One thread's own part, which no other uses.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) tls: TlsAcceptor,
    pub(crate) upstreams: Upstreams,
    pub(crate) workspace: RefCell<Workspace>,
    /// For reading messages.
    pub(crate) messages: Rc<RefCell<mask::Workspace>>,
    pub(crate) tokens: RefCell<Tokens>,
    pub(crate) erring: RefCell<Erring>,
    /// Copies of calls in flight.
    pub(crate) shadows: Arc<AtomicUsize>,
}

/// Where the gateway stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Serving,
    /// No new connections or calls; calls in flight go on.
    Draining,
    /// Calls still in flight are cut.
    Over,
}

impl Phase {
    pub(crate) fn is_draining(self) -> bool {
        self >= Self::Draining
    }

    pub(crate) fn is_over(self) -> bool {
        self == Self::Over
    }
}

impl Gateway {
    /// Starts listening and serving `live` with `ledger` as the only evidence.
    ///
    /// # Errors
    ///
    /// Fails if the address is taken, the TLS settings do not fit, or no thread can be started.
    pub fn start(
        settings: Settings,
        live: Arc<Live>,
        ledger: Arc<Log>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StartError> {
        let tls = TlsAcceptor::from(tls::server(&settings)?);
        let shared = Arc::new(Shared {
            live,
            ledger,
            clock,
            limits: settings.limits.clone(),
            quotas: Quotas::default(),
            persons: Persons::new(settings.pseudonyms.clone()),
            gathered: Arc::default(),
            ids: Ids::default(),
            connections: Arc::default(),
            calls_in_flight: Arc::default(),
            phase: watch::Sender::new(Phase::Serving),
            refusals: Mutex::default(),
            erring: Told::default(),
        });
        let mut gateway = Self { shared, address: settings.listen, workers: Mutex::default() };
        let address = settings.listen;
        let listen = |error| StartError::Listen { address, error };
        listener::is_free(address).map_err(listen)?;
        let workers = settings.workers.max(1);
        for number in 0..workers {
            let address = gateway.address;
            let listener = listener::bind(address).map_err(listen)?;
            // Port 0 is resolved by the first worker; the others share what it got.
            gateway.address = listener.local_addr().map_err(listen)?;
            let (shared, tls) = (gateway.shared.clone(), tls.clone());
            let (identity, limits) = (settings.upstream.clone(), settings.limits.clone());
            let upstreams = Upstreams::new(identity, limits, workers);
            let worker = move || Worker::new(shared, tls, upstreams);
            let thread = spawn(number, worker, listener).map_err(StartError::Worker)?;
            gateway.workers.get_mut().push(thread);
        }
        Ok(gateway)
    }

    /// Where consumers connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Calls in flight now.
    pub fn calls_in_flight(&self) -> usize {
        self.shared.calls_in_flight.load(Ordering::Relaxed)
    }

    /// Connections from consumers now.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Whether the gateway takes calls: it is not draining and its ledger can write.
    pub fn is_serving(&self) -> bool {
        self.shared.is_serving()
    }

    /// Takes no new connections or calls, lets those in flight finish within their time, then
    /// ends the workers. Blocks.
    pub fn drain(&self) {
        self.shared.phase.send_replace(Phase::Draining);
        let looks = self.shared.limits.drain_time_max.as_micros() / DRAIN_LOOK_EVERY.as_micros();
        for _ in 0..looks {
            if self.workers.lock().iter().all(JoinHandle::is_finished) {
                break;
            }
            std::thread::sleep(DRAIN_LOOK_EVERY);
        }
        self.end();
    }

    fn end(&self) {
        self.shared.phase.send_replace(Phase::Over);
        for worker in self.workers.lock().drain(..) {
            if worker.join().is_err() {
                tracing::error!("a worker panicked");
            }
        }
        self.shared.flush_refusals();
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.end();
    }
}

/// Runs a worker on a thread and a runtime of its own.
fn spawn(
    number: usize,
    worker: impl FnOnce() -> Worker + Send + 'static,
    listener: std::net::TcpListener,
) -> io::Result<JoinHandle<()>> {
    let (report, started) = std::sync::mpsc::sync_channel(1);
    let name = format!("worker-{number}");
    let thread = std::thread::Builder::new().name(name).spawn(move || {
        // What it runs never leaves the thread, so calls share the worker without locks.
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let (runtime, begun) = match runtime.enable_all().build_local(LocalOptions::default()) {
            Ok(runtime) => (Some(runtime), Ok(())),
            Err(error) => (None, Err(error)),
        };
        // Whoever starts the gateway waits for this.
        drop(report.send(begun));
        let Some(runtime) = runtime else { return };
        let worker = Rc::new(worker());
        runtime.block_on(async {
            match TcpListener::from_std(listener) {
                Ok(listener) => listener::accept(worker.clone(), listener).await,
                Err(error) => tracing::error!(%error, "listener lost"),
            }
            worker.finish().await;
        });
        // Connections that are still open are dropped here, and with them calls that did not
        // even write their last entry in time; their accounts do it as they are dropped.
        runtime.shutdown_timeout(CUT_TIME);
    })?;
    started.recv().map_err(io::Error::other)??;
    Ok(thread)
}

impl Worker {
    fn new(shared: Arc<Shared>, tls: TlsAcceptor, upstreams: Upstreams) -> Self {
        Self {
            shared,
            tls,
            upstreams,
            workspace: RefCell::default(),
            messages: Rc::default(),
            tokens: RefCell::default(),
            erring: RefCell::default(),
            shadows: Arc::default(),
        }
    }

    /// Waits until no connection is left, or the drain is over and the cut calls have had their
    /// time to say so.
    async fn finish(&self) {
        let mut phase = self.shared.phase.subscribe();
        let no_connection = async {
            while self.shared.connections.load(Ordering::Relaxed) > 0 {
                tokio::time::sleep(DRAIN_LOOK_EVERY).await;
            }
        };
        let out_of_time = async {
            // The sender lives as long as `self.shared`, so this waits for the phase alone.
            drop(phase.wait_for(|phase| phase.is_over()).await);
            tokio::time::sleep(CUT_TIME).await;
        };
        tokio::select! {
            () = no_connection => {}
            () = out_of_time => {}
        }
    }
}

impl Shared {
    pub(crate) fn is_serving(&self) -> bool {
        *self.phase.borrow() == Phase::Serving && self.ledger.status().trouble.is_none()
    }

    /// Records a connection that did not get as far as a call.
    pub(crate) fn refuse_connection(&self, source: IpAddr, reason: Reason, cause: &str) {
        tracing::debug!(%source, reason = reason.name(), cause, "connection refused");
        metrics::counter!("gw_connections_refused_total", "reason" => reason.name()).increment(1);
        let time = self.clock.now();
        let mut refused = Refused {
            exchange: self.ids.next(time),
            time,
            reason,
            certificate: None,
            system: None,
            member: None,
            method: None,
            agreement: None,
            purpose: None,
            dossier: None,
            procedure: None,
            revision: self.live.snapshot().revision(),
            source: source.to_canonical(),
            suppressed: 0,
        };
        if let Some(suppressed) = self.refusals.lock().take(time, &refused) {
            refused.suppressed = suppressed;
            evidence::note(&self.ledger, &Entry::Refused(refused));
        }
    }

    /// Records the last of the strangers that were only counted.
    pub(crate) fn flush_refusals(&self) {
        if let Some(last) = self.refusals.lock().flush() {
            evidence::note(&self.ledger, &Entry::Refused(last));
        }
    }
}

/// Keeps strangers, whose connections or calls are refused before it is known which system they
/// are, from filling the ledger.
#[derive(Debug, Default)]
pub(crate) struct RefusalBudget {
    second: u64,
    recorded: u32,
    suppressed: u64,
    /// The latest that was not recorded.
    last: Option<Refused>,
}

impl RefusalBudget {
    /// Takes one entry from the budget and returns how many were suppressed since the last one;
    /// `None` if this second's budget is used up.
    pub(crate) fn take(&mut self, now: Timestamp, refused: &Refused) -> Option<u64> {
        let second = now.as_micros() / 1_000_000;
        if second != self.second {
            (self.second, self.recorded) = (second, 0);
        }
        if self.recorded >= STRANGERS_PER_SECOND {
            self.suppressed += 1;
            self.last = Some(refused.clone());
            return None;
        }
        self.recorded += 1;
        self.last = None;
        Some(std::mem::take(&mut self.suppressed))
    }

    /// The latest that was not recorded, with the number of those before it.
    fn flush(&mut self) -> Option<Refused> {
        let last = self.last.take()?;
        let suppressed = std::mem::take(&mut self.suppressed).saturating_sub(1);
        Some(Refused { suppressed, ..last })
    }
}

/// Makes exchange ids, which are unique and not secret, and salts, which are secret.
#[derive(Debug)]
pub(crate) struct Ids {
    /// Its keys come from the system.
    keys: [RandomState; 2],
    made: AtomicU64,
    random: &'static dyn SecureRandom,
}

impl Default for Ids {
    fn default() -> Self {
        let random = rustls::crypto::aws_lc_rs::default_provider().secure_random;
        Self { keys: Default::default(), made: AtomicU64::new(0), random }
    }
}

impl Ids {
    /// A new salt. Without randomness TLS fails too, and there is no call to need one.
    pub(crate) fn salt(&self) -> Salt {
        let mut salt = Salt::default();
        if self.random.fill(&mut salt.0).is_err() {
            tracing::error!("the system gives no randomness");
        }
        salt
    }

    pub(crate) fn next(&self, time: Timestamp) -> ExchangeId {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let [first, second] = &self.keys;
        let [a, b, c, d, e, f, g, h] = first.hash_one(number).to_be_bytes();
        let [i, j, ..] = second.hash_one(number).to_be_bytes();
        ExchangeId::new(time, [a, b, c, d, e, f, g, h, i, j])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn exchange_ids_do_not_repeat() {
        let (ids, time) = (Ids::default(), Timestamp::from_secs(1));
        let made: HashSet<_> = (0..10_000).map(|_| ids.next(time)).collect();
        assert_eq!(made.len(), 10_000);
    }

    #[test]
    fn strangers_are_recorded_within_a_budget_and_counted_beyond() {
        let refused = |id: u8| Refused {
            exchange: ExchangeId::from_bytes([id; 16]),
            time: Timestamp::from_secs(7),
            reason: Reason::HandshakeFailed,
            certificate: None,
            system: None,
            member: None,
            method: None,
            agreement: None,
            purpose: None,
            dossier: None,
            procedure: None,
            revision: Default::default(),
            source: IpAddr::from([192, 0, 2, 1]),
            suppressed: 0,
        };
        let mut budget = RefusalBudget::default();
        let (first, next) = (Timestamp::from_secs(7), Timestamp::from_secs(8));
        let recorded = (0..50).filter(|id| budget.take(first, &refused(*id)).is_some()).count();
        assert_eq!(recorded, STRANGERS_PER_SECOND as usize);
        assert_eq!(budget.take(next, &refused(50)), Some(30));
        assert_eq!(budget.take(next, &refused(51)), Some(0));
        assert_eq!(budget.flush(), None);
        assert_eq!((52..80).filter_map(|id| budget.take(next, &refused(id))).count(), 18);
        let last = budget.flush().unwrap();
        assert_eq!((last.exchange, last.suppressed), (refused(79).exchange, 9));
    }
}
