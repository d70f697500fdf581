//! The child: reads one component, compiles it, says what came of it, ends. All it has is one pipe in and one out.

use super::frame::{self, Answer};
use crate::causes::chain;
use crate::wall::{self, CompileLimits};
use nix::libc;
use nix::sys::resource::{Resource, getrlimit};
use ripost_runtime::{Target, compile};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

/// A component that is longer is not even read. The gateway's own limit is far lower.
const COMPONENT_BYTES_MAX: u64 = 1 << 30;

/// What the kernel says when a mapping would be beyond a limit.
const NO_MEMORY: &str = "Cannot allocate memory";

/// What a compile worker is for, and how far it may go.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) target: Target,
    pub(crate) limits: CompileLimits,
    /// The process that asked; without it there is nobody to answer.
    pub(crate) parent: u32,
}

/// One component from standard input to standard output.
pub(crate) fn run(work: &Work) -> ExitCode {
    // The walls first: nothing of the component has been read.
    let answer = match walls(work) {
        Ok(()) => answer(work.target),
        Err(reason) => Answer::Unable(reason),
    };
    match frame::write_answer(&mut io::stdout().lock(), &answer) {
        Ok(()) => ExitCode::SUCCESS,
        // The parent is gone, or no longer listens.
        Err(_) => ExitCode::FAILURE,
    }
}

fn answer(target: Target) -> Answer {
    let wasm = match frame::read_component(&mut io::stdin().lock(), COMPONENT_BYTES_MAX) {
        Ok(wasm) => wasm,
        Err(error) if error.kind() == io::ErrorKind::OutOfMemory => return Answer::Memory,
        Err(error) => return Answer::Unable(format!("the component did not arrive: {error}")),
    };
    match catch_unwind(AssertUnwindSafe(|| compile(target, &wasm))) {
        Ok(Ok(artefact)) => Answer::Done(artefact),
        // Where the compiler asks the kernel itself, it is told so and says so.
        Ok(Err(reason)) if reason.contains(NO_MEMORY) => Answer::Memory,
        Ok(Err(reason)) => Answer::Refused(reason),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            match text {
                Some(text) if text.contains(NO_MEMORY) => Answer::Memory,
                Some(text) => Answer::Crashed(text),
                None => Answer::Crashed("a panic without a word".to_owned()),
            }
        }
    }
}

/// Before the component is read, and before there is a second thread.
fn walls(work: &Work) -> Result<(), String> {
    close_inherited();
    if std::os::unix::process::parent_id() != work.parent {
        return Err("the parent has ended".to_owned());
    }
    // What the kernel lacks, `ripost doctor` and the gateway's start have said.
    wall::compile(&work.limits).map(drop).map_err(|error| chain(&error))
}

/// The gateway's own descriptors close by themselves. Whoever started the gateway may have left others open. Without
/// `/proc`: behind the gateway's wall no process can read there which files it has open itself.
fn close_inherited() {
    const FIRST: libc::c_int = 3;
    const DESCRIPTORS_MAX: u64 = 1 << 20;
    // SAFETY: takes numbers only, and nothing in this process refers to a descriptor yet but its pipes.
    #[expect(unsafe_code, reason = "nix has no close_range")]
    let closed = unsafe { libc::syscall(libc::SYS_close_range, FIRST, libc::c_uint::MAX, 0) };
    if closed == 0 {
        return;
    }
    // Before Linux 5.9, or under a filter that does not know the call. Without a limit on open files this would take
    // minutes, so no further than any sensible limit.
    let most = getrlimit(Resource::RLIMIT_NOFILE).map_or(DESCRIPTORS_MAX, |(soft, _)| soft.min(DESCRIPTORS_MAX));
    for descriptor in FIRST..libc::c_int::try_from(most).unwrap_or(libc::c_int::MAX) {
        let _ = nix::unistd::close(descriptor);
    }
}
