//! Section `[log]` of the configuration.

use serde::{Deserialize, Serialize};

/// Section `[log]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `auto` (text on a terminal, JSON otherwise), `text` or `json`. Default `auto`.
    pub format: Format,
    /// A `tracing` filter, such as `info` or `info,ripost::delivery=debug`; `RIPOST_LOG` goes before it. Default `info`.
    pub filter: String,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Text,
    /// For machines.
    Json,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: Format::Auto, filter: "info".to_owned() }
    }
}
