//! Answers that nobody reads, or that somebody reads too slowly: they end, and cost little until then.

use crate::{Test, host};
use anyhow::{Context as _, Result};
use ripost_tests::{Api, Consumer, Host, Plugin, Wire, guests, until};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt as _;

/// More than all the sockets between here and there take.
const LARGE: usize = 4_000_000;
/// What a reader who reads nothing takes at most.
const NARROW: u32 = 4096;

async fn start(config: &str) -> Result<(Host, Consumer)> {
    let large = Api::new("demo", "large", guests::answers_bytes(LARGE));
    let plain = Api::new("demo", "plain", guests::answers_bytes(LARGE)).line("delivery = \"off\"");
    let slow = Api::new("demo", "slow", guests::sleeps(60_000)).limit("wall = \"5 min\"");
    let plugin = Plugin::new("readers", [large, plain, slow]);
    let host = host().config(config).plugin(&plugin).start().await?;
    let consumer = host.demo();
    Ok((host, consumer))
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: a\r\nx-consumer-key: demo-public-key-2026\r\n\r\n").into_bytes()
}

fn call(slug: &str) -> Vec<u8> {
    let head = "host: a\r\nx-consumer-key: demo-public-key-2026\r\ncontent-type: application/json\r\ncontent-length: 2";
    format!("POST /api/demo/api/{slug} HTTP/1.1\r\n{head}\r\n\r\n{{}}").into_bytes()
}

/// Reads a part of an answer, so that it is known to have begun.
async fn begun(wire: &mut Wire) -> Result<()> {
    let mut line = [0; 15];
    tokio::time::timeout(Duration::from_secs(20), wire.stream.read_exact(&mut line)).await.context("no answer")??;
    assert_eq!(&line, b"HTTP/1.1 200 OK");
    Ok(())
}

/// What has been written to the gateway's connections over IPv4 and has not been taken: column five of the kernel's table.
fn kept_by_the_kernel(host: &Host) -> Result<usize> {
    let port = host.url().rsplit(':').next().context("a port")?.parse::<u16>()?;
    let local = format!(":{port:04X}");
    let mut kept = 0;
    for line in std::fs::read_to_string("/proc/net/tcp")?.lines() {
        let columns: Vec<&str> = line.split_whitespace().collect();
        if columns[1].ends_with(&local) {
            let (unsent, _) = columns[4].split_once(':').context("two queues")?;
            kept += usize::from_str_radix(unsent, 16)?;
        }
    }
    Ok(kept)
}

async fn cut(host: &Host, reason: &str) -> Result<f64> {
    Ok(host.metrics().await?.sum("ripost_connections_cut_total", &format!("reason=\"{reason}\"")))
}

#[tokio::test]
async fn results_that_nobody_reads_cost_little_and_end() -> Test {
    const READERS: usize = 100;
    let (host, consumer) = start("[connections]\nanswer_time = \"3 s\"").await?;
    let id = consumer.call("demo/large").json(&json!({})).send().await?.expect(200)?;
    let id = id.header("ripost-request-id").context("an id")?.to_owned();
    let before = host.rss_kib()?;
    let mut wires = Vec::new();
    for _ in 0..READERS {
        let mut wire = Wire::open_narrow(host.url(), NARROW).await?;
        wire.send(&get(&format!("/requests/{id}/result"))).await;
        wires.push(wire);
    }
    for wire in &mut wires {
        begun(wire).await?;
    }
    // All of them whole would be 390 MiB.
    let grown = host.rss_kib()?.saturating_sub(before);
    assert!(grown < 100 << 10, "{grown} KiB for {READERS} readers");
    let kept = kept_by_the_kernel(&host)?;
    assert!(kept < READERS * (512 << 10), "the kernel keeps {kept} bytes for {READERS} readers");
    until("the end of all of them", Duration::from_secs(15), async || {
        Ok((cut(&host, "unread").await? > READERS as f64 - 0.5).then_some(()))
    })
    .await?;
    for wire in &mut wires {
        assert!(wire.ends_within(Duration::from_secs(5)).await);
    }
    // Who reads has all of it.
    assert_eq!(consumer.get(&format!("/requests/{id}/result")).await?.expect(200)?.body.len(), LARGE);
    Ok(())
}

