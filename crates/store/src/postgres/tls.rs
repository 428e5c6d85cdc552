//! TLS towards PostgreSQL by rustls and ring, as strict as `sslmode` says.
//!
//! libpq's `require` encrypts and checks nothing; only `verify-full` protects against an impostor.

use std::{path::Path, sync::Arc};

use backshift_core::{
    StoreError,
    way::{Authority, Safety},
};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    address::{Address, Verify},
    connector::{Connector, Negotiation},
    refusal::Remedy,
};

/// What connects to this address. Only where every way is verified, or ends on this machine, may a server ask for the
/// password itself.
pub(super) fn connector(address: &Address) -> Result<Connector, StoreError> {
    let trusted = address.ways.iter().all(|way| !matches!(way.safety(), Safety::Exposed(_)));
    let (tls, nobody_trusted) = client(address)?;
    let authority = address.ways.first().map_or(Authority::System, |way| way.authority.clone());
    let remedy = Arc::new(Remedy { authority, nobody_trusted });
    Ok(Connector { tls, negotiation: address.negotiation, trusted, remedy })
}

/// The client of rustls, and whether it trusts nobody at all.
fn client(address: &Address) -> Result<(MakeRustlsConnect, bool), StoreError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| StoreError::Rejected(format!("TLS cannot be set up: {e}")))?;
    let mut nobody = false;
    let mut config = match address.verify {
        Verify::Full => {
            let roots = roots(address.root_certificate.as_deref())?;
            nobody = roots.is_empty();
            builder.with_root_certificates(roots)
        }
        relaxed => {
            let chain = match relaxed {
                Verify::Authority => Some(chain_check(address, &provider)?),
                _ => None,
            };
            let algorithms = provider.signature_verification_algorithms;
            let verifier = Arc::new(Partial { chain, algorithms });
            builder.dangerous().with_custom_certificate_verifier(verifier)
        }
    }
    .with_no_client_auth();
    if address.negotiation == Negotiation::Direct {
        // PostgreSQL 17 refuses a direct handshake that does not name its protocol.
        config.alpn_protocols = vec![b"postgresql".to_vec()];
    }
    Ok((MakeRustlsConnect::new(config), nobody))
}

fn chain_check(
    address: &Address,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, StoreError> {
    let roots = Arc::new(roots(address.root_certificate.as_deref())?);
    WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider))
        .build()
        .map_err(|e| StoreError::Rejected(format!("the root certificates cannot be used: {e}")))
}

fn roots(file: Option<&Path>) -> Result<RootCertStore, StoreError> {
    let mut store = RootCertStore::empty();
    let Some(file) = file else {
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(store);
    };
    let unreadable = |e: &dyn std::fmt::Display| {
        StoreError::Rejected(format!(
            "sslrootcert (database.ca_file) {} cannot be read: {e}; it must be a PEM file with the authority's certificate",
            file.display()
        ))
    };
    for certificate in CertificateDer::pem_file_iter(file).map_err(|e| unreadable(&e))? {
        store.add(certificate.map_err(|e| unreadable(&e))?).map_err(|e| unreadable(&e))?;
    }
    if store.is_empty() {
        return Err(unreadable(&"it holds no certificate"));
    }
    Ok(store)
}

/// `verify-ca` (a chain, any host) and `require` (anything at all).
#[derive(Debug)]
struct Partial {
    chain: Option<Arc<WebPkiServerVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Partial {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            checked => checked,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
