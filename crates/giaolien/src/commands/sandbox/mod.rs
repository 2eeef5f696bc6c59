//! `giaolien sandbox`: a complete little country on one machine, with real calls through it.

mod calls;
mod cast;
mod config;
mod consumers;
mod country;
mod folder;
mod pki;
mod ports;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ::audit::{Source, Verified};
use anyhow::{Context, Result, bail, ensure};
use clap::{Args, value_parser};
use nodes::Country;
use nodes::people::PEOPLE_MAX;

use super::{audit, receipt, run};
use calls::make_all;
use cast::Cast;
use consumers::Consumers;
use country::Nodes;
use folder::Folder;
use ports::{Held, PORTS, Ports};
use report::{Addresses, Printer};

const DEFAULT_PEOPLE: u32 = 10_000;
const DEFAULT_SEED: u64 = 1;
/// How long a checkpoint over all entries is waited for.
const CHECKPOINT_TIME_MAX: Duration = Duration::from_secs(3);
const CHECKPOINT_LOOK_EVERY: Duration = Duration::from_millis(50);
/// What the gateway and the nodes log, unless the environment says otherwise: what is wrong, and
/// when a changed configuration comes into force.
const LOG: &str = "warn,giaolien::reload=info";

/// Makes a complete little country and calls through it.
///
/// In DIR it leaves a test authority with certificates, a configuration, five nodes with synthetic
/// people, a ledger and the receipt of every call. Each call goes through a real gateway over
/// mutual TLS and is printed with its decision, latency and verified receipt. Then everything
/// stays up until Ctrl-C. Exits with 0 only if every call ended as it should and the ledger is
/// whole.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  giaolien sandbox\n  \
    giaolien sandbox --dir country --port-base 18443 --people 100000\n\n\
    Environment:\n  GIAOLIEN_LOG  what to log, as `info` or `dataplane=debug,info`")]
pub(crate) struct Sandbox {
    /// The country's folder: missing, empty, or one that this command made before, which is opened
    /// again. Without it: a new temporary folder, which is kept.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The gateway listens on port N, its admin API on N+1, metrics on N+2, the nodes on N+3 to
    /// N+7. Without it: ports that are free.
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=65_535 - PORTS + 1))]
    port_base: Option<u16>,
    /// Ends after the calls.
    #[arg(long)]
    exit: bool,
    /// How many people live in a new country, at most a million [default: 10000].
    #[arg(long, value_name = "N",
        value_parser = value_parser!(u32).range(1..=i64::from(PEOPLE_MAX)))]
    people: Option<u32>,
    /// What the people of a new country are drawn from; the same number gives the same people
    /// [default: 1].
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

impl Sandbox {
    pub(crate) fn run(self) -> Result<ExitCode> {
        run::log_to_stderr(LOG);
        // An error says that there is a provider already, which is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let printer = Printer::new();
        let folder = Folder::choose(self.dir.as_deref())?;
        let (country, held) =
            if folder.is_sandbox() { self.open(&folder)? } else { self.create(&folder)? };
        let cast = Cast::choose(country.people())?;
        printer.begun(&folder, &country);
        let nodes = Nodes::start(&folder, &country, held.into_nodes())?;
        let Some(loaded) = run::load(&folder.config())? else { return Ok(ExitCode::FAILURE) };
        let addresses = Addresses::of(&loaded.config, &nodes);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (ledger, mut faults) =
            runtime.block_on(run::serve(loaded, async |running, watch| {
                let mut faults = call(&addresses, &folder, &cast, &printer).await;
                if !self.exit {
                    let signals = run::Signals::listen();
                    printer.to_try(&folder, &addresses, &cast);
                    let ended = match signals {
                        Ok(signals) => run::until_stopped(running, watch, signals).await,
                        Err(error) => Err(error),
                    };
                    faults.extend(ended.err().map(|error| format!("{error:#}")));
                }
                faults
            }))?;
        drop(runtime);
        faults.extend(run::close(&ledger).err().map(|error| format!("{error:#}")));
        faults.extend(nodes.stop());
        printer.faults(&faults);
        Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Makes a country in an empty folder.
    fn create(&self, folder: &Folder) -> Result<(Country, Held)> {
        let held = Held::hold(&self.port_base.map(Ports::from_base).unwrap_or_default())?;
        let people = self.people.unwrap_or(DEFAULT_PEOPLE);
        let country = country::create(folder, people, self.seed.unwrap_or(DEFAULT_SEED))?;
        pki::create(folder)?;
        // Last, since a folder with a configuration counts as whole.
        config::create(folder, &held.ports()?)?;
        Ok((country, held))
    }

    /// Opens a country that was made before.
    fn open(&self, folder: &Folder) -> Result<(Country, Held)> {
        let at = folder.shown();
        let country = Country::open(&folder.nodes())
            .with_context(|| format!("open the databases of the sandbox in {at}"))?;
        let ports = config::ports(folder)?;
        if let Some(base) = self.port_base {
            ensure!(
                Ports::from_base(base) == ports,
                "the sandbox in {at} has its ports in config/, the gateway on {}; leave out \
                 --port-base or name another folder",
                ports.gateway
            );
        }
        let (people, seed) = (country.people().count(), country.people().seed());
        if self.people.is_some_and(|wanted| wanted != people)
            || self.seed.is_some_and(|wanted| wanted != seed)
        {
            bail!(
                "the sandbox in {at} has {people} people drawn from seed {seed}; leave out \
                 --people and --seed or name another folder"
            );
        }
        Ok((country, Held::hold(&ports)?))
    }
}

/// Makes all calls, verifies the ledger, and returns what is wrong.
async fn call(
    addresses: &Addresses,
    folder: &Folder,
    cast: &Cast,
    printer: &Printer,
) -> Vec<String> {
    let called = async {
        let mut consumers = Consumers::new(folder, addresses.gateway, printer)?;
        make_all(&mut consumers, cast).await?;
        anyhow::Ok(consumers.into_tally())
    };
    let tally = match called.await {
        Ok(tally) => tally,
        Err(error) => return vec![format!("{error:#}")],
    };
    printer.summary(&tally);
    let mut faults = tally.faults;
    match verify_ledger(folder).await {
        Ok(verified) => printer.ledger(&verified),
        Err(error) => faults.push(format!("the ledger is not whole: {error:#}")),
    }
    faults
}

/// Verifies the ledger once a checkpoint covers all of it, which takes no longer than the time
/// between two checkpoints.
async fn verify_ledger(folder: &Folder) -> Result<Verified> {
    let key = receipt::read_key(&folder.ledger_key())?;
    let begun = Instant::now();
    loop {
        let verified = audit::verify(&Source::folder(folder.ledger()), Some(&key))?;
        let covered = verified.checkpoint_size == verified.entries;
        if covered || begun.elapsed() > CHECKPOINT_TIME_MAX {
            return Ok(verified);
        }
        tokio::time::sleep(CHECKPOINT_LOOK_EVERY).await;
    }
}
