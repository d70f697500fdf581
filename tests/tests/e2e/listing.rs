//! A consumer's own requests, newest first.

use crate::{PAUSED, Test, host};
use anyhow::{Context as _, Result};
use ripost_tests::{Api, Consumer, Host, Plugin, guests};
use serde_json::{Value, json};

async fn accept(consumer: &Consumer, api: &str) -> Result<String> {
    consumer.call(api).header("prefer", "respond-async").json(&json!({})).accepted().await
}

async fn list(consumer: &Consumer, query: &str) -> Result<(Vec<String>, Value)> {
    let page = consumer.get(&format!("/requests{query}")).await?.expect(200)?.json()?;
    let listed = page["requests"].as_array().with_context(|| format!("no requests in {page}"))?;
    let ids = listed.iter().filter_map(|request| request["requestId"].as_str().map(str::to_owned)).collect();
    Ok((ids, page))
}

#[tokio::test]
async fn a_consumer_lists_its_own_requests_newest_first_and_page_by_page() -> Test {
    let plugin = Plugin::new("one", [Api::new("demo", "echo", guests::echo()).price("0.010000")]);
    let host = Host::builder().dev().show_log().config(PAUSED).plugin(&plugin).start().await?;
    let (mine, other) = (host.add_consumer("mine", "1").await?, host.add_consumer("other", "1").await?);
    let empty = mine.get("/requests").await?.expect(200)?.json()?;
    assert_eq!(empty, json!({"requests": [], "next": null, "more": false}));
    let mut expected = Vec::new();
    for _ in 0..5 {
        expected.insert(0, accept(&mine, "demo/echo").await?);
        accept(&other, "demo/echo").await?;
        // Two of one millisecond have no order.
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    let (all, page) = list(&mine, "").await?;
    assert_eq!((&all, &page["more"]), (&expected, &json!(false)));
    let view = mine.view(&all[0]).await?;
    assert_eq!(page["requests"][0], view, "each is as it is shown alone");
    assert_eq!(view["settlement"]["state"], "held");

    let (mut paged, mut before) = (Vec::new(), String::new());
    loop {
        let (ids, page) = list(&mine, &format!("?limit=2{before}")).await?;
        assert!(ids.len() <= 2);
        paged.extend(ids);
        before = format!("&before={}", page["next"].as_str().context("a cursor")?);
        // What comes meanwhile is newer, and moves no page.
        accept(&mine, "demo/echo").await?;
        if page["more"] == false {
            break;
        }
    }
    assert_eq!(paged, expected);
    Ok(())
}

#[tokio::test]
async fn what_waits_for_its_run_is_listed_in_the_state_that_it_is_shown_in() -> Test {
    // One place for a run: the second request is in memory and waits for it.
    let plugin = Plugin::new("one", [Api::new("demo", "slow", guests::sleeps(20_000)).limit("concurrency = 1")]);
    let host = host().plugin(&plugin).start().await?;
    let consumer = host.add_consumer("mine", "1").await?;
    let running = accept(&consumer, "demo/slow").await?;
    crate::requests_running(&consumer, &running).await?;
    let waiting = accept(&consumer, "demo/slow").await?;
    for (status, id) in [("running", &running), ("accepted", &waiting)] {
        let (ids, page) = list(&consumer, &format!("?status={status}")).await?;
        assert_eq!((&ids, &page["requests"][0]["status"]), (&vec![id.clone()], &json!(status)));
        let listed = host.cli(&["requests", "list", "--status", status, "--api", "demo/slow", "--json"]).await?;
        let listed = listed.expect(0)?.json()?;
        let shown = listed["requests"].as_array().context("requests")?;
        let shown: Vec<_> = shown.iter().map(|line| (&line["request_id"], &line["status"])).collect();
        assert_eq!(shown, [(&json!(id), &json!(status))]);
    }
    Ok(())
}

#[tokio::test]
async fn a_list_is_cut_down_by_status_api_and_time_and_is_for_a_key_of_ones_own() -> Test {
    let apis = [Api::new("demo", "echo", guests::echo()), Api::new("demo", "traps", guests::traps())];
    let host = host().plugin(&Plugin::new("two", apis)).start().await?;
    let consumer = host.add_consumer("mine", "1").await?;
    let failed = accept(&consumer, "demo/traps").await?;
    let completed = accept(&consumer, "demo/echo").await?;
    consumer.ended(&failed).await?;
    let view = consumer.ended(&completed).await?;
    assert_eq!(list(&consumer, "?status=failed").await?.0, [&*failed]);
    assert_eq!(list(&consumer, "?status=completed&api=demo/echo").await?.0, [&*completed]);
    assert!(list(&consumer, "?status=completed&api=demo/traps").await?.0.is_empty());
    let created = view["createdAt"].as_str().unwrap();
    assert_eq!(list(&consumer, &format!("?since={created}&api=demo/echo")).await?.0, [&*completed]);
    assert!(!list(&consumer, &format!("?until={created}")).await?.0.contains(&completed));
    let listed = &list(&consumer, "?api=demo/echo").await?.1["requests"][0];
    assert!(listed.get("result").is_none() && listed["finishedAt"].is_string(), "{listed}");

    for (query, problem) in
        [("?status=done", "invalid-filter"), ("?x=1", "invalid-filter"), ("?before=1", "invalid-cursor")]
    {
        assert_eq!(consumer.get(&format!("/requests{query}")).await?.expect(400)?.problem()?, problem, "{query}");
    }
    let offset = consumer.get("/requests?since=2026-11-24T08:00:00+00:00").await?.expect(400)?.json()?;
    assert!(offset["detail"].as_str().is_some_and(|detail| detail.contains("%2B")), "{offset}");
    let added =
        host.cli(&["consumer", "add", "open", "--credit", "1", "--public", "--json"]).await?.expect(0)?.json()?;
    let public = host.consumer(added["key"].as_str().unwrap());
    assert_eq!(public.get("/requests").await?.expect(403)?.problem()?, "key-is-public");
    consumer.with_key(None).get("/requests").await?.expect(401)?;
    consumer.request(http::Method::DELETE, "/requests").send().await?.expect(405)?;
    Ok(())
}
