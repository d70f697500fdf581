//! What a consumer may read, and what is nobody else's business.

use crate::{PAUSED, Test, host};
use ripost_tests::guests::Failure;
use ripost_tests::{Api, Consumer, Host, Plugin, Reply, Sink, guests, until};
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn anothers_request_is_as_unknown_as_one_that_never_was() -> Test {
    let host = host().plugin(&Plugin::one("echo", guests::echo())).start().await?;
    let (mine, other, sink) = (host.demo(), host.add_consumer("other", "1").await?, Sink::start().await?);
    let id = mine.call("demo/echo").json(&json!({ "webhook_url": sink.url("/") })).accepted().await?;
    sink.first(&id).await?;
    mine.ended(&id).await?;
    // The same shape with another end.
    let digit = if id.ends_with('0') { '1' } else { '0' };
    let unknown = format!("{}{digit}", &id[..id.len() - 1]);
    for part in ["", "/result", "/webhooks/completed"] {
        mine.get(&format!("/requests/{id}{part}")).await?.expect(200)?;
        let foreign = other.get(&format!("/requests/{id}{part}")).await?.expect(404)?;
        let never = mine.get(&format!("/requests/{unknown}{part}")).await?.expect(404)?;
        assert_eq!(foreign.problem()?, "unknown-request");
        assert_eq!(foreign.body, never.body, "nothing tells them apart");
        let nobody = other.with_key(None).get(&format!("/requests/{id}{part}")).await?.expect(401)?;
        assert_eq!(nobody.problem()?, "missing-key");
        let wrong = other.with_key(Some("ck_wrong")).get(&format!("/requests/{id}{part}")).await?.expect(401)?;
        assert_eq!(wrong.problem()?, "unknown-key");
    }
    mine.get(&format!("/requests/{id}/webhooks/started")).await?.expect(404)?;
    for wrong in ["req_1", "abc", "abc/result", "req_%3Cb%3E"] {
        let answer = mine.get(&format!("/requests/{wrong}")).await?.expect(404)?;
        assert_eq!(answer.problem()?, "unknown-request", "{wrong}");
        let detail = answer.json()?["detail"].as_str().unwrap_or_default().to_owned();
        assert!(detail.contains("is not the id of a request"), "{wrong}: {detail}");
        mine.with_key(None).get(&format!("/requests/{wrong}")).await?.expect(401)?;
    }
    mine.request(http::Method::DELETE, &format!("/requests/{id}")).send().await?.expect(405)?;
    Ok(())
}

#[tokio::test]
async fn between_two_runs_is_seen_how_many_there_were_and_when_the_next_begins() -> Test {
    let service = Sink::start().await?;
    service.otherwise(Reply::status(503).header("retry-after", "60"));
    let later = Api::new("demo", "later", guests::fails(Failure::Retry(Some(60))));
    let host = crate::upstream::host(&service.url("/"), "").plugin(&Plugin::new("later", [later])).start().await?;
    let consumer = host.demo();
    for api in ["demo/later", "demo/up"] {
        let id = consumer.call(api).header("prefer", "respond-async").json(&json!({})).accepted().await?;
        let waiting = until("the first run is over", Duration::from_secs(10), async || {
            let view = consumer.view(&id).await?;
            Ok((view["attempts"] == 1).then_some(view))
        })
        .await?;
        assert_eq!(waiting["status"], "accepted", "{api}");
        let (now, next) = (&waiting["createdAt"], &waiting["next_attempt_at"]);
        assert!(next.as_str() > now.as_str(), "{api}: {waiting}");
        assert!(waiting.get("progress").is_none(), "{api}: {waiting}");
        let listed = consumer.get("/requests?limit=1").await?.expect(200)?.json()?["requests"][0].clone();
        assert_eq!(listed, waiting, "{api}");
        // What has ended waits for nothing.
        let cancel = consumer.request(http::Method::POST, &format!("/requests/{id}/cancel"));
        let cancelled = cancel.send().await?.expect(200)?.json()?;
        assert_eq!(cancelled["attempts"], 1, "{api}");
        assert!(cancelled.get("next_attempt_at").is_none(), "{api}: {cancelled}");
    }
    Ok(())
}

#[tokio::test]
async fn a_consumer_sees_its_name_and_money() -> Test {
    let host = host().start().await?;
    let consumer = host.add_consumer("Blue Bottle", "12.5").await?;
    let view = consumer.get("/consumer").await?.expect(200)?.json()?;
    assert_eq!((&view["name"], &view["balance"]["available_usdc"]), (&json!("Blue Bottle"), &json!("12.500000")));
    assert_eq!(view["balance"]["held_usdc"], "0.000000");
    assert_eq!(view["limits"]["body_bytes_max"], 1 << 20);
    let demo = host.demo().get("/consumer").await?.expect(200)?.json()?;
    assert_eq!(demo["balance"]["available_usdc"], "1000000.000000");
    for path in ["/consumer", "/consumer/webhook-secret"] {
        assert_eq!(consumer.with_key(None).get(path).await?.expect(401)?.problem()?, "missing-key");
        assert_eq!(consumer.with_key(Some("x")).get(path).await?.expect(401)?.problem()?, "unknown-key");
    }
    Ok(())
}

