//! A progress bar for work that takes longer than two seconds, on a terminal only.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

const SHOW_AFTER: Duration = Duration::from_secs(2);

/// Shows how far some work has come, once it has taken a while.
#[derive(Debug)]
pub(crate) struct Progress {
    begun: Instant,
    label: &'static str,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(crate) fn new(label: &'static str) -> Self {
        Self { begun: Instant::now(), label, bar: None }
    }

    /// Tells that `done` of `total` is done.
    pub(crate) fn at(&mut self, done: u64, total: u64) {
        if self.bar.is_none()
            && self.begun.elapsed() > SHOW_AFTER
            && std::io::stderr().is_terminal()
        {
            let bar = ProgressBar::new(total);
            if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {percent:>3}% {eta}")
            {
                bar.set_style(style);
            }
            bar.set_message(self.label);
            self.bar = Some(bar);
        }
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
