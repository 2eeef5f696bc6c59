//! Connections to nodes: kept open, shared by many calls, replaced when they end.
//!
//! Each worker has its own, so that a call never crosses threads. A connection is made by a task
//! of its own: callers wait for whichever endpoint is ready first, and a caller that goes away
//! stops nothing.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use model::{NodeId, Reason, Refusal};
use parking_lot::Mutex;
use policy::Snapshot;
use policy::source::{Endpoint, Node};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use crate::budget::Budget;
use crate::connection::SMALL_FRAMES_BUDGET;
use crate::pump::Stalls;
use crate::settings::{Identity, Limits};
use crate::{tcp, tls};

/// Calls at once on one connection. With the windows below, calls whose consumers do not read
/// cannot use up what the others on the connection need.
const CALLS_PER_CONNECTION_MAX: usize = 128;
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
const CONNECTION_WINDOW_BYTES: u32 = STREAM_WINDOW_BYTES * CALLS_PER_CONNECTION_MAX as u32;
/// Calls at once until the node has said how many it takes.
const FIRST_CALLS_MAX: usize = 100;
/// How long an endpoint that could not be reached is left alone.
pub(crate) const LEAVE_ALONE: Duration = Duration::from_millis(500);
/// What a caller is told to wait when all connections are full.
const FULL_WAIT: Duration = Duration::from_millis(100);

/// One worker's connections to all nodes.
pub(crate) struct Upstreams {
    identity: Identity,
    limits: Limits,
    workers: usize,
    nodes: RefCell<HashMap<NodeId, Arc<Pool>>>,
}

/// Connections to one node, valid as long as the node is reached in the same way.
pub(crate) struct Pool {
    node: NodeId,
    server_name: Option<String>,
    authorities: Arc<[Vec<u8>]>,
    tls: TlsConnector,
    limits: Limits,
    next: AtomicUsize,
    endpoints: Vec<EndpointPool>,
    /// Counts attempts that have ended, well or not.
    attempts: watch::Sender<u64>,
    /// How many calls may be sent again.
    pub(crate) retries: Mutex<Budget>,
}

struct EndpointPool {
    endpoint: Endpoint,
    open: Mutex<Vec<Connection>>,
    attempt: Mutex<Attempt>,
}

/// Where an endpoint's next connection stands.
enum Attempt {
    None,
    Running,
    Failed { at: Instant, cause: String },
}

/// What may come of an endpoint that has no room now.
enum Outlook {
    Connecting,
    Full,
    Failed(String),
}

/// An open connection with room for a call.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) requests: SendRequest<Bytes>,
    pub(crate) authority: Arc<str>,
    /// Which of the node's endpoints it leads to.
    pub(crate) endpoint: usize,
    /// Lives as long as a handle of the connection does; its count tells the calls in flight.
    load: Arc<()>,
    /// Requests that the node does not take at the moment. It may have one window for all calls
    /// of a connection, so new calls go elsewhere meanwhile.
    pub(crate) stalls: Stalls,
    ended: Arc<AtomicBool>,
}

impl Upstreams {
    /// Connections for one of so many workers.
    pub(crate) fn new(identity: Identity, limits: Limits, workers: usize) -> Self {
        Self { identity, limits, workers, nodes: RefCell::default() }
    }

    /// Lets go of nodes that `snapshot` no longer has, or reaches differently. Calls under way
    /// keep their connections.
    pub(crate) fn sweep(&self, snapshot: &Snapshot) {
        let leads = |pool: &Pool| snapshot.nodes().iter().any(|node| pool.leads_to(node));
        self.nodes.borrow_mut().retain(|_, pool| leads(pool));
    }

    /// The connections to `node`.
    ///
    /// # Errors
    ///
    /// Refuses when the node's authorities are of no use.
    pub(crate) fn pool(&self, node: &Node) -> Result<Arc<Pool>, Refusal> {
        let mut nodes = self.nodes.borrow_mut();
        if let Some(pool) = nodes.get(&node.id).filter(|pool| pool.leads_to(node)) {
            return Ok(pool.clone());
        }
        let tls = tls::client(&self.identity, &node.authorities).map_err(|error| {
            Refusal::new(Reason::UpstreamUnreachable).because(format!("{error:?}"))
        })?;
        let pool = Arc::new(Pool::new(node, tls.into(), self.limits.clone(), self.workers));
        nodes.insert(node.id.clone(), pool.clone());
        Ok(pool)
    }
}

