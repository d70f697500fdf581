//! Transforms: pure, small, and one of three kinds.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ripost_runtime::{
    Level, Limits, LoadError, Problem, Request, Response, RunError, Transform, TransformCall, TransformKind,
    Transformed, Webhook,
};

use crate::common::Guest;
use crate::{request, runtime};

const NOW_MS: u64 = 1_700_000_000_123;

/// Generous where a test is not about it.
fn limits() -> Limits {
    Limits { wall: Duration::from_secs(18), cpu: Duration::from_secs(2), ..Limits::transform() }
}

fn given(limits: Limits) -> TransformCall {
    TransformCall {
        id: "req_1".to_owned(),
        owner: "demo".to_owned(),
        limits: Arc::new(limits),
        seed: [7; 32],
        now_ms: NOW_MS,
    }
}

fn load(guest: &Guest, kind: TransformKind) -> Transform {
    runtime().load_transform(&guest.wasm(), kind, &limits()).unwrap()
}

fn refused(guest: &Guest, kind: TransformKind) -> LoadError {
    runtime().load_transform(&guest.wasm(), kind, &limits()).unwrap_err()
}

async fn rewritten(guest: &Guest, request: &Request) -> Transformed<ripost_runtime::Rewrite> {
    runtime().transform_request(&load(guest, TransformKind::Request), given(limits()), request).await
}

async fn transformed(guest: &Guest, limits: Limits, body: &'static [u8]) -> Transformed<Response> {
    let transform = load(guest, TransformKind::Response);
    let response = Response { status: 201, body: Bytes::from_static(body), ..Response::default() };
    runtime().transform_response(&transform, given(limits), &request(""), &response).await
}

/// What it made, of a transform that must have made something.
fn made<T: std::fmt::Debug>(transformed: Transformed<T>) -> T {
    match transformed.outcome {
        Ok(Ok(made)) => made,
        other => panic!("nothing made but {other:?}"),
    }
}

fn problem<T: std::fmt::Debug>(transformed: Transformed<T>) -> Problem {
    match transformed.outcome {
        Ok(Err(problem)) => problem,
        other => panic!("no problem but {other:?}"),
    }
}

fn stopped<T: std::fmt::Debug>(transformed: Transformed<T>) -> RunError {
    match transformed.outcome {
        Err(error) => error,
        other => panic!("not stopped but {other:?}"),
    }
}

/// Answers with the response's body and status.
fn echo() -> Guest {
    Guest::response_transform(
        "(call $respond (i32.load16_u offset=96 (local.get $request)) (i32.load offset=108 (local.get $request)) (i32.load offset=112 (local.get $request)))",
    )
}

/// Its path is the request's body, its query a text, its body the request's path.
fn swap(query: &str) -> Guest {
    Guest::request_transform(&format!(
        "(call $rewrite (i32.load offset=72 (local.get $request)) (i32.load offset=76 (local.get $request))
           (i32.const 1) (i32.const 2048) (i32.const {})
           (i32.load offset=44 (local.get $request)) (i32.load offset=48 (local.get $request)))",
        query.len()
    ))
    .items(&format!("(data (i32.const 2048) \"{}\")", query.escape_default()))
}

#[tokio::test]
async fn a_request_transform_says_path_query_headers_and_body() {
    let guest = swap("a=1");
    assert_eq!(load(&guest, TransformKind::Request).kind(), TransformKind::Request);
    let request = Request { path: "/old".to_owned(), ..request("/new") };
    let rewrite = made(rewritten(&guest, &request).await);
    assert_eq!((rewrite.path.as_str(), rewrite.query.as_deref()), ("/new", Some("a=1")));
    assert_eq!((rewrite.body.as_ref(), rewrite.headers.len()), (b"/old".as_ref(), 0));
}

#[tokio::test]
async fn a_response_transform_sees_request_and_response() {
    let response = made(transformed(&echo(), limits(), b"hello").await);
    assert_eq!((response.status, response.body.as_ref()), (201, b"hello".as_ref()));
    let method = Guest::response_transform(
        "(call $respond (i32.const 200) (i32.load offset=36 (local.get $request)) (i32.load offset=40 (local.get $request)))",
    );
    assert_eq!(made(transformed(&method, limits(), b"").await).body, "POST");
}

