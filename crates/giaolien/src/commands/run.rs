//! `giaolien run`: the gateway, from its first call to a clean drain.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use audit::{CloseError, Log, Trouble};
use clap::Args;
use control::admin::{Doors, Operators};
use control::watch::Watch;
use control::{Config, Downstream, LoadError, Loader, Reload};
use model::{Clock, SystemClock};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tracing_subscriber::EnvFilter;

use crate::assemble::{self, Running};
use crate::{reload, telemetry};

/// How often the ledger is looked at.
const LEDGER_LOOK_EVERY: Duration = Duration::from_millis(200);

/// Runs the gateway on a configuration folder.
///
/// SIGHUP loads the folder again, and so does every change of it with `reload: on_change`:
/// registry, agreements, policies, routes, issuers of tokens, revocation lists and operators take
/// effect with the next call, other settings need a restart; a folder with problems changes nothing. SIGTERM and SIGINT drain
/// the gateway: no new calls, those in flight finish, then it exits with 0.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  giaolien run --config /etc/giaolien\n\n\
    Environment:\n  GIAOLIEN_LOG  what to log, as `info` or `dataplane=debug,info`")]
pub(crate) struct Run {
    /// The configuration folder.
    #[arg(long, value_name = "DIR")]
    config: PathBuf,
}

