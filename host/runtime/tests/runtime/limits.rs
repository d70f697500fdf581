//! Each limit, met by a guest that would go on for ever.

use std::time::Duration;

use ripost_runtime::{Limits, RunError, Scheme, Writer, last_message};

use crate::common::{Guest, with_modules};
use crate::{answered, call, limits, load, run, runtime, stopped};

const CPU: Duration = Duration::from_millis(100);
const MIB: usize = 1024 * 1024;

/// Answers after a wait that costs no CPU.
pub(crate) fn sleeper(ms: u64) -> Guest {
    Guest::new(&format!(
        "(call $block (call $subscribe (i64.const {}))) (call $respond (i32.const 200) (i32.const 0) (i32.const 0))",
        ms * 1_000_000
    ))
    .world("import wasi:clocks/monotonic-clock@0.2.0;")
    .imports(
        r#"(import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $subscribe (param i64) (result i32)))
           (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))"#,
    )
}

#[tokio::test]
async fn an_endless_loop_dies_at_its_cpu_budget_wherever_it_is() {
    let everywhere = [
        ("handle", Guest::new("(loop $l (br $l)) unreachable")),
        ("start", Guest::echo().items("(func $s (loop $l (br $l))) (start $s)")),
        ("cabi_realloc", Guest::echo().realloc("(loop $l (br $l)) unreachable")),
    ];
    for (place, guest) in everywhere {
        let run = runtime().run(&load(&guest), call("body", Limits { cpu: CPU, ..limits() })).await;
        let used = run.usage.cpu;
        assert_eq!(stopped(run), RunError::CpuLimit { limit: CPU }, "in {place}");
        assert!(used >= CPU && used < 3 * CPU, "in {place}: {used:?}");
    }
}

#[tokio::test]
async fn a_guest_that_waits_lives_past_the_cpu_budget() {
    let limits = Limits { cpu: Duration::from_millis(50), ..limits() };
    let run = run(&sleeper(200), limits).await;
    assert!(run.usage.wall >= Duration::from_millis(200));
    assert!(run.usage.cpu < Duration::from_millis(50));
    assert_eq!(answered(run).status, 200);
}

#[tokio::test]
async fn a_guest_that_waits_too_long_dies_at_the_wall_limit() {
    let wall = Duration::from_millis(300);
    let run = run(&sleeper(3_600_000), Limits { wall, cpu: Duration::from_millis(50), ..limits() }).await;
    assert!(run.usage.wall >= wall);
    let error = stopped(run);
    assert_eq!(error, RunError::WallLimit { limit: wall });
    assert_eq!(
        error.to_string(),
        "the handler did not answer within its limit `wall` of 300 ms: wait for less, or raise `wall` in [api.limits]"
    );
}

#[tokio::test]
async fn a_memory_bomb_is_stopped_at_the_limit_and_told_so() {
    let bomb = Guest::new("(loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable");
    for (memory, scheme) in [(64 * MIB, Scheme::Small), (128 * MIB, Scheme::Large)] {
        let limits = Limits { memory_bytes: memory, ..limits() };
        let handler = runtime().load(&bomb.wasm(), &limits).unwrap();
        assert_eq!(handler.scheme(), scheme);
        let run = runtime().run(&handler, call("", limits)).await;
        assert!(run.usage.memory_bytes_peak <= memory && run.usage.memory_bytes_peak > memory - 2 * MIB);
        let error = stopped(run);
        assert_eq!(error, RunError::MemoryLimit { limit_bytes: memory });
        assert_eq!(
            error.to_string(),
            format!(
                "the handler needs more memory than its limit `memory` of {} MiB: use less, or raise `memory` in [api.limits]",
                memory / MIB
            )
        );
    }
}

#[tokio::test]
async fn the_memory_limit_is_for_all_memories_together() {
    // Each takes 20 MiB when it starts: three fit into 64 MiB beside the guest, four do not.
    let hoarder = "(module (memory 1)
      (func $s (if (i32.eq (memory.grow (i32.const 319)) (i32.const -1)) (then unreachable))) (start $s))";
    let three = runtime().load(&with_modules(Guest::echo().wasm(), hoarder, 3), &limits()).unwrap();
    assert_eq!(answered(runtime().run(&three, call("x", limits())).await).body, "x");
    let four = runtime().load(&with_modules(Guest::echo().wasm(), hoarder, 4), &limits()).unwrap();
    let run = runtime().run(&four, call("x", limits())).await;
    assert!(run.usage.memory_bytes_peak <= 64 * MIB);
    assert_eq!(stopped(run), RunError::MemoryLimit { limit_bytes: 64 * MIB });
}

#[tokio::test]
async fn a_guest_that_copes_with_refused_memory_may_answer() {
    let guest = Guest::new(
        "(if (i32.ne (memory.grow (i32.const 60000)) (i32.const -1)) (then unreachable))
         (call $respond (i32.const 200) (i32.const 0) (i32.const 0))",
    );
    assert_eq!(answered(run(&guest, limits()).await).status, 200);
}

