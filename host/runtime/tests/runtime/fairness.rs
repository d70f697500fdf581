//! Guests that compute, and neighbours that should not notice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ripost_runtime::{Handler, Limits, Runtime, RuntimeConfig};
use tokio::task::JoinSet;

use crate::common::Guest;
use crate::{answered, call, limits};

const SPINNERS: usize = 8;

struct Scene {
    runtime: Runtime,
    spinners: JoinSet<()>,
    count: usize,
}

impl Scene {
    /// Two worker threads, and four times as many guests that spin until they are dropped.
    fn start() -> Self {
        Scene::with(RuntimeConfig { heavy_runs_max: 1, ..RuntimeConfig::default() }, SPINNERS)
    }

    fn with(config: RuntimeConfig, count: usize) -> Self {
        let runtime = Runtime::start(config).unwrap();
        let spinner = Arc::new(load(&runtime, &Guest::new("(loop $l (br $l)) unreachable")));
        let mut spinners = JoinSet::new();
        for _ in 0..count {
            let (runtime, spinner) = (runtime.clone(), Arc::clone(&spinner));
            let hour = Duration::from_hours(1);
            spinners.spawn(async move {
                runtime.run(&spinner, call("", Limits { cpu: hour, wall: hour, ..Limits::default() })).await;
            });
        }
        Scene { runtime, spinners, count }
    }

    fn all_still_spin(&mut self) -> bool {
        self.spinners.try_join_next().is_none() && self.spinners.len() == self.count
    }
}

fn load(runtime: &Runtime, guest: &Guest) -> Handler {
    runtime.load(&guest.wasm(), &limits()).unwrap()
}

async fn within_limit<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(15), future).await.expect("the spinning guests hold every thread")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quick_calls_are_answered_while_other_guests_spin() {
    let mut scene = Scene::start();
    let echo = load(&scene.runtime, &Guest::echo());
    within_limit(async {
        for _ in 0..100 {
            assert_eq!(answered(scene.runtime.run(&echo, call("x", limits())).await).body, "x");
        }
    })
    .await;
    assert!(scene.all_still_spin());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_computation_gets_its_turn_among_guests_that_never_end() {
    let mut scene = Scene::start();
    // Some tens of milliseconds: well beyond its first tick, so it needs the one permit that the others want too.
    let works = load(
        &scene.runtime,
        &Guest::new(
            "(local $n i32) (local.set $n (i32.const 50000000))
             (loop $l (local.set $i (i32.mul (i32.add (local.get $i) (local.get $n)) (i32.const 31)))
               (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
             (i32.store (i32.const 2048) (local.get $i))
             (call $respond (i32.const 200) (i32.const 2048) (i32.const 4))",
        ),
    );
    let run = within_limit(scene.runtime.run(&works, call("", limits()))).await;
    assert!(run.usage.cpu > Duration::from_millis(4), "{:?}: too short to show anything", run.usage.cpu);
    assert_eq!(answered(run).status, 200);
    assert!(scene.all_still_spin());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spinning_guests_end_with_the_calls_that_wait_for_them() {
    let mut scene = Scene::start();
    let echo = load(&scene.runtime, &Guest::echo());
    assert_eq!(answered(within_limit(scene.runtime.run(&echo, call("x", limits()))).await).body, "x");
    within_limit(scene.spinners.shutdown()).await;
    assert!(scene.spinners.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_guest_that_computes_for_long_leaves_even_the_only_async_thread_to_others() {
    const NAPS: u32 = 40;
    let tick = Duration::from_millis(300);
    let config = RuntimeConfig { heavy_runs_max: 1, tick, ..RuntimeConfig::default() };
    let mut scene = Scene::with(config, 1);
    let mut neighbours = JoinSet::new();
    let began = Instant::now();
    neighbours.spawn(async {
        for _ in 0..NAPS {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    within_limit(neighbours.join_next()).await.unwrap().unwrap();
    // Its first ticks it has for itself; would it hold the thread after them, each nap would last one.
    assert!(began.elapsed() < tick * NAPS / 4, "{:?}", began.elapsed());
    assert!(scene.all_still_spin());
}
