//! A connection to one of the addresses that the guard let pass.

use super::connection::{Connection, Stream};
use super::error::{Phase, SendError, is_our_fault};
use super::facts::Progress;
use super::tls::TlsFailure;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use ripost_domain::address::WebhookUrl;
use rustls::pki_types::ServerName;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_rustls::TlsConnector;

/// How long an address has the field for itself before the next is tried beside it (RFC 8305 §5).
const STAGGER: Duration = Duration::from_millis(250);

pub(super) struct Connector {
    pub(super) tls: TlsConnector,
    /// For TCP and TLS together.
    pub(super) budget: Duration,
}

impl Connector {
    pub(super) async fn open(
        &self,
        url: &WebhookUrl,
        addresses: &[SocketAddr],
        progress: &mut Progress,
    ) -> Result<Box<Connection>, SendError> {
        let deadline = Instant::now() + self.budget;
        let late = |phase| SendError::Timeout { phase, status: None };
        progress.enter(Phase::Connect);
        let (tcp, peer) = match timeout_at(deadline, first_to_connect(addresses)).await {
            Err(_) => return Err(late(Phase::Connect)),
            Ok(Err((address, source))) => return Err(SendError::Connect { address, source }),
            Ok(Ok(connected)) => connected,
        };
        progress.facts.peer = Some(peer);
        let stream = if url.is_https() {
            progress.enter(Phase::Tls);
            let name = server_name(url)?;
            let handshake = timeout_at(deadline, self.tls.connect(name, tcp)).await;
            Stream::Tls(Box::new(
                handshake.map_err(|_| late(Phase::Tls))?.map_err(|error| SendError::Tls(TlsFailure::new(error)))?,
            ))
        } else {
            Stream::Plain(tcp)
        };
        Connection::over(stream, peer).await
    }
}

fn server_name(url: &WebhookUrl) -> Result<ServerName<'static>, SendError> {
    let invalid = |_| SendError::Tls(TlsFailure::not_a_name());
    match url.host() {
        url::Host::Domain(name) => ServerName::try_from(name.to_owned()).map_err(invalid),
        url::Host::Ipv4(ip) => Ok(ServerName::IpAddress(std::net::IpAddr::V4(ip).into())),
        url::Host::Ipv6(ip) => Ok(ServerName::IpAddress(std::net::IpAddr::V6(ip).into())),
    }
}

/// Tries the addresses in order, the next as soon as one fails or keeps us waiting; the first that connects wins.
///
/// # Cancel safety
/// Dropping it closes whatever was under way.
async fn first_to_connect(addresses: &[SocketAddr]) -> Result<(TcpStream, SocketAddr), (SocketAddr, io::Error)> {
    let mut waiting = addresses.iter().copied();
    let mut attempts = FuturesUnordered::new();
    let mut failure: Option<(SocketAddr, io::Error)> = None;
    loop {
        attempts.extend(waiting.next().map(connect_to));
        tokio::select! {
            Some((address, result)) = attempts.next() => match result {
                Ok(stream) => return Ok((stream, address)),
                // What was our own fault is the one to tell.
                Err(error) => if failure.as_ref().is_none_or(|(address, known)| !is_our_fault(*address, known)) {
                    failure = Some((address, error));
                },
            },
            () = sleep(STAGGER), if waiting.len() > 0 => {}
            else => {
                let none = || (SocketAddr::from(([0, 0, 0, 0], 0)), io::Error::from(io::ErrorKind::AddrNotAvailable));
                return Err(failure.unwrap_or_else(none));
            }
        }
    }
}

async fn connect_to(address: SocketAddr) -> (SocketAddr, io::Result<TcpStream>) {
    let connect = async {
        let stream = TcpStream::connect(address).await?;
        // What was checked is what we are connected to, whatever a packet filter of this machine may rewrite.
        if stream.peer_addr()? != address {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "connected to another address than the one checked",
            ));
        }
        // A request is one write; nothing is to wait for more of it.
        stream.set_nodelay(true)?;
        Ok(stream)
    };
    (address, connect.await)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn an_address_that_refuses_gives_way_to_the_next_at_once() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        let started = Instant::now();
        let (_stream, peer) = first_to_connect(&[closed, closed, open]).await.unwrap();
        assert_eq!(peer, open);
        assert!(started.elapsed() < STAGGER);
    }

    #[tokio::test]
    async fn when_none_connects_the_last_failure_is_told() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let (address, error) = first_to_connect(&[closed]).await.unwrap_err();
        assert_eq!((address, error.kind()), (closed, io::ErrorKind::ConnectionRefused));
        assert!(first_to_connect(&[]).await.is_err());
    }
}
