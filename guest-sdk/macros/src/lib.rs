//! The macros of `ripost-sdk`, which re-exports them.
//!
//! **Invariant**: this crate writes Rust that names `::ripost_sdk`, and knows neither `wit/` nor the bindings.

mod function;
mod handler;
mod transform;

use proc_macro::TokenStream;

/// Makes a function the handler of its crate: the component's export.
///
/// ```ignore
/// #[ripost_sdk::handler]
/// fn greet(ctx: &Context, Json(who): Json<Who>) -> Result<Json<Greeting>, Failure> {
///     Ok(Json(Greeting::of(&who)))
/// }
/// ```
///
/// It takes `&Context`, if it wants one, then something that is `FromRequest`, if it wants that; it returns something
/// that is `IntoResponse`. The function itself is left as it is, and its signature is checked on every target. Only a
/// build for `wasm32` has the export, because its name (`ripost:plugin/handle@1.0.0#handle`) links nowhere else.
#[proc_macro_attribute]
pub fn handler(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let item = item.into();
    function::expand(&item, handler::glue(&attribute.into(), &item)).into()
}

/// Makes a function the request transform of its crate: a component that rewrites requests, when they are accepted: what the handler will see, and what it will cost.
///
/// ```ignore
/// #[ripost_sdk::request_transform]
/// fn normalise(Json(old): Json<OldOrder>) -> Result<Json<Order>, Failure> {
///     Order::try_from(old).map(Json)
/// }
/// ```
///
/// What it may take and return is in the table of the crate's documentation. It may log and nothing else. The function
/// itself is left as it is, and its signature is checked on every target.
#[proc_macro_attribute]
pub fn request_transform(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let item = item.into();
    function::expand(&item, transform::glue(transform::Kind::Request, &attribute.into(), &item)).into()
}

/// Makes a function the response transform of its crate: a component that rewrites results, before they are stored.
///
/// ```ignore
/// #[ripost_sdk::response_transform]
/// fn redact(request: &Request, Json(mut result): Json<Value>) -> Json<Value> {
///     remove_what_is_internal(&mut result);
///     Json(result)
/// }
/// ```
///
/// What it may take and return is in the table of the crate's documentation. It may log and nothing else. The function
/// itself is left as it is, and its signature is checked on every target.
#[proc_macro_attribute]
pub fn response_transform(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let item = item.into();
    function::expand(&item, transform::glue(transform::Kind::Response, &attribute.into(), &item)).into()
}

/// Makes a function the webhook transform of its crate: a component that rewrites payloads, when they are made, before they are signed.
///
/// ```ignore
/// #[ripost_sdk::webhook_transform]
/// fn slack(Json(event): Json<Completed>) -> Json<Message> {
///     Json(Message::about(&event))
/// }
/// ```
///
/// What it may take and return is in the table of the crate's documentation. It may log and nothing else. The function
/// itself is left as it is, and its signature is checked on every target.
#[proc_macro_attribute]
pub fn webhook_transform(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let item = item.into();
    function::expand(&item, transform::glue(transform::Kind::Webhook, &attribute.into(), &item)).into()
}
