//! What a run may use. The figures are those of the runtimes in the field and of what real toolchains need:
//! QuickJS and StarlingMonkey components have 1 to 14 MB, Python 35 MB and 13 MiB of first memory, C# 10 511 table
//! elements.

use std::fmt;
use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// What a component may be and what one run of it may use. [`Limits::default`] is what a handler has if its manifest
/// asks for nothing, [`Limits::transform`] the same for a transform, [`Limits::ceiling`] the most that can be asked for.
/// [`LINES`] describes each field.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is described by its line in LINES")]
pub struct Limits {
    pub component_bytes_max: usize,
    pub memory_bytes: usize,
    pub cpu: Duration,
    pub wall: Duration,
    pub table_elements: usize,
    pub instances: usize,
    pub memories: usize,
    pub tables: usize,
    pub hostcall_fuel: usize,
    pub handles: usize,
    pub resources: usize,
    pub response_body_bytes: usize,
    pub response_headers_bytes: usize,
    pub log_bytes: usize,
    pub outbound_calls: usize,
    pub outbound_in_flight: usize,
    pub outbound_bytes: usize,
    pub outbound_time: Duration,
}

/// A limit's value with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// Bytes.
    Bytes(usize),
    /// Time.
    Time(Duration),
    /// A number of things.
    Count(usize),
}

impl Value {
    /// Whether it is more than another of the same unit. Values of two units are never compared.
    #[must_use]
    pub fn exceeds(self, most: Value) -> bool {
        match (self, most) {
            (Value::Bytes(value), Value::Bytes(most)) | (Value::Count(value), Value::Count(most)) => value > most,
            (Value::Time(value), Value::Time(most)) => value > most,
            _ => false,
        }
    }

    /// Whether it allows nothing at all.
    #[must_use]
    pub fn is_nothing(self) -> bool {
        matches!(self, Value::Bytes(0) | Value::Count(0) | Value::Time(Duration::ZERO))
    }
}

/// As manifests and configuration have it, in the largest unit that leaves a whole number: `64 MiB`, `2 s`, `20000`.
impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let in_units = |value: u128, units: &[(u128, &'static str)], smallest: &'static str| {
            let whole = units.iter().find(|(size, _)| value >= *size && value.is_multiple_of(*size));
            let (size, unit) = whole.copied().unwrap_or((1, smallest));
            (value / size, unit)
        };
        let (value, unit) = match self {
            Value::Bytes(bytes) => {
                in_units(*bytes as u128, &[(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")], "B")
            }
            Value::Time(time) => {
                let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
                in_units(time.as_millis(), &units, "ms")
            }
            Value::Count(count) => return write!(formatter, "{count}"),
        };
        write!(formatter, "{value} {unit}")
    }
}

/// One limit: its name in manifests, configuration and errors, and what it bounds.
pub struct Line {
    /// Its name, `lower_snake`.
    pub key: &'static str,
    /// What it bounds, for owners and operators.
    pub what: &'static str,
    get: fn(&Limits) -> Value,
    set: fn(&mut Limits, Value) -> bool,
}

impl Line {
    /// The line of this name.
    #[must_use]
    pub fn named(key: &str) -> Option<&'static Line> {
        LINES.iter().find(|line| line.key == key)
    }

    /// Its value.
    #[must_use]
    pub fn get(&self, limits: &Limits) -> Value {
        (self.get)(limits)
    }

    /// Sets it; `false`: the value has another unit, and nothing is changed.
    #[must_use]
    pub fn set(&self, limits: &mut Limits, value: Value) -> bool {
        (self.set)(limits, value)
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Line").field("key", &self.key).finish_non_exhaustive()
    }
}

macro_rules! lines {
    ($($key:literal $field:ident $unit:ident $what:literal)*) => {
        /// Every limit, in the order in which they are shown.
        pub const LINES: &[Line] = &[$(Line {
            key: $key,
            what: $what,
            get: |limits| Value::$unit(limits.$field),
            set: |limits, value| match value {
                Value::$unit(value) => {
                    limits.$field = value;
                    true
                }
                _ => false,
            },
        }),*];
    };
}

lines! {
    "component" component_bytes_max Bytes "size of the component"
    "memory" memory_bytes Bytes "linear memory, summed over all memories of a run"
    "cpu" cpu Time "CPU time of guest and host functions"
    "wall" wall Time "from instantiation to answer, waiting included"
    "table_elements" table_elements Count "elements, summed over all tables of a run"
    "instances" instances Count "core instances of a component"
    "memories" memories Count "memories of a component"
    "tables" tables Count "tables of a component"
    "hostcall_bytes" hostcall_fuel Bytes "data passed in one call between guest and host"
    "handles" handles Count "component handles alive at once"
    "resources" resources Count "host resources (streams, pollables) alive at once"
    "response_body" response_body_bytes Bytes "body of the answer"
    "response_headers" response_headers_bytes Bytes "headers and attributes of the answer, or a problem"
    "log" log_bytes Bytes "log kept of a run; the rest is counted"
    "outbound_calls" outbound_calls Count "outbound calls of a run"
    "outbound_in_flight" outbound_in_flight Count "outbound calls of a run at once"
    "outbound_bytes" outbound_bytes Bytes "body of one outbound call, and of its answer"
    "outbound_time" outbound_time Time "one outbound call, to the end of its answer"
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
            outbound_calls: 32,
            outbound_in_flight: 8,
            outbound_bytes: 4 * MIB,
            outbound_time: Duration::from_secs(10),
        }
    }
}

