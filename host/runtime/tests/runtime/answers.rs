//! Calls that end well, and what they leave behind: nothing.

use ripost_runtime::{Failure, RunError, Scheme};

use crate::common::Guest;
use crate::{answered, call, failed, limits, load, request, run, runtime, stopped};

#[tokio::test]
async fn a_handler_answers_with_what_it_was_given() {
    let handler = load(&Guest::echo());
    assert_eq!(handler.scheme(), Scheme::Small);
    assert_eq!(handler.digest().len(), 64);
    let run = runtime().run(&handler, call("hello", limits())).await;
    assert_eq!(run.usage.memory_bytes_peak, 2 * 65_536);
    assert!(run.usage.cpu > std::time::Duration::ZERO);
    let response = answered(run);
    assert_eq!((response.status, response.body.as_ref()), (200, b"hello".as_ref()));
    // A body larger than the guest's first memory goes through its allocator.
    let body = vec![b'x'; 1 << 20];
    assert_eq!(answered(runtime().run(&handler, call(body.clone(), limits())).await).body, body);
}

#[tokio::test]
async fn every_field_of_the_request_reaches_the_guest_where_the_contract_says() {
    for (offset, text) in
        [(0, "req_1"), (8, "demo"), (16, "echo"), (24, "c"), (36, "POST"), (44, "/p"), (56, "q=1"), (72, "b")]
    {
        let guest = Guest::new(&format!(
            "(call $respond (i32.const 200) (i32.load offset={offset} (local.get $request)) (i32.load offset={} (local.get $request)))",
            offset + 4
        ));
        let mut call = call("b", limits());
        call.request.path = "/p".to_owned();
        call.request.query = Some("q=1".to_owned());
        assert_eq!(answered(runtime().run(&load(&guest), call).await).body, text);
    }
    // attempt, deadline, the first header's value, the first attribute's value
    let guest = Guest::new(
        "(if (i32.ne (i32.load offset=32 (local.get $request)) (i32.const 1)) (then unreachable))
         (if (i64.ne (i64.load offset=80 (local.get $request)) (i64.const 1700000030000)) (then unreachable))
         (if (i32.ne (i32.load offset=92 (local.get $request)) (i32.const 1)) (then unreachable))
         (if (i32.ne (i32.load8_u (i32.load offset=8 (i32.load offset=88 (local.get $request)))) (i32.const 118)) (then unreachable))
         (call $respond (i32.const 201) (i32.load offset=8 (i32.load offset=64 (local.get $request)))
                                        (i32.load offset=12 (i32.load offset=64 (local.get $request))))",
    );
    let mut call = call("", limits());
    call.request.headers = vec![("content-type".to_owned(), "text/csv".into())];
    call.request.attributes = vec![("k".to_owned(), "v".to_owned())];
    let response = answered(runtime().run(&load(&guest), call).await);
    assert_eq!((response.status, response.body.as_ref()), (201, b"text/csv".as_ref()));
}

#[tokio::test]
async fn two_runs_share_no_memory() {
    // Leaves marks in a global, in the first page, in the last page and in memory it has grown, and reports whether
    // it finds any. Both schemes, and often enough that slots of the pool are used again.
    let guest = |pages| {
        Guest::new(
            "(local $found i32)
             (local.set $found (i32.or (global.get $mark) (i32.load (i32.const 3072))))
             (local.set $found (i32.or (local.get $found) (i32.load (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 4)))))
             (if (i32.eq (memory.grow (i32.const 8)) (i32.const -1)) (then unreachable))
             (local.set $found (i32.or (local.get $found) (i32.load (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 4)))))
             (global.set $mark (i32.const -1))
             (memory.fill (i32.const 3072) (i32.const 255) (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 3072)))
             (i32.store (i32.const 2048) (local.get $found))
             (call $respond (i32.const 200) (i32.const 2048) (i32.const 4))",
        )
        .items("(global $mark (mut i32) (i32.const 0))")
        .pages(pages)
    };
    for (pages, scheme) in [(2, Scheme::Small), (32, Scheme::Large)] {
        let handler = load(&guest(pages));
        assert_eq!(handler.scheme(), scheme);
        for _ in 0..300 {
            let response = answered(runtime().run(&handler, call("", limits())).await);
            assert_eq!(response.body.as_ref(), [0; 4], "{scheme}: a mark of an earlier run is still there");
        }
    }
}

#[tokio::test]
async fn a_guests_failure_is_an_answer_and_not_an_error() {
    let guest = Guest::new("(call $retry (i32.const 2048) (i32.const 4))").items(r#"(data (i32.const 2048) "busy")"#);
    let failure = failed(run(&guest, limits()).await);
    let Failure::Retry { after_s, problem } = failure else { panic!("{failure:?}") };
    assert_eq!((after_s, problem.title.as_str(), problem.status), (Some(7), "busy", None));
}

#[tokio::test]
async fn an_answer_that_http_cannot_carry_is_refused() {
    let guest = Guest::new("(call $respond (i32.const 99) (i32.const 0) (i32.const 0))");
    assert!(matches!(stopped(run(&guest, limits()).await), RunError::InvalidResponse(_)));
}

#[tokio::test]
async fn dropping_a_run_stops_the_guest_and_frees_its_place() {
    use ripost_runtime::{Runtime, RuntimeConfig};
    let runtime = Runtime::start(RuntimeConfig { instances_max: 1, ..RuntimeConfig::default() }).unwrap();
    let sleeper = runtime.load(&crate::limits::sleeper(3_600_000).wasm(), &limits()).unwrap();
    let echo = runtime.load(&Guest::echo().wasm(), &limits()).unwrap();
    {
        let mut sleeping = std::pin::pin!(runtime.run(&sleeper, call("", limits())));
        assert!(
            tokio::time::timeout(std::time::Duration::from_millis(50), &mut sleeping).await.is_err(),
            "it sleeps for an hour"
        );
        let error = stopped(runtime.run(&echo, call("x", limits())).await);
        assert_eq!(error.kind(), "pool-exhausted");
        assert!(!error.is_owners(), "{error}");
    }
    assert_eq!(answered(runtime.run(&echo, call("x", limits())).await).body, "x");
    assert_eq!(request("x").body, "x");
}
