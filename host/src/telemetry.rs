//! Logs and metrics.

pub mod metrics;

use crate::config::{Format, Log};
use std::ffi::OsStr;
use std::io::IsTerminal as _;
use tracing_subscriber::EnvFilter;

/// Overrides `log.filter`.
const FILTER_VARIABLE: &str = "RIPOST_LOG";

/// Sends log lines to standard error, as the configuration says; a second call changes nothing.
///
/// # Errors
/// The filter cannot be read; the sentence names it.
pub fn start(log: &Log) -> Result<(), String> {
    let text = std::env::var(FILTER_VARIABLE).unwrap_or_else(|_| log.filter.clone());
    let filter = EnvFilter::try_new(&text).map_err(|error| format!("log filter `{text}`: {error}"))?;
    let terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // It would report a line that cannot be written with `eprintln!`, which panics where standard error is a closed pipe.
    let builder = builder.log_internal_errors(false);
    let text_wanted = match log.format {
        Format::Auto => terminal,
        Format::Text => true,
        Format::Json => false,
    };
    // The only failure is that one is running already.
    let _ = if text_wanted {
        builder
            .with_ansi(terminal && colours_wanted(std::env::var_os("NO_COLOR").as_deref()))
            .with_target(false)
            .try_init()
    } else {
        builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    };
    Ok(())
}

/// By <https://no-color.org>: any value but an empty one says no.
fn colours_wanted(no_color: Option<&OsStr>) -> bool {
    no_color.is_none_or(OsStr::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_left_away_where_no_color_has_a_value() {
        for (no_color, wanted) in [(None, true), (Some(""), true), (Some("1"), false), (Some("0"), false)] {
            assert_eq!(colours_wanted(no_color.map(OsStr::new)), wanted, "{no_color:?}");
        }
    }
}
