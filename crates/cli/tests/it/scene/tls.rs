//! A private authority, what it signs, and TLS in front of a server that has none.

use std::sync::Arc;

use backshift_testkit::ports::free_port;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};

/// An authority that no machine trusts, and its certificate in a file.
pub(crate) struct Authority {
    directory: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(directory.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { directory, issuer }
    }

    /// The path of its certificate.
    pub(crate) fn file(&self) -> String {
        self.directory.path().join("ca.pem").display().to_string()
    }

    /// Certificate and key of a server with these names, as PEM.
    pub(crate) fn sign(&self, names: &[&str]) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

/// Whoever speaks TLS to this port speaks to the server at `port`; it ends with its value.
pub(crate) struct Encrypted {
    pub(crate) port: u16,
    serving: JoinHandle<()>,
}

/// TLS from the first byte, with this certificate and key.
pub(crate) async fn encrypted((certificate, key): (String, String), server: u16) -> Encrypted {
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let (acceptor, port) = (TlsAcceptor::from(Arc::new(config)), free_port().unwrap());
    let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("the port is free");
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut client) = acceptor.accept(stream).await else { return };
                let Ok(mut server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    Encrypted { port, serving }
}

impl Drop for Encrypted {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
