//! Section `[compile]` of the configuration.

use ripost_domain::units::{duration_text, size_text};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Section `[compile]`: making machine code of components, which happens in a process of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Compile {
    /// CPU time for one component. Default 20 s: Python (18 MB) takes 8 s, JavaScript 2, Rust 0.1.
    #[serde(with = "duration_text")]
    pub cpu: Duration,
    /// For one component, from start to end; on a busy machine the compiler has to wait, because whatever serves goes
    /// first. Default 60 s.
    #[serde(with = "duration_text")]
    pub wall: Duration,
    /// What the compiler may have in memory for one component, its own program included. Default 1 GiB: Python takes
    /// 320 MiB, JavaScript 100, Rust 30.
    #[serde(with = "size_text")]
    pub memory: usize,
    /// Compiled components kept in the data folder, all together; what was not used for longest goes first. Default
    /// 2 GiB; `"0 B"` keeps none.
    #[serde(with = "size_text")]
    pub cache: usize,
}

impl Default for Compile {
    fn default() -> Self {
        Self { cpu: Duration::from_secs(20), wall: Duration::from_secs(60), memory: 1 << 30, cache: 2 << 30 }
    }
}

impl Compile {
    pub(super) fn check(&self) -> Result<(), String> {
        if !(Duration::from_millis(100)..=Duration::from_secs(3600)).contains(&self.wall) {
            return Err("compile.wall must be between 100 ms and 1 h".to_owned());
        }
        if !(Duration::from_secs(1)..=Duration::from_secs(3600)).contains(&self.cpu) {
            return Err("compile.cpu must be between 1 s and 1 h".to_owned());
        }
        if !(32 << 20..=1 << 40).contains(&self.memory) {
            return Err("compile.memory must be between 32 MiB and 1 TiB".to_owned());
        }
        if (1..1 << 20).contains(&self.cache) {
            return Err("compile.cache must be 0 B (keep none) or at least 1 MiB".to_owned());
        }
        Ok(())
    }
}
