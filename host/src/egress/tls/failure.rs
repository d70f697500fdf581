//! What was wrong with a TLS handshake, and what to do about it: for whoever runs the other side, and knows nothing of
//! the library that found it out.

use ripost_domain::time::Timestamp;
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, OtherError, PeerIncompatible};
use std::borrow::Cow;
use std::io;
use std::time::Duration;

/// A handshake that did not end well.
#[derive(Debug)]
pub struct TlsFailure(io::Error);

/// Names of a certificate that are told.
const NAMES_MAX: usize = 3;

impl TlsFailure {
    /// As the connector has it.
    pub(in crate::egress) const fn new(error: io::Error) -> Self {
        Self(error)
    }

    /// The host of a URL can be no name in TLS.
    pub(in crate::egress) fn not_a_name() -> Self {
        Self(io::Error::from(io::ErrorKind::InvalidInput))
    }

    fn rustls(&self) -> Option<&Error> {
        self.0.get_ref().and_then(|inner| inner.downcast_ref())
    }

    /// Whether it is the certificate that cannot be trusted.
    #[must_use]
    pub fn is_about_certificate(&self) -> bool {
        matches!(self.rustls(), Some(Error::InvalidCertificate(_)))
    }

    fn sentence(&self) -> Cow<'static, str> {
        match self.rustls() {
            Some(error) => of_rustls(error),
            None => of_socket(&self.0),
        }
    }
}

impl std::fmt::Display for TlsFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.sentence())
    }
}

/// The sentence says it all.
impl std::error::Error for TlsFailure {}

fn of_socket(error: &io::Error) -> Cow<'static, str> {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, InvalidInput, UnexpectedEof};
    match error.kind() {
        UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe => {
            "the endpoint closed the connection during the handshake; see its log, and whether it speaks TLS on this port".into()
        }
        InvalidInput => "the host of the URL cannot be the name in a certificate; use a host name or an IP address".into(),
        _ => format!("the connection broke during the handshake ({error})").into(),
    }
}

fn of_rustls(error: &Error) -> Cow<'static, str> {
    match error {
        Error::InvalidCertificate(error) => of_certificate(error),
        Error::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::MessageTooLarge)
        | Error::InappropriateMessage { .. }
        | Error::PeerSentOversizedRecord => {
            "what answers on this port does not speak TLS; use the port of https, or an http URL where the operator allows it".into()
        }
        Error::AlertReceived(alert) => of_alert(*alert),
        Error::NoCertificatesPresented => "the endpoint showed no certificate; configure one".into(),
        Error::PeerIncompatible(error) => of_incompatible(error),
        Error::NoApplicationProtocol => "the endpoint does not take HTTP/1.1 (ALPN `http/1.1`); allow it".into(),
        Error::InvalidMessage(_)
        | Error::InappropriateHandshakeMessage { .. }
        | Error::PeerMisbehaved(_)
        | Error::DecryptError => {
            format!("the endpoint breaks the rules of TLS ({error}); update its TLS library, or the proxy in front").into()
        }
        // Of our own making, or of settings that we do not use.
        error => format!("the gateway's side failed ({error}); tell its operator").into(),
    }
}

fn of_certificate(error: &CertificateError) -> Cow<'static, str> {
    use CertificateError as E;
    match error {
        E::UnknownIssuer => "the certificate is from an authority that is not trusted; use a certificate of a public authority and send the whole chain (`fullchain.pem`), or ask the operator to add the authority to `ca_file`".into(),
        E::ExpiredContext { not_after, .. } => format!("the certificate expired at {}; renew it", time(*not_after)).into(),
        E::Expired => "the certificate has expired, or ends before it begins; renew it".into(),
        E::NotValidYetContext { not_before, .. } => format!("the certificate is valid from {} on; check the clocks, or issue it anew", time(*not_before)).into(),
        E::NotValidYet => "the certificate is not valid yet; check the clocks, or issue it anew".into(),
        E::NotValidForNameContext { expected, presented } => {
            let (host, names) = (expected.to_str(), names(presented));
            format!("the certificate is {names} and not for {host}; issue one with {host} among its subjectAltName").into()
        }
        E::NotValidForName => "the certificate is not for this host; issue one with the host among its subjectAltName".into(),
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => "the certificate may not be used by a server; issue one whose extendedKeyUsage has serverAuth".into(),
        E::BadSignature => "the certificate is not signed by the authority that it names; issue it anew, and see that file and authority belong together".into(),
        #[expect(deprecated, reason = "the library still gives it")]
        E::UnsupportedSignatureAlgorithm => UNSUPPORTED_SIGNATURE.into(),
        E::UnsupportedSignatureAlgorithmContext { .. } | E::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => UNSUPPORTED_SIGNATURE.into(),
        E::BadEncoding => "the certificate cannot be read; issue it anew".into(),
        E::UnhandledCriticalExtension => "the certificate has a critical extension that the gateway does not know; issue one without".into(),
        E::Revoked => "the certificate was revoked; issue a new one".into(),
        E::Other(OtherError(error)) => match error.downcast_ref() {
            Some(error) => of_webpki(error),
            None => format!("the certificate cannot be used ({error}); issue it anew").into(),
        },
        error => format!("the certificate cannot be used ({error}); issue it anew").into(),
    }
}

