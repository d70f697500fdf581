//! Handlers of `wasi:http`, whose authors never heard of us.

use std::time::Duration;

use ripost_runtime::{Call, Handler, Limits, Run, RunError};

use crate::common::Guest;
use crate::{answered, call, limits, load, run, runtime, stopped};

fn hello() -> Guest {
    Guest::http("(call $answer (local.get $out)) (call $write (i32.const 2048) (i32.const 5)) (call $finish)")
        .items(r#"(data (i32.const 2048) "hello")"#)
}

fn invalid(run: Run) -> String {
    match stopped(run) {
        RunError::InvalidResponse(why) => why,
        other => panic!("not invalid but {other:?}"),
    }
}

#[tokio::test]
async fn a_component_of_wasi_http_is_a_handler() {
    let handler: Handler = load(&hello());
    assert_eq!(handler.imports(), ["wasi"]);
    let inspection = runtime().inspect(&hello().wasm(), &limits()).unwrap();
    assert_eq!(inspection.export, "wasi:http/incoming-handler@0.2.0");
    let response = answered(runtime().run(&handler, call("", limits())).await);
    assert_eq!((response.status, response.body.as_ref()), (200, b"hello".as_ref()));
}

#[tokio::test]
async fn a_component_of_both_worlds_is_called_by_ours() {
    let both = Guest::echo()
        .world("export wasi:http/incoming-handler@0.2.0; import wasi:http/types@0.2.0;")
        .items(r#"(func (export "wasi:http/incoming-handler@0.2.0#handle") (param i32 i32) unreachable)"#);
    assert_eq!(answered(runtime().run(&load(&both), call("ours", limits())).await).body, "ours");
}

#[tokio::test]
async fn the_guest_sees_path_and_query_as_http_has_them() {
    let guest = Guest::http(
        "(call $path (local.get $request) (i32.const 3072))
         (call $answer (local.get $out))
         (call $write (i32.load (i32.const 3076)) (i32.load (i32.const 3080))) (call $finish)",
    );
    let handler = load(&guest);
    for (path, query, seen) in [("", None, "/"), ("/a/b", Some("q=1"), "/a/b?q=1"), ("", Some("x"), "/?x")] {
        let mut call: Call = call("", limits());
        call.request.path = path.to_owned();
        call.request.query = query.map(str::to_owned);
        assert_eq!(answered(runtime().run(&handler, call).await).body, seen);
    }
}

#[tokio::test]
async fn a_body_above_every_buffer_is_read_while_the_guest_still_writes_it() {
    // 3 MiB in pieces of 4 KiB, which is the most that one write takes.
    let writes = |loops: u32| {
        Guest::http(&format!(
            "(call $answer (local.get $out))
             (loop $more
               (call $write (i32.const 8192) (i32.const 4096))
               (local.set $i (i32.add (local.get $i) (i32.const 1)))
               (br_if $more (i32.lt_u (local.get $i) (i32.const {loops}))))
             (call $finish)"
        ))
    };
    assert_eq!(answered(run(&writes(768), limits()).await).body, vec![0; 3 << 20]);
    // One that never ends, within a limit and without the help of another.
    let limits = Limits { response_body_bytes: 1 << 20, ..limits() };
    let error = stopped(run(&writes(u32::MAX), limits).await);
    let RunError::ResponseTooLarge { part: "body", bytes, bytes_max } = error else { panic!("{error:?}") };
    assert!(bytes_max == 1 << 20 && bytes > bytes_max && bytes <= bytes_max + 4096, "{bytes}");
}

#[tokio::test]
async fn a_guest_that_gives_no_whole_answer_is_told_what_it_left_out() {
    assert_eq!(invalid(run(&Guest::http(""), limits()).await), "it never set `response-outparam`");
    // `connection-refused`, the seventh case.
    let error = Guest::http(
        "(call $set (local.get $out) (i32.const 1) (i32.const 6) (i32.const 0) (i64.const 0)
           (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))",
    );
    let said = invalid(run(&error, limits()).await);
    assert!(said.starts_with("it said `") && said.contains("ConnectionRefused"), "{said}");
    let unfinished = Guest::http("(call $answer (local.get $out)) (call $write (i32.const 2048) (i32.const 5))");
    let said = invalid(run(&unfinished, limits()).await);
    assert_eq!(said, "it returned before it had finished its body (`outgoing-body.finish`)");
}

#[tokio::test]
async fn what_a_guest_does_after_its_answer_is_still_its_run() {
    let after = |what: &str| {
        Guest::http(&format!(
            "(call $answer (local.get $out)) (call $write (i32.const 2048) (i32.const 5)) (call $finish) {what}"
        ))
    };
    let error = stopped(run(&after("unreachable"), limits()).await);
    assert!(matches!(error, RunError::Trap { .. }), "{error:?}");
    let cpu = Duration::from_millis(50);
    let error = stopped(run(&after("(loop $l (br $l))"), Limits { cpu, ..limits() }).await);
    assert_eq!(error, RunError::CpuLimit { limit: cpu });
}
