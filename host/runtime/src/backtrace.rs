//! Where in its own code a guest broke, for the owner's log and nobody else.

use std::collections::BTreeMap;

use wasmtime::{Trap, WasmBacktrace};

use crate::log::Log;

/// Frames that are kept, innermost first.
pub(crate) const FRAMES_MAX: usize = 32;

/// The C library's functions for sockets. There are none here, and what is left of them traps without a reason.
const OF_SOCKETS: &[&str] = &["getaddrinfo", "ip_name_lookup", "tcp_create_socket", "udp_create_socket"];

/// How often a function stands in a backtrace that it fills: one that calls itself, or a few that call each other.
const FRAMES_OF_RECURSION: usize = FRAMES_MAX / 4;

/// Writes the functions that a guest was in, with what can be said of them.
pub(crate) fn write(error: &wasmtime::Error, log: &Log) {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return };
    let frames = backtrace.frames();
    if frames.is_empty() {
        return;
    }
    // One frame a line, with demangled names; its first line is a heading of its own.
    for (at, line) in backtrace.to_string().lines().enumerate() {
        log.write_of_host(if at == 0 { "wasm backtrace, innermost function first:" } else { line });
    }
    if frames[0].func_name().is_none() {
        log.write_of_host("The component has no names of its functions: build it without stripping its name section.");
    }
    // Code of Rust and C keeps its variables on a stack of its own in linear memory, below which there is nothing: going
    // deeper than that is an access out of bounds, and no overflow of the stack that we know of.
    let is_out_of_bounds = error.downcast_ref::<Trap>() == Some(&Trap::MemoryOutOfBounds);
    if is_out_of_bounds && is_recursion(frames.iter().map(|frame| (frame.module().name(), frame.func_index()))) {
        log.write_of_host(
            "The same functions call each other again and again: the stack in linear memory is probably used up. Use a loop, or link with a larger stack (`-C link-arg=-zstack-size=1048576`).",
        );
    }
    let in_sockets = |name: &str| OF_SOCKETS.iter().any(|function| name.contains(function));
    if frames.iter().filter_map(wasmtime::FrameInfo::func_name).any(in_sockets) {
        log.write_of_host("Components have no sockets: call out through wasi:http/outgoing-handler, with a grant.");
    }
}

/// Whether one function fills a good part of a full backtrace.
fn is_recursion<F: Ord>(frames: impl ExactSizeIterator<Item = F>) -> bool {
    if frames.len() < FRAMES_MAX {
        return false;
    }
    let mut calls: BTreeMap<F, usize> = BTreeMap::new();
    frames.for_each(|function| *calls.entry(function).or_default() += 1);
    calls.into_values().any(|count| count >= FRAMES_OF_RECURSION)
}

#[cfg(test)]
mod tests {
    use super::{FRAMES_MAX, is_recursion};

    #[test]
    fn functions_that_fill_the_backtrace_are_a_recursion_and_a_deep_call_is_none() {
        let frames = |different: usize| (0..FRAMES_MAX).map(move |at| at % different);
        assert!(is_recursion(frames(1)) && is_recursion(frames(4)));
        assert!(!is_recursion(frames(FRAMES_MAX)) && !is_recursion((0..FRAMES_MAX - 1).map(|_| 0)));
    }
}
