//! Section `[wall]` of the configuration.

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

/// Section `[wall]`: what a gateway gives up at its start, so that a hole in the sandbox opens as little as possible.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wall {
    /// `auto` (what this kernel has), `required` (all of it or no start) or `off`. Default `auto`.
    pub mode: WallMode,
    /// Files and folders that can be read besides data, plugins and what the program needs: where links in the plugins
    /// folder lead, for instance. Default none.
    pub read: Vec<Utf8PathBuf>,
    /// Files and folders that can be written besides the data folder. Default none.
    pub write: Vec<Utf8PathBuf>,
}

/// How much of the wall there must be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WallMode {
    /// What this kernel has; the log says what is missing.
    #[default]
    Auto,
    /// None.
    Off,
    /// All, or the gateway does not start.
    Required,
}
