//! Section `[sandbox]` of the configuration.

mod limits;

use crate::machine;
use ripost_domain::units::{duration_text, format_size, size_text_or_none};
use ripost_runtime::{LINES, Limits, Line, MemoryPlan, RuntimeConfig};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Runs of one API at once that a manifest or the configuration may say.
pub(crate) const CONCURRENCY: RangeInclusive<u32> = 1..=1000;
const OWNER_CONCURRENCY_DEFAULT: u32 = 64;
/// With less not even the limits of a handler that asks for nothing fit.
const MEMORY_DEFAULT_MIN: usize = 256 << 20;
/// Where the machine does not say what it has.
const MEMORY_DEFAULT: usize = 1 << 30;

/// Section `[sandbox]`: what handlers and transforms may use, and how they are run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sandbox {
    /// Runs of one API at once, unless its manifest says otherwise. Default 16.
    pub concurrency: u32,
    /// Runs of one owner at once, over all its APIs; below `runs.concurrency`. Not set: 64, or as near to it as that
    /// allows. See [`Sandbox::owner_concurrency()`].
    pub owner_concurrency: Option<u32>,
    /// Runs at once that have computed for longer than a tick; keep it below the number of cores. Not set: one less than
    /// there are cores.
    pub heavy: Option<u32>,
    /// Memory of all guests together; runs that need more wait for their turn. Not set: half of what the machine, or the
    /// control group around this process, has, and 256 MiB at least. See [`Sandbox::memory()`].
    #[serde(with = "size_text_or_none")]
    pub memory: Option<usize>,
    /// How often the CPU budget is looked at, and the longest a guest computes before it takes turns. Default 2 ms.
    #[serde(with = "duration_text")]
    pub tick: Duration,
    /// Run everything in the engine whose bounds checks have barriers against speculation; small handlers start slower.
    /// Default false.
    pub spectre_barriers: bool,
    /// `[sandbox.handler]`: what an API has that asks for nothing. `ripost limits` lists them all.
    #[serde(with = "limits::handler")]
    pub handler: Limits,
    /// `[sandbox.transform]`: what a transform has that asks for nothing.
    #[serde(with = "limits::transform")]
    pub transform: Limits,
    /// `[sandbox.ceiling]`: the most that a manifest may ask for.
    #[serde(with = "limits::ceiling")]
    pub ceiling: Limits,
}

impl Default for Sandbox {
    fn default() -> Self {
        Self {
            concurrency: 16,
            owner_concurrency: None,
            heavy: None,
            memory: None,
            tick: Duration::from_millis(2),
            spectre_barriers: false,
            handler: Limits::default(),
            transform: Limits::transform(),
            ceiling: Limits::ceiling(),
        }
    }
}

impl Sandbox {
    /// Runs of one owner at once, of `runs` places over all owners: one owner never has them all, unless there is only
    /// one place.
    #[must_use]
    pub fn owner_concurrency(&self, runs: u32) -> u32 {
        self.owner_concurrency.unwrap_or(OWNER_CONCURRENCY_DEFAULT.min(runs.saturating_sub(1)).max(1))
    }

    /// Memory of all guests together.
    #[must_use]
    pub fn memory(&self) -> usize {
        let half = || machine::memory_bytes().and_then(|bytes| usize::try_from(bytes / 2).ok());
        self.memory.unwrap_or_else(|| half().map_or(MEMORY_DEFAULT, |half| half.max(MEMORY_DEFAULT_MIN)))
    }

    /// What guests may have of the machine, with so many runs at once.
    #[must_use]
    pub fn memory_plan(&self, runs: u32) -> MemoryPlan {
        MemoryPlan::new(self.memory(), runs)
    }

    /// The most that a manifest may ask for: no more memory than there is for one run.
    #[must_use]
    pub fn ceiling(&self, runs: u32) -> Limits {
        let memory_bytes = self.ceiling.memory_bytes.min(self.memory_plan(runs).run_bytes_max());
        Limits { memory_bytes, ..self.ceiling.clone() }
    }

