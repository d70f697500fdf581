//! Why a run ended without an answer. Each message names the limit as a manifest has it, its value, and what to do:
//! nobody should have to guess which one it was.

use std::fmt;
use std::time::Duration;

use wasmtime::{PoolConcurrencyLimitError, Trap};
use wasmtime_wasi::I32Exit;

use crate::guest::State;
use crate::limits::{Limits, Value};
use crate::memory::NoMemory;
use crate::meter::OutOfCpu;

/// The guest did not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunError {
    /// The guest broke.
    Trap {
        /// What wasmtime says.
        message: String,
    },
    /// The guest wanted more memory than it may have, and gave up.
    MemoryLimit {
        /// Over all its memories.
        limit_bytes: usize,
    },
    /// The guest computed for too long.
    CpuLimit {
        /// Thread time.
        limit: Duration,
    },
    /// The guest computed and waited for too long.
    WallLimit {
        /// From instantiation on.
        limit: Duration,
    },
    /// The guest called too deep.
    StackOverflow,
    /// The guest wanted more table elements than it may have, and gave up.
    TableLimit {
        /// Over all its tables.
        limit_elements: usize,
    },
    /// The guest passed too much in one call.
    HostcallLimit {
        /// Of one call between guest and host.
        limit_bytes: usize,
    },
    /// The guest answered too much.
    ResponseTooLarge {
        /// `body`, `headers` or `problem`.
        part: &'static str,
        /// What it has.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The guest answered what HTTP cannot carry.
    InvalidResponse(String),
    /// The guest ended its own process in place of answering.
    Exit {
        /// Its exit code.
        code: i32,
    },
    /// A transform broke one of the rules above. What is nobody's fault stands by itself.
    Transform(Box<RunError>),
    /// All places are taken. Nobody's fault: run it again later.
    PoolExhausted(String),
    /// The guest grew, and there was no memory for too long. Nobody's fault: run it again later, with what it has done.
    MemoryBusy(String),
    /// We failed. Nobody else's fault.
    Host(String),
}

/// One sentence with the remedy, for the owner and the operator; a consumer reads [`RunError::public`].
impl fmt::Display for RunError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tell("the handler", formatter)
    }
}

impl std::error::Error for RunError {}

/// The sentence of an error of this guest.
struct Told<'a>(&'a RunError, &'a str);

impl fmt::Display for Told<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.tell(self.1, formatter)
    }
}

impl RunError {
    /// The same of a transform.
    pub(crate) fn of_transform(self) -> Self {
        if self.is_owners() { RunError::Transform(Box::new(self)) } else { self }
    }

    /// What a consumer may read: kinds and figures that the host chose, and no text that the guest or wasmtime made.
    #[must_use]
    pub fn public(&self) -> String {
        self.public_of("the handler")
    }

    fn public_of(&self, guest: &str) -> String {
        match self {
            RunError::Trap { .. } => format!("{guest} crashed (trap)"),
            RunError::Exit { .. } => format!("{guest} ended itself without an answer (exit)"),
            RunError::InvalidResponse(_) => format!("{guest}'s answer is not valid"),
            RunError::PoolExhausted(_) => format!("no free place to run {guest}"),
            RunError::MemoryBusy(_) => format!("no free memory for {guest} to go on"),
            RunError::Host(_) => format!("the gateway failed to run {guest}"),
            RunError::Transform(error) => error.public_of("the transform"),
            RunError::MemoryLimit { .. }
            | RunError::CpuLimit { .. }
            | RunError::WallLimit { .. }
            | RunError::StackOverflow
            | RunError::TableLimit { .. }
            | RunError::HostcallLimit { .. }
            | RunError::ResponseTooLarge { .. } => Told(self, guest).to_string(),
        }
    }

