//! Asking where a request stands: only for what has changed, and waiting for it.

use crate::{PAUSED, Test, host, requests_running};
use http::Method;
use ripost_tests::{Api, Host, Plugin, Sink, guests, until};
use serde_json::json;
use std::time::{Duration, Instant};

fn conditional<'c>(consumer: &'c ripost_tests::Consumer, id: &str, tag: &str) -> ripost_tests::consumer::Call<'c> {
    consumer.request(Method::GET, &format!("/requests/{id}")).header("if-none-match", tag)
}

#[tokio::test]
async fn a_view_that_the_caller_has_is_not_sent_again() -> Test {
    let host =
        Host::builder().dev().show_log().config(PAUSED).plugin(&Plugin::one("echo", guests::echo())).start().await?;
    let consumer = host.demo();
    let id = consumer.call("demo/echo").header("prefer", "respond-async").json(&json!({})).accepted().await?;
    let first = consumer.get(&format!("/requests/{id}")).await?.expect(200)?;
    let tag = first.header("etag").unwrap().to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 20, "strong, and quoted: {tag}");
    for known in [&*tag, &format!("\"other\", {tag}"), "*"] {
        let same = conditional(&consumer, &id, known).send().await?.expect(304)?;
        assert_eq!((same.header("etag"), same.body.len()), (Some(&*tag), 0), "{known}");
    }
    let other = conditional(&consumer, &id, "\"other\"").send().await?.expect(200)?;
    assert_eq!(other.body, first.body);
    let head = consumer.request(Method::HEAD, &format!("/requests/{id}")).send().await?.expect(200)?;
    assert_eq!((head.header("etag"), head.body.len()), (Some(&*tag), 0));

    let host = host.sigterm().await?.with(|host| host.only_config(crate::QUICK)).start().await?;
    let consumer = ripost_tests::Consumer::new(host.url(), consumer.key());
    consumer.ended(&id).await?;
    let ended = conditional(&consumer, &id, &tag).send().await?.expect(200)?;
    assert_ne!(ended.header("etag"), Some(&*tag), "what has changed has another tag");
    Ok(())
}

#[tokio::test]
async fn a_link_that_is_new_each_time_is_no_news() -> Test {
    let big = Plugin::one("big", guests::answers_bytes(300_000));
    let host = host().plugin(&big).start().await?;
    let consumer = host.demo();
    let id = consumer.call("demo/big").header("prefer", "respond-async").json(&json!({})).accepted().await?;
    consumer.ended(&id).await?;
    let (mut links, mut tags) = (Vec::new(), Vec::new());
    until("two links that differ", Duration::from_secs(5), async || {
        let answer = consumer.get(&format!("/requests/{id}")).await?.expect(200)?;
        links.push(answer.json()?["result_url"].as_str().unwrap().to_owned());
        tags.push(answer.header("etag").unwrap().to_owned());
        Ok((links[0] != links[links.len() - 1]).then_some(()))
    })
    .await?;
    assert!(tags.iter().all(|tag| *tag == tags[0]), "{tags:?}");
    Ok(())
}

#[tokio::test]
async fn who_waits_is_answered_as_soon_as_the_request_ends_or_the_time_is_over() -> Test {
    let apis = [Api::new("demo", "slow", guests::sleeps(800)), Api::new("demo", "slower", guests::sleeps(5_000))];
    let host = host().plugin(&Plugin::new("two", apis)).start().await?;
    let consumer = host.demo();
    let id = consumer.call("demo/slow").header("prefer", "respond-async").json(&json!({})).accepted().await?;
    let wait = |id: &str, wait: &str| consumer.request(Method::GET, &format!("/requests/{id}")).header("prefer", wait);
    let answer = wait(&id, "wait=30").send().await?.expect(200)?;
    assert_eq!(answer.json()?["status"], "completed");
    assert_eq!(answer.header("preference-applied"), Some("wait=30"));
    assert!(answer.took < Duration::from_secs(5), "{:?}", answer.took);
    let again = wait(&id, "wait=30").send().await?.expect(200)?;
    assert!(again.took < Duration::from_secs(1), "one that has ended is not waited for: {:?}", again.took);

    let id = consumer.call("demo/slower").header("prefer", "respond-async").json(&json!({})).accepted().await?;
    let answer = wait(&id, "wait=1").send().await?.expect(200)?;
    assert_eq!(answer.json()?["status"], "running");
    assert!(answer.took >= Duration::from_millis(950) && answer.took < Duration::from_secs(3), "{:?}", answer.took);
    Ok(())
}

#[tokio::test]
async fn who_has_a_view_waits_for_the_next_one_whatever_has_changed() -> Test {
    let host = host().plugin(&Plugin::one("steps", guests::reports_progress(1_500))).start().await?;
    let (consumer, sink) = (host.demo(), Sink::start().await?);
    let id = consumer.call("demo/steps").json(&json!({ "webhook_url": sink.url("/") })).accepted().await?;
    let (mut tag, mut seen) = ("\"none\"".to_owned(), Vec::new());
    let began = Instant::now();
    loop {
        let answer = conditional(&consumer, &id, &tag).header("prefer", "wait=20").send().await?.expect(200)?;
        let view = answer.json()?;
        tag = answer.header("etag").unwrap().to_owned();
        seen.push((
            view["status"].as_str().unwrap().to_owned(),
            view["progress"]["percent"].as_u64(),
            view["delivery"]["state"].as_str().unwrap().to_owned(),
        ));
        if view["delivery"]["state"] == "delivered" {
            break;
        }
        assert!(seen.len() < 10, "{seen:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(8), "none of them took its whole time: {:?}", began.elapsed());
    assert!(seen.contains(&("running".to_owned(), Some(40), "pending".to_owned())), "{seen:?}");
    let same = conditional(&consumer, &id, &tag).header("prefer", "wait=1").send().await?.expect(304)?;
    assert!(same.took >= Duration::from_millis(950), "{:?}", same.took);
    assert_eq!(same.header("preference-applied"), Some("wait=1"));
    Ok(())
}

#[tokio::test]
async fn hanging_up_cancels_nothing_and_a_host_that_stops_answers_at_once() -> Test {
    let host = host().plugin(&Plugin::one("slow", guests::sleeps(1_500))).start().await?;
    let consumer = host.demo();
    let id = consumer.call("demo/slow").header("prefer", "respond-async").json(&json!({})).accepted().await?;
    requests_running(&consumer, &id).await?;
    let path = format!("/requests/{id}");
    let hangs_up = consumer.request(Method::GET, &path).header("prefer", "wait=30").send();
    assert!(tokio::time::timeout(Duration::from_millis(200), hangs_up).await.is_err());
    assert_eq!(consumer.view(&id).await?["status"], "running");

    let waiting = consumer.request(Method::GET, &path).header("prefer", "wait=30").send();
    let stop = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        host.signal_term()
    };
    let (answer, stopped) = tokio::join!(waiting, stop);
    stopped?;
    let answer = answer?.expect(200)?;
    assert_eq!(answer.json()?["status"], "running");
    assert!(answer.took < Duration::from_secs(1), "{:?}", answer.took);
    let host = host.ended().await?.start().await?;
    let consumer = ripost_tests::Consumer::new(host.url(), consumer.key());
    assert_eq!(consumer.ended(&id).await?["status"], "completed");
    Ok(())
}
