//! One worker's listener: every worker has its own on the same port, and the kernel shares out
//! the connections (`SO_REUSEPORT`).

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use model::Reason;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use crate::admit::Slot;
use crate::connection;
use crate::gateway::Worker;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;
/// How often nodes that are gone are let go, and strangers that were only counted are recorded.
const TIDY_EVERY: Duration = Duration::from_secs(1);
/// How long to wait after the system refused to accept, as when descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Whether nobody listens on `address` yet. Sharing a port would let a second gateway take calls
/// away from the first without anybody noticing.
pub(crate) fn is_free(address: SocketAddr) -> io::Result<()> {
    std::net::TcpListener::bind(address).map(drop)
}

/// Binds `address`, which several listeners of this process may share.
pub(crate) fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts connections until the gateway drains.
pub(crate) async fn accept(worker: Rc<Worker>, listener: TcpListener) {
    let mut phase = worker.shared.phase.subscribe();
    let mut tidy = tokio::time::interval(TIDY_EVERY);
    loop {
        let accepted = tokio::select! {
            _ = phase.wait_for(|phase| phase.is_draining()) => return,
            _ = tidy.tick() => {
                worker.upstreams.sweep(&worker.shared.live.snapshot());
                worker.shared.flush_refusals();
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((tcp, source)) => {
                let shared = &worker.shared;
                match Slot::take(&shared.connections, shared.limits.connections_max) {
                    Some(slot) => {
                        let serving = connection::serve(worker.clone(), tcp, source, slot);
                        drop(tokio::task::spawn_local(serving));
                    }
                    // It is closed at once: nothing cheaper can be said.
                    None => {
                        let cause = "too many connections";
                        shared.refuse_connection(source.ip(), Reason::Overloaded, cause);
                    }
                }
            }
            Err(error) => {
                tracing::warn!(%error, "connection not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
