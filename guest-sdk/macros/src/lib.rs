//! The macros of `ripost-sdk`, which re-exports them.
//!
//! **Invariant**: this crate writes Rust that names `::ripost_sdk`, and knows neither `wit/` nor the bindings.

mod handler;

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
    handler::expand(attribute.into(), item.into()).into()
}
