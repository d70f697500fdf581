//! What one call in a fresh instance costs, everything included: for `cargo xtask bench`, and for choosing the settings
//! of the two engines.
//!
//! `call ROUNDS component FILE BODY` measures a handler as it is, `call ROUNDS transform FILE BODY` a response transform,
//! `call ROUNDS border` made ones with more and more first memory. Each figure is a line of JSON. A round is as many calls as fit into [`ROUND`], on one thread or on two.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot be made ends with its reason")]

#[path = "call/bare.rs"]
mod bare;
#[path = "call/border.rs"]
mod border;
#[allow(dead_code, reason = "shared with the tests, which use more of it")]
#[path = "../tests/common/mod.rs"]
mod common;
#[path = "call/transform.rs"]
mod transform;

use std::collections::BTreeMap;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use bytes::Bytes;
use nix::time::{ClockId, clock_gettime};
use ripost_runtime::{Call, Grants, Handler, Limits, NoProgress, Request, Runtime, RuntimeConfig, Scheme, fixed_clock};
use serde_json::json;

/// Long enough for some thousand calls of a small guest, short enough to fall between two disturbances.
const ROUND: Duration = Duration::from_millis(200);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        [rounds, "component", file, body] => component(rounds.parse().unwrap(), file, body),
        [rounds, "transform", file, body] => transform::measure(rounds.parse().unwrap(), file, body),
        [rounds, "border"] => border::measure(rounds.parse().unwrap()),
        _ => {
            eprintln!("call ROUNDS component FILE BODY | call ROUNDS transform FILE BODY | call ROUNDS border");
            std::process::exit(64);
        }
    }
}

fn component(rounds: usize, file: &str, body: &str) {
    let wasm = std::fs::read(file).unwrap_or_else(|error| panic!("reading {file}: {error}"));
    let body = Bytes::copy_from_slice(body.as_bytes());
    let own = Runtime::start(RuntimeConfig::default()).unwrap().load(&wasm, &Limits::default()).unwrap().scheme();
    for scheme in [Scheme::Small, Scheme::Large] {
        let (bare, reused) = bare::costs(&wasm, scheme, &request(&body), rounds);
        for threads in [1, 2] {
            let cost = Guest::load(&wasm, scheme).cost(threads, &body, rounds);
            let mut line = cost.json(scheme, threads);
            line["own"] = json!(scheme == own);
            if threads == 1 {
                line["bare_us"] = json!(bare.best_us());
                line["bare_cpu_us"] = json!(best(&bare.cpu_us));
                line["reused_us"] = json!(reused.best_us());
            }
            println!("{line}");
        }
    }
}

/// A component in one of the two engines, wherever its first memory would put it.
struct Guest {
    runtime: Runtime,
    handler: Handler,
    limits: Arc<Limits>,
}

impl Guest {
    fn load(wasm: &[u8], scheme: Scheme) -> Self {
        let small_first_memory_bytes_max = match scheme {
            Scheme::Small => u64::MAX,
            Scheme::Large => 0,
        };
        let limits = Limits::default();
        let runtime = Runtime::start(RuntimeConfig { small_first_memory_bytes_max, ..RuntimeConfig::default() });
        let runtime = runtime.unwrap_or_else(|error| panic!("starting the runtime: {error}"));
        let handler = runtime.load(wasm, &limits).unwrap_or_else(|error| panic!("loading the component: {error}"));
        assert_eq!(handler.scheme(), scheme, "the border moves it there");
        Guest { runtime, handler, limits: Arc::new(limits) }
    }

