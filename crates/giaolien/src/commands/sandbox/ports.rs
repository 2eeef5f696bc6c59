//! The ports of a sandbox: chosen once, held until they are used.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context, Result};
use nodes::NodeKind;

use super::config::node_id;

/// How many ports a sandbox uses.
pub(super) const PORTS: i64 = 8;

/// The ports of a sandbox; 0 stands for any that is free.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) gateway: u16,
    pub(super) admin: u16,
    pub(super) metrics: u16,
    /// In the order of [`NodeKind::ALL`].
    pub(super) nodes: [u16; 5],
}

impl Ports {
    /// The ports from `base` on.
    pub(super) fn from_base(base: u16) -> Self {
        let [gateway, admin, metrics] = [0, 1, 2].map(|offset| base.saturating_add(offset));
        let nodes = [3, 4, 5, 6, 7].map(|offset| base.saturating_add(offset));
        Self { gateway, admin, metrics, nodes }
    }
}

/// Ports that nobody else can take. The gateway opens its own listeners, so its ports are let go
/// just before; the nodes take theirs over.
#[derive(Debug)]
pub(super) struct Held {
    gateway: TcpListener,
    admin: TcpListener,
    metrics: TcpListener,
    nodes: Vec<(NodeKind, TcpListener)>,
}

impl Held {
    /// Takes `ports` on loopback.
    ///
    /// # Errors
    ///
    /// Fails with the first port that is taken.
    pub(super) fn hold(ports: &Ports) -> Result<Self> {
        let nodes = NodeKind::ALL.into_iter().zip(ports.nodes);
        let node = |(kind, port)| Ok((kind, listen(port, &format!("node `{}`", node_id(kind)))?));
        Ok(Self {
            gateway: listen(ports.gateway, "the gateway")?,
            admin: listen(ports.admin, "the admin API")?,
            metrics: listen(ports.metrics, "metrics")?,
            nodes: nodes.map(node).collect::<Result<_>>()?,
        })
    }

    /// Their numbers.
    pub(super) fn ports(&self) -> Result<Ports> {
        let port = |listener: &TcpListener| -> Result<u16> { Ok(listener.local_addr()?.port()) };
        let mut nodes = [0; 5];
        for (number, (_, listener)) in nodes.iter_mut().zip(&self.nodes) {
            *number = port(listener)?;
        }
        Ok(Ports {
            gateway: port(&self.gateway)?,
            admin: port(&self.admin)?,
            metrics: port(&self.metrics)?,
            nodes,
        })
    }

    /// Lets the gateway's ports go and hands over those of the nodes.
    pub(super) fn into_nodes(self) -> Vec<(NodeKind, TcpListener)> {
        self.nodes
    }
}

fn listen(port: u16, of: &str) -> Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).with_context(|| {
        format!("port {port} of {of} cannot be used; end what holds it or choose others")
    })
}
