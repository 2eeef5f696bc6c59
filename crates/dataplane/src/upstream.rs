//! Connections to nodes: kept open, shared by many calls, replaced when they end.
//!
//! Each worker has its own, so that a call never crosses threads.

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
use policy::source::{Endpoint, Node};
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::settings::{Identity, Limits};
use crate::tls;

/// Flow-control windows towards nodes. Small ones make `h2` treat a node that sends many small
/// frames as an attacker.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// A silent peer is probed after this long, so that a half-open connection is noticed.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(30);

/// One worker's connections to all nodes.
pub(crate) struct Upstreams {
    identity: Identity,
    limits: Limits,
    nodes: Mutex<HashMap<NodeId, Arc<Pool>>>,
}

/// Connections to one node, valid as long as the node is described in the same way.
struct Pool {
    node: Node,
    tls: TlsConnector,
    next: AtomicUsize,
    endpoints: Vec<EndpointPool>,
}

struct EndpointPool {
    endpoint: Endpoint,
    open: Mutex<Vec<Connection>>,
    /// Held while connecting, so that callers who find no connection make one, not many.
    connecting: tokio::sync::Mutex<()>,
}

/// An open connection with room for a call.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) requests: SendRequest<Bytes>,
    pub(crate) authority: Arc<str>,
    /// Lives as long as a handle of the connection does; its count tells the calls in flight.
    load: Arc<()>,
    ended: Arc<AtomicBool>,
}

impl Upstreams {
    pub(crate) fn new(identity: Identity, limits: Limits) -> Self {
        Self { identity, limits, nodes: Mutex::default() }
    }

    /// A connection to `node` with room for one more call.
    ///
    /// # Errors
    ///
    /// Refuses when no endpoint of the node can be reached.
    pub(crate) async fn checkout(&self, node: &Node) -> Result<Connection, Refusal> {
        let pool = self.pool(node)?;
        let start = pool.next.fetch_add(1, Ordering::Relaxed);
        let mut causes = Vec::new();
        for turn in 0..pool.endpoints.len() {
            let at = start.wrapping_add(turn) % pool.endpoints.len();
            let Some(endpoint) = pool.endpoints.get(at) else { continue };
            match self.checkout_from(&pool, endpoint).await {
                Ok(connection) => return Ok(connection),
                Err(cause) => causes.push(format!("{}: {cause}", endpoint.endpoint)),
            }
        }
        Err(unreachable(node, causes.join("; ")))
    }

    fn pool(&self, node: &Node) -> Result<Arc<Pool>, Refusal> {
        let mut nodes = self.nodes.lock();
        if let Some(pool) = nodes.get(&node.id).filter(|pool| pool.node == *node) {
            return Ok(pool.clone());
        }
        let tls = tls::client(&self.identity, &node.authorities)
            .map_err(|error| unreachable(node, error))?;
        let pool = Arc::new(Pool::new(node.clone(), tls.into()));
        nodes.insert(node.id.clone(), pool.clone());
        Ok(pool)
    }

    async fn checkout_from(&self, pool: &Pool, from: &EndpointPool) -> Result<Connection, String> {
        if let Some(connection) = from.ready().await {
            return Ok(connection);
        }
        let _one_at_a_time = from.connecting.lock().await;
        if let Some(connection) = from.ready().await {
            return Ok(connection);
        }
        if from.open.lock().len() < self.limits.upstream_connections_max {
            let connection = self.connect(pool, &from.endpoint).await?;
            from.open.lock().push(connection.clone());
            return Ok(connection);
        }
        let busy = from.least_loaded().ok_or("every connection has ended")?;
        busy.ready().await.ok_or_else(|| "the connection ended".to_owned())
    }

    async fn connect(&self, pool: &Pool, endpoint: &Endpoint) -> Result<Connection, String> {
        let host = pool.node.server_name.as_ref().unwrap_or(&endpoint.host);
        let name = ServerName::try_from(host.clone())
            .map_err(|_| format!("`{host}` is not a server name"))?;
        let authority: Arc<str> = endpoint.to_string().into();
        let within = self.limits.connect_time_max;
        let (requests, driver) = timeout(within, open(endpoint, name, &pool.tls, &self.limits))
            .await
            .map_err(|_| format!("no connection within {within:?}"))??;
        let ended = Arc::new(AtomicBool::new(false));
        let on_end = ended.clone();
        let label = authority.clone();
        tokio::spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(endpoint = %label, %error, "upstream connection ended");
            }
            on_end.store(true, Ordering::Relaxed);
        });
        Ok(Connection { requests, authority, load: Arc::new(()), ended })
    }
}

async fn open(
    endpoint: &Endpoint,
    name: ServerName<'static>,
    tls: &TlsConnector,
    limits: &Limits,
) -> Result<(SendRequest<Bytes>, impl Future<Output = Result<(), h2::Error>> + use<>), String> {
    let tcp = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await;
    let tcp = tcp.map_err(|error| error.to_string())?;
    tcp.set_nodelay(true).map_err(|error| error.to_string())?;
    SockRef::from(&tcp)
        .set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE_AFTER))
        .map_err(|error| error.to_string())?;
    let stream = tls.connect(name, tcp).await.map_err(|error| format!("TLS: {error}"))?;
    h2::client::Builder::new()
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(limits.header_bytes_max)
        .handshake(stream)
        .await
        .map_err(|error| format!("HTTP/2: {error}"))
}

impl Pool {
    fn new(node: Node, tls: TlsConnector) -> Self {
        let endpoint = |endpoint: &Endpoint| EndpointPool {
            endpoint: endpoint.clone(),
            open: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
        };
        let endpoints = node.endpoints.iter().map(endpoint).collect();
        Self { node, tls, next: AtomicUsize::new(0), endpoints }
    }
}

impl EndpointPool {
    /// A connection that takes a call at once.
    async fn ready(&self) -> Option<Connection> {
        while let Some(connection) = self.with_room() {
            if let Some(ready) = connection.ready().await {
                return Some(ready);
            }
        }
        None
    }

    /// The first connection with room for a call; forgets those that have ended.
    fn with_room(&self) -> Option<Connection> {
        let mut open = self.open.lock();
        open.retain(Connection::is_open);
        open.iter().find(|connection| connection.has_room()).cloned()
    }

    fn least_loaded(&self) -> Option<Connection> {
        self.open.lock().iter().min_by_key(|connection| connection.calls()).cloned()
    }
}

impl Connection {
    fn is_open(&self) -> bool {
        !self.ended.load(Ordering::Relaxed)
    }

    /// Waits until the connection takes one more call; `None` if it takes none any more, as after
    /// GOAWAY, and then the pool forgets it.
    async fn ready(self) -> Option<Self> {
        let Self { requests, authority, load, ended } = self;
        match requests.ready().await {
            Ok(requests) => Some(Self { requests, authority, load, ended }),
            Err(_) => {
                ended.store(true, Ordering::Relaxed);
                None
            }
        }
    }

    /// Calls in flight: every handle but the pool's own.
    fn calls(&self) -> usize {
        Arc::strong_count(&self.load).saturating_sub(1)
    }

    fn has_room(&self) -> bool {
        self.calls() < self.requests.current_max_send_streams()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({}, {} calls)", self.authority, self.calls())
    }
}

fn unreachable(node: &Node, cause: impl fmt::Display) -> Refusal {
    Refusal::new(Reason::UpstreamUnreachable).with("node", &node.id).because(cause)
}
