//! A connection to a gateway, over TLS if its URL says so.

use crate::egress::tls_connector;
use anyhow::{Context as _, bail};
use bytes::Bytes;
use camino::Utf8Path;
use http_body_util::Full;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::net::IpAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;
use url::{Host, Url};

const CONNECT_TIME: Duration = Duration::from_secs(10);

/// Whether a URL leads no further than this machine.
pub(crate) fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// Connects. The connection's own task ends with the runtime.
pub(crate) async fn connect(url: &Url, ca_file: Option<&Utf8Path>) -> anyhow::Result<SendRequest<Full<Bytes>>> {
    let host = url.host().context("the URL names no host")?;
    let port = url.port_or_known_default().context("the URL names no port")?;
    let connecting = async {
        match &host {
            Host::Domain(name) => TcpStream::connect((*name, port)).await,
            Host::Ipv4(ip) => TcpStream::connect((IpAddr::V4(*ip), port)).await,
            Host::Ipv6(ip) => TcpStream::connect((IpAddr::V6(*ip), port)).await,
        }
    };
    let stream = tokio::time::timeout(CONNECT_TIME, connecting).await.context("connecting took too long")?;
    let stream = stream.context("connecting")?;
    match url.scheme() {
        "http" => over(stream).await,
        "https" => {
            let name = match host {
                Host::Domain(name) => ServerName::try_from(name.to_owned()).context("not the name of a server")?,
                Host::Ipv4(ip) => ServerName::IpAddress(IpAddr::V4(ip).into()),
                Host::Ipv6(ip) => ServerName::IpAddress(IpAddr::V6(ip).into()),
            };
            let connector = tls_connector(ca_file).context("setting up TLS")?;
            let shaking = tokio::time::timeout(CONNECT_TIME, connector.connect(name, stream));
            over(shaking.await.context("TLS took too long")?.context("TLS")?).await
        }
        other => bail!("`{other}:` is no way to a gateway; use https://"),
    }
}

async fn over(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> anyhow::Result<SendRequest<Full<Bytes>>> {
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    TaskTracker::new().spawn(connection);
    Ok(sender)
}
