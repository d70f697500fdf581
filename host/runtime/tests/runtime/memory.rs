//! Guests that take much memory: where they run, what they wait for, and that nothing of them stays.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ripost_runtime::{Handler, Limits, MemoryPlan, ProgressSink, Runtime, RuntimeConfig};
use tokio::task::JoinSet;

use crate::common::Guest;
use crate::{answered, call, limits, stopped};

const MIB: usize = 1024 * 1024;
const REPORT: &str = r#"(import "ripost:plugin/progress@1.0.0" "report" (func $report (param i32 i32 i32 i32)))"#;
const SAY: &str = "(call $report (i32.const 0) (i32.const 0) (i32.const 2048) (i32.const 0))";
const ANSWER: &str = "(call $respond (i32.const 200) (i32.const 0) (i32.const 0))";

/// Which threads a guest reported from.
#[derive(Default)]
struct Threads(Mutex<Vec<String>>);

impl ProgressSink for Threads {
    fn report(&self, _percent: Option<u8>, _message: &str) {
        self.0.lock().unwrap().push(std::thread::current().name().unwrap_or_default().to_owned());
    }

    fn cancelled(&self) -> bool {
        false
    }
}

impl Threads {
    fn take(&self) -> Vec<bool> {
        std::mem::take(&mut *self.0.lock().unwrap()).iter().map(|name| name == "ripost-heavy").collect()
    }
}

fn grow(mib: usize) -> String {
    format!("(if (i32.eq (memory.grow (i32.const {})) (i32.const -1)) (then unreachable))", mib * 16)
}

/// Grows by so many MiB and fills them in one instruction.
fn fills(mib: usize, then: &str) -> Guest {
    let fill = format!("(memory.fill (i32.const 131072) (i32.const 1) (i32.const {}))", mib * MIB);
    Guest::new(&format!("{}{fill}{then}", grow(mib)))
}

fn start(memory: usize, instances_max: u32) -> Runtime {
    let memory = MemoryPlan::new(memory, instances_max);
    let memory_bytes_ceiling = memory.run_bytes_max();
    Runtime::start(RuntimeConfig { memory, memory_bytes_ceiling, instances_max, ..RuntimeConfig::default() }).unwrap()
}

fn load(runtime: &Runtime, guest: &Guest) -> Handler {
    runtime.load(&guest.wasm(), &limits()).unwrap()
}

async fn aside(runtime: &Runtime, handler: &Handler) -> Vec<bool> {
    let threads = Arc::new(Threads::default());
    let mut call = call("", limits());
    call.progress = threads.clone();
    answered(runtime.run(handler, call).await);
    threads.take()
}

#[tokio::test]
async fn a_run_moves_aside_before_it_has_the_memory_that_one_instruction_could_fill() {
    let runtime = Runtime::start(RuntimeConfig::default()).unwrap();
    // Little, then much; where it is afterwards it stays.
    let guest = Guest::new(&format!("{SAY}{}{SAY}{}{SAY}{ANSWER}", grow(3), grow(2))).imports(REPORT);
    assert_eq!(aside(&runtime, &load(&runtime, &guest)).await, [false, false, true]);
    // With a limit of its own, and so in the other engine.
    let limits = Limits { memory_bytes: 256 * MIB, ..limits() };
    let handler = runtime.load(&guest.wasm(), &limits).unwrap();
    assert_eq!(aside(&runtime, &handler).await, [false, false, true]);
}

#[tokio::test]
async fn a_run_that_starts_with_much_memory_is_aside_from_the_beginning() {
    let runtime = Runtime::start(RuntimeConfig::default()).unwrap();
    for (pages, is_aside) in [(16 * 16, false), (32 * 16, true)] {
        let guest = Guest::new(&format!("{SAY}{ANSWER}")).imports(REPORT).pages(pages);
        assert_eq!(aside(&runtime, &load(&runtime, &guest)).await, [is_aside], "{pages}");
    }
}