    /// The only place that has the owner's sentences.
    fn tell(&self, guest: &str, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::Trap { message } => write!(formatter, "{guest} trapped: {message}"),
            RunError::MemoryLimit { limit_bytes } => write!(
                formatter,
                "{guest} needs more memory than its limit `memory` of {}: use less, or raise `memory` in [api.limits]",
                Value::Bytes(*limit_bytes)
            ),
            RunError::CpuLimit { limit } => write!(
                formatter,
                "{guest} used up its limit `cpu` of {}: compute less, or raise `cpu` in [api.limits]",
                Value::Time(*limit)
            ),
            RunError::WallLimit { limit } => write!(
                formatter,
                "{guest} did not answer within its limit `wall` of {}: wait for less, or raise `wall` in [api.limits]",
                Value::Time(*limit)
            ),
            RunError::StackOverflow => write!(
                formatter,
                "{guest}'s calls went deeper than its stack of 512 KiB, which is the same for all: use a loop in place of recursion"
            ),
            RunError::TableLimit { limit_elements } => write!(
                formatter,
                "{guest} needs more table elements than its limit `table_elements` of {limit_elements}: use fewer, or raise `table_elements` in [api.limits]"
            ),
            RunError::HostcallLimit { limit_bytes } => write!(
                formatter,
                "{guest} passed more data in one call than its limit `hostcall_bytes` of {}: pass less, or raise `hostcall_bytes` in [api.limits]",
                Value::Bytes(*limit_bytes)
            ),
            RunError::ResponseTooLarge { part, bytes, bytes_max } => {
                let (what, limit, most) = (with_article(part), response_limit(part), Value::Bytes(*bytes_max));
                write!(
                    formatter,
                    "{guest}'s answer has {what} of {bytes} bytes and its limit `{limit}` is {most}: answer less, or raise `{limit}` in [api.limits]"
                )
            }
            RunError::InvalidResponse(why) => write!(formatter, "{guest}'s answer is not valid: {why}"),
            RunError::Exit { code } => write!(formatter, "{guest} exited with code {code} and gave no answer"),
            RunError::Transform(error) => error.tell("the transform", formatter),
            RunError::PoolExhausted(why) => write!(formatter, "no free place to run {guest}: {why}"),
            RunError::MemoryBusy(why) => write!(formatter, "{guest} was stopped for want of memory: {why}"),
            RunError::Host(why) => write!(formatter, "the host failed to run {guest}: {why}"),
        }
    }

    /// A stable name for problems, logs and metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            RunError::Trap { .. } => "handler-trapped",
            RunError::MemoryLimit { .. } => "memory-limit",
            RunError::CpuLimit { .. } => "cpu-limit",
            RunError::WallLimit { .. } => "wall-limit",
            RunError::StackOverflow => "stack-overflow",
            RunError::TableLimit { .. } => "table-limit",
            RunError::HostcallLimit { .. } => "hostcall-limit",
            RunError::ResponseTooLarge { .. } => "response-too-large",
            RunError::InvalidResponse(_) => "invalid-response",
            RunError::Exit { .. } => "handler-exited",
            RunError::Transform(error) => error.kind(),
            RunError::PoolExhausted(_) => "pool-exhausted",
            RunError::MemoryBusy(_) => "memory-busy",
            RunError::Host(_) => "host-failed",
        }
    }

    /// Whether it is the owner's doing: final, and counted against the handler. If not, it may be run again.
    #[must_use]
    pub fn is_owners(&self) -> bool {
        !matches!(self, RunError::PoolExhausted(_) | RunError::MemoryBusy(_) | RunError::Host(_))
    }
}

/// What an error of wasmtime means for the owner.
pub(crate) fn classify(error: &wasmtime::Error, state: &State) -> RunError {
    if error.downcast_ref::<OutOfCpu>().is_some() {
        return RunError::CpuLimit { limit: state.limits.cpu };
    }
    if let Some(error) = error.downcast_ref::<PoolConcurrencyLimitError>() {
        return RunError::PoolExhausted(error.to_string());
    }
    if let Some(error) = error.downcast_ref::<NoMemory>() {
        return RunError::MemoryBusy(error.to_string());
    }
    let trap = error.downcast_ref::<Trap>();
    if trap == Some(&Trap::StackOverflow) {
        return RunError::StackOverflow;
    }
    // The cause without what is around it, where the names of the guest's functions are: those are the guest's to choose.
    let cause = error.root_cause().to_string();
    // wasmtime keeps this type to itself.
    if trap.is_none() && cause.contains("fuel allocated for hostcalls has been exhausted") {
        return RunError::HostcallLimit { limit_bytes: state.limits.hostcall_fuel };
    }
    // Guests abort when memory is refused, each toolchain in its own way: the limit is the news, not the way.
    if state.meters.memory_refused {
        return RunError::MemoryLimit { limit_bytes: state.meters.memory_bytes_max };
    }
    if state.meters.table_refused {
        return RunError::TableLimit { limit_elements: state.meters.table_elements_max };
    }
    if let Some(I32Exit(code)) = error.downcast_ref::<I32Exit>() {
        return RunError::Exit { code: *code };
    }
    if !state.entered {
        return RunError::Host(format!("{error:#}"));
    }
    RunError::Trap { message: limit_of_handles(&cause, &state.limits).unwrap_or(cause) }
}

