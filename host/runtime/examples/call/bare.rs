//! The floor: the same component with wasmtime alone. No limits, no clock, no log, no fair turns, no epochs; the engine
//! has the memory scheme of ours. And the floor's floor: the guest's own work, in an instance that is used again.

use ripost_runtime::{Request, Scheme};
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store};

use crate::{Cost, rounds};

mod bindings {
    #![allow(
        missing_docs,
        unreachable_pub,
        dead_code,
        unsafe_code,
        clippy::unwrap_used,
        reason = "generated from wit/"
    )]
    wasmtime::component::bindgen!({ path: "../../wit", world: "handler", exports: { default: async } });
}

use bindings::HandlerPre;
use bindings::ripost::plugin::types;

const MIB: usize = 1 << 20;

fn engine(scheme: Scheme) -> Engine {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(50)
        .total_core_instances(200)
        .total_memories(100)
        .total_tables(150)
        .total_stacks(50)
        .max_memory_size(64 * MIB)
        .linear_memory_keep_resident(2 * MIB)
        .table_keep_resident(MIB)
        .decommit_batch_size(8)
        .pagemap_scan(Enabled::No);
    let mut config = Config::new();
    if scheme == Scheme::Small {
        config
            .memory_init_cow(false)
            .memory_reservation(64 * MIB as u64)
            .memory_guard_size(0)
            .guard_before_linear_memory(false)
            .signals_based_traps(false);
    }
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config).unwrap()
}

/// Of a fresh instance for each call, and of one instance for all of them.
pub(crate) fn costs(wasm: &[u8], scheme: Scheme, request: &Request, count: usize) -> (Cost, Cost) {
    let engine = engine(scheme);
    let component = Component::new(&engine, wasm).unwrap();
    let mut linker = Linker::<()>::new(&engine);
    // What the measured guests call; and what they do not.
    let mut progress = linker.instance("ripost:plugin/progress@1.0.0").unwrap();
    progress.func_wrap("cancelled", |_, ()| Ok((false,))).unwrap();
    progress.func_wrap("report", |_, (_, _): (Option<u8>, String)| Ok(())).unwrap();
    let mut log = linker.instance("ripost:plugin/log@1.0.0").unwrap();
    log.func_new("write", |_, _, _, _| Ok(())).unwrap();
    let mut clock = linker.instance("ripost:plugin/clock@1.0.0").unwrap();
    clock.func_wrap("now-ms", |_, ()| Ok((1_700_000_000_000_u64,))).unwrap();
    linker.define_unknown_imports_as_traps(&component).unwrap();
    let pre = HandlerPre::new(linker.instantiate_pre(&component).unwrap()).unwrap();
    let request = types::Request {
        id: request.id.clone(),
        owner: request.owner.clone(),
        api: request.api.clone(),
        consumer: request.consumer.clone(),
        attempt: request.attempt,
        method: request.method.clone(),
        path: request.path.clone(),
        query: request.query.clone(),
        headers: request.headers.iter().map(|(name, value)| (name.clone(), value.to_vec())).collect(),
        body: request.body.to_vec(),
        deadline_ms: request.deadline_ms,
        attributes: Vec::new(),
    };
    let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let fresh = rounds(
        async || {
            let mut store = Store::new(&engine, ());
            let instance = pre.instantiate_async(&mut store).await.unwrap();
            let answer = instance.ripost_plugin_handle().call_handle(&mut store, &request).await.unwrap();
            assert_eq!(answer.unwrap().status, 200);
        },
        count,
    );
    let fresh = tokio.block_on(fresh);
    let again = async {
        let mut store = Store::new(&engine, ());
        let instance = pre.instantiate_async(&mut store).await.unwrap();
        let store = tokio::sync::Mutex::new(store);
        let one = async || {
            let mut store = store.lock().await;
            let answer = instance.ripost_plugin_handle().call_handle(&mut *store, &request).await.unwrap();
            assert_eq!(answer.unwrap().status, 200);
        };
        rounds(one, count).await
    };
    (fresh, tokio.block_on(again))
}