impl Run {
    pub(crate) fn run(self) -> Result<ExitCode> {
        log_to_stderr("info");
        let Some(loaded) = load(&self.config)? else { return Ok(ExitCode::FAILURE) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (ledger, ended) = runtime.block_on(async {
            let signals = Signals::listen()?;
            serve(loaded, async |running, watch| {
                let (address, revision) =
                    (running.gateway.address(), running.live.snapshot().revision());
                tracing::info!(%address, %revision, "serving");
                until_stopped(running, watch, signals).await
            })
            .await
        })?;
        drop(runtime);
        ended?;
        close(&ledger)?;
        tracing::info!("drained");
        Ok(ExitCode::SUCCESS)
    }
}

/// Serves calls, metrics and the admin API while `work` runs, then drains. Returns the ledger,
/// for closing, and what came of the work.
pub(super) async fn serve<T>(
    loaded: Loaded,
    work: impl AsyncFnOnce(&Arc<Running>, Option<Watch>) -> T,
) -> Result<(Arc<Log>, T)> {
    let Loaded { loader, config, watch } = loaded;
    let (admin, metrics) = (config.gateway.admin.clone(), config.gateway.metrics);
    let (tls, publish) = (config.gateway.tls.clone(), config.gateway.ledger.publish.clone());
    let recorder = telemetry::install_recorder()?;
    let running = Arc::new(assemble::start(loader, config)?);
    let mut beside = JoinSet::new();
    beside.spawn(telemetry::keep_up(recorder.clone()));
    if let Some(address) = metrics {
        let listener = listen("metrics", address).await?;
        beside.spawn(telemetry::serve(listener, running.clone(), recorder.clone()));
    }
    if let Some(witnesses) = running.witnesses.clone() {
        beside.spawn(witnesses.run());
    }
    if let Some(publish) = publish {
        let listener = listen("the published ledger", publish.listen).await?;
        beside.spawn(running.published(publish.entries).serve(listener));
    }
    if let Some(admin) = admin {
        let listener = listen("the admin API", admin.listen).await?;
        beside.spawn(serve_admin(listener, tls, running.clone()));
    }
    let ended = work(&running, watch).await;
    let ledger = running.ledger.clone();
    tokio::task::spawn_blocking(move || running.gateway.drain()).await.context("drain")?;
    beside.shutdown().await;
    Ok((ledger, ended))
}

/// Closes a ledger that nothing is appended to any more.
pub(super) fn close(ledger: &Log) -> Result<()> {
    match ledger.close() {
        Err(CloseError::NoSpace) => {
            // All that was acknowledged is durable, and recovery finds it without a checkpoint.
            tracing::warn!("no space for the last checkpoint, the next start writes it");
            Ok(())
        }
        closed => closed.context("close ledger"),
    }
}

async fn listen(what: &str, address: SocketAddr) -> Result<TcpListener> {
    let listening = TcpListener::bind(address).await;
    let listener = listening.with_context(|| format!("listen for {what} on {address}"))?;
    let address = listener.local_addr().context("find the own address")?;
    tracing::info!(%address, what, "listening");
    Ok(listener)
}

async fn serve_admin(listener: TcpListener, tls: Downstream, running: Arc<Running>) {
    let (started, live) = (SystemClock.now(), running.live.clone());
    let (revisions, operators) = (running.revisions.clone(), running.operators.clone());
    let readings = || running.readings.clone();
    let (to_search, to_search_acts, to_record) = (readings(), readings(), readings());
    let (to_list, to_remove, to_export) = (readings(), readings(), readings());
    let doors = Doors {
        get_status: Arc::new(move || running.status(started)),
        revisions,
        search: Arc::new(move |request, operator| to_search.search(request, operator)),
        search_acts: Arc::new(move |request, operator| to_search_acts.acts(request, operator)),
        list_expired: Arc::new(move |_request, _operator| to_list.expired()),
        remove_expired: Arc::new(move |request, operator| to_remove.remove(request, operator)),
        export: Arc::new(move |request, operator| to_export.export(request, operator)),
        record: Arc::new(move |operator, action, revision| {
            to_record.record(operator, action, revision)
        }),
    };
    let operators = Operators {
        is_listed: Box::new(move |certificate| operators.contains(certificate)),
        is_revoked: Box::new(move |certificate| live.snapshot().is_revoked(certificate)),
        clock: Arc::new(SystemClock),
    };
    let stopped = std::future::pending();
    if let Err(error) = control::admin::serve(listener, &tls, operators, doors, stopped).await {
        tracing::error!(%error, "the admin API stopped");
    }
}

/// Logs to standard error: text on a terminal, JSON otherwise. `default` says what, unless the
/// environment does.
pub(super) fn log_to_stderr(default: &str) {
    let filter =
        EnvFilter::try_from_env("GIAOLIEN_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        log.init();
    } else {
        log.json().flatten_event(true).init();
    }
}

/// What a gateway starts with.
pub(super) struct Loaded {
    loader: Loader,
    pub(super) config: Config,
    /// Tells of changes of the folder, where it is to be loaded by itself.
    watch: Option<Watch>,
}

/// Loads a configuration, or prints what is wrong with it.
pub(super) fn load(dir: &Path) -> Result<Option<Loaded>> {
    // Before reading anything, so that no change falls between.
    let mut watch = Watch::new(dir, Vec::new());
    match Loader::load(dir, assemble::revision_now()) {
        Ok((loader, config)) => {
            watch.also(loader.named_files());
            let watch = (config.gateway.reload == Reload::OnChange).then_some(watch);
            Ok(Some(Loaded { loader, config, watch }))
        }
        Err(LoadError::Problems(problems)) => {
            problems.iter().for_each(|problem| eprintln!("{problem}"));
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// The signals that steer a gateway. Listened for before anything is served: until then they end
/// the process at once.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Listens from now on; in a runtime only.
    pub(super) fn listen() -> Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("listen for SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("listen for SIGINT")?,
            hang_up: signal(SignalKind::hangup()).context("listen for SIGHUP")?,
        })
    }
}

/// Waits for a signal to stop, loading the configuration when it is time to, watching the ledger.
pub(super) async fn until_stopped(
    running: &Arc<Running>,
    watch: Option<Watch>,
    signals: Signals,
) -> Result<()> {
    let Signals { mut terminate, mut interrupt, hang_up } = signals;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        never = reload::whenever(running, hang_up, watch) => match never {},
        failed = ledger_fails(running) => Err(failed),
    }
}

/// Looks at the ledger until it fails.
async fn ledger_fails(running: &Running) -> anyhow::Error {
    let mut look = tokio::time::interval(LEDGER_LOOK_EVERY);
    let mut no_space = false;
    loop {
        look.tick().await;
        match running.ledger.status().trouble {
            Some(Trouble::Failed(cause)) => {
                // A failed write or sync is never tried again: what is on disk is known only
                // by reading it, which the next start does.
                tracing::error!(%cause, "ledger failed, stopping");
                return anyhow!("ledger failed: {cause}; start again to recover it from disk");
            }
            Some(Trouble::NoSpace) if !no_space => {
                no_space = true;
                tracing::error!("no space for the ledger, refusing calls until there is");
            }
            None if no_space => {
                no_space = false;
                tracing::info!("the ledger has space again");
            }
            Some(Trouble::NoSpace) | None => {}
        }
    }
}
