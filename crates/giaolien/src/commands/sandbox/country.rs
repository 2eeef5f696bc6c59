//! The five nodes of a sandbox: their databases, and serving them on threads of their own.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use nodes::{
    Country, CountryOptions, NodeKind, Progress as Made, ServeError, ServerTls, certificate_sha256,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::config::node_id;
use super::folder::Folder;
use super::pki::{AUTHORITY, GATEWAY_CLIENT};
use crate::progress::Progress;

const THREADS: usize = 2;
/// How long a node may take to stop once the gateway is gone.
const STOP_TIME_MAX: Duration = Duration::from_secs(5);

/// Makes the five databases.
pub(super) fn create(folder: &Folder, people: u32, seed: u64) -> Result<Country> {
    let mut progress = Progress::new("making people");
    let options = CountryOptions { people, seed };
    let country = Country::create(&folder.nodes(), &options, &mut |made| match made {
        Made::People { done, total } => progress.at(done.into(), total.into()),
        Made::Indexing(_) => {}
    });
    country.context("make the nodes' databases")
}

/// Nodes that are serving.
#[derive(Debug)]
pub(super) struct Nodes {
    runtime: Runtime,
    stop: watch::Sender<bool>,
    serving: Vec<Serving>,
}

#[derive(Debug)]
struct Serving {
    kind: NodeKind,
    port: u16,
    task: JoinHandle<Result<(), ServeError>>,
}

impl Nodes {
    /// Serves the databases of `country` on `listeners`, to the gateway alone.
    pub(super) fn start(
        folder: &Folder,
        country: &Country,
        listeners: Vec<(NodeKind, TcpListener)>,
    ) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("node")
            .enable_all()
            .build()?;
        let (stop, stopped) = watch::channel(false);
        let mut serving = Vec::with_capacity(listeners.len());
        for (kind, listener) in listeners {
            let port = listener.local_addr()?.port();
            listener.set_nonblocking(true)?;
            let tls = tls(folder, kind)?;
            let database = country.database(kind);
            let mut stopped = stopped.clone();
            let shutdown = async move { drop(stopped.wait_for(|stopped| *stopped).await) };
            let entered = runtime.enter();
            let listener = tokio::net::TcpListener::from_std(listener)?;
            drop(entered);
            let task = runtime
                .spawn(async move { nodes::serve(kind, &database, listener, tls, shutdown).await });
            serving.push(Serving { kind, port, task });
        }
        Ok(Self { runtime, stop, serving })
    }

    /// The nodes' ids and ports.
    pub(super) fn ports(&self) -> impl Iterator<Item = (&'static str, u16)> {
        self.serving.iter().map(|serving| (node_id(serving.kind), serving.port))
    }

    /// Stops all nodes and returns what was wrong with them.
    pub(super) fn stop(self) -> Vec<String> {
        let Self { runtime, stop, serving } = self;
        stop.send_replace(true);
        let ends = async move {
            let mut faults = Vec::new();
            for Serving { kind, task, .. } in serving {
                let fault = match tokio::time::timeout(STOP_TIME_MAX, task).await {
                    Ok(Ok(Ok(()))) => continue,
                    Ok(Ok(Err(error))) => format!("{:#}", anyhow::Error::from(error)),
                    Ok(Err(error)) => error.to_string(),
                    Err(_elapsed) => format!("not stopped within {STOP_TIME_MAX:?}"),
                };
                faults.push(format!("node `{}`: {fault}", node_id(kind)));
            }
            faults
        };
        runtime.block_on(ends)
    }
}

fn tls(folder: &Folder, kind: NodeKind) -> Result<ServerTls> {
    let gateway = folder.certificate(GATEWAY_CLIENT);
    let gateway = CertificateDer::from_pem_file(&gateway)
        .with_context(|| format!("read certificate `{}`", gateway.display()))?;
    Ok(ServerTls {
        cert_pem: read(&folder.certificate(node_id(kind)))?,
        key_pem: read(&folder.key(node_id(kind)))?,
        client_ca_pem: read(&folder.certificate(AUTHORITY))?,
        allowed_client_sha256: vec![certificate_sha256(&gateway)],
    })
}

/// Reads a file of text.
pub(super) fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("read `{}`", path.display()))
}
