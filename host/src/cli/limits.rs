//! `ripost limits`

use super::out::{out, outln};
use super::{Common, Failure, Listening};
use crate::config::Config;
use anyhow::Context as _;
use clap::Args;
use ripost_runtime::{LINES, Value};
use serde::Serialize;
use std::fmt;

/// Show every limit: what an API has, what it may ask for, and what the whole host has.
///
/// The figures are those of this host's configuration; a gateway that runs has the ones it was started with.
#[derive(Args)]
pub(super) struct Limits {
    /// Print JSON: sizes in bytes, times in milliseconds
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    common: Common,
}

impl Limits {
    pub(super) fn run(self) -> Result<(), Failure> {
        let table = Table::of(&self.common.load(Listening::default())?);
        if self.json {
            outln!("{}", serde_json::to_string_pretty(&table).context("writing JSON")?);
        } else {
            out!("{table}");
        }
        Ok(())
    }
}

#[derive(Debug, Serialize)]
struct Table {
    /// Of one run.
    limits: Vec<Row>,
    /// Of the whole host.
    host: Vec<HostRow>,
}

#[derive(Debug, Serialize)]
struct Row {
    key: &'static str,
    unit: &'static str,
    #[serde(serialize_with = "number")]
    handler: Value,
    #[serde(serialize_with = "number")]
    transform: Value,
    #[serde(serialize_with = "number")]
    ceiling: Value,
    what: &'static str,
}

#[derive(Debug, Serialize)]
struct HostRow {
    key: &'static str,
    unit: &'static str,
    #[serde(serialize_with = "number")]
    value: Value,
    what: &'static str,
}

impl Table {
    fn of(config: &Config) -> Self {
        let (sandbox, most) = (&config.sandbox, config.ceiling());
        let limits = LINES.iter().map(|line| {
            let handler = line.get(&sandbox.handler);
            Row {
                key: line.key,
                unit: unit(handler),
                handler,
                transform: line.get(&sandbox.transform),
                ceiling: line.get(&most),
                what: line.what,
            }
        });
        let runs = config.runs.concurrency;
        let runtime = sandbox.runtime(runs);
        let count = |count: u32| Value::Count(usize::try_from(count).unwrap_or(usize::MAX));
        let host = [
            ("runs.concurrency", count(runs), "runs at once, over all APIs"),
            ("sandbox.owner_concurrency", count(sandbox.owner_concurrency(runs)), "runs of one owner at once"),
            ("sandbox.concurrency", count(sandbox.concurrency), "runs of one API at once, unless its manifest says it"),
            ("sandbox.heavy", Value::Count(runtime.heavy_runs_max), "runs beyond their first tick at once"),
            ("sandbox.memory", Value::Bytes(sandbox.memory() >> 20 << 20), "memory of all guests; runs wait for it"),
            ("sandbox.tick", Value::Time(runtime.tick), "how often the CPU time of a run is looked at"),
            ("limits.body", Value::Bytes(config.limits.body), "body of a request"),
            ("limits.bodies_in_memory", Value::Bytes(config.limits.bodies_in_memory), "bodies being read at once"),
            ("runs.backlog_max", count(config.runs.backlog_max), "accepted requests that wait in the store for a run"),
            ("runs.queued_max", count(config.runs.queued_max), "requests in memory that wait for a run"),
            ("runs.queued_per_owner_max", count(config.runs.queued_per_owner()), "of those, one owner's"),
            ("runs.queued_bytes_max", Value::Bytes(config.runs.queued_bytes_max), "bodies of those requests"),
            ("compile.cpu", Value::Time(config.compile.cpu), "CPU time of compiling a component"),
            ("compile.wall", Value::Time(config.compile.wall), "time of compiling a component"),
            (
                "compile.budget",
                Value::Time(config.compile.budget),
                "CPU time of compiling what an owner pushes, an hour",
            ),
            ("compile.memory", Value::Bytes(config.compile.memory), "memory of compiling a component"),
            ("compile.cache", Value::Bytes(config.compile.cache), "compiled components that are kept"),
            ("outbound.in_flight", count(config.outbound.in_flight), "outbound calls at once"),
            ("outbound.in_flight_per_owner", count(config.outbound.in_flight_per_owner), "of those, one owner's"),
            ("kv.bytes", Value::Bytes(config.kv.bytes), "what one owner's handlers may keep"),
            ("kv.keys", count(config.kv.keys), "keys of one owner"),
        ];
        let host = host.map(|(key, value, what)| HostRow { key, unit: unit(value), value, what });
        Table { limits: limits.collect(), host: host.into() }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<18} {:>9} {:>9} {:>9}  OF ONE RUN", "LIMIT", "HANDLER", "TRANSFORM", "CEILING")?;
        for Row { key, handler, transform, ceiling, what, .. } in &self.limits {
            let [handler, transform, ceiling] = [handler, transform, ceiling].map(ToString::to_string);
            writeln!(f, "{key:<18} {handler:>9} {transform:>9} {ceiling:>9}  {what}")?;
        }
        writeln!(f, "{:<18} {:>9} {:>9} {:>9}  depth of its calls; the same for all", "(stack)", STACK, STACK, STACK)?;
        writeln!(f)?;
        writeln!(f, "A handler has its column unless [api.limits] in its manifest asks for more, up to the ceiling.")?;
        writeln!(f, "The operator moves the columns: [sandbox.handler], [sandbox.transform], [sandbox.ceiling].")?;
        writeln!(f)?;
        writeln!(f, "{:<30} {:>9}  OF THE WHOLE HOST", "LIMIT", "VALUE")?;
        for HostRow { key, value, what, .. } in &self.host {
            writeln!(f, "{key:<30} {:>9}  {what}", value.to_string())?;
        }
        Ok(())
    }
}

/// Not to be moved: host functions need what is left of the fiber.
const STACK: &str = "512 KiB";

fn unit(value: Value) -> &'static str {
    match value {
        Value::Bytes(_) => "bytes",
        Value::Time(_) => "ms",
        Value::Count(_) => "count",
    }
}

fn number<S: serde::Serializer>(value: &Value, serializer: S) -> Result<S::Ok, S::Error> {
    let number = match value {
        Value::Bytes(number) | Value::Count(number) => u64::try_from(*number),
        Value::Time(time) => u64::try_from(time.as_millis()),
    };
    serializer.serialize_u64(number.unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_every_limit_and_fits_a_terminal() {
        let text = Table::of(&Config::default()).to_string();
        for line in LINES {
            assert!(text.lines().any(|row| row.starts_with(line.key) && row.ends_with(line.what)), "{}", line.key);
        }
        for row in text.lines() {
            assert!(row.chars().count() <= 100, "{row}");
        }
    }
}