#[tokio::test]
async fn a_table_bomb_is_stopped_at_the_limit() {
    let guest = Guest::new(
        "(loop $l (br_if $l (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1)))) unreachable",
    )
    .items("(table $t 1 funcref)");
    assert_eq!(stopped(run(&guest, limits()).await), RunError::TableLimit { limit_elements: 20_000 });
}

#[tokio::test]
async fn a_guest_that_hoards_handles_is_told_which_limit_it_passed() {
    let hoarder = Guest::new("(loop $l (drop (call $stdout)) (br $l)) unreachable")
        .world("import wasi:cli/stdout@0.2.0;")
        .imports(r#"(import "wasi:cli/stdout@0.2.0" "get-stdout" (func $stdout (result i32)))"#);
    for (limits, told) in [
        (Limits { handles: 9, ..limits() }, "component handles at once than its limit `handles` of 9"),
        (Limits { resources: 9, ..limits() }, "host resources at once than its limit `resources` of 9"),
    ] {
        let error = stopped(run(&hoarder, limits).await);
        assert_eq!(error.kind(), "handler-trapped");
        assert!(error.to_string().contains(told), "{error}");
    }
}

#[tokio::test]
async fn endless_recursion_is_a_stack_overflow_and_the_process_lives() {
    let guest = Guest::new("(call $deep (i32.const 1))").items(
        "(func $deep (param i32) (result i32) (i32.add (call $deep (i32.add (local.get 0) (i32.const 1))) (local.get 0)))",
    );
    assert_eq!(stopped(run(&guest, limits()).await), RunError::StackOverflow);
}

#[tokio::test]
async fn a_trap_says_what_it_was_and_leaves_the_guests_words_to_its_log() {
    assert_eq!(
        stopped(run(&Guest::new("unreachable"), limits()).await),
        RunError::Trap { message: "wasm trap: wasm `unreachable` instruction executed".to_owned() }
    );
    let panicking =
        Guest::new("(call $log (i32.const 4) (i32.const 2048) (i32.const 20) (i32.const 0) (i32.const 0)) unreachable")
            .imports(r#"(import "ripost:plugin/log@1.0.0" "write" (func $log (param i32 i32 i32 i32 i32)))"#)
            .items(r#"(data (i32.const 2048) "panicked at lib.rs:3")"#);
    let panicked = run(&panicking, limits()).await;
    assert_eq!(last_message(&panicked.logs).as_deref(), Some("panicked at lib.rs:3"));
    let error = stopped(panicked);
    assert!(error.is_owners() && !error.to_string().contains("lib.rs"), "{error}");
    let out_of_bounds = Guest::new("(i32.load (i32.const -8))");
    assert_eq!(stopped(run(&out_of_bounds, limits()).await).kind(), "handler-trapped");
    let divides = Guest::new("(i32.div_u (i32.const 1) (i32.const 0))");
    assert_eq!(stopped(run(&divides, limits()).await).kind(), "handler-trapped");
}

#[tokio::test]
async fn the_log_of_a_guest_that_broke_names_the_functions_it_was_in() {
    let guest = Guest::new("(call $charge_card) unreachable")
        .items("(func $charge_card (call $getaddrinfo)) (func $getaddrinfo unreachable)");
    let broke = run(&guest, limits()).await;
    let host: Vec<&str> =
        broke.logs.iter().filter(|line| line.by == Writer::Host).map(|line| line.message.as_str()).collect();
    let at =
        |text: &str| host.iter().position(|line| line.contains(text)).unwrap_or_else(|| panic!("{text}: {host:?}"));
    assert!(at("innermost") < at("getaddrinfo") && at("getaddrinfo") < at("charge_card"), "{host:?}");
    at("Components have no sockets");
    assert!(!stopped(broke).public().contains("charge_card"));
    // Also of one that was stopped, and was not deep in anything.
    let spins = Guest::new("(call $spin_here) unreachable").items("(func $spin_here (loop $on (br $on)))");
    let limits = Limits { cpu: Duration::from_millis(20), ..limits() };
    let stopped = run(&spins, limits).await;
    assert!(stopped.logs.iter().any(|line| line.message.contains("spin_here")), "{:?}", stopped.logs);
}

#[tokio::test]
async fn a_guest_that_exits_has_not_answered() {
    let guest = Guest::new("(call $exit (i32.const 1)) unreachable")
        .world("import wasi:cli/exit@0.2.0;")
        .imports(r#"(import "wasi:cli/exit@0.2.0" "exit" (func $exit (param i32)))"#);
    assert_eq!(stopped(run(&guest, limits()).await), RunError::Exit { code: 1 });
}

#[tokio::test]
async fn a_giant_answer_is_refused_with_both_figures() {
    let answering = |bytes: usize| {
        Guest::new(&format!(
            "(drop (memory.grow (i32.const 200))) (call $respond (i32.const 200) (i32.const 0) (i32.const {bytes}))"
        ))
    };
    assert_eq!(
        stopped(run(&answering(5 * MIB), limits()).await),
        RunError::ResponseTooLarge { part: "body", bytes: 5 * MIB, bytes_max: 4 * MIB }
    );
    // More than may cross in one call: refused before the host has it.
    assert_eq!(stopped(run(&answering(9 * MIB), limits()).await), RunError::HostcallLimit { limit_bytes: 8 * MIB });
    assert_eq!(answered(run(&answering(4 * MIB), limits()).await).body.len(), 4 * MIB);
}

#[tokio::test]
async fn a_list_that_is_longer_than_memory_costs_the_host_nothing() {
    let before = resident_bytes();
    for len in [1_u32 << 28, u32::MAX] {
        // As a body, as a list of headers, and as a message for the log.
        let body =
            Guest::new(&format!("(call $respond (i32.const 200) (i32.const 0) (i32.const {}))", len.cast_signed()));
        let headers = Guest::new(&format!(
            "(call $respond (i32.const 200) (i32.const 0) (i32.const 0)) (i32.store (i32.const 1036) (i32.const {}))",
            len.cast_signed()
        ));
        let message = Guest::new(&format!(
            "(call $log (i32.const 4) (i32.const 0) (i32.const {}) (i32.const 0) (i32.const 0)) unreachable",
            len.cast_signed()
        ))
        .imports(r#"(import "ripost:plugin/log@1.0.0" "write" (func $log (param i32 i32 i32 i32 i32)))"#);
        for guest in [body, headers, message] {
            let error = stopped(run(&guest, limits()).await);
            assert!(matches!(error, RunError::Trap { .. } | RunError::HostcallLimit { .. }), "{error}");
        }
    }
    assert!(resident_bytes() < before + 100 * MIB as u64, "the host allocated what the guest only claimed");
}

#[tokio::test]
async fn an_answer_that_is_not_of_the_contract_is_the_guests_mistake() {
    // Bad UTF-8 in a title, and a variant case that does not exist.
    let bad_text =
        Guest::new("(call $retry (i32.const 2048) (i32.const 2))").items(r#"(data (i32.const 2048) "\ff\fe")"#);
    let bad_case = Guest::new("(i32.store8 (i32.const 1024) (i32.const 9)) (i32.const 1024)");
    for guest in [bad_text, bad_case] {
        let error = stopped(run(&guest, limits()).await);
        assert_eq!(error.kind(), "handler-trapped", "{error}");
    }
}

#[tokio::test]
async fn a_flood_of_host_calls_is_cpu_like_any_other() {
    let guest = Guest::new("(loop $l (drop (call $now)) (br $l)) unreachable")
        .imports(r#"(import "ripost:plugin/clock@1.0.0" "now-ms" (func $now (result i64)))"#);
    let run = run(&guest, Limits { cpu: CPU, ..limits() }).await;
    assert!(run.usage.host_calls > 1000);
    assert_eq!(stopped(run), RunError::CpuLimit { limit: CPU });
}

#[tokio::test]
async fn a_guest_that_hoards_resources_is_stopped() {
    let guest = Guest::new("(loop $l (drop (call $subscribe (i64.const 1000000000))) (br $l)) unreachable")
        .world("import wasi:clocks/monotonic-clock@0.2.0;")
        .imports(r#"(import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $subscribe (param i64) (result i32)))"#);
    let run = run(&guest, limits()).await;
    assert!(run.usage.host_calls <= 4_001, "{}", run.usage.host_calls);
    assert_eq!(stopped(run).kind(), "handler-trapped");
}

#[tokio::test]
async fn many_instances_and_first_memories_are_refused_before_they_run() {
    let module = "(module (memory 1))";
    let wasm = with_modules(Guest::echo().wasm(), module, 30);
    let error = runtime().load(&wasm, &limits()).unwrap_err();
    assert!(error.to_string().contains("memories"), "{error}");
    let wasm = with_modules(Guest::echo().wasm(), "(module (memory 600))", 2);
    let error = runtime().load(&wasm, &limits()).unwrap_err();
    assert!(matches!(error, ripost_runtime::LoadError::InitialMemory { .. }), "{error}");
}

#[tokio::test]
async fn a_run_needs_no_pool() {
    use ripost_runtime::{Runtime, RuntimeConfig};
    let runtime = Runtime::start(RuntimeConfig { pooling: false, ..RuntimeConfig::default() }).unwrap();
    assert!(runtime.describe().to_string().contains("on-demand: switched off"));
    let bomb = Guest::new("(loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable");
    let bomb = runtime.load(&bomb.wasm(), &limits()).unwrap();
    assert_eq!(stopped(runtime.run(&bomb, call("", limits())).await).kind(), "memory-limit");
    let echo = runtime.load(&Guest::echo().wasm(), &limits()).unwrap();
    assert_eq!(answered(runtime.run(&echo, call("x", limits())).await).body, "x");
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}
