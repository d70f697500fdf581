//! One address cannot take all connections. Loopback is not counted, so the callers come from another address of this
//! machine.

use crate::Test;
use anyhow::{Context as _, Result};
use http::Method;
use ripost_tests::{Host, Wire, until};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

const SHARE: usize = 3;
const HEALTHY: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n";

/// An address of this machine that is not loopback. Nothing is sent to find it. `None`: there is no network.
fn own_address() -> Option<IpAddr> {
    // Addresses for documentation: the kernel says from where it would send there.
    [("0.0.0.0:0", "192.0.2.1:9"), ("[::]:0", "[2001:db8::1]:9")].into_iter().find_map(|(from, to)| {
        let socket = UdpSocket::bind(from).ok()?;
        socket.connect(to).ok()?;
        let own = socket.local_addr().ok()?.ip();
        (!own.is_loopback()).then_some(own)
    })
}

/// A gateway that listens on all addresses, and how it is called from one that counts.
struct Reached {
    host: Host,
    url: String,
    own: IpAddr,
}

async fn reached(connections: &str) -> Result<Option<Reached>> {
    let Some(own) = own_address() else {
        eprintln!("not run: this machine has no address but loopback");
        return Ok(None);
    };
    let all = if own.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let config = format!("[connections]\n{connections}").replace("OWN", &own.to_string());
    let host = Host::builder().show_log().listen(all).config(&config).start().await?;
    let port = host.url().rsplit(':').next().context("a port")?.parse()?;
    Ok(Some(Reached { host, url: format!("http://{}", SocketAddr::new(own, port)), own }))
}

impl Reached {
    /// Connections that are kept open, each with an answer.
    async fn open(&self, number: usize) -> Result<Vec<Wire>> {
        let mut wires = Vec::new();
        for _ in 0..number {
            let mut wire = Wire::open(&self.url).await?;
            assert_eq!(wire.stream.local_addr()?.ip(), self.own, "it would not be counted");
            wire.send(HEALTHY).await;
            assert_eq!(wire.answer().await?.status, 200);
            wires.push(wire);
        }
        Ok(wires)
    }

    /// Whether a new connection is closed without an answer.
    async fn is_closed(&self) -> Result<bool> {
        let mut wire = Wire::open(&self.url).await?;
        wire.send(HEALTHY).await;
        Ok(wire.answer().await.is_err())
    }

    async fn cut(&self) -> Result<f64> {
        Ok(self.host.metrics().await?.sum("ripost_connections_cut_total", "reason=\"share\""))
    }
}

#[tokio::test]
async fn an_address_with_its_share_of_connections_gets_no_more_until_it_ends_one_and_others_do() -> Test {
    let Some(reached) = reached(&format!("per_address = {SHARE}")).await? else { return Ok(()) };
    let mut wires = reached.open(SHARE).await?;
    assert!(reached.is_closed().await?, "one more than its share");
    assert!(reached.cut().await? > 0.5);
    // Loopback has no share.
    let port = reached.url.rsplit(':').next().context("a port")?;
    let local = format!("http://{}:{port}", if reached.own.is_ipv4() { "127.0.0.1" } else { "[::1]" });
    let mut locals = Vec::new();
    for _ in 0..SHARE * 3 {
        let mut wire = Wire::open(&local).await?;
        wire.send(HEALTHY).await;
        assert_eq!(wire.answer().await?.status, 200);
        locals.push(wire);
    }
    // Those that it has go on.
    for wire in &mut wires {
        wire.send(HEALTHY).await;
        assert_eq!(wire.answer().await?.status, 200);
    }
    wires.pop();
    until("a place is given back", Duration::from_secs(10), async || Ok((!reached.is_closed().await?).then_some(())))
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_proxy_that_the_operator_trusts_has_no_share() -> Test {
    let Some(reached) = reached(&format!("per_address = {SHARE}\ntrusted_proxies = [\"OWN\"]")).await? else {
        return Ok(());
    };
    let wires = reached.open(SHARE * 3).await?;
    assert_eq!(wires.len(), SHARE * 3);
    assert!(reached.cut().await? < 0.5);
    Ok(())
}

#[tokio::test]
async fn half_of_all_connections_is_the_most_that_an_address_can_have() -> Test {
    let Some(reached) = reached("per_address = 100\nmax = 8").await? else { return Ok(()) };
    let _wires = reached.open(4).await?;
    assert!(reached.is_closed().await?, "one more than half");
    // The rest is for others.
    reached.host.admin(Method::GET, "/admin/v1/status").await?.expect(200)?;
    Ok(())
}
