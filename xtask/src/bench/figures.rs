//! The page: figures with what they are measured against.

use std::fmt::Write as _;

/// Figures in the order of their measurement.
#[derive(Default)]
pub(super) struct Table {
    text: String,
}

impl Table {
    pub(super) fn section(&mut self, title: &str) {
        let _ = write!(self.text, "\n## {title}\n\n| what | measured | aim | |\n|---|---|---|---|\n");
    }

    /// One figure; `met` if it has an aim.
    pub(super) fn figure(&mut self, what: &str, measured: String, aim: &str, met: Option<bool>) {
        let verdict = match met {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "",
        };
        let _ = writeln!(self.text, "| {what} | {measured} | {aim} | {verdict} |");
    }

    pub(super) fn page(&self, machine: &str) -> String {
        format!(
            "# Benchmarks\n\nMade by `cargo xtask bench`, all in one run on one machine. The load generator and the sink share the cores \
             with what they measure.\n\n{machine}{}",
            self.text
        )
    }
}