#[tokio::test]
async fn each_consumer_has_a_webhook_secret_of_its_own_that_only_its_own_key_shows() -> Test {
    let host = host().start().await?;
    let (first, second) = (host.add_consumer("c1", "1").await?, host.add_consumer("c2", "1").await?);
    let secret = first.webhook_secret().await?;
    assert!(secret.starts_with("whsec_") && secret.len() >= 6 + 32, "{secret}");
    assert_ne!(secret, second.webhook_secret().await?);
    assert_eq!(secret, first.webhook_secret().await?);
    let body = first.get("/consumer/webhook-secret").await?.expect(200)?;
    assert!(body.json()?["rotation"].is_object());
    assert_eq!(body.header("cache-control"), Some("no-store"));

    let added =
        host.cli(&["consumer", "add", "open", "--credit", "1", "--public", "--json"]).await?.expect(0)?.json()?;
    let public = host.consumer(added["key"].as_str().unwrap());
    assert_eq!(public.get("/consumer").await?.expect(403)?.problem()?, "key-is-public");
    let refused = public.get("/consumer/webhook-secret").await?.expect(403)?;
    assert_eq!(refused.problem()?, "key-is-public");

    let host = host.restart().await?;
    let again = Consumer::new(host.url(), first.key());
    assert_eq!(again.webhook_secret().await?, secret, "it survives a restart");
    Ok(())
}

#[tokio::test]
async fn what_is_accepted_waits_visibly_while_runs_are_paused() -> Test {
    let api = Api::new("demo", "echo", guests::echo()).price("0.050000");
    let host = Host::builder().dev().show_log().config(PAUSED).plugin(&Plugin::new("echo", [api])).start().await?;
    let (consumer, sink) = (host.add_consumer("c1", "1").await?, Sink::start().await?);
    let id = consumer.call("demo/echo").json(&json!({ "webhook_url": sink.url("/") })).accepted().await?;
    let view = consumer.view(&id).await?;
    assert_eq!((&view["status"], &view["settlement"]["state"]), (&json!("accepted"), &json!("held")));
    assert_eq!(
        view["delivery"],
        json!({ "state": "pending", "attempts": 0, "nextAttemptAt": null, "lastStatus": null })
    );
    assert_eq!(consumer.get(&format!("/requests/{id}/result")).await?.expect(409)?.problem()?, "not-finished");
    consumer.get(&format!("/requests/{id}/webhooks/completed")).await?.expect(404)?;
    assert_eq!(consumer.balances().await?, (950_000, 50_000));
    let status = host.cli(&["status", "--json"]).await?.expect(0)?.json()?;
    assert_eq!(status["queues"]["requests_accepted"], 1);

    let host = host.sigterm().await?.with(|host| host.only_config(crate::QUICK)).start().await?;
    let consumer = Consumer::new(host.url(), consumer.key());
    assert_eq!(consumer.ended(&id).await?["status"], "completed");
    sink.first(&id).await?;
    assert_eq!(consumer.balances().await?, (950_000, 0));
    Ok(())
}

#[tokio::test]
async fn a_public_key_calls_and_reads_its_own_requests_and_nothing_else() -> Test {
    let plugin = Plugin::one("echo", guests::echo());
    let host = Host::builder().dev().show_log().plugin(&plugin).start().await?;
    let (public, sink) = (crate::feed::public(&host).await?, Sink::start().await?);
    let id = public.call("demo/echo").json(&json!({ "webhook_url": sink.url("/") })).accepted().await?;
    sink.first(&id).await?;
    for path in ["", "/result", "/webhooks/completed", "/events"] {
        public.get(&format!("/requests/{id}{path}")).await?.expect(200)?;
    }
    let of_request = ["deliveries", "receipt"].map(|part| ("GET", format!("/requests/{id}/{part}")));
    let changes = ["cancel", "redeliver"].map(|part| ("POST", format!("/requests/{id}/{part}")));
    let own = [
        ("GET", "/consumer"),
        ("HEAD", "/consumer"),
        ("PATCH", "/consumer"),
        ("GET", "/requests"),
        ("GET", "/events"),
        ("GET", "/consumer/webhook-secret"),
        ("POST", "/consumer/webhook-secret/rotate"),
        ("GET", "/consumer/disabled-urls"),
        ("DELETE", "/consumer/disabled-urls?url=x"),
        ("POST", "/deliveries/redeliver"),
        ("POST", "/webhooks/test"),
    ];
    let own = own.map(|(method, path)| (method, path.to_owned()));
    for (method, path) in of_request.into_iter().chain(changes).chain(own) {
        let refused = public.request(method.parse()?, &path).send().await?.expect(403)?;
        if method != "HEAD" {
            assert_eq!(refused.problem()?, "key-is-public", "{method} {path}");
        }
    }
    Ok(())
}