/// Refuses unless some endpoint may yet become ready.
fn wait_worthwhile(node: &NodeId, outlooks: Vec<(&Endpoint, Outlook)>) -> Result<(), Refusal> {
    if outlooks.iter().any(|(_, outlook)| matches!(outlook, Outlook::Connecting)) {
        return Ok(());
    }
    if outlooks.iter().any(|(_, outlook)| matches!(outlook, Outlook::Full)) {
        let full = Refusal::new(Reason::Overloaded).with("node", node);
        return Err(full.retry_after(FULL_WAIT));
    }
    let causes: Vec<String> = outlooks
        .into_iter()
        .filter_map(|(endpoint, outlook)| match outlook {
            Outlook::Failed(cause) => Some(format!("{endpoint}: {cause}")),
            Outlook::Connecting | Outlook::Full => None,
        })
        .collect();
    let refusal = Refusal::new(Reason::UpstreamUnreachable).with("node", node);
    Err(refusal.because(causes.join("; ")))
}

impl Pool {
    fn new(node: &Node, tls: TlsConnector, limits: Limits, workers: usize) -> Self {
        let endpoint = |endpoint: &Endpoint| EndpointPool {
            endpoint: endpoint.clone(),
            open: Mutex::default(),
            attempt: Mutex::new(Attempt::None),
        };
        let endpoints = node.endpoints.iter().map(endpoint).collect();
        Self {
            node: node.id.clone(),
            server_name: node.server_name.clone(),
            authorities: node.authorities.clone(),
            tls,
            limits,
            next: AtomicUsize::new(0),
            endpoints,
            attempts: watch::Sender::new(0),
            retries: Mutex::new(Budget::new(workers, Instant::now())),
        }
    }

    /// Whether these are connections to `node` as it is described now.
    fn leads_to(&self, node: &Node) -> bool {
        let vouched = || Arc::ptr_eq(&self.authorities, &node.authorities);
        self.node == node.id
            && self.endpoints.iter().map(|pool| &pool.endpoint).eq(&node.endpoints)
            && self.server_name == node.server_name
            && (vouched() || self.authorities == node.authorities)
    }

    /// A connection with room for one more call, to the endpoint `last` only if no other can be
    /// reached.
    ///
    /// # Errors
    ///
    /// Refuses when no endpoint of the node can be reached, or all connections are full.
    pub(crate) async fn checkout(
        self: &Arc<Self>,
        last: Option<usize>,
    ) -> Result<Connection, Refusal> {
        let mut attempts = self.attempts.subscribe();
        loop {
            attempts.borrow_and_update();
            match self.take(last) {
                Ok(connection) => return Ok(connection),
                Err(outlooks) => wait_worthwhile(&self.node, outlooks)?,
            }
            // The pool holds the sender, so this ends only with an attempt.
            drop(attempts.changed().await);
        }
    }

    /// A connection of the endpoint whose turn it is, or of one after it; endpoints without
    /// room on the way begin to connect.
    fn take(
        self: &Arc<Self>,
        last: Option<usize>,
    ) -> Result<Connection, Vec<(&Endpoint, Outlook)>> {
        let count = self.endpoints.len();
        // A call that is sent again takes nobody's turn.
        let start = match last {
            None => self.next.fetch_add(1, Ordering::Relaxed),
            Some(last) => last + 1,
        };
        let mut outlooks = Vec::new();
        let turns = (0..count).map(|turn| start.wrapping_add(turn) % count);
        for at in turns.filter(|at| Some(*at) != last).chain(last) {
            let Some(endpoint) = self.endpoints.get(at) else { continue };
            let connecting = |(_, outlook): &(_, Outlook)| matches!(outlook, Outlook::Connecting);
            if Some(at) == last && outlooks.iter().any(connecting) {
                break;
            }
            match endpoint.with_room(self.limits.upstream_connections_max) {
                Some(connection) => return Ok(connection),
                None => outlooks.push((&endpoint.endpoint, self.begin(at, endpoint))),
            }
        }
        Err(outlooks)
    }

