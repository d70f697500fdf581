//! The example `order` with a shop of its own: what it calls outside, and what that comes to.

use crate::{Api, Plugin, Sink, places};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// `demo/order`, whose services are this sink. The price is that of the crash tests' other APIs.
///
/// # Errors
/// The example was not built.
pub fn plugin(shop: &Sink) -> Result<Plugin> {
    let path = places::built_plugin("order")?.join("order.wasm");
    let component = std::fs::read(&path).with_context(|| format!("reading {path}"))?;
    let url = shop.url("");
    let api = Api::new("demo", "order", component).price("0.100000").line("max_attempts = 10");
    Ok(Plugin::new(
        "order",
        [api.grant(&format!("outbound = [{:?}]", format!("POST {url}/")))
            .grant(&format!("[api.config]\nservices = {url:?}"))],
    ))
}

/// An order of so many.
#[must_use]
pub fn of(quantity: u32) -> Value {
    json!({ "item": "anvil", "quantity": quantity, "amount_cents": 4_900 * quantity })
}

/// What a shop that heeds idempotency keys has done: path and body of the first call with each key.
///
/// # Errors
/// A call has no key, or one of the same key is another call.
pub fn effects(shop: &Sink) -> Result<BTreeMap<String, (String, String)>> {
    let mut effects = BTreeMap::new();
    for call in shop.deliveries() {
        let key = call.header("idempotency-key").to_owned();
        ensure!(!key.is_empty(), "a call without a key: {call:?}");
        let this = (call.path.clone(), String::from_utf8_lossy(&call.body).into_owned());
        let first = effects.entry(key).or_insert_with(|| this.clone());
        ensure!(*first == this, "one key for two calls: {first:?} and {this:?}");
    }
    Ok(effects)
}
