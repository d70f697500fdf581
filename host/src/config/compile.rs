//! Section `[compile]` of the configuration.

use ripost_domain::units::{duration_text, size_text};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Section `[compile]`: making machine code of components, which happens in a process of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Compile {
    /// CPU time for one component. Default 60 s: StarlingMonkey (JavaScript, 13 MB) takes 14 s, Python (18 MB) 10, Rust 0.1,
    /// and a machine may be a few times slower than the one that this was measured on.
    #[serde(with = "duration_text")]
    pub cpu: Duration,
    /// For one component, from start to end; on a busy machine the compiler has to wait, because whatever serves goes
    /// first. Default 5 min.
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
    /// Components compiled at once, each in a process with `memory`. Owners take turns at them. Default 2.
    pub workers: usize,
    /// CPU time that compiling what one owner pushes may take in an hour, small ones first; what is over it is compiled
    /// later, by itself. Plugins of the plugins folder have no budget. Default 10 min; `"0 s"`: no bound.
    #[serde(with = "duration_text")]
    pub budget: Duration,
}

impl Default for Compile {
    fn default() -> Self {
        Self {
            cpu: Duration::from_mins(1),
            wall: Duration::from_mins(5),
            memory: 1 << 30,
            cache: 2 << 30,
            workers: 2,
            budget: Duration::from_mins(10),
        }
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
        if !(1..=64).contains(&self.workers) {
            return Err("compile.workers must be between 1 and 64".to_owned());
        }
        if self.budget > Duration::from_hours(24) || (1..1000).contains(&self.budget.as_millis()) {
            return Err("compile.budget must be 0 s (no bound) or between 1 s and 24 h".to_owned());
        }
        if (1..1 << 20).contains(&self.cache) {
            return Err("compile.cache must be 0 B (keep none) or at least 1 MiB".to_owned());
        }
        Ok(())
    }
}