    /// Begins to connect to `endpoint`, unless that is under way, was in vain just now, or there
    /// are connections enough.
    fn begin(self: &Arc<Self>, at: usize, endpoint: &EndpointPool) -> Outlook {
        if endpoint.open.lock().len() >= self.limits.upstream_connections_max {
            return Outlook::Full;
        }
        let mut attempt = endpoint.attempt.lock();
        match &*attempt {
            Attempt::Running => return Outlook::Connecting,
            Attempt::Failed { at, cause } if at.elapsed() < LEAVE_ALONE => {
                return Outlook::Failed(cause.clone());
            }
            Attempt::None | Attempt::Failed { .. } => {}
        }
        *attempt = Attempt::Running;
        let pool = self.clone();
        tokio::spawn(async move {
            if let Some(endpoint) = pool.endpoints.get(at) {
                let connected = pool.connect(at, &endpoint.endpoint).await;
                endpoint.settle(connected);
            }
            pool.attempts.send_modify(|count| *count += 1);
        });
        Outlook::Connecting
    }

    async fn connect(&self, at: usize, endpoint: &Endpoint) -> Result<Connection, String> {
        let host = self.server_name.as_ref().unwrap_or(&endpoint.host);
        let name = ServerName::try_from(host.clone())
            .map_err(|_| format!("`{host}` is not a server name"))?;
        let within = self.limits.connect_time_max;
        let opening = open(endpoint, name, &self.tls, self.limits.header_bytes_max);
        let (requests, driver) = timeout(within, opening)
            .await
            .map_err(|_| format!("no connection within {within:?}"))??;
        let authority: Arc<str> = endpoint.to_string().into();
        let ended = Arc::new(AtomicBool::new(false));
        let (label, on_end) = (authority.clone(), ended.clone());
        tokio::spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(endpoint = %label, %error, "upstream connection ended");
            }
            on_end.store(true, Ordering::Relaxed);
        });
        Ok(Connection {
            requests,
            authority,
            endpoint: at,
            load: Arc::default(),
            stalls: Stalls::default(),
            ended,
        })
    }
}

async fn open(
    endpoint: &Endpoint,
    name: ServerName<'static>,
    tls: &TlsConnector,
    header_bytes_max: u32,
) -> Result<(SendRequest<Bytes>, impl Future<Output = Result<(), h2::Error>> + use<>), String> {
    let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await;
    let stream = stream.map_err(|error| error.to_string())?;
    tcp::tune(&stream).map_err(|error| error.to_string())?;
    let stream = tls.connect(name, stream).await.map_err(|error| format!("TLS: {error}"))?;
    h2::client::Builder::new()
        .enable_push(false)
        .data_frame_budget(SMALL_FRAMES_BUDGET)
        .initial_max_send_streams(FIRST_CALLS_MAX)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(header_bytes_max)
        .handshake(stream)
        .await
        .map_err(|error| format!("HTTP/2: {error}"))
}

impl EndpointPool {
    fn settle(&self, connected: Result<Connection, String>) {
        *self.attempt.lock() = match connected {
            Ok(connection) => {
                self.open.lock().push(connection);
                Attempt::None
            }
            Err(cause) => Attempt::Failed { at: Instant::now(), cause },
        };
    }

    /// A connection with room for a call, best one on which nothing stands still; where there may
    /// be another connection, only such a one. Forgets those that take no call any more.
    fn with_room(&self, connections_max: usize) -> Option<Connection> {
        let mut open = self.open.lock();
        open.retain_mut(Connection::is_open);
        let roomy = || open.iter().filter(|connection| connection.has_room());
        let best = roomy().find(|connection| !connection.stalls.any());
        let any = || roomy().next().filter(|_| open.len() >= connections_max);
        best.or_else(any).cloned()
    }
}

impl Connection {
    /// Whether the connection still takes calls; after GOAWAY it only finishes those it has.
    fn is_open(&mut self) -> bool {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        let refused = matches!(self.requests.poll_ready(&mut cx), std::task::Poll::Ready(Err(_)));
        !refused && !self.ended.load(Ordering::Relaxed)
    }

    /// Calls in flight: every handle but the pool's own.
    fn calls(&self) -> usize {
        Arc::strong_count(&self.load).saturating_sub(1)
    }

    fn has_room(&self) -> bool {
        let most = self.requests.current_max_send_streams().min(CALLS_PER_CONNECTION_MAX);
        self.calls() < most
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({}, {} calls)", self.authority, self.calls())
    }
}