const UNSUPPORTED_SIGNATURE: &str = "the certificate, or the handshake, is signed in a way that is not supported; use a key of ECDSA P-256, Ed25519 or RSA with 2048 bits or more, and SHA-256";

/// What the certificate library has no kind of its own for.
fn of_webpki(error: &webpki::Error) -> Cow<'static, str> {
    use webpki::Error as E;
    match error {
        E::CaUsedAsEndEntity => "the certificate is an authority's (CA:TRUE), which `openssl req -x509` makes unless told otherwise; make one with `-addext basicConstraints=critical,CA:FALSE`, or sign the server's with it".into(),
        E::EndEntityUsedAsCa => "the certificate is signed by one that is no authority's (CA:FALSE); sign it with one that is (CA:TRUE)".into(),
        E::UnsupportedCertVersion => "the certificate is not of X.509 version 3; issue one with the extension subjectAltName".into(),
        E::NameConstraintViolation => "the certificate is from an authority that may not issue one for this host (nameConstraints); use another authority".into(),
        E::PathLenConstraintViolated | E::MaximumPathDepthExceeded => "there are more authorities between the certificate and the trusted one than that allows (pathlen); shorten the chain".into(),
        E::MaximumSignatureChecksExceeded | E::MaximumPathBuildCallsExceeded | E::MaximumNameConstraintComparisonsExceeded => {
            "the certificates are too many to find a way through; send only the chain of the server's own".into()
        }
        error => format!("the certificate cannot be used ({error:?}); issue it anew").into(),
    }
}

fn of_incompatible(error: &PeerIncompatible) -> Cow<'static, str> {
    use PeerIncompatible as E;
    match error {
        E::ServerDoesNotSupportTls12Or13
        | E::ServerTlsVersionIsDisabledByOurConfig
        | E::Tls12NotOffered
        | E::Tls12NotOfferedOrEnabled => OLD_VERSION.into(),
        error => format!("the endpoint and the gateway have no way in common ({error:?}); allow the usual cipher suites and curves of TLS 1.2 or 1.3").into(),
    }
}

const OLD_VERSION: &str = "the endpoint speaks only versions of TLS before 1.2; allow TLS 1.2 or 1.3";

fn of_alert(alert: AlertDescription) -> Cow<'static, str> {
    use AlertDescription as A;
    match alert {
        A::HandshakeFailure | A::InsufficientSecurity => "the endpoint refused the handshake: it has no certificate for this host name, or no cipher suite in common with the gateway; see its TLS settings".into(),
        A::UnrecognisedName => "the endpoint has no certificate for this host name; add the host to it, or correct the URL".into(),
        A::ProtocolVersion => OLD_VERSION.into(),
        A::CertificateRequired | A::NoCertificate | A::BadCertificate | A::AccessDenied | A::UnknownCA => "the endpoint asks for a client certificate, which the gateway does not have; take webhooks without one, and verify their signature".into(),
        A::NoApplicationProtocol => "the endpoint does not take HTTP/1.1 (ALPN `http/1.1`); allow it".into(),
        A::InternalError => "the endpoint failed during the handshake; see its log".into(),
        alert => format!("the endpoint refused the handshake (TLS alert {}); see its log", u8::from(alert)).into(),
    }
}

fn time(at: UnixTime) -> Timestamp {
    Timestamp::from_millis(0).after(Duration::from_secs(at.as_secs()))
}

