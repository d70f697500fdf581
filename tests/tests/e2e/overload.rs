//! Too much to do is refused before anything is written.

use crate::{PAUSED, Test};
use http::Method;
use ripost_tests::{Consumer, Host, Plugin, guests};
use serde_json::json;

async fn call(consumer: &Consumer) -> anyhow::Result<ripost_tests::Answer> {
    consumer.call("demo/echo").json(&json!({})).header("prefer", "respond-async").send().await
}

#[tokio::test]
async fn a_backlog_over_its_bound_sheds_calls_and_takes_them_again_when_it_is_shorter() -> Test {
    let echo = Plugin::one("echo", guests::echo());
    // The last section of that configuration is `[runs]`.
    let host = Host::builder().dev().show_log().config(PAUSED).config("backlog_max = 3").plugin(&echo).start().await?;
    let consumer = host.add_consumer("c1", "1").await?;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(call(&consumer).await?.expect(202)?.request_id()?);
    }
    for _ in 0..2 {
        let shed = call(&consumer).await?.expect(503)?;
        assert_eq!(shed.problem()?, "overloaded");
        assert!(shed.header("retry-after").is_some());
    }
    let metrics = host.metrics().await?;
    assert_eq!(metrics.sum("ripost_calls_shed_total", "reason=\"backlog\"").to_bits(), 2_f64.to_bits());
    assert_eq!(metrics.sum("ripost_requests_accepted_total", "").to_bits(), 3_f64.to_bits());

    let key = consumer.key().unwrap().to_owned();
    let host = host.restart().await?;
    let consumer = host.consumer(&key);
    call(&consumer).await?.expect(503)?;
    consumer.request(Method::POST, &format!("/requests/{}/cancel", ids[0])).send().await?.expect(200)?;
    call(&consumer).await?.expect(202)?;
    call(&consumer).await?.expect(503)?;

    // Nothing is lost: without the pause all of it runs, and there is room again.
    let host = host.sigkill()?.with(|host| host.only_config(crate::QUICK).config("backlog_max = 3")).start().await?;
    let consumer = host.consumer(&key);
    for id in &ids[1..] {
        assert_eq!(consumer.ended(id).await?["status"], "completed");
    }
    for _ in 0..5 {
        let id = call(&consumer).await?.expect(202)?.request_id()?;
        consumer.ended(&id).await?;
    }
    Ok(())
}