#[tokio::test]
async fn a_reader_that_drips_is_ended_and_a_slow_one_has_its_answer() -> Test {
    let (host, consumer) = start("[connections]\nanswer_time = \"2 s\"\nanswer_rate_min = \"64 KiB\"").await?;
    let id = consumer.call("demo/large").json(&json!({})).send().await?.expect(200)?;
    let path = format!("/requests/{}/result", id.header("ripost-request-id").context("an id")?);
    for whole in [true, false] {
        for request in [get(&path), call("plain")] {
            let mut wire = Wire::open_narrow(host.url(), 65_536).await?;
            wire.send(&request).await;
            begun(&mut wire).await?;
            let started = Instant::now();
            // About 1 MiB a second, or 2 KiB a second.
            let (piece, pause) = if whole { (100_000, 100) } else { (200, 100) };
            let (mut sink, mut read) = (vec![0; piece], 0);
            let ended = loop {
                match wire.stream.read(&mut sink).await {
                    Ok(0) | Err(_) => break true,
                    Ok(bytes) => read += bytes,
                }
                if read >= LARGE {
                    break false;
                }
                tokio::time::sleep(Duration::from_millis(pause)).await;
                if !whole && cut(&host, "unread").await? > 0.5 {
                    break true;
                }
                assert!(started.elapsed() < Duration::from_secs(30), "it is served for ever: {read} bytes");
            };
            assert_eq!(ended, !whole, "{read} bytes in {:?}", started.elapsed());
        }
    }
    Ok(())
}

#[tokio::test]
async fn answers_from_memory_have_a_budget_and_say_when_it_is_used_up() -> Test {
    // Sixteen of them fit.
    let (host, consumer) =
        start("[limits]\nanswers_in_memory = \"64 MiB\"\n[connections]\nanswer_time = \"30 s\"").await?;
    let mut wires = Vec::new();
    for _ in 0..16 {
        let mut wire = Wire::open_narrow(host.url(), NARROW).await?;
        wire.send(&call("plain")).await;
        begun(&mut wire).await?;
        wires.push(wire);
    }
    let refused = consumer.call("demo/plain").json(&json!({})).send().await?.expect(503)?;
    assert_eq!(refused.problem()?, "answers-overloaded");
    assert_eq!(refused.header("retry-after"), Some("2"));
    // What was accepted is kept, and comes from its file.
    let durable = consumer.call("demo/large").json(&json!({})).send().await?.expect(503)?;
    assert_eq!(durable.problem()?, "answers-overloaded");
    let id = durable.header("ripost-request-id").context("an id")?;
    assert_eq!(consumer.get(&format!("/requests/{id}/result")).await?.expect(200)?.body.len(), LARGE);
    drop(wires);
    until("room for another answer", Duration::from_secs(10), async || {
        Ok((consumer.call("demo/plain").json(&json!({})).send().await?.status == 200).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_stream_whose_reader_closes_its_side_ends() -> Test {
    let (host, consumer) = start("[connections]\nstreams_max = 1").await?;
    let id = consumer.call("demo/slow").header("prefer", "respond-async").json(&json!({})).accepted().await?;
    for _ in 0..3 {
        until("the only stream", Duration::from_secs(5), async || {
            let mut wire = Wire::open(host.url()).await?;
            wire.send(&get(&format!("/requests/{id}/events"))).await;
            let is_open = begun(&mut wire).await.is_ok();
            if is_open {
                wire.close_sending().await?;
                assert!(wire.ends_within(Duration::from_secs(5)).await);
            }
            Ok(is_open.then_some(()))
        })
        .await?;
    }
    consumer.request(http::Method::POST, &format!("/requests/{id}/cancel")).send().await?.expect(200)?;
    Ok(())
}
