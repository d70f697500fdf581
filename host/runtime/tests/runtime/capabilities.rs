//! What a guest may call, and what calling it comes to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use ripost_runtime::{Level, ProgressSink};

use crate::common::Guest;
use crate::{answered, call, limits, load, run, runtime};

const LOG: &str = r#"(import "ripost:plugin/log@1.0.0" "write" (func $log (param i32 i32 i32 i32 i32)))"#;

#[tokio::test]
async fn a_capability_that_was_not_granted_says_so() {
    // Each stores its answer at 3072: the tag of the result, and that of the error.
    let cases = [
        ("secrets", "get", "(param i32 i32 i32)", "(call $f (i32.const 2048) (i32.const 1) (i32.const 3072))", [1, 0]),
        ("kv", "get", "(param i32 i32 i32)", "(call $f (i32.const 2048) (i32.const 1) (i32.const 3072))", [1, 0]),
        (
            "outbound",
            "send",
            "(param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)",
            "(call $f (i32.const 2048) (i32.const 1) (i32.const 2048) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
               (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 3072))",
            [1, 0],
        ),
        // `unavailable` is the fourth case of a step's errors.
        (
            "step",
            "begin",
            "(param i32 i32 i32 i32 i32)",
            "(call $f (i32.const 2048) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 3072))",
            [1, 3],
        ),
    ];
    for (interface, function, params, body, expected) in cases {
        // The result's payload is aligned to 8 in `kv`, which has a `u64`, and to 4 in the others.
        let error_at = if interface == "kv" { 3080 } else { 3076 };
        let guest = Guest::new(&format!(
            "{body} (i32.store8 (i32.const 2100) (i32.load8_u (i32.const 3072)))
             (i32.store8 (i32.const 2101) (i32.load8_u (i32.const {error_at})))
             (call $respond (i32.const 200) (i32.const 2100) (i32.const 2))"
        ))
        .imports(&format!(r#"(import "ripost:plugin/{interface}@1.0.0" "{function}" (func $f {params}))"#))
        .items(r#"(data (i32.const 2048) "k") (data (i32.const 3072) "\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff")"#);
        let handler = load(&guest);
        assert_eq!(handler.imports(), [interface]);
        let response = answered(runtime().run(&handler, call("", limits())).await);
        assert_eq!(response.body.as_ref(), expected, "{interface}");
    }
}

#[tokio::test]
async fn a_log_is_kept_in_order_and_a_flood_of_it_is_bounded_and_counted() {
    let guest = Guest::new(
        "(loop $l
           (i32.store8 (i32.const 2048) (i32.add (i32.const 97) (i32.rem_u (local.get $i) (i32.const 26))))
           (call $log (i32.const 2) (i32.const 2048) (i32.const 100) (i32.const 0) (i32.const 0))
           (local.set $i (i32.add (local.get $i) (i32.const 1)))
           (br_if $l (i32.lt_u (local.get $i) (i32.const 26000))))
         (call $respond (i32.const 200) (i32.const 0) (i32.const 0))",
    )
    .imports(LOG)
    .items(&format!(r#"(data (i32.const 2049) "{}")"#, "x\\n".repeat(50)));
    let run = run(&guest, limits()).await;
    assert_eq!(run.usage.log_bytes, 2_600_000);
    assert_eq!(run.logs.len() as u64 + run.logs_dropped, 26_000);
    let kept: usize = run.logs.iter().map(|line| line.message.len()).sum();
    assert!(kept <= limits().log_bytes && kept > limits().log_bytes / 2, "{kept}");
    assert!(run.logs.first().unwrap().message.starts_with("ax\\n"), "line feeds are written out");
    assert!(run.logs.last().unwrap().message.starts_with('z'), "how it ended is kept");
    assert_eq!(run.logs[0].level, Level::Info);
    assert_eq!(answered(run).status, 200);
}

#[tokio::test]
async fn random_bytes_come_from_the_requests_seed() {
    let guest = Guest::new(
        "(call $bytes (i32.const 100000) (i32.const 3072))
         (call $respond (i32.const 200) (i32.load (i32.const 3072)) (i32.load (i32.const 3076)))",
    )
    .imports(r#"(import "ripost:plugin/random@1.0.0" "bytes" (func $bytes (param i32 i32)))"#);
    let handler = load(&guest);
    let mut bytes = Vec::new();
    for seed in [[1; 32], [1; 32], [2; 32]] {
        let run = runtime().run(&handler, ripost_runtime::Call { seed, ..call("", limits()) }).await;
        bytes.push(answered(run).body);
    }
    assert_eq!(bytes[0].len(), 65_536, "a longer wish is cut");
    assert_eq!(bytes[0], bytes[1]);
    assert_ne!(bytes[0], bytes[2]);
}

#[tokio::test]
async fn the_clock_and_the_configuration_are_the_calls() {
    let guest = Guest::new(
        "(i64.store (i32.const 2056) (call $now))
         (call $get (i32.const 2048) (i32.const 6) (i32.const 3072))
         (i32.store8 (i32.const 2064) (i32.load8_u (i32.const 3072)))
         (i32.store8 (i32.const 2065) (i32.load8_u (i32.load (i32.const 3076))))
         (call $get (i32.const 2049) (i32.const 5) (i32.const 3072))
         (i32.store8 (i32.const 2066) (i32.load8_u (i32.const 3072)))
         (call $respond (i32.const 200) (i32.const 2056) (i32.const 11))",
    )
    .imports(
        r#"(import "ripost:plugin/clock@1.0.0" "now-ms" (func $now (result i64)))
           (import "ripost:plugin/config@1.0.0" "get" (func $get (param i32 i32 i32)))"#,
    )
    .items(r#"(data (i32.const 2048) "region")"#);
    let mut call = call("", limits());
    call.config = Arc::new(BTreeMap::from([("region".to_owned(), "eu".to_owned())]));
    let body = answered(runtime().run(&load(&guest), call).await).body;
    assert_eq!(body[..8], 1_700_000_000_000_u64.to_le_bytes());
    assert_eq!(body[8..], [1, b'e', 0], "some(\"eu\"), then none");
}

#[tokio::test]
async fn progress_reaches_its_sink_and_cancellation_reaches_the_guest() {
    #[derive(Default)]
    struct Sink(Mutex<Vec<(Option<u8>, String)>>);
    impl ProgressSink for Sink {
        fn report(&self, percent: Option<u8>, message: &str) {
            self.0.lock().unwrap().push((percent, message.to_owned()));
        }
        fn cancelled(&self) -> bool {
            !self.0.lock().unwrap().is_empty()
        }
    }
    let guest = Guest::new(
        "(if (call $cancelled) (then unreachable))
         (call $report (i32.const 1) (i32.const 250) (i32.const 2048) (i32.const 4))
         (call $report (i32.const 0) (i32.const 0) (i32.const 66000) (i32.const 60000))
         (i32.store8 (i32.const 2100) (call $cancelled))
         (call $respond (i32.const 200) (i32.const 2100) (i32.const 1))",
    )
    .imports(
        r#"(import "ripost:plugin/progress@1.0.0" "report" (func $report (param i32 i32 i32 i32)))
           (import "ripost:plugin/progress@1.0.0" "cancelled" (func $cancelled (result i32)))"#,
    )
    .items(r#"(data (i32.const 2048) "half")"#);
    let sink = Arc::new(Sink::default());
    let mut call = call("", limits());
    call.progress = sink.clone();
    assert_eq!(answered(runtime().run(&load(&guest), call).await).body.as_ref(), [1]);
    let reports = sink.0.lock().unwrap();
    assert_eq!(reports[0], (Some(100), "half".to_owned()));
    assert_eq!((reports[1].0, reports[1].1.len()), (None, 1024), "a long message is cut");
}

#[tokio::test]
async fn wasi_links_and_grants_nothing() {
    // How many variables and directories there are, the time, and something printed.
    let guest = Guest::new(
        r#"(call $environment (i32.const 3072))
           (i32.store (i32.const 2056) (i32.load (i32.const 3076)))
           (call $directories (i32.const 3072))
           (i32.store (i32.const 2060) (i32.load (i32.const 3076)))
           (call $now (i32.const 3072))
           (i64.store (i32.const 2064) (i64.load (i32.const 3072)))
           (i64.store (i32.const 2072) (call $random))
           (call $print (call $stdout) (i32.const 2048) (i32.const 3) (i32.const 3072))
           (call $respond (i32.const 200) (i32.const 2056) (i32.const 24))"#,
    )
    .world(
        "import wasi:cli/environment@0.2.0; import wasi:filesystem/preopens@0.2.0; import wasi:clocks/wall-clock@0.2.0;
         import wasi:random/random@0.2.0; import wasi:cli/stdout@0.2.0;",
    )
    .imports(
        r#"(import "wasi:cli/environment@0.2.0" "get-environment" (func $environment (param i32)))
           (import "wasi:filesystem/preopens@0.2.0" "get-directories" (func $directories (param i32)))
           (import "wasi:clocks/wall-clock@0.2.0" "now" (func $now (param i32)))
           (import "wasi:random/random@0.2.0" "get-random-u64" (func $random (result i64)))
           (import "wasi:cli/stdout@0.2.0" "get-stdout" (func $stdout (result i32)))
           (import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush" (func $print (param i32 i32 i32 i32)))"#,
    )
    .items(r#"(data (i32.const 2048) "hi\n")"#);
    let handler = load(&guest);
    assert_eq!(handler.imports(), ["wasi"]);
    let first = runtime().run(&handler, call("", limits())).await;
    assert_eq!((first.logs[0].level, first.logs[0].message.as_str()), (Level::Info, "hi"));
    let body = answered(first).body;
    assert_eq!(body[..8], [0; 8], "no variables, no directories");
    assert_eq!(body[8..16], 1_700_000_000_u64.to_le_bytes());
    let again = answered(runtime().run(&handler, call("", limits())).await).body;
    assert_eq!(body, again, "the same seed, the same run");
}