#[tokio::test]
async fn a_webhook_transform_changes_all_but_the_event() {
    let guest = Guest::webhook_transform(
        "(call $send (i32.const 2048) (i32.const 4) (local.get $headers) (local.get $headers_len) (local.get $event) (local.get $event_len))",
    )
    .items(r#"(data (i32.const 2048) "else")"#);
    let webhook = Webhook {
        event: "completed".to_owned(),
        headers: vec![("x-team".to_owned(), Bytes::from_static(b"a"))],
        body: Bytes::from_static(b"{}"),
        attributes: Vec::new(),
    };
    let transform = load(&guest, TransformKind::Webhook);
    let sent = made(runtime().transform_webhook(&transform, given(limits()), &webhook).await);
    assert_eq!((sent.event.as_str(), sent.body.as_ref()), ("completed", b"completed".as_ref()));
    assert_eq!(sent.headers, webhook.headers);
}

#[tokio::test]
async fn a_transforms_problem_is_an_answer_and_not_an_error() {
    let body = "(call $problem (i32.const 2048) (i32.const 7))";
    let refusing = |guest: Guest| guest.items(r#"(data (i32.const 2048) "too-old")"#);
    let expected = Problem {
        kind: "too-old".to_owned(),
        title: "too-old".to_owned(),
        detail: None,
        status: Some(422),
        attributes: Vec::new(),
    };
    let guest = refusing(Guest::request_transform(body));
    assert_eq!(problem(rewritten(&guest, &request("")).await), expected);
    let guest = refusing(Guest::response_transform(body));
    assert_eq!(problem(transformed(&guest, limits(), b"").await), expected);
    let transform = load(&refusing(Guest::webhook_transform(body)), TransformKind::Webhook);
    let webhook = Webhook { event: "completed".to_owned(), ..Webhook::default() };
    assert_eq!(problem(runtime().transform_webhook(&transform, given(limits()), &webhook).await), expected);
}

#[tokio::test]
async fn a_transform_that_breaks_a_limit_is_stopped_and_told_so_as_a_transform() {
    let cpu = Duration::from_millis(50);
    let error = stopped(
        transformed(&Guest::response_transform("(loop $l (br $l)) unreachable"), Limits { cpu, ..limits() }, b"").await,
    );
    assert_eq!(error.kind(), "cpu-limit");
    assert_eq!(
        error.to_string(),
        "the transform used up its limit `cpu` of 50 ms: compute less, or raise `cpu` in [api.limits]"
    );
    let bomb = "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable";
    let error = stopped(transformed(&Guest::response_transform(bomb), limits(), b"").await);
    assert_eq!(error.kind(), "memory-limit");
    assert!(
        error.to_string().starts_with("the transform needs more memory than its limit `memory` of 16 MiB"),
        "{error}"
    );
    let error = stopped(transformed(&Guest::response_transform("unreachable"), limits(), b"").await);
    assert!(error.is_owners() && error.to_string().starts_with("the transform trapped: "), "{error}");
    let small = Limits { response_body_bytes: 3, ..limits() };
    let error = stopped(transformed(&echo(), small, b"four").await);
    assert_eq!(error.kind(), "response-too-large");
    assert!(error.to_string().starts_with("the transform's answer has a body of 4 bytes"), "{error}");
}

#[tokio::test]
async fn a_path_or_a_query_that_would_mean_something_else_is_refused() {
    for (path, why) in [
        ("new", "does not begin with `/`"),
        ("http://x/", "does not begin with `/`"),
        ("/a?b", "'?'"),
        ("/a#b", "'#'"),
        ("/a\nb", "'\\n'"),
        ("/a b", "' '"),
        ("/é", "'é'"),
    ] {
        let error = stopped(rewritten(&swap(""), &request(path)).await);
        assert_eq!(error.kind(), "invalid-response");
        assert!(error.to_string().contains(why), "{path:?}: {error}");
    }
    assert_eq!(made(rewritten(&swap(""), &request("")).await).path, "", "none is one");
    for query in ["a#b", "a\tb"] {
        let error = stopped(rewritten(&swap(query), &request("/")).await);
        assert!(error.to_string().contains("its query has the character"), "{query:?}: {error}");
    }
}

#[tokio::test]
async fn time_stands_still_and_the_same_seed_gives_the_same_bytes() {
    // Seconds and nanoseconds of the wall clock, the monotonic clock before and after a sleep, and randomness.
    let guest = Guest::response_transform(
        "(call $wall (i32.const 3072))
         (i64.store (i32.const 2048) (i64.load (i32.const 3072)))
         (i32.store (i32.const 2056) (i32.load (i32.const 3080)))
         (call $block (call $subscribe (i64.const 20000000)))
         (i64.store (i32.const 2064) (call $now))
         (i64.store (i32.const 2072) (call $random))
         (call $respond (i32.const 200) (i32.const 2048) (i32.const 32))",
    )
    .world(
        "import wasi:clocks/wall-clock@0.2.0; import wasi:clocks/monotonic-clock@0.2.0; import wasi:random/random@0.2.0;",
    )
    .imports(
        r#"(import "wasi:clocks/wall-clock@0.2.0" "now" (func $wall (param i32)))
           (import "wasi:clocks/monotonic-clock@0.2.0" "now" (func $now (result i64)))
           (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $subscribe (param i64) (result i32)))
           (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
           (import "wasi:random/random@0.2.0" "get-random-u64" (func $random (result i64)))"#,
    );
    let transform = load(&guest, TransformKind::Response);
    assert_eq!(transform.imports(), ["wasi"]);
    let mut bodies = Vec::new();
    for seed in [[1; 32], [1; 32], [2; 32]] {
        let call = TransformCall { seed, ..given(limits()) };
        let run = runtime().transform_response(&transform, call, &request(""), &ok()).await;
        bodies.push(made(run).body);
    }
    assert_eq!(bodies[0], bodies[1]);
    assert_ne!(bodies[0][24..], bodies[2][24..], "another seed, other bytes");
    assert_eq!(bodies[0][..8], (NOW_MS / 1000).to_le_bytes());
    assert_eq!(bodies[0][8..12], 123_000_000_u32.to_le_bytes());
    assert_eq!(bodies[0][16..24], [0; 8], "20 ms of sleep are none");
}

fn ok() -> Response {
    Response { status: 200, ..Response::default() }
}

#[tokio::test]
async fn a_transform_that_sleeps_is_ended_by_the_wall_limit() {
    let mut guest = Guest::response_transform("(call $block (call $subscribe (i64.const 3600000000000))) unreachable");
    guest = guest.world("import wasi:clocks/monotonic-clock@0.2.0;").imports(
        r#"(import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $subscribe (param i64) (result i32)))
           (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))"#,
    );
    let wall = Duration::from_millis(100);
    let error = stopped(transformed(&guest, Limits { wall, ..limits() }, b"").await);
    assert!(error.to_string().starts_with("the transform did not answer within its limit `wall` of 100 ms"), "{error}");
}

#[tokio::test]
async fn a_transform_may_log() {
    let guest = Guest::response_transform(
        "(call $log (i32.const 3) (i32.const 2048) (i32.const 3) (i32.const 0) (i32.const 0))
         (call $respond (i32.const 200) (i32.const 0) (i32.const 0))",
    )
    .imports(r#"(import "ripost:plugin/log@1.0.0" "write" (func $log (param i32 i32 i32 i32 i32)))"#)
    .items(r#"(data (i32.const 2048) "odd")"#);
    let run = transformed(&guest, limits(), b"").await;
    assert_eq!((run.logs[0].level, run.logs[0].message.as_str(), run.logs_dropped), (Level::Warn, "odd", 0));
    assert_eq!(made(run).status, 200);
}

#[test]
fn a_transform_that_could_reach_anything_is_refused_by_the_name_of_it() {
    for (world, import) in [
        (
            "import ripost:plugin/clock@1.0.0;",
            r#"(import "ripost:plugin/clock@1.0.0" "now-ms" (func $f (result i64)))"#,
        ),
        ("import ripost:plugin/kv@1.0.0;", r#"(import "ripost:plugin/kv@1.0.0" "get" (func $f (param i32 i32 i32)))"#),
        (
            "import wasi:http/outgoing-handler@0.2.0;",
            r#"(import "wasi:http/outgoing-handler@0.2.0" "handle" (func $f (param i32 i32 i32 i32)))"#,
        ),
    ] {
        let guest = Guest::webhook_transform("unreachable").world(world).imports(import);
        let error = refused(&guest, TransformKind::Webhook);
        let LoadError::ImpureTransform { name } = &error else { panic!("{error:?}") };
        assert!(import.contains(&format!("\"{name}\"")) || name.starts_with("wasi:http/"), "{name}");
        assert!(error.to_string().ends_with("rewrite nothing but what the transform is given"), "{error}");
    }
}

#[test]
fn a_component_of_the_wrong_kind_is_told_what_it_is_and_what_is_wanted() {
    let (request, response) = (Guest::request_transform("unreachable"), Guest::response_transform("unreachable"));
    let says = |error: LoadError, text: &str| assert_eq!(error.to_string(), text);
    says(
        refused(&Guest::echo(), TransformKind::Webhook),
        "this is a handler (`ripost:plugin/handle@1.0.0`): a webhook transform must export `ripost:plugin/transform-webhook@1.0.0`",
    );
    says(
        refused(&request, TransformKind::Response),
        "this is a request transform (`ripost:plugin/transform-request@1.0.0`): a response transform must export `ripost:plugin/transform-response@1.0.0`",
    );
    says(
        runtime().load(&response.wasm(), &Limits::default()).unwrap_err(),
        "this is a response transform (`ripost:plugin/transform-response@1.0.0`): a handler must export `ripost:plugin/handle@1.0.0`",
    );
    let nothing = wat::parse_str("(component)").unwrap();
    says(
        runtime().load_transform(&nothing, TransformKind::Request, &limits()).unwrap_err(),
        "the component exports nothing: a request transform must export `ripost:plugin/transform-request@1.0.0`",
    );
    let inspection = runtime().inspect_transform(&request.wasm(), TransformKind::Request, &limits()).unwrap();
    assert_eq!(inspection.export, "ripost:plugin/transform-request@1.0.0");
}

#[tokio::test]
async fn a_transform_called_as_another_kind_fails_and_nothing_of_it_runs() {
    let transform = load(&Guest::request_transform("unreachable"), TransformKind::Request);
    let run = runtime().transform_response(&transform, given(limits()), &request(""), &ok()).await;
    assert_eq!(run.usage.host_calls, 0);
    let error = stopped(run);
    assert!(!error.is_owners() && error.to_string().contains("a request transform is called as a response transform"));
}
