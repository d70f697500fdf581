//! Why nothing came back, by class.

use super::connection::TooMuch;
use super::guard::Refused;
use super::resolve::ResolveError;
use super::tls::TlsFailure;
use camino::Utf8PathBuf;
use http::StatusCode;
use std::error::Error;
use std::io;
use std::net::SocketAddr;

/// The way out cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// The operator's file of certificate authorities.
    #[error("reading certificate authorities from {path}")]
    ReadCa {
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// The file has nothing to trust in it.
    #[error("{0} has no certificate in it: `ca_file` names a PEM file of certificate authorities")]
    NoCa(Utf8PathBuf),
    /// TLS cannot be set up.
    #[error("setting up TLS")]
    Tls(#[source] rustls::Error),
    /// The resolver cannot be built.
    #[error("setting up the resolver")]
    Resolver(#[source] hickory_resolver::net::NetError),
}

/// How far an exchange had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Looking the name up.
    Dns,
    /// Opening a connection.
    Connect,
    /// Its TLS handshake.
    Tls,
    /// Sending, and waiting for the answer's head.
    Head,
    /// Reading the answer's body.
    Body,
}

/// The exchange did not end with an answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The guard refused the address; nothing was connected.
    #[error("refused: {0}")]
    Refused(Refused),
    /// The name has no address.
    #[error("look-up")]
    Dns(#[source] ResolveError),
    /// No connection.
    #[error("connecting to {address}")]
    Connect {
        /// The address that was tried last, or failed because of us.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// No TLS: the certificate, or the handshake.
    #[error("TLS handshake")]
    Tls(#[source] TlsFailure),
    /// The time was over.
    #[error("out of time ({phase:?})")]
    Timeout {
        /// What it was spent on.
        phase: Phase,
        /// The answer's status, if it had come so far.
        status: Option<StatusCode>,
    },
    /// What came back is not HTTP/1.1, or its head is too large.
    #[error("the answer is not HTTP")]
    Protocol {
        /// The answer's status, if it had come so far.
        status: Option<StatusCode>,
        /// Why.
        source: hyper::Error,
    },
    /// The connection ended before the answer did.
    #[error("the connection broke")]
    Io {
        /// The answer's status, if it had come so far.
        status: Option<StatusCode>,
        /// Why.
        source: hyper::Error,
    },
    /// The request cannot be written as HTTP.
    #[error("building the request")]
    Request(#[source] http::Error),
    /// The gateway stops.
    #[error("the gateway is stopping")]
    Shutdown,
}

impl SendError {
    /// A stable name, for the attempt log and metrics.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused-address",
            Self::Dns(ResolveError::NoAddress) => "dns-no-address",
            Self::Dns(ResolveError::Timeout) => "dns-timeout",
            Self::Dns(ResolveError::Failed(_)) => "dns-failed",
            Self::Dns(ResolveError::Unavailable(_)) => "dns-unavailable",
            Self::Connect { .. } if self.is_ours() => "no-socket",
            Self::Connect { source, .. } if source.kind() == io::ErrorKind::ConnectionRefused => "connect-refused",
            Self::Connect { .. } => "connect-failed",
            Self::Tls(failure) if failure.is_about_certificate() => "tls-certificate",
            Self::Tls(_) => "tls-failed",
            Self::Timeout { phase: Phase::Dns, .. } => "dns-timeout",
            Self::Timeout { phase: Phase::Connect, .. } => "connect-timeout",
            Self::Timeout { phase: Phase::Tls, .. } => "tls-timeout",
            Self::Timeout { phase: Phase::Head, .. } => "answer-timeout",
            Self::Timeout { phase: Phase::Body, .. } => "body-timeout",
            Self::Protocol { .. } => "protocol",
            Self::Io { status: None, .. } => "connection-closed",
            Self::Io { status: Some(_), .. } => "body-cut",
            Self::Request(_) => "request",
            Self::Shutdown => "shutdown",
        }
    }

    /// What a consumer is told: whether an address is refused, closed or silent is one and the same `unreachable`, or
    /// the gateway would scan networks for whoever asks.
    #[must_use]
    pub fn public_class(&self) -> &'static str {
        match self {
            Self::Refused(_) | Self::Dns(_) | Self::Connect { .. } => "unreachable",
            Self::Timeout { phase: Phase::Dns | Phase::Connect, .. } => "unreachable",
            _ => self.class(),
        }
    }

    /// Whether it failed because of us; such an attempt is not counted.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        match self {
            Self::Dns(ResolveError::Unavailable(_)) | Self::Shutdown => true,
            Self::Connect { address, source } => is_our_fault(*address, source),
            _ => false,
        }
    }

    /// The answer's status, if it had come before the exchange broke.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Timeout { status, .. } | Self::Protocol { status, .. } | Self::Io { status, .. } => *status,
            _ => None,
        }
    }

    pub(super) fn from_hyper(source: hyper::Error, status: Option<StatusCode>) -> Self {
        let broke_the_rules = source.is_parse()
            || find_in_chain::<TooMuch>(&source).is_some()
            || find_in_chain::<io::Error>(&source)
                .is_some_and(|error| matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData));
        if broke_the_rules { Self::Protocol { status, source } } else { Self::Io { status, source } }
    }
}