/// As webpki writes them: `DnsName("a.example")`.
fn names(presented: &[String]) -> String {
    let plain = |name: &String| {
        let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
        inner.trim_matches('"').to_owned()
    };
    let mut told: Vec<String> = presented.iter().take(NAMES_MAX).map(plain).collect();
    if presented.len() > NAMES_MAX {
        told.push("…".to_owned());
    }
    if told.is_empty() {
        "for no name at all (no subjectAltName)".to_owned()
    } else {
        format!("for {}", told.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::{HandshakeType, PeerMisbehaved};

    fn said(error: Error) -> String {
        TlsFailure::new(io::Error::new(io::ErrorKind::InvalidData, error)).to_string()
    }

    /// The ones that take a peer to bring about are in `egress/tests/tls`.
    #[test]
    fn every_kind_of_failure_is_a_sentence_that_says_what_to_do() {
        let other = |error: webpki::Error| CertificateError::Other(OtherError(std::sync::Arc::new(error))).into();
        let misbehaved = PeerMisbehaved::TooManyKeyUpdateRequests;
        let handshake =
            Error::InappropriateHandshakeMessage { expect_types: vec![], got_type: HandshakeType::ServerHello };
        for (error, says) in [
            (CertificateError::Revoked.into(), "issue a new one"),
            (CertificateError::BadEncoding.into(), "issue it anew"),
            (CertificateError::Expired.into(), "renew it"),
            (CertificateError::NotValidYet.into(), "check the clocks"),
            (CertificateError::NotValidForName.into(), "subjectAltName"),
            (CertificateError::InvalidPurpose.into(), "serverAuth"),
            (CertificateError::BadSignature.into(), "issue it anew"),
            (CertificateError::UnhandledCriticalExtension.into(), "issue one without"),
            (CertificateError::UnknownRevocationStatus.into(), "issue it anew"),
            (CertificateError::ApplicationVerificationFailure.into(), "issue it anew"),
            (other(webpki::Error::UnsupportedCertVersion), "version 3"),
            (other(webpki::Error::PathLenConstraintViolated), "shorten the chain"),
            (other(webpki::Error::MaximumSignatureChecksExceeded), "only the chain"),
            (other(webpki::Error::InvalidSerialNumber), "(InvalidSerialNumber); issue it anew"),
            (Error::AlertReceived(AlertDescription::UnrecognisedName), "add the host to it"),
            (Error::AlertReceived(AlertDescription::ProtocolVersion), "TLS 1.2 or 1.3"),
            (Error::AlertReceived(AlertDescription::NoApplicationProtocol), "ALPN"),
            (Error::AlertReceived(AlertDescription::InternalError), "see its log"),
            (Error::AlertReceived(AlertDescription::CertificateRequired), "client certificate"),
            (Error::AlertReceived(AlertDescription::RecordOverflow), "(TLS alert 22)"),
            (Error::NoCertificatesPresented, "configure one"),
            (Error::NoApplicationProtocol, "allow it"),
            (PeerIncompatible::NoCipherSuitesInCommon.into(), "cipher suites"),
            (PeerIncompatible::ServerDoesNotSupportTls12Or13.into(), "TLS 1.2 or 1.3"),
            (misbehaved.into(), "update its TLS library"),
            (handshake, "update its TLS library"),
            (Error::DecryptError, "update its TLS library"),
            (Error::PeerSentOversizedRecord, "does not speak TLS"),
            (Error::FailedToGetRandomBytes, "tell its operator"),
            (Error::General("x".to_owned()), "tell its operator"),
        ] {
            let sentence = said(error);
            assert!(sentence.contains(says), "{sentence}");
            assert!(!sentence.contains("Other("), "{sentence}");
        }
        let closed = TlsFailure::new(io::ErrorKind::ConnectionReset.into()).to_string();
        assert!(closed.contains("closed the connection during the handshake"), "{closed}");
        assert!(TlsFailure::not_a_name().to_string().contains("use a host name"));
    }

    #[test]
    fn of_a_certificates_names_the_first_few_are_told() {
        let shown = |all: &[&str]| names(&all.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(shown(&[]), "for no name at all (no subjectAltName)");
        assert_eq!(shown(&["DnsName(\"a.example\")", "IpAddress(127.0.0.1)"]), "for a.example, 127.0.0.1");
        assert_eq!(shown(&["DnsName(\"a\")"; 5]), "for a, a, a, …");
    }
}
