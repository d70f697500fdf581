//! HTTPS endpoints.

use super::super::EgressError;
use super::receiver::Receiver;
use super::*;
use camino::Utf8PathBuf;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::AsyncWriteExt as _;
use tokio_rustls::TlsAcceptor;

pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    _folder: tempfile::TempDir,
    pub(crate) file: Utf8PathBuf,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = Utf8PathBuf::from_path_buf(folder.path().join("ca.pem")).unwrap();
        std::fs::write(&file, issuer.pem()).unwrap();
        Self { issuer, _folder: folder, file }
    }

    pub(crate) fn acceptor(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let mut params =
            CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }

    fn trusting_client(&self) -> EgressClient {
        client_with(Settings { ca_file: Some(self.file.clone()), ..settings() }, Names::none())
    }
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