/// No sockets, ports or memory left, or no network at all. For IPv6 the last two errors only say that this machine has
/// none, which the endpoint could help by having an IPv4 address.
pub(super) fn is_our_fault(address: SocketAddr, error: &io::Error) -> bool {
    use nix::libc::{EADDRNOTAVAIL, EMFILE, ENETUNREACH, ENFILE, ENOBUFS, ENOMEM};
    match error.raw_os_error() {
        Some(EMFILE | ENFILE | ENOBUFS | ENOMEM) => true,
        Some(EADDRNOTAVAIL | ENETUNREACH) => address.is_ipv4(),
        _ => false,
    }
}

/// An `io::Error` does not show what it wraps as its source but by `get_ref`.
fn find_in_chain<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::libc::{EADDRNOTAVAIL, ECONNREFUSED, EMFILE, ENETUNREACH};

    fn connect(address: &str, code: i32) -> SendError {
        SendError::Connect { address: address.parse().unwrap(), source: io::Error::from_raw_os_error(code) }
    }

    #[test]
    fn only_our_own_failures_are_not_counted() {
        for (error, ours, class) in [
            (connect("1.1.1.1:443", EMFILE), true, "no-socket"),
            (connect("1.1.1.1:443", EADDRNOTAVAIL), true, "no-socket"),
            (connect("1.1.1.1:443", ENETUNREACH), true, "no-socket"),
            (connect("[2606:4700::1]:443", ENETUNREACH), false, "connect-failed"),
            (connect("[2606:4700::1]:443", EMFILE), true, "no-socket"),
            (connect("1.1.1.1:443", ECONNREFUSED), false, "connect-refused"),
            (SendError::Dns(ResolveError::Unavailable(String::new())), true, "dns-unavailable"),
            (SendError::Dns(ResolveError::NoAddress), false, "dns-no-address"),
            (SendError::Shutdown, true, "shutdown"),
            (SendError::Timeout { phase: Phase::Head, status: None }, false, "answer-timeout"),
        ] {
            assert_eq!((error.is_ours(), error.class()), (ours, class), "{error}");
        }
    }

    #[test]
    fn a_consumer_cannot_tell_a_refused_address_from_a_closed_or_a_silent_one() {
        let refused = Refused { host: "10.0.0.1".to_owned(), why: super::super::guard::Why::Own };
        for error in [
            SendError::Refused(refused),
            SendError::Dns(ResolveError::NoAddress),
            connect("1.1.1.1:443", ECONNREFUSED),
            SendError::Timeout { phase: Phase::Connect, status: None },
            SendError::Timeout { phase: Phase::Dns, status: None },
        ] {
            assert_eq!(error.public_class(), "unreachable");
        }
        assert_eq!(SendError::Timeout { phase: Phase::Body, status: None }.public_class(), "body-timeout");
    }
}