    /// Calls on so many threads at once.
    fn cost(&self, threads: usize, body: &Bytes, count: usize) -> Cost {
        let (config, now) = (Arc::new(BTreeMap::new()), fixed_clock(1_700_000_000_000));
        let one = async || {
            let call = Call {
                request: request(body),
                limits: self.limits.clone(),
                config: Arc::clone(&config),
                seed: [7; 32],
                now: now.clone(),
                progress: Arc::new(NoProgress),
                grants: Grants::default(),
                journal: None,
                past: None,
            };
            let run = self.runtime.run(&self.handler, call).await;
            match run.outcome {
                Ok(Ok(answer)) if answer.status == 200 => {}
                other => panic!("no answer but {other:?}"),
            }
        };
        let barrier = Barrier::new(threads);
        let costs: Vec<Cost> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads)
                .map(|_| {
                    scope.spawn(|| {
                        let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                        barrier.wait();
                        tokio.block_on(rounds(one, count))
                    })
                })
                .collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).collect()
        });
        Cost::merge(costs)
    }
}

/// What calls cost, in microseconds, round by round.
#[derive(Default)]
struct Cost {
    wall_us: Vec<f64>,
    cpu_us: Vec<f64>,
    /// Minor page faults a call, over all rounds and threads.
    faults: f64,
}

async fn rounds(one: impl AsyncFn(), count: usize) -> Cost {
    let mut cost = Cost::default();
    let (mut all, mut faults) = (0_u64, 0);
    for round in 0..=count {
        let (begun, cpu, before) = (Instant::now(), thread_cpu(), thread_faults());
        let mut calls = 0_u64;
        while begun.elapsed() < ROUND {
            for _ in 0..8 {
                one().await;
            }
            calls += 8;
        }
        // The first one warms up.
        if round > 0 {
            let each = |time: Duration| time.as_secs_f64() * 1e6 / calls as f64;
            cost.wall_us.push(each(begun.elapsed()));
            cost.cpu_us.push(each(thread_cpu() - cpu));
            faults += thread_faults() - before;
            all += calls;
        }
    }
    cost.faults = faults as f64 / all as f64;
    cost
}

impl Cost {
    /// The slowest thread of each round.
    fn merge(costs: Vec<Cost>) -> Cost {
        let slowest = |of: fn(&Cost) -> &Vec<f64>| {
            (0..costs[0].wall_us.len())
                .map(|round| costs.iter().map(|cost| of(cost)[round]).fold(0.0, f64::max))
                .collect()
        };
        Cost {
            wall_us: slowest(|cost| &cost.wall_us),
            cpu_us: slowest(|cost| &cost.cpu_us),
            faults: costs.iter().map(|cost| cost.faults).sum::<f64>() / costs.len() as f64,
        }
    }

    fn best_us(&self) -> f64 {
        best(&self.wall_us)
    }

    fn json(&self, scheme: Scheme, threads: usize) -> serde_json::Value {
        let sorted = |rounds: &[f64]| {
            let mut sorted = rounds.to_vec();
            sorted.sort_by(f64::total_cmp);
            sorted
        };
        let (wall, cpu) = (sorted(&self.wall_us), sorted(&self.cpu_us));
        json!({
            "scheme": scheme.to_string(),
            "threads": threads,
            "best_us": wall[0],
            "median_us": wall[wall.len() / 2],
            "cpu_us": cpu[0],
            "faults": self.faults,
        })
    }
}

fn best(rounds: &[f64]) -> f64 {
    rounds.iter().copied().fold(f64::INFINITY, f64::min)
}

fn request(body: &Bytes) -> Request {
    let header = |name: &str, value: &'static str| (name.to_owned(), Bytes::from_static(value.as_bytes()));
    Request {
        id: "req_01m86v1f01e4ys3efw3n7h9qqe".to_owned(),
        owner: "test".to_owned(),
        api: "echo".to_owned(),
        consumer: "c_5d3c1f0a9b8e7d6c5b4a39281706f5e4".to_owned(),
        attempt: 1,
        method: "POST".to_owned(),
        headers: vec![header("content-type", "application/json"), header("accept", "*/*")],
        body: body.clone(),
        deadline_ms: 1_700_000_030_000,
        ..Request::default()
    }
}

fn thread_cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
}

/// Minor faults of this thread so far.
fn thread_faults() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap_or_default();
    // After the name in parentheses: state is the third field, minor faults the tenth.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    fields.split_whitespace().nth(7).and_then(|field| field.parse().ok()).unwrap_or(0)
}
