//! What people are promised, checked on the real binary over HTTP. One file a behaviour.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod access;
mod alerts;
mod answers;
mod attacks;
mod bad_input;
mod balances;
mod cancel;
mod capabilities;
mod capture;
mod checks;
mod clock;
mod compile;
mod consumer_limits;
mod delivery;
mod disabled;
mod doctor;
mod echo;
mod events;
mod examples;
mod failures;
mod feed;
mod fields;
mod first_call;
mod full_disk;
mod group_commit;
mod hang_ups;
mod heads;
mod hostile;
mod http2;
mod idempotency;
mod isolation;
mod javascript;
mod keys;
mod limits;
mod listing;
mod lost;
mod memory;
mod money;
mod odd_bodies;
mod openapi;
mod operator;
mod origin;
mod outbound;
mod overload;
mod owner_secrets;
mod owners;
mod passed_on;
mod paths;
mod payloads;
mod plugins_folder;
mod printing;
mod push;
mod quarantine;
mod readers;
mod receipts;
mod redeliver;
mod reload;
mod replay;
mod requests;
mod retention;
mod roles;
mod runs;
mod samples;
mod schedule;
mod schema;
mod secrets;
mod shapes;
mod share;
mod sse;
mod start;
mod status;
mod steps;
mod stop;
mod synchronous;
mod transforms;
mod upstream;
mod wall;
mod wasi_http;
mod webhook_test;
mod withdraw;

use ripost_tests::{Host, HostBuilder};

/// What a test gives back.
type Test = anyhow::Result<()>;

/// Times in milliseconds where people want minutes.
const QUICK: &str = r#"
[delivery]
schedule = ["0 ms", "50 ms", "100 ms"]
deadline = "2 s"
sweep = "50 ms"
breaker_failures = 1000
[runs]
sweep = "50 ms"
"#;

/// The same, accepting and keeping but running nothing.
const PAUSED: &str = r#"
[delivery]
schedule = ["0 ms", "50 ms", "100 ms"]
deadline = "2 s"
sweep = "50 ms"
[runs]
sweep = "50 ms"
paused = true
"#;

/// A host in development mode with short times.
fn host() -> HostBuilder {
    Host::builder().dev().show_log().config(QUICK)
}

/// Waits until a request runs.
async fn requests_running(consumer: &ripost_tests::Consumer, id: &str) -> Test {
    ripost_tests::until("a run", std::time::Duration::from_secs(5), async || {
        Ok((consumer.view(id).await?["status"] == "running").then_some(()))
    })
    .await
}
