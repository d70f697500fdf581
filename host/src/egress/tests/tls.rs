//! HTTPS endpoints.

use super::super::EgressError;
use super::receiver::Receiver;
use super::*;
use crate::causes::chain;
use camino::Utf8PathBuf;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    KeyPair, NameConstraints, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    _folder: tempfile::TempDir,
    pub(crate) file: Utf8PathBuf,
}

impl Authority {
    pub(crate) fn new() -> Self {
        Self::named("Authority")
    }

    fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = Utf8PathBuf::from_path_buf(folder.path().join("ca.pem")).unwrap();
        std::fs::write(&file, issuer.pem()).unwrap();
        Self { issuer, _folder: folder, file }
    }

    pub(crate) fn acceptor(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let certificate = params(names, change).signed_by(&key, &self.issuer).unwrap();
        acceptor_with(vec![certificate.der().clone()], &key)
    }

    fn trusting_client(&self) -> EgressClient {
        client_with(Settings { ca_file: Some(self.file.clone()), ..settings() }, Names::none())
    }
}

fn params(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    change(&mut params);
    params
}

fn acceptor_with(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> TlsAcceptor {
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// Answers every request with an empty JSON object.
pub(crate) async fn https_receiver(acceptor: TlsAcceptor) -> Receiver {
    Receiver::start(move |stream, _, log| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
            while log.request(&mut stream).await.is_some() {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
                stream.flush().await.unwrap();
            }
        }
    })
    .await
}

fn https(receiver: &Receiver, host: &str) -> String {
    format!("https://{host}:{}/", receiver.address.port())
}

#[tokio::test]
async fn a_certificate_of_an_added_authority_is_accepted_and_the_connection_reused() {
    let authority = Authority::new();
    let receiver = https_receiver(authority.acceptor(&["localhost", "127.0.0.1"], |_| {})).await;
    let client = authority.trusting_client();
    for _ in 0..10 {
        assert_eq!(&send(&client, &https(&receiver, "localhost")).await.unwrap().excerpt[..], b"{}");
    }
    assert_eq!((receiver.accepted(), receiver.requests().len()), (1, 10));
    send(&client, &https(&receiver, "127.0.0.1")).await.unwrap();
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused_before_anything_is_said() {
    let (authority, other) = (Authority::new(), Authority::new());
    let receiver = https_receiver(authority.acceptor(&["localhost"], |_| {})).await;
    for client in [client(), other.trusting_client()] {
        let error = fails(&client, &https(&receiver, "localhost")).await;
        assert_eq!((error.class(), error.is_ours()), ("tls-certificate", false), "{error:?}");
    }
    assert_eq!((receiver.accepted(), receiver.requests().len()), (2, 0));
}

#[tokio::test]
async fn a_certificate_for_another_name_or_another_time_is_refused() {
    let authority = Authority::new();
    let named_otherwise = https_receiver(authority.acceptor(&["other.example"], |_| {})).await;
    let expired = https_receiver(authority.acceptor(&["localhost"], |params| {
        (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(2001, 1, 1));
    }))
    .await;
    for receiver in [named_otherwise, expired] {
        let error = fails(&authority.trusting_client(), &https(&receiver, "localhost")).await;
        assert_eq!(error.class(), "tls-certificate", "{error:?}");
        assert!(receiver.requests().is_empty());
    }
}

#[tokio::test]
async fn a_receiver_that_speaks_no_tls_or_hangs_is_told_apart_from_a_bad_certificate() {
    let plain = Receiver::start(|mut stream, _, _| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        std::future::pending().await
    })
    .await;
    assert_eq!(fails(&client(), &https(&plain, "localhost")).await.class(), "tls-failed");
    let silent = Receiver::start(|stream, _, _| async move {
        let _open = stream;
        std::future::pending().await
    })
    .await;
    let quick = client_with(Settings { connect_budget: SECOND / 10, ..settings() }, Names::none());
    assert_eq!(fails(&quick, &https(&silent, "localhost")).await.class(), "tls-timeout");
}

/// What a client that trusts this authority says of a receiver.
async fn said(authority: &Authority, acceptor: TlsAcceptor) -> String {
    let receiver = https_receiver(acceptor).await;
    let error = fails(&authority.trusting_client(), &https(&receiver, "localhost")).await;
    assert_eq!(error.class(), "tls-certificate", "{error:?}");
    chain(&error)
}

/// The same of one that signs its own certificate, which is trusted.
async fn said_of_its_own(params: CertificateParams) -> String {
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let authority = Authority::new();
    std::fs::write(&authority.file, certificate.pem()).unwrap();
    said(&authority, acceptor_with(vec![certificate.der().clone()], &key)).await
}

