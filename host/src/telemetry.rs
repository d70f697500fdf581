//! Logs and metrics.

pub mod metrics;

use crate::config::{Format, Log};
use crate::environment;
use std::io::IsTerminal as _;
use tracing_subscriber::EnvFilter;

/// Overrides `log.filter`.
pub(crate) const FILTER_VARIABLE: &str = "RIPOST_LOG";

/// Which lines are logged.
///
/// # Errors
/// It cannot be read; the sentence names it.
pub fn filter(log: &Log) -> Result<EnvFilter, String> {
    let (whose, text) = match environment::value(FILTER_VARIABLE) {
        Some(text) => (FILTER_VARIABLE, text),
        None => ("log.filter", log.filter.clone()),
    };
    EnvFilter::try_new(&text).map_err(|error| format!("{whose} `{text}`: {error}"))
}

/// Sends log lines to standard error, as the configuration says; a second call changes nothing.
///
/// # Errors
/// The filter cannot be read; the sentence names it.
pub fn start(log: &Log) -> Result<(), String> {
    let filter = filter(log)?;
    let terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // It would report a line that cannot be written with `eprintln!`, which panics where standard error is a closed pipe.
    let builder = builder.log_internal_errors(false);
    // <https://no-color.org>: any value but an empty one says no.
    let colours = terminal && environment::value("NO_COLOR").is_none();
    let text_wanted = match log.format {
        Format::Auto => terminal,
        Format::Text => true,
        Format::Json => false,
    };
    // The only failure is that one is running already.
    let _ = if text_wanted {
        builder.with_ansi(colours).with_target(false).try_init()
    } else {
        builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    };
    Ok(())
}
