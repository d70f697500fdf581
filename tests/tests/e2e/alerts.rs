//! What the operator is told of at once.

use crate::Test;
use crate::echo::{call, start};
use anyhow::Result;
use ripost_tests::{Delivery, Reply, Sink, until, verify};
use std::time::Duration;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn config(alerts: &Sink, delivery: &str) -> String {
    format!(
        "[delivery]\nschedule = [\"0 ms\", \"20 ms\"]\nsweep = \"50 ms\"\n{delivery}\n[runs]\nsweep = \"50 ms\"\n\
         [alerts]\nurl = \"{}\"\nsecret = \"{SECRET}\"\n",
        alerts.url("/alerts")
    )
}

async fn alert(alerts: &Sink, kind: &str) -> Result<Delivery> {
    until(&format!("the alert {kind}"), Duration::from_secs(10), async || {
        let all = alerts.deliveries();
        Ok(all.into_iter().find(|alert| alert.json().is_ok_and(|json| json["type"] == kind)))
    })
    .await
}

#[tokio::test]
async fn exhausted_deliveries_disabled_urls_and_open_breakers_are_told_signed_and_without_secrets() -> Test {
    let alerts = Sink::start().await?;
    let (_host, consumer, sink) = start(&config(&alerts, "breaker_failures = 2")).await?;
    sink.otherwise(Reply::status(500));
    let id = call(&consumer, &sink.url("/failing?token=hush")).await?;
    consumer.delivery(&id, "exhausted").await?;
    let exhausted = alert(&alerts, "delivery.exhausted").await?;
    verify(&exhausted, SECRET)?;
    let said = exhausted.json()?;
    assert_eq!((&said["requestId"], &said["reason"]), (&id.as_str().into(), &"schedule".into()));
    assert_eq!(said["endpoint"], sink.url("/failing"), "without the query, where tokens tend to be");
    verify(&alert(&alerts, "breaker.open").await?, SECRET)?;

    sink.otherwise(Reply::status(410));
    let id = call(&consumer, &sink.url("/gone")).await?;
    consumer.delivery(&id, "abandoned").await?;
    let disabled = alert(&alerts, "url.disabled").await?;
    assert_eq!(disabled.json()?["endpoint"], sink.url("/gone"));
    verify(&alert(&alerts, "delivery.abandoned").await?, SECRET)?;
    assert!(alerts.deliveries().iter().all(|alert| !String::from_utf8_lossy(&alert.body).contains("hush")));
    Ok(())
}

#[tokio::test]
async fn an_alert_url_that_fails_is_tried_again_and_holds_nothing_up() -> Test {
    let alerts = Sink::start().await?;
    alerts.script([Reply::status(500)]);
    let (_host, consumer, sink) = start(&config(&alerts, "breaker_failures = 100")).await?;
    sink.script([Reply::status(500), Reply::status(500)]);
    let failing = call(&consumer, &sink.url("/")).await?;
    consumer.delivery(&failing, "exhausted").await?;
    let healthy = call(&consumer, &sink.url("/")).await?;
    consumer.delivery(&healthy, "delivered").await?;
    until("the alert has come twice", Duration::from_secs(10), async || Ok((alerts.count() >= 2).then_some(())))
        .await?;
    let all = alerts.deliveries();
    assert_eq!((all[0].id(), &all[0].body), (all[1].id(), &all[1].body), "the same alert");
    Ok(())
}

#[tokio::test]
async fn an_alert_url_without_a_secret_is_a_configuration_error() -> Test {
    let host = crate::host().only_config("[alerts]\nurl = \"https://ops.example/x\"\n");
    let error = host.start().await.map(drop).unwrap_err();
    assert!(format!("{error:#}").contains("alerts.secret"), "{error:#}");
    Ok(())
}
