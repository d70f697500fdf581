//! The sandbox: components in, answers out. Every call runs in a fresh instance under limits.
//!
//! **Invariant:** this package knows wasmtime and the contract in `wit/`, and nothing else. It must not know the
//! network, SQL, money, owners' manifests, or what a request means: whoever calls it says what a call may do
//! and cost, and is told what came of it.
//!
//! The way of a call: [`Runtime::load`] admits, compiles and links a component once, off the request path;
//! [`Runtime::run`] makes a store, instantiates, calls, checks the answer, and drops everything. Transforms go the same
//! way, with less in their hands.

mod answer;
mod aside;
mod backtrace;
mod bindings;
mod call;
mod capability;
mod compiler;
mod component;
mod engine;
mod fair;
mod gate;
mod grants;
mod guest;
mod incoming;
mod instance;
mod journal;
mod limits;
mod log;
mod memory;
mod meter;
mod question;
mod role;
mod run_error;
mod runtime;
mod tape;
mod ticker;
mod transform;

pub use crate::call::{
    Call, Clock, Failure, NoProgress, Problem, ProgressSink, Request, Response, Run, RunOutcome, Usage, fixed_clock,
};
pub use crate::compiler::{CompileError, Compiler, InProcess, Job, Key, Target, compile};
pub use crate::component::{Handler, Inspection, LoadError, Toolchain, Transform};
pub use crate::engine::{RuntimeConfig, RuntimeDescription, RuntimeError, Scheme, SchemeDescription};
pub use crate::fair::{FairPermit, FairSemaphore};
pub use crate::grants::{
    Grants, Kv, KvEntry, KvError, Outbound, OutboundError, OutboundRequest, OutboundResponse, SecretError, Secrets,
};
pub use crate::journal::{
    CallState, Entries, JOURNAL_BYTES_MAX, Journal, JournalError, MemoryJournal, RecordedCall, STEP_NAME_BYTES_MAX,
    STEP_VALUE_BYTES_MAX, STEPS_MAX, Step, TIMES_MAX, Times, Writing,
};
pub use crate::limits::{LINES, Limits, Line, Value};
pub use crate::log::{Level, LogLine, Writer, last_message};
pub use crate::memory::{MemoryPlan, MemoryUse};
pub use crate::role::TransformKind;
pub use crate::run_error::RunError;
pub use crate::runtime::Runtime;
pub use crate::tape::Remains;
pub use crate::transform::{Rewrite, TransformCall, Transformed, Webhook};
