//! The subcommands: each file holds a command's arguments, its help with an example, its code.

mod admin;
mod apply;
mod audit;
mod authorize;
mod check;
mod explain;
mod load;
mod receipt;
mod run;
#[cfg(feature = "sandbox")]
mod sandbox;
mod status;
mod whom;
mod witness;

use std::process::ExitCode;

use clap::Subcommand;

/// What `giaolien` can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[cfg(feature = "sandbox")]
    Sandbox(sandbox::Sandbox),
    Run(run::Run),
    Check(check::Check),
    Explain(Box<explain::Explain>),
    Apply(apply::Apply),
    Status(status::Status),
    Authorize(authorize::Authorize),
    /// Work with a ledger folder.
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Work with receipts.
    #[command(subcommand)]
    Receipt(receipt::Receipt),
    Load(Box<load::Load>),
    Witness(witness::Witness),
}

impl Command {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            #[cfg(feature = "sandbox")]
            Self::Sandbox(command) => command.run(),
            Self::Run(command) => command.run(),
            Self::Check(command) => command.run(),
            Self::Explain(command) => command.run(),
            Self::Apply(command) => command.run(),
            Self::Status(command) => command.run(),
            Self::Authorize(command) => command.run(),
            Self::Audit(command) => command.run(),
            Self::Receipt(command) => command.run(),
            Self::Load(command) => command.run(),
            Self::Witness(command) => command.run(),
        }
    }
}

/// Writes a line to standard output. A reader that has gone away, as `head` does, ends the
/// program quietly.
pub(crate) fn say(line: impl std::fmt::Display) {
    use std::io::Write;

    if writeln!(std::io::stdout(), "{line}").is_err() {
        std::process::exit(0);
    }
}