#[tokio::test]
async fn a_component_that_held_a_thread_once_is_aside_from_then_on() {
    let tick = Duration::from_millis(1);
    let runtime = Runtime::start(RuntimeConfig { tick, ..RuntimeConfig::default() }).unwrap();
    let fill = "(memory.fill (i32.const 65536) (i32.const 1) (i32.const 19000000))";
    let guest = Guest::new(&format!("{SAY}{fill}{ANSWER}")).imports(REPORT).pages(19 * 16);
    let handler = load(&runtime, &guest);
    assert_eq!(aside(&runtime, &handler).await, [false]);
    // At once, unless this machine was too busy to tick.
    for _ in 0..100 {
        if aside(&runtime, &handler).await == [true] {
            return;
        }
    }
    panic!("a component goes on filling 18 MiB in one instruction on a thread that others need");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_never_have_more_memory_at_once_than_there_is() {
    /// How many are between their two reports.
    #[derive(Default)]
    struct AtOnce(AtomicUsize, AtomicUsize);
    struct Of(Arc<AtOnce>, AtomicUsize);
    impl ProgressSink for Of {
        fn report(&self, _percent: Option<u8>, _message: &str) {
            if self.1.fetch_add(1, Ordering::SeqCst) == 0 {
                let now = self.0.0.fetch_add(1, Ordering::SeqCst) + 1;
                self.0.1.fetch_max(now, Ordering::SeqCst);
            } else {
                self.0.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        fn cancelled(&self) -> bool {
            false
        }
    }
    // For growth there are 180 MiB. A run may have 64: 4 before it grows, and 60 that are set aside when it does.
    let runtime = start(480 * MIB, 100);
    assert_eq!(MemoryPlan::new(480 * MIB, 100).run_bytes_max(), 180 * MIB);
    let guest = Guest::new(&format!("{}{SAY}(call $sleep (i64.const 20000000)){SAY}{ANSWER}", grow(5)));
    let handler = load(&runtime, &sleeping(guest).imports(REPORT));
    let (at_once, mut runs) = (Arc::new(AtOnce::default()), JoinSet::new());
    for number in 0..12 {
        let (runtime, handler, at_once) = (runtime.clone(), handler.clone(), at_once.clone());
        runs.spawn(async move {
            let mut call = call("", limits());
            call.request.owner = format!("owner{}", number % 4);
            call.progress = Arc::new(Of(at_once, AtomicUsize::new(0)));
            answered(runtime.run(&handler, call).await).status
        });
    }
    while let Some(status) = runs.join_next().await {
        assert_eq!(status.unwrap(), 200);
        assert!(runtime.memory().reserved_bytes <= runtime.memory().bytes_max);
    }
    assert!((1..=3).contains(&at_once.1.load(Ordering::SeqCst)), "{:?}", at_once.1);
    let memory = runtime.memory();
    assert!(memory.waited > 0 && memory.given_up == 0, "{memory:?}");
    assert_eq!((memory.reserved_bytes, memory.waiting), (0, 0), "all of it came back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_for_memory_is_no_part_of_a_runs_wall_time() {
    // Room for one that grows.
    let runtime = start(160 * MIB, 100);
    let keeps = Guest::new(&format!("{}(call $sleep (i64.const 1500000000)){ANSWER}", grow(5)));
    let keeps = load(&runtime, &sleeping(keeps));
    let grows = load(&runtime, &Guest::new(&format!("{}{ANSWER}", grow(5))));
    let first = async { answered(runtime.run(&keeps, call("", limits())).await).status };
    let second = async {
        while runtime.memory().reserved_bytes == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let began = Instant::now();
        let short = Limits { wall: Duration::from_millis(500), ..limits() };
        let run = runtime.run(&grows, call("", short)).await;
        assert!(began.elapsed() > Duration::from_millis(500), "it did not wait");
        answered(run).status
    };
    assert_eq!(tokio::join!(first, second), (200, 200));
}

#[tokio::test]
async fn a_run_for_which_there_is_no_memory_for_long_is_nobodys_fault() {
    let runtime = start(160 * MIB, 100);
    let keeps = Guest::new(&format!("{}(call $sleep (i64.const 3600000000000)){ANSWER}", grow(5)));
    let keeps = load(&runtime, &sleeping(keeps));
    let grows = load(&runtime, &Guest::new(&format!("{}{ANSWER}", grow(5))));
    let hour = Limits { wall: Duration::from_hours(1), ..limits() };
    let mut keeping = std::pin::pin!(runtime.run(&keeps, call("", hour)));
    while runtime.memory().reserved_bytes == 0 {
        tokio::select! {
            run = &mut keeping => panic!("it ended: {:?}", run.outcome),
            () = tokio::time::sleep(Duration::from_millis(1)) => {}
        }
    }
    let refused = tokio::select! {
        run = &mut keeping => panic!("it ended: {:?}", run.outcome),
        run = runtime.run(&grows, call("", limits())) => stopped(run),
    };
    assert!(!refused.is_owners() && refused.to_string().contains("`sandbox.memory`"), "{refused}");
    assert_eq!(runtime.memory().given_up, 1);
}

#[tokio::test]
async fn memory_of_ended_guests_is_given_back_at_once() {
    let runtime = Runtime::start(RuntimeConfig::default()).unwrap();
    for (mib, memory_bytes) in [(60, 64 * MIB), (200, 256 * MIB)] {
        let limits = Limits { memory_bytes, ..limits() };
        for (end, traps) in [(ANSWER, false), ("unreachable", true)] {
            let handler = runtime.load(&fills(mib, end).wasm(), &limits).unwrap();
            let before = resident_bytes();
            for _ in 0..7 {
                let run = runtime.run(&handler, call("", limits.clone())).await;
                assert_eq!(run.outcome.is_err(), traps);
                let kept = resident_bytes().saturating_sub(before);
                assert!(kept < 20 * MIB, "{kept} bytes of a guest that had {mib} MiB are still here");
            }
        }
    }
}

fn sleeping(guest: Guest) -> Guest {
    guest
        .world("import wasi:clocks/monotonic-clock@0.2.0;")
        .imports(
            r#"(import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $subscribe (param i64) (result i32)))
               (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))"#,
        )
        .items("(func $sleep (param $ns i64) (call $block (call $subscribe (local.get $ns))))")
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
