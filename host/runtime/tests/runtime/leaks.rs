//! Nothing of one tenant's run is there in the next one's, in the very slot that it used.

use ripost_runtime::{Handler, Limits, Runtime, RuntimeConfig, Scheme};

use crate::common::Guest;
use crate::{answered, call, limits};

/// Pages that both take beyond those they start with: more than what stays mapped between two runs.
const GROWN: u32 = 100;

/// Fills all its memory, and its table, and answers.
fn leaver() -> Guest {
    Guest::new(&format!(
        "(drop (memory.grow (i32.const {GROWN})))
         (memory.fill (i32.const 16384) (i32.const 0xAA) (i32.sub (i32.shl (memory.size) (i32.const 16)) (i32.const 16384)))
         (drop (table.grow $t (ref.func $mark) (i32.const 500)))
         (call $respond (i32.const 200) (i32.const 0) (i32.const 0))"
    ))
    .items("(table $t 10 funcref) (elem declare func $mark) (func $mark)")
}

/// Answers with the number of bytes and table elements that it finds and did not write.
fn finder() -> Guest {
    Guest::new(&format!(
        "(local $end i32) (local $found i32)
         (drop (memory.grow (i32.const {GROWN})))
         (drop (table.grow $t (ref.null func) (i32.const 500)))
         (local.set $i (i32.const 16384))
         (local.set $end (i32.shl (memory.size) (i32.const 16)))
         (loop $next
           (if (i64.ne (i64.load (local.get $i)) (i64.const 0))
             (then (local.set $found (i32.add (local.get $found) (i32.const 8)))))
           (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 8))) (local.get $end))))
         (local.set $i (i32.const 0))
         (loop $next
           (if (i32.eqz (ref.is_null (table.get $t (local.get $i))))
             (then (local.set $found (i32.add (local.get $found) (i32.const 1)))))
           (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (table.size $t))))
         (i32.store (i32.const 2048) (local.get $found))
         (call $respond (i32.const 200) (i32.const 2048) (i32.const 4))"
    ))
    .items("(table $t 10 funcref)")
}

fn load(runtime: &Runtime, guest: &Guest, limits: &Limits) -> Handler {
    runtime.load(&guest.wasm(), limits).unwrap()
}

#[tokio::test]
async fn a_slot_keeps_nothing_of_one_tenant_for_the_next() {
    // One slot: whoever runs next has it.
    let runtime = Runtime::start(RuntimeConfig { instances_max: 1, ..RuntimeConfig::default() }).unwrap();
    for (scheme, memory_bytes) in [(Scheme::Small, 64 << 20), (Scheme::Large, 128 << 20)] {
        let limits = Limits { memory_bytes, ..limits() };
        let (leaver, finder) = (load(&runtime, &leaver(), &limits), load(&runtime, &finder(), &limits));
        assert_eq!((leaver.scheme(), finder.scheme()), (scheme, scheme));
        for round in 0..5 {
            assert_eq!(answered(runtime.run(&leaver, call("secret", limits.clone())).await).status, 200);
            let found = answered(runtime.run(&finder, call("", limits.clone())).await).body;
            assert_eq!(found[..], [0; 4], "{scheme}, round {round}");
        }
    }
}

#[tokio::test]
async fn two_tenants_with_the_same_component_share_its_code_and_nothing_else() {
    let runtime = Runtime::start(RuntimeConfig { instances_max: 1, ..RuntimeConfig::default() }).unwrap();
    let limits = limits();
    let guest = Guest::new(
        "(i32.store (i32.const 2048) (i32.load (i32.const 3072)))
         (i32.store (i32.const 3072) (i32.const 0x41414141))
         (call $respond (i32.const 200) (i32.const 2048) (i32.const 4))",
    );
    let (one, other) = (load(&runtime, &guest, &limits), load(&runtime, &guest, &limits));
    assert_eq!(one.digest(), other.digest());
    for handler in [&one, &other, &one, &other] {
        let run = runtime.run(handler, call("", limits.clone())).await;
        assert_eq!(answered(run).body[..], [0; 4]);
    }
}

#[tokio::test]
async fn a_run_that_was_cut_off_leaves_nothing_either() {
    let runtime = Runtime::start(RuntimeConfig { instances_max: 1, ..RuntimeConfig::default() }).unwrap();
    let limits = limits();
    let spoils =
        Guest::new("(memory.fill (i32.const 16384) (i32.const 0xAA) (i32.const 100000)) (loop $l (br $l)) unreachable");
    let (spoils, finder) = (load(&runtime, &spoils, &limits), load(&runtime, &finder(), &limits));
    for _ in 0..3 {
        let cut = Limits { cpu: std::time::Duration::from_millis(20), ..limits.clone() };
        assert!(runtime.run(&spoils, call("", cut)).await.outcome.is_err());
        let found = answered(runtime.run(&finder, call("", limits.clone())).await).body;
        assert_eq!(found[..], [0; 4]);
    }
}