#[tokio::test]
async fn of_every_certificate_that_is_refused_it_is_said_what_to_do() {
    let (authority, other) = (Authority::new(), Authority::named("Another"));
    let of = |change: fn(&mut CertificateParams)| authority.acceptor(&["localhost"], change);
    // As `openssl req -x509` makes them, and trusted by `ca_file`.
    let ca = |params: &mut CertificateParams| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let its_own = said_of_its_own(params(&["localhost"], ca)).await;
    assert!(its_own.contains("CA:FALSE") && its_own.contains("an authority's"), "{its_own}");
    // Signed by a certificate that is none of an authority.
    let leaf_key = KeyPair::generate().unwrap();
    let leaf_params = params(&["leaf.example"], |params| params.is_ca = IsCa::ExplicitNoCa);
    let leaf = CertifiedIssuer::signed_by(leaf_params, leaf_key, &authority.issuer).unwrap();
    let key = KeyPair::generate().unwrap();
    let by_leaf = params(&["localhost"], |_| {}).signed_by(&key, &leaf).unwrap();
    let by_leaf = acceptor_with(vec![by_leaf.der().clone(), leaf.der().clone()], &key);
    // By an authority that may not speak for this host.
    let constrained = params(&[], |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName("allowed.example".to_owned())],
            excluded_subtrees: vec![],
        });
    });
    let constrained = CertifiedIssuer::signed_by(constrained, KeyPair::generate().unwrap(), &authority.issuer).unwrap();
    let key = KeyPair::generate().unwrap();
    let by_constrained = params(&["localhost"], |_| {}).signed_by(&key, &constrained).unwrap();
    let by_constrained = acceptor_with(vec![by_constrained.der().clone(), constrained.der().clone()], &key);
    let cases = [
        (other.acceptor(&["localhost"], |_| {}), "authority that is not trusted"),
        (
            of(|params| (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(2001, 1, 1))),
            "expired at 2001-01-01T00:00:00.000Z; renew it",
        ),
        (of(|params| params.not_before = date_time_ymd(2090, 1, 1)), "valid from 2090-01-01T00:00:00.000Z on"),
        (authority.acceptor(&["other.example"], |_| {}), "is for other.example and not for localhost"),
        (authority.acceptor(&[], |_| {}), "no subjectAltName"),
        (of(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]), "serverAuth"),
        (by_leaf, "no authority's (CA:FALSE)"),
        (by_constrained, "nameConstraints"),
    ];
    for (acceptor, says) in cases {
        let said = said(&authority, acceptor).await;
        assert!(said.starts_with("TLS handshake: the certificate ") && said.contains(says), "{says}: {said}");
        assert!(!said.contains("Error("), "{said}");
    }
}

#[tokio::test]
async fn of_every_handshake_that_breaks_off_it_is_said_what_to_do() {
    // A fatal alert (RFC 8446, 6): handshake_failure, protocol_version, certificate_required, and one that is rare.
    let alert = |number: u8| vec![21, 3, 3, 0, 2, 2, number];
    for (answer, says) in [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), "does not speak TLS"),
        (b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(), "does not speak TLS"),
        (alert(40), "no certificate for this host name"),
        (alert(70), "TLS 1.2 or 1.3"),
        (alert(116), "client certificate"),
        (alert(22), "TLS alert 22"),
        (vec![], "closed the connection during the handshake"),
    ] {
        let written = answer.clone();
        let receiver = Receiver::start(move |mut stream, _, _| {
            let written = written.clone();
            async move {
                // The whole hello, so that closing is no reset.
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(&written).await;
            }
        })
        .await;
        let error = fails(&client(), &https(&receiver, "localhost")).await;
        let said = chain(&error);
        assert_eq!(error.class(), "tls-failed", "{said}");
        assert!(said.starts_with("TLS handshake: ") && said.contains(says), "{answer:?}: {said}");
    }
}

#[tokio::test]
async fn a_file_without_authorities_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = Utf8PathBuf::from_path_buf(folder.path().join("ca.pem")).unwrap();
    let build = || {
        let settings = Settings { ca_file: Some(file.clone()), ..settings() };
        EgressClient::new(settings, Arc::default(), Names::none(), &TaskTracker::new()).err()
    };
    assert!(matches!(build(), Some(EgressError::ReadCa { .. })));
    std::fs::write(&file, "nothing to trust").unwrap();
    assert!(matches!(build(), Some(EgressError::NoCa(_))));
}