    /// How the runtime is built, for so many runs at once.
    #[must_use]
    pub fn runtime(&self, runs: u32) -> RuntimeConfig {
        let default = RuntimeConfig::default();
        let small = if self.spectre_barriers { 0 } else { default.small_first_memory_bytes_max };
        let heavy = self.heavy.and_then(|heavy| usize::try_from(heavy).ok());
        RuntimeConfig {
            instances_max: runs,
            memory_bytes_ceiling: self.ceiling(runs).memory_bytes,
            memory: self.memory_plan(runs),
            components: self.ceiling.clone(),
            heavy_runs_max: heavy.unwrap_or(default.heavy_runs_max),
            tick: self.tick,
            small_first_memory_bytes_max: small,
            ..default
        }
    }

    pub(super) fn check(&self, runs: u32) -> Result<(), String> {
        if !CONCURRENCY.contains(&self.concurrency) {
            let (least, most) = CONCURRENCY.into_inner();
            return Err(format!("sandbox.concurrency must be between {least} and {most}"));
        }
        let owner = self.owner_concurrency(runs);
        if owner == 0 || (owner >= runs && runs > 1) {
            return Err(format!(
                "sandbox.owner_concurrency is {owner} and must be between 1 and {}, below runs.concurrency: one owner must not have every place",
                runs.saturating_sub(1).max(1)
            ));
        }
        if self.heavy.is_some_and(|heavy| !(1..=1024).contains(&heavy)) {
            return Err("sandbox.heavy must be between 1 and 1024".to_owned());
        }
        if !(Duration::from_millis(1)..=Duration::from_millis(100)).contains(&self.tick) {
            return Err("sandbox.tick must be between 1 ms and 100 ms".to_owned());
        }
        let above = |limits: &Limits| LINES.iter().find(|line| line.get(limits).exceeds(line.get(&self.ceiling)));
        for (table, limits) in [("handler", &self.handler), ("transform", &self.transform)] {
            if let Some(line) = above(limits) {
                return Err(self.above_ceiling(table, line, limits));
            }
        }
        Ok(())
    }

    /// Whether what an API has that asks for nothing fits into the memory of all guests.
    pub(super) fn check_memory(&self, runs: u32) -> Result<(), String> {
        let most = self.memory_plan(runs).run_bytes_max();
        for (table, limits) in [("handler", &self.handler), ("transform", &self.transform)] {
            if limits.memory_bytes > most {
                return Err(format!(
                    "sandbox.{table}.memory is {} and one run can have {} of the {} that all guests share: lower it, or raise sandbox.memory",
                    format_size(limits.memory_bytes),
                    format_size(most),
                    format_size(self.memory()),
                ));
            }
        }
        Ok(())
    }

