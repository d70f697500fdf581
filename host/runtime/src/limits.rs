//! What a run may use. The figures are those of the runtimes in the field and of what real toolchains need:
//! QuickJS and StarlingMonkey components have 1 to 14 MB, Python 35 MB and 13 MiB of first memory, C# 10 511 table
//! elements.

use std::time::Duration;

use wasmtime::ResourceLimiter;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// What a component may be and what one run of it may use. [`Limits::default`] is what an API has if its manifest
/// asks for nothing, [`Limits::ceiling`] the most it can ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Size of the component.
    pub component_bytes_max: usize,
    /// Linear memory, summed over all memories of the run.
    pub memory_bytes: usize,
    /// Thread time of guest and host functions.
    pub cpu: Duration,
    /// From instantiation to answer, waiting included.
    pub wall: Duration,
    /// Elements summed over all tables of the run.
    pub table_elements: usize,
    /// Core instances of a component.
    pub instances: usize,
    /// Memories of a component.
    pub memories: usize,
    /// Tables of a component.
    pub tables: usize,
    /// Bytes that may be lifted out of the guest in one call between guest and host.
    pub hostcall_fuel: usize,
    /// Component handles alive at once.
    pub handles: usize,
    /// Host resources (streams, pollables) alive at once.
    pub resources: usize,
    /// Body of the answer.
    pub response_body_bytes: usize,
    /// Names and values of the answer's headers and attributes; also all the text of a problem.
    pub response_headers_bytes: usize,
    /// Log kept of a run; the rest is counted.
    pub log_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            component_bytes_max: 16 * MIB,
            memory_bytes: 64 * MIB,
            cpu: Duration::from_secs(2),
            wall: Duration::from_secs(30),
            table_elements: 20_000,
            instances: 50,
            memories: 20,
            tables: 40,
            hostcall_fuel: 8 * MIB,
            handles: 2_000,
            resources: 4_000,
            response_body_bytes: 4 * MIB,
            response_headers_bytes: 64 * KIB,
            log_bytes: 64 * KIB,
        }
    }
}

impl Limits {
    /// The most a manifest may ask for, unless the operator says otherwise.
    #[must_use]
    pub fn ceiling() -> Self {
        Limits {
            component_bytes_max: 64 * MIB,
            memory_bytes: 512 * MIB,
            cpu: Duration::from_mins(5),
            wall: Duration::from_hours(1),
            ..Limits::default()
        }
    }
}

/// Counts what all memories and tables of one store have, and refuses what is above the limit.
///
/// Nothing is ever given back: memories live as long as their store, and `memory_grow_failed` also fires for what was
/// never granted here, so subtracting in it would let a guest push the sum down and pass the limit.
#[derive(Debug)]
pub(crate) struct Meters {
    pub(crate) memory_bytes_max: usize,
    pub(crate) memory_bytes: usize,
    /// A growth was refused: the abort that follows is this limit's doing.
    pub(crate) memory_refused: bool,
    pub(crate) table_elements_max: usize,
    pub(crate) table_elements: usize,
    pub(crate) table_refused: bool,
    instances: usize,
    memories: usize,
    tables: usize,
}

impl Meters {
    pub(crate) fn new(limits: &Limits, memory_bytes_max: usize) -> Self {
        Meters {
            memory_bytes_max,
            memory_bytes: 0,
            memory_refused: false,
            table_elements_max: limits.table_elements,
            table_elements: 0,
            table_refused: false,
            instances: limits.instances,
            memories: limits.memories,
            tables: limits.tables,
        }
    }
}

impl ResourceLimiter for Meters {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        // The guest's own maximum is no limit of ours, and is not counted.
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let sum = self.memory_bytes.saturating_add(desired.saturating_sub(current));
        if sum > self.memory_bytes_max {
            self.memory_refused = true;
            return Ok(false);
        }
        self.memory_bytes = sum;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let sum = self.table_elements.saturating_add(desired.saturating_sub(current));
        if sum > self.table_elements_max {
            self.table_refused = true;
            return Ok(false);
        }
        self.table_elements = sum;
        Ok(true)
    }

    fn instances(&self) -> usize {
        self.instances
    }

    fn memories(&self) -> usize {
        self.memories
    }

    fn tables(&self) -> usize {
        self.tables
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_summed_over_all_memories_and_never_given_back() {
        let mut meters = Meters::new(&Limits::default(), 100);
        assert!(meters.memory_growing(0, 60, None).unwrap());
        assert!(!meters.memory_growing(0, 41, None).unwrap(), "a second memory is counted with the first");
        assert!(meters.memory_refused);
        meters.memory_grow_failed(wasmtime::Error::msg("refused")).unwrap();
        assert!(!meters.memory_growing(0, 41, None).unwrap(), "a refused growth frees nothing");
        assert!(meters.memory_growing(60, 100, None).unwrap());
        assert_eq!(meters.memory_bytes, 100);
    }

    #[test]
    fn a_growth_past_the_guests_own_maximum_is_not_our_limit() {
        let mut meters = Meters::new(&Limits::default(), 100);
        assert!(!meters.memory_growing(0, 90, Some(50)).unwrap());
        assert!(!meters.memory_refused);
        assert_eq!(meters.memory_bytes, 0);
    }
}
