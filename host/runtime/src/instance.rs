//! One call in a fresh sandbox: a store, an instance, a call, and all of it dropped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::error::Elapsed;
use wasmtime::{CallHook, Store};

use crate::backtrace;
use crate::call::Usage;
use crate::component::Linked;
use crate::gate::Gate;
use crate::guest::{Given, State};
use crate::log::LogLine;
use crate::meter::{HostPanicked, Meter};
use crate::question::Question;
use crate::run_error::{RunError, classify};
use crate::tape::{Remains, Tape};

/// What came of one call, whatever was asked.
pub(crate) struct Ended<A> {
    pub(crate) outcome: Result<A, RunError>,
    pub(crate) usage: Usage,
    pub(crate) logs: Vec<LogLine>,
    pub(crate) logs_dropped: u64,
    pub(crate) remains: Option<Remains>,
}

impl<A> Ended<A> {
    /// Nothing was run, or nothing is known of it.
    pub(crate) fn without_a_run(error: RunError, usage: Usage) -> Self {
        Ended { outcome: Err(error), usage, logs: Vec::new(), logs_dropped: 0, remains: None }
    }
}

/// Cancel safety: dropping the future stops the guest and frees its place.
pub(crate) async fn run<Q: Question>(
    meter: Arc<Meter>,
    linked: Arc<Linked>,
    given: Given,
    question: Q,
) -> Ended<Q::Answer> {
    let began = Instant::now();
    let limits = Arc::clone(&given.limits);
    let id = given.id.clone();
    let state = State::new(given, Arc::clone(&meter), &linked);
    let mut store = store(&linked, state);
    // Around all of it: start functions and waiting inside host functions count as well.
    let asked = meter.measure(question.ask(&mut store, &linked, &limits));
    let timed = within(limits.wall, || meter.waited(), asked).await;
    let outcome = match timed {
        Ok(Ok(Ok(answer))) => answer,
        Ok(Ok(Err(error))) => {
            backtrace::write(&error, &store.data().log);
            Err(classify(&error, store.data()))
        }
        Ok(Err(HostPanicked(text))) => {
            tracing::error!(request.id = %id, component = linked.digest(), "Panic inside a run: {text}");
            Err(RunError::Host(text))
        }
        Err(_elapsed) => Err(RunError::WallLimit { limit: limits.wall }),
    };
    let state = store.into_data();
    let remains = state.tape.as_ref().and_then(Tape::remains);
    let (logs, logs_dropped, log_bytes) = state.log.finish();
    let (outbound_calls, outbound_bytes) = state.gate.as_ref().map_or((0, 0), Gate::counts);
    let usage = Usage {
        cpu: meter.spent(),
        wall: began.elapsed(),
        memory_bytes_peak: state.meters.memory_bytes,
        host_calls: state.host_calls,
        log_bytes,
        outbound_calls,
        outbound_bytes,
    };
    Ended { outcome, usage, logs, logs_dropped, remains }
}

/// Drives `future` for so long, and for what it has `waited` besides.
///
/// # Cancel safety
/// Dropping it drops `future`.
async fn within<F: Future>(limit: Duration, waited: impl Fn() -> Duration, future: F) -> Result<F::Output, Elapsed> {
    let began = tokio::time::Instant::now();
    let mut future = std::pin::pin!(future);
    let mut until = limit;
    loop {
        match tokio::time::timeout_at(began + until, future.as_mut()).await {
            Err(_) if until < limit + waited() => until = limit + waited(),
            ended => return ended,
        }
    }
}

/// The only way a store is made: one that lacked its epoch deadline would trap at once, and one without its limiter
/// would have no limit.
fn store(linked: &Linked, state: State) -> Store<State> {
    let (fuel, handles) = (state.limits.hostcall_fuel, state.limits.handles);
    let mut store = Store::new(linked.engine(), state);
    store.limiter_async(|state| state);
    store.set_hostcall_fuel(fuel);
    store.set_max_component_handles(handles);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|context| {
        let meter = Arc::clone(&context.data().meter);
        meter.on_tick()
    });
    store.call_hook(|mut context, hook| {
        let state = context.data_mut();
        match hook {
            CallHook::CallingWasm => state.entered = true,
            CallHook::CallingHost => state.host_calls += 1,
            CallHook::ReturningFromWasm | CallHook::ReturningFromHost => {}
        }
        Ok(())
    });
    store
}
