//! `giaolien`: the gateway through which agencies exchange data. One file per subcommand.

mod assemble;
mod commands;
mod progress;
mod reload;
mod telemetry;

use std::process::ExitCode;

use clap::Parser;

use commands::Command;

/// A gateway through which government agencies exchange data: every exchange allowed by an
/// agreement, every exchange evidence.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    match command.run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