impl Limits {
    /// What a transform has: it is pure, small, and in everybody's way. (Shopify's functions, which are the same kind of
    /// thing, have 256 KB and 5 ms.)
    #[must_use]
    pub fn transform() -> Self {
        Limits {
            component_bytes_max: 2 * MIB,
            memory_bytes: 16 * MIB,
            cpu: Duration::from_millis(50),
            wall: Duration::from_millis(200),
            table_elements: 10_000,
            hostcall_fuel: 4 * MIB,
            handles: 100,
            resources: 100,
            response_body_bytes: 2 * MIB,
            log_bytes: 8 * KIB,
            outbound_calls: 0,
            outbound_in_flight: 0,
            outbound_bytes: 0,
            outbound_time: Duration::ZERO,
            ..Limits::default()
        }
    }

    /// The most a manifest may ask for, unless the operator says otherwise.
    #[must_use]
    pub fn ceiling() -> Self {
        Limits {
            component_bytes_max: 64 * MIB,
            memory_bytes: 512 * MIB,
            cpu: Duration::from_mins(5),
            wall: Duration::from_hours(1),
            table_elements: 100_000,
            hostcall_fuel: 64 * MIB,
            handles: 20_000,
            resources: 40_000,
            response_body_bytes: 32 * MIB,
            response_headers_bytes: 256 * KIB,
            log_bytes: MIB,
            outbound_calls: 1_000,
            outbound_in_flight: 64,
            outbound_bytes: 32 * MIB,
            outbound_time: Duration::from_mins(2),
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
    pub(crate) instances: usize,
    pub(crate) memories: usize,
    pub(crate) tables: usize,
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

impl Meters {
    /// Counts a memory that is to grow; `false`: it may not.
    pub(crate) fn memory_may_grow(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> bool {
        // The guest's own maximum is no limit of ours, and is not counted.
        if maximum.is_some_and(|maximum| desired > maximum) {
            return false;
        }
        let sum = self.memory_bytes.saturating_add(desired.saturating_sub(current));
        if sum > self.memory_bytes_max {
            self.memory_refused = true;
            return false;
        }
        self.memory_bytes = sum;
        true
    }

    /// Counts a table that is to grow; `false`: it may not.
    pub(crate) fn table_may_grow(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> bool {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return false;
        }
        let sum = self.table_elements.saturating_add(desired.saturating_sub(current));
        if sum > self.table_elements_max {
            self.table_refused = true;
            return false;
        }
        self.table_elements = sum;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_within_the_ceiling_and_every_line_keeps_its_unit() {
        let ceiling = Limits::ceiling();
        for line in LINES {
            for limits in [Limits::default(), Limits::transform()] {
                assert!(!line.get(&limits).exceeds(line.get(&ceiling)), "{}", line.key);
                let mut copy = ceiling.clone();
                assert!(line.set(&mut copy, line.get(&limits)));
                assert_eq!(line.get(&copy), line.get(&limits), "{}", line.key);
                assert_eq!(Line::named(line.key).unwrap().what, line.what);
            }
        }
    }

    #[test]
    fn a_value_is_shown_in_the_largest_unit_that_leaves_a_whole_number() {
        for (value, text) in [
            (Value::Bytes(64 * MIB), "64 MiB"),
            (Value::Bytes(MIB + 1), "1048577 B"),
            (Value::Bytes(0), "0 B"),
            (Value::Time(Duration::from_millis(2500)), "2500 ms"),
            (Value::Time(Duration::from_mins(90)), "90 m"),
            (Value::Count(20_000), "20000"),
        ] {
            assert_eq!(value.to_string(), text);
        }
        assert!(Value::Bytes(2).exceeds(Value::Bytes(1)) && !Value::Bytes(2).exceeds(Value::Count(1)));
    }

    #[test]
    fn memory_is_summed_over_all_memories_and_never_given_back() {
        let mut meters = Meters::new(&Limits::default(), 100);
        assert!(meters.memory_may_grow(0, 60, None));
        assert!(!meters.memory_may_grow(0, 41, None), "a second memory is counted with the first");
        assert!(meters.memory_refused);
        assert!(!meters.memory_may_grow(0, 41, None), "a refused growth frees nothing");
        assert!(meters.memory_may_grow(60, 100, None));
        assert_eq!(meters.memory_bytes, 100);
    }

    #[test]
    fn a_growth_past_the_guests_own_maximum_is_not_our_limit() {
        let mut meters = Meters::new(&Limits::default(), 100);
        assert!(!meters.memory_may_grow(0, 90, Some(50)));
        assert!(!meters.memory_refused);
        assert_eq!(meters.memory_bytes, 0);
    }
}
