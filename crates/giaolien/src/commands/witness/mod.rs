//! `giaolien witness`: what the body that oversees gateways runs on a machine of its own.

mod serve;
mod states;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Args;
use tlog::witness::Witness as Log;
use tlog::{Cosigner, Origin};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::receipt::read_key;
use super::run::log_to_stderr;
use super::say;
use states::StateFolder;

/// Cosigns the checkpoints of ledgers, each only if it extends the last one.
///
/// Speaks C2SP tlog-witness: gateways, or whoever carries their checkpoints, POST to
/// /add-checkpoint. What was cosigned last is kept in the state folder: keep that folder, and
/// never put an older copy of it back, or two histories of a ledger could be cosigned. The
/// public key for those who verify is printed first. Requests carry no secrets and prove
/// themselves; put a proxy with TLS in front where the network should not see them.
/// SIGTERM and SIGINT end it.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  giaolien witness --name giamsat.example.gov.vn --key witness.key \\\n    \
    --ledger gw1.pub --ledger gw2.pub --state /var/lib/giaolien-witness --listen 0.0.0.0:8480\n\n\
    A key is made with\n  openssl genpkey -algorithm ed25519 -out witness.key"
)]
pub(crate) struct Witness {
    /// The name of the witness, for good: in its key and its cosignatures.
    #[arg(long)]
    name: Origin,
    /// The witness's private key (Ed25519, PKCS#8, PEM), which serves nothing else.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The public key of a ledger to watch; may be given more than once.
    #[arg(long, value_name = "FILE", required = true)]
    ledger: Vec<PathBuf>,
    /// Where it is kept what was cosigned last; made if absent.
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// Where to listen (HTTP).
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8480")]
    listen: SocketAddr,
}

impl Witness {
    pub(crate) fn run(self) -> Result<ExitCode> {
        log_to_stderr("info");
        let cosigner = read_cosigner(&self.key, self.name)?;
        let ledgers = self.ledger.iter().map(|path| read_key(path)).collect::<Result<Vec<_>>>()?;
        let states = StateFolder::open(&self.state)?;
        if self.key.canonicalize()?.starts_with(self.state.canonicalize()?) {
            bail!("the key lies in the state folder, which is copied; keep it elsewhere");
        }
        say(cosigner.key());
        let witness = Arc::new(Log::new(cosigner, ledgers, states));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
            let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
            let listening = TcpListener::bind(self.listen).await;
            let listener = listening.with_context(|| format!("listen on {}", self.listen))?;
            tracing::info!(address = %listener.local_addr()?, "witnessing");
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                () = serve::serve(listener, witness) => {}
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}

fn read_cosigner(path: &Path, name: Origin) -> Result<Cosigner> {
    let shown = path.display();
    let pem = fs::read_to_string(path).with_context(|| format!("read key `{shown}`"))?;
    Cosigner::from_pkcs8_pem(&pem, name).with_context(|| format!("key `{shown}`"))
}
