//! One call in a fresh sandbox: a store, an instance, a call, and all of it dropped.

use std::sync::Arc;
use std::time::Instant;

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
    let state = State::new(given, Arc::clone(&meter), linked.memory_bytes_max());
    let mut store = store(&linked, state);
    // Around all of it: start functions and waiting inside host functions count as well.
    let timed = tokio::time::timeout(limits.wall, meter.measure(question.ask(&mut store, &linked, &limits))).await;
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

/// The only way a store is made: one that lacked its epoch deadline would trap at once, and one without its limiter
/// would have no limit.
fn store(linked: &Linked, state: State) -> Store<State> {
    let (fuel, handles) = (state.limits.hostcall_fuel, state.limits.handles);
    let mut store = Store::new(linked.engine(), state);
    store.limiter(|state| &mut state.meters);
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
