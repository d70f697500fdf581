//! Where in its own code a guest broke, for the owner's log and nobody else.

use wasmtime::WasmBacktrace;

use crate::log::Log;

/// Frames that are kept, innermost first.
pub(crate) const FRAMES_MAX: usize = 32;

/// The C library's functions for sockets. There are none here, and what is left of them traps without a reason.
const OF_SOCKETS: &[&str] = &["getaddrinfo", "ip_name_lookup", "tcp_create_socket", "udp_create_socket"];

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
    let in_sockets = |name: &str| OF_SOCKETS.iter().any(|function| name.contains(function));
    if frames.iter().filter_map(wasmtime::FrameInfo::func_name).any(in_sockets) {
        log.write_of_host("Components have no sockets: call out through wasi:http/outgoing-handler, with a grant.");
    }
}