/// wasmtime traps for these two, and says neither how many there may be nor whose limit it is.
fn limit_of_handles(cause: &str, limits: &Limits) -> Option<String> {
    let (what, key, most) = if cause.contains("store handle limit exceeded") {
        ("component handles", "handles", limits.handles)
    } else if cause.contains("resource table has no free keys") {
        ("host resources", "resources", limits.resources)
    } else {
        return None;
    };
    Some(format!(
        "it has more {what} at once than its limit `{key}` of {most}: drop them sooner, or raise `{key}` in [api.limits]"
    ))
}

fn with_article(part: &str) -> &'static str {
    match part {
        "body" => "a body",
        "headers" => "headers",
        _ => "a problem",
    }
}

fn response_limit(part: &str) -> &'static str {
    if part == "body" { "response_body" } else { "response_headers" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Line;

    #[test]
    fn every_limit_is_named_as_a_manifest_has_it_with_its_value_and_the_remedy() {
        let too_large = |part| RunError::ResponseTooLarge { part, bytes: 70_000, bytes_max: 65_536 };
        for (error, key, value) in [
            (RunError::MemoryLimit { limit_bytes: 64 << 20 }, "memory", "64 MiB"),
            (RunError::CpuLimit { limit: Duration::from_secs(2) }, "cpu", "2 s"),
            (RunError::WallLimit { limit: Duration::from_millis(300) }, "wall", "300 ms"),
            (RunError::TableLimit { limit_elements: 20_000 }, "table_elements", "20000"),
            (RunError::HostcallLimit { limit_bytes: 8 << 20 }, "hostcall_bytes", "8 MiB"),
            (too_large("body"), "response_body", "64 KiB"),
            (too_large("headers"), "response_headers", "64 KiB"),
            (too_large("problem"), "response_headers", "64 KiB"),
        ] {
            let text = error.to_string();
            assert!(Line::named(key).is_some(), "{key}");
            assert!(text.contains(&format!("limit `{key}`")) && text.contains(value), "{text}");
            assert!(text.ends_with(&format!("or raise `{key}` in [api.limits]")), "{text}");
        }
        let transform = RunError::CpuLimit { limit: Duration::from_millis(50) }.of_transform();
        assert_eq!(
            (transform.kind(), transform.to_string().as_str()),
            (
                "cpu-limit",
                "the transform used up its limit `cpu` of 50 ms: compute less, or raise `cpu` in [api.limits]"
            )
        );
        assert_eq!(
            too_large("headers").to_string(),
            "the handler's answer has headers of 70000 bytes and its limit `response_headers` is 64 KiB: answer less, or raise `response_headers` in [api.limits]"
        );
    }

    #[test]
    fn a_consumer_reads_kinds_and_figures_and_nothing_that_the_guest_said() {
        let secret = || "password hunter2".to_owned();
        let errors = [
            RunError::Trap { message: secret() },
            RunError::InvalidResponse(secret()),
            RunError::PoolExhausted(secret()),
            RunError::Host(secret()),
            RunError::Exit { code: 77 },
        ];
        for error in errors {
            for error in [error.clone(), RunError::Transform(Box::new(error))] {
                let told = error.public();
                assert!(!told.contains("hunter2") && !told.contains("77"), "{told}");
                assert!(error.to_string().len() > told.len(), "the owner reads more: {error}");
            }
        }
        let limit = RunError::MemoryLimit { limit_bytes: 64 << 20 };
        assert_eq!(limit.public(), limit.to_string());
        let of_transform = RunError::CpuLimit { limit: Duration::from_millis(50) }.of_transform();
        assert!(of_transform.public().starts_with("the transform used up its limit `cpu` of 50 ms"));
    }
}
