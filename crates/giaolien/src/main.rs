//! `giaolien`: the gateway through which agencies exchange data. One file per subcommand.

mod assemble;
mod commands;
mod exporting;
mod progress;
mod proofs;
mod reading;
mod reload;
mod removing;
mod security;
mod telemetry;
mod terms;

use std::process::ExitCode;

use clap::Parser;

use commands::Command;

/// Takes the pieces of a replaced revision back without a pause; `benches/RESULTS.md` has how the
/// C library's compares.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Commands that end with 2 for an answer: bad arguments must not look like one.
const DECIDING: [&str; 4] = ["authorize", "explain", "apply", "status"];

/// A gateway through which government agencies exchange data: every exchange allowed by an
/// agreement, every exchange evidence.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let Cli { command } = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return not_understood(&error),
    };
    match command.run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prints help, or what is wrong with the arguments.
fn not_understood(error: &clap::Error) -> ExitCode {
    let decides = std::env::args().nth(1).is_some_and(|command| DECIDING.contains(&&*command));
    // Nobody reads what cannot be printed.
    let _ = error.print();
    match error.use_stderr() {
        true if decides => ExitCode::FAILURE,
        true => ExitCode::from(2),
        false => ExitCode::SUCCESS,
    }
}
