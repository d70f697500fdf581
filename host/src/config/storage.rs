//! Section `[storage]` of the configuration.

use ripost_domain::units::size_text;
use serde::{Deserialize, Serialize};

/// Section `[storage]`: when there is too little room to accept more. What was accepted before still ends.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Storage {
    /// Room that must be left on the disk of the data folder. Default 256 MiB.
    #[serde(with = "size_text")]
    pub free_min: usize,
    /// What the database and the files of large results may take together; `0 B`: the disk is the limit. Default 0 B.
    #[serde(with = "size_text")]
    pub size_max: usize,
}

impl Default for Storage {
    fn default() -> Self {
        Self { free_min: 256 << 20, size_max: 0 }
    }
}
