//! The TLS client configuration: ring, TLS 1.2 and 1.3, verification always on.
//!
//! A CA file replaces the system's roots, so that a private CA is pinned and not merely added.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio_rustls::TlsConnector;

use super::options::{OptionsError, SmtpOptions, TlsMode};

/// Connector and name to verify; `None` when the transport runs in the clear.
pub(super) struct TlsClient {
    pub(super) connector: TlsConnector,
    pub(super) name: ServerName<'static>,
}

impl TlsClient {
    pub(super) fn from_options(options: &SmtpOptions) -> Result<Option<Self>, OptionsError> {
        if options.tls == TlsMode::None {
            return Ok(None);
        }
        let bare = options.host.trim_start_matches('[').trim_end_matches(']');
        let name =
            ServerName::try_from(bare.to_owned()).map_err(|_| OptionsError::Host(options.host.clone()))?;
        let roots = match &options.ca_pem {
            Some(pem) => roots_from_pem(pem)?,
            None => system_roots()?,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| OptionsError::CaFile(e.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Some(Self { connector: TlsConnector::from(Arc::new(config)), name }))
    }
}

fn roots_from_pem(pem: &[u8]) -> Result<RootCertStore, OptionsError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|e| OptionsError::CaFile(e.to_string()))?;
        roots.add(certificate).map_err(|e| OptionsError::CaFile(e.to_string()))?;
    }
    if roots.is_empty() { Err(OptionsError::CaFile("it holds none".into())) } else { Ok(roots) }
}

fn system_roots() -> Result<RootCertStore, OptionsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(OptionsError::NoRoots) } else { Ok(roots) }
}
