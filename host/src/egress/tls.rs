//! TLS to endpoints: 1.2 or later, certificates always checked. There is no switch to turn that off; a private
//! authority can be added.

mod failure;

pub(crate) use self::failure::TlsFailure;

use super::error::EgressError;
use camino::Utf8Path;
use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore};
use std::sync::Arc;
use tokio_rustls::TlsConnector;

/// Sessions that are remembered for a shorter handshake: one consumer is one host, so most connections are first ones.
const SESSIONS_MAX: usize = 1024;

/// What connects over TLS: to public authorities, and to those in the file.
pub(crate) fn connector(ca_file: Option<&Utf8Path>) -> Result<TlsConnector, EgressError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = ca_file {
        let read = |source| EgressError::ReadCa { path: path.to_owned(), source };
        let mut found = 0;
        for certificate in CertificateDer::pem_file_iter(path).map_err(read)? {
            roots.add(certificate.map_err(read)?).map_err(EgressError::Tls)?;
            found += 1;
        }
        if found == 0 {
            return Err(EgressError::NoCa(path.to_owned()));
        }
    }
    // The provider is named: with two of them linked the process default would panic.
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(EgressError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
    Ok(TlsConnector::from(Arc::new(config)))
}

/// A version as it is usually written.
pub(super) const fn version_name(version: ProtocolVersion) -> Option<&'static str> {
    match version {
        ProtocolVersion::TLSv1_2 => Some("TLSv1.2"),
        ProtocolVersion::TLSv1_3 => Some("TLSv1.3"),
        _ => None,
    }
}
