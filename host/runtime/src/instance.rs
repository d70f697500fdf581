//! One call in a fresh sandbox: a store, an instance, a call, and all of it dropped.

use std::sync::Arc;
use std::time::Instant;

use wasmtime::component::TypedFunc;
use wasmtime::{CallHook, Store};

use crate::answer;
use crate::bindings::{HandleParams, HandleResult, RequestRef, types};
use crate::call::{Call, Request, Run, Usage};
use crate::component::Handler;
use crate::gate::Gate;
use crate::guest::State;
use crate::meter::{HostPanicked, Meter};
use crate::run_error::{RunError, classify};

/// Cancel safety: dropping the future stops the guest and frees its place.
pub(crate) async fn run(meter: Arc<Meter>, handler: Handler, call: Call) -> Run {
    let began = Instant::now();
    let limits = Arc::clone(&call.limits);
    let handler = &handler;
    let state = State::new(&call, Arc::clone(&meter), handler.memory_bytes_max());
    let mut store = store(handler, state);
    // Around all of it: start functions and waiting inside host functions count as well.
    let timed = tokio::time::timeout(limits.wall, meter.measure(answer(&mut store, handler, &call.request))).await;
    let outcome = match timed {
        Ok(Ok(Ok(answer))) => answer::checked(answer, &limits),
        Ok(Ok(Err(error))) => Err(classify(&error, store.data())),
        Ok(Err(HostPanicked(text))) => {
            tracing::error!(request.id = %call.request.id, component = handler.digest(), "Panic inside a run: {text}");
            Err(RunError::Host(text))
        }
        Err(_elapsed) => Err(RunError::WallLimit { limit: limits.wall }),
    };
    let state = store.into_data();
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
    Run { outcome, usage, logs, logs_dropped }
}

/// The only way a store is made: one that lacked its epoch deadline would trap at once, and one without its limiter
/// would have no limit.
fn store(handler: &Handler, state: State) -> Store<State> {
    let (fuel, handles) = (state.limits.hostcall_fuel, state.limits.handles);
    let mut store = Store::new(handler.pre().engine(), state);
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

async fn answer(
    store: &mut Store<State>,
    handler: &Handler,
    request: &Request,
) -> wasmtime::Result<Result<types::Response, types::Failure>> {
    let instance = handler.pre().instantiate_async(&mut *store).await?;
    let handle = instance.get_func(&mut *store, handler.export()).ok_or_else(|| wasmtime::Error::msg("no `handle`"))?;
    #[expect(unsafe_code, reason = "comparing the two types again costs each call what comparing them once told us")]
    // SAFETY: a `Handler` exists only if `handle_export` found this export of this component to have this type.
    let handle = unsafe { TypedFunc::<HandleParams<'_>, HandleResult>::new_unchecked(handle) };
    let headers: Vec<(&str, &[u8])> =
        request.headers.iter().map(|(name, value)| (name.as_str(), value.as_ref())).collect();
    let request = RequestRef {
        id: &request.id,
        owner: &request.owner,
        api: &request.api,
        consumer: &request.consumer,
        attempt: request.attempt,
        method: &request.method,
        path: &request.path,
        query: request.query.as_deref(),
        headers: &headers,
        body: &request.body,
        deadline_ms: request.deadline_ms,
        attributes: &request.attributes,
    };
    let (answer,) = handle.call_async(&mut *store, (request,)).await?;
    Ok(answer)
}
