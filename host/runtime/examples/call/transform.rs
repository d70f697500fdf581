//! What a response transform adds to a call.

use std::sync::Arc;

use bytes::Bytes;
use ripost_runtime::{Limits, Response, Runtime, RuntimeConfig, TransformCall, TransformKind};
use serde_json::json;

use crate::{request, rounds};

/// In the engine that its first memory puts it into, on one thread, on a result with this body.
pub(crate) fn measure(count: usize, file: &str, body: &str) {
    let wasm = std::fs::read(file).unwrap_or_else(|error| panic!("reading {file}: {error}"));
    let runtime = Runtime::start(RuntimeConfig::default()).unwrap();
    let limits = Arc::new(Limits::transform());
    let transform = runtime
        .load_transform(&wasm, TransformKind::Response, &limits)
        .unwrap_or_else(|error| panic!("loading {file}: {error}"));
    let asked = request(&Bytes::new());
    let headers = vec![("content-type".to_owned(), Bytes::from_static(b"application/json"))];
    let body = Bytes::copy_from_slice(body.as_bytes());
    let response = Response { status: 200, headers, body, attributes: Vec::new() };
    let one = async || {
        let call = TransformCall {
            id: asked.id.clone(),
            owner: asked.owner.clone(),
            limits: Arc::clone(&limits),
            seed: [7; 32],
            now_ms: 1_700_000_000_000,
        };
        let run = runtime.transform_response(&transform, call, &asked, &response).await;
        match run.outcome {
            Ok(Ok(answer)) if answer.status == 200 => {}
            other => panic!("no answer but {other:?}"),
        }
    };
    let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut line = tokio.block_on(rounds(one, count)).json(transform.scheme(), 1);
    line["body_bytes"] = json!(response.body.len());
    println!("{line}");
}