    fn above_ceiling(&self, table: &str, line: &Line, limits: &Limits) -> String {
        let (key, value, ceiling) = (line.key, line.get(limits), line.get(&self.ceiling));
        format!(
            "sandbox.{table}.{key} is {value} and sandbox.ceiling.{key} is {ceiling}: lower the one or raise the other"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Sandbox, String> {
        let sandbox: Sandbox = toml::from_str(text).map_err(|error| error.to_string())?;
        sandbox.check(200).and_then(|()| sandbox.check_memory(200)).map(|()| sandbox)
    }

    #[test]
    fn a_subset_of_the_limits_lies_over_the_defaults() {
        let sandbox = read("[handler]\nmemory = \"128 MiB\"\nhandles = 7\n[ceiling]\ncpu = \"1 h\"").unwrap();
        let handler = Limits { memory_bytes: 128 << 20, handles: 7, ..Limits::default() };
        assert_eq!((sandbox.handler, sandbox.transform), (handler, Limits::transform()));
        assert_eq!(sandbox.ceiling, Limits { cpu: Duration::from_hours(1), ..Limits::ceiling() });
    }

    #[test]
    fn what_is_wrong_is_named_with_what_was_meant() {
        for (text, parts) in [
            ("[handler]\nmemry = \"1 MiB\"", ["line 2", "unknown limit `memry`", "did you mean `memory`?"]),
            ("[ceiling]\ndisk = \"1 MiB\"", ["line 2", "unknown limit `disk`", "component, memory, cpu"]),
            ("[handler]\nmemory = 64", ["line 2", "`memory` is a size", "\"64 MiB\""]),
            ("[transform]\ncpu = \"soon\"", ["line 2", "`cpu`: `soon` is not a duration", ""]),
            ("[handler]\nhandles = \"9\"", ["line 2", "`handles` is a number", ""]),
            (
                "[ceiling]\nmemory = \"32 MiB\"",
                ["sandbox.handler.memory is 64 MiB", "sandbox.ceiling.memory is 32 MiB", "lower the one"],
            ),
            ("[transform]\nwall = \"2 h\"", ["sandbox.transform.wall is 2 h", "sandbox.ceiling.wall is 1 h", ""]),
            ("owner_concurrency = 200", ["sandbox.owner_concurrency is 200", "between 1 and 199", ""]),
            ("concurrency = 0", ["sandbox.concurrency", "between 1 and 1000", ""]),
            ("tick = \"1 s\"", ["sandbox.tick", "", ""]),
            ("heavy = 0", ["sandbox.heavy", "", ""]),
            ("memory = \"1 GB\"", ["line 1", "`1 GB` is not a size", ""]),
            (
                "memory = \"160 MiB\"",
                ["sandbox.handler.memory is 64 MiB", "one run can have 60 MiB of the 160 MiB", "raise sandbox.memory"],
            ),
            ("concurency = 1", ["concurency", "concurrency", ""]),
        ] {
            let error = read(text).unwrap_err();
            assert!(parts.iter().all(|part| error.contains(part)), "{text}: {error}");
        }
    }

    #[test]
    fn an_owner_never_has_every_place() {
        let sandbox = Sandbox::default();
        assert_eq!([200, 7, 2, 1].map(|runs| sandbox.owner_concurrency(runs)), [64, 6, 1, 1]);
        assert!([200, 7, 2, 1].iter().all(|runs| sandbox.check(*runs).is_ok()));
    }

    #[test]
    fn the_runtime_is_built_as_the_section_says() {
        let sandbox = read(
            "heavy = 3\nmemory = \"4 GiB\"\ntick = \"5 ms\"\nspectre_barriers = true\n[ceiling]\nmemory = \"1 GiB\"",
        )
        .unwrap();
        let runtime = sandbox.runtime(9);
        assert_eq!((runtime.instances_max, runtime.heavy_runs_max, runtime.tick), (9, 3, Duration::from_millis(5)));
        assert_eq!((runtime.memory_bytes_ceiling, runtime.small_first_memory_bytes_max), (1 << 30, 0));
        assert_eq!(runtime.components, sandbox.ceiling);
        assert_eq!(runtime.memory, MemoryPlan::new(4 << 30, 9));
        let sandbox = read("memory = \"4 GiB\"").unwrap();
        assert_eq!(sandbox.runtime(200), RuntimeConfig::default());
    }

    #[test]
    fn no_run_is_promised_more_memory_than_guests_have() {
        let sandbox = read("memory = \"1 GiB\"\n[ceiling]\nmemory = \"2 GiB\"").unwrap();
        // A quarter for small runs, and half of the rest for what a run starts with.
        assert_eq!(sandbox.ceiling(200), Limits { memory_bytes: 384 << 20, ..Limits::ceiling() });
        assert_eq!(sandbox.runtime(200).memory_bytes_ceiling, 384 << 20);
        let sandbox = read("memory = \"64 GiB\"").unwrap();
        assert_eq!(sandbox.ceiling(200), Limits::ceiling());
        // Not set: whatever this machine has, what is built in fits.
        let sandbox = Sandbox::default();
        assert!(sandbox.check_memory(1250).is_ok() && sandbox.memory() >= MEMORY_DEFAULT_MIN);
    }
}
