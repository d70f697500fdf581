//! What most tests of deliveries begin with.

use anyhow::Result;
use ripost_tests::{Consumer, Host, Plugin, Sink, guests};
use serde_json::{Value, json};

/// A host with this configuration and one free API, `demo/echo`; a consumer of it, and an endpoint.
pub(crate) async fn start(config: &str) -> Result<(Host, Consumer, Sink)> {
    let host = crate::host().only_config(config).plugin(&Plugin::one("echo", guests::echo())).start().await?;
    let consumer = host.add_consumer("c1", "1").await?;
    Ok((host, consumer, Sink::start().await?))
}

/// A call of it whose webhook goes to `url`; the id of the request.
pub(crate) async fn call(consumer: &Consumer, url: &str) -> Result<String> {
    consumer.call("demo/echo").json(&json!({ "n": 1, "webhook_url": url })).accepted().await
}

/// The only entry of a delivery's log.
pub(crate) fn only_attempt(delivery: &Value) -> Result<&Value> {
    let log = delivery["log"].as_array().map_or(&[][..], Vec::as_slice);
    anyhow::ensure!(log.len() == 1, "one attempt and no more: {delivery}");
    Ok(&log[0])
}
