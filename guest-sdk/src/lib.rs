//! Write [Ripost](https://github.com/ripost/ripost) handlers and transforms in Rust: a plain function, typed JSON in
//! and out.
//!
//! **Invariant**: this crate knows the contract in `wit/` and nothing of the host that fulfils it.
//!
//! ```
//! use ripost_sdk::{Context, Failure, Json};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Deserialize)]
//! struct Order {
//!     amounts: Vec<i64>,
//! }
//!
//! #[derive(Debug, PartialEq, Serialize)]
//! struct Sum {
//!     total: i64,
//! }
//!
//! #[ripost_sdk::handler]
//! fn sum(ctx: &Context, Json(order): Json<Order>) -> Result<Json<Sum>, Failure> {
//!     if order.amounts.is_empty() {
//!         return Err(Failure::invalid("nothing-to-sum", "There is nothing to sum").detail("`amounts` is empty"));
//!     }
//!     ctx.progress(50, "adding up");
//!     ripost_sdk::info!(ctx, amounts = order.amounts.len(), "adding up");
//!     Ok(Json(Sum { total: order.amounts.iter().sum() }))
//! }
//!
//! // The function stays a function: its tests run natively, on a context that records.
//! let ctx = Context::test();
//! let sum = sum(&ctx, Json(Order { amounts: vec![40, 2] })).unwrap();
//! assert_eq!(sum, Json(Sum { total: 42 }));
//! assert_eq!(ctx.recorded().progress()[0].percent, Some(50));
//! ```
//!
//! # What a handler takes
//! `&Context` first, if it is wanted, then what the body is read as, if it is wanted: anything that is [`FromRequest`]:
//! [`Json<T>`](Json), [`String`], [`Vec<u8>`] or the whole [`Request`].
//!
//! # What a handler returns
//! Anything that is [`IntoResponse`]: [`Json<T>`](Json), [`String`] and `&'static str` (text), [`Vec<u8>`] (bytes),
//! `()` (204), a [`Response`] made by hand, or a `Result` of one of these whose error becomes a [`Failure`].
//! Every `std::error::Error` becomes one with `?`: a failure of the owner's, whose text goes to the owner's log
//! and not to the consumer.
//!
//! A completed request costs its API's price, or what the answer says: [`Response::with_capture`].
//!
//! # What a handler may reach
//! What its manifest grants under `[api.grants]`: calls to the outside ([`Context::fetch`]), the owner's secrets
//! ([`Context::secret`]) and the owner's store ([`Context::kv`]). A component imports only those that it calls.
//!
//! # What a handler should know
//! - Each request runs in a fresh instance: `static`s start anew, and nothing outlives the answer.
//! - A handler may run more than once for one request (`ctx.request().attempt` counts). What must not be done twice is a
//!   step: [`Context::step`].
//! - `SystemTime::now()` compiles and panics: there is [`Context::now_ms`]. A panic is logged with file and line
//!   and ends the run as the owner's failure.
//! - One handler or transform a crate, and `crate-type = ["cdylib"]` alone: an `rlib` beside it makes components larger.
//!
//! # Transforms
//! A component of its own that rewrites what comes and goes, named in the manifest under `transforms`. It takes the
//! message, or [`Json<T>`](Json) from its body; it returns the message, or [`Json<T>`](Json) as its new body, or a
//! `Result` of one of these whose error is a [`Failure`]. Of a failure only the problem counts: a transform has no other
//! run, so `retry` is final too.
//!
//! ```
//! use ripost_sdk::{Json, Log, Request, Response, Webhook};
//! use serde_json::{Value, json};
//!
//! #[ripost_sdk::response_transform]
//! fn count(log: &Log, request: &Request, Json(mut result): Json<Value>) -> Json<Value> {
//!     ripost_sdk::debug!(log, "counting for {}", request.consumer);
//!     result["fields"] = json!(result.as_object().map_or(0, |fields| fields.len()));
//!     Json(result)
//! }
//!
//! let log = Log::test();
//! let request = ripost_sdk::testing::request("");
//! assert_eq!(count(&log, &request, Json(json!({ "a": 1 }))), Json(json!({ "a": 1, "fields": 1 })));
//! ```
//!
//! | macro | takes last | may take before it |
//! |---|---|---|
//! | [`request_transform`] | [`Request`], [`Json<T>`](Json) | [`&Log`](Log) |
//! | [`response_transform`] | [`Response`], [`Json<T>`](Json) | [`&Log`](Log), [`&Request`](Request) |
//! | [`webhook_transform`] | [`Webhook`], [`Json<T>`](Json) | [`&Log`](Log) |
//!
//! A transform is a pure function: no clock, no configuration, no secrets, no store, no calls to the outside. The host
//! refuses a transform that imports them.

mod context;
mod failure;
mod headers;
mod json;
mod kv;
mod log;
mod outbound;
mod request;
mod response;
mod secret;
mod step;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
pub mod time;
mod transform;
mod usdc;

#[cfg(target_arch = "wasm32")]
mod bindings;
#[cfg(target_arch = "wasm32")]
mod guest;

pub use context::Context;
pub use failure::{Failure, Problem, Verdict};
pub use headers::Headers;
pub use json::Json;
pub use kv::{Kv, KvEntry, KvError};
pub use log::{Level, Log};
pub use outbound::{OutboundError, OutboundRequest, OutboundResponse};
pub use request::{FromRequest, Head, Request};
pub use response::{IntoResponse, Response};
pub use ripost_sdk_macros::{handler, request_transform, response_transform, webhook_transform};
pub use secret::SecretError;
pub use step::{Step, StepError};
pub use transform::{Beside, FromMessage, IntoMessage, Message, Webhook};
pub use usdc::{ParseUsdcError, Usdc};

/// For the code that the macros write, and for nobody else: may change in any release.
#[doc(hidden)]
pub mod __rt {
    #[cfg(target_arch = "wasm32")]
    pub use crate::bindings::{
        handler, handler::export_handler, handler::exports::ripost::plugin::handle::Guest, types,
    };
    #[cfg(target_arch = "wasm32")]
    pub use crate::bindings::{
        request_transform, request_transform::export_request_transform,
        request_transform::exports::ripost::plugin::transform_request, response_transform,
        response_transform::export_response_transform, response_transform::exports::ripost::plugin::transform_response,
        webhook_transform, webhook_transform::export_webhook_transform,
        webhook_transform::exports::ripost::plugin::transform_webhook,
    };
    #[cfg(target_arch = "wasm32")]
    pub use crate::guest::{apply_response, apply_webhook, handle, rewrite_request};
}
