//! `sslmode` in earnest: a server that speaks just enough of the protocol to show its certificate and refuse a login.

use std::{path::Path, sync::Arc};

use backshift_store::{Database, Options};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

/// An authority's certificate in a file, and a server whose certificate it signed for `name`.
async fn serve(directory: &Path, name: &str) -> u16 {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(directory.join("ca.pem"), authority.pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut request = [0; 8];
                socket.read_exact(&mut request).await.ok()?;
                socket.write_all(b"S").await.ok()?;
                let mut stream = acceptor.accept(socket).await.ok()?;
                let length = stream.read_u32().await.ok()?;
                let mut startup = vec![0; length as usize - 4];
                stream.read_exact(&mut startup).await.ok()?;
                let fields = b"SFATAL\0C28P01\0Mplanted refusal\0\0";
                stream.write_u8(b'E').await.ok()?;
                stream.write_u32(fields.len() as u32 + 4).await.ok()?;
                stream.write_all(fields).await.ok()?;
                stream.shutdown().await.ok()
            });
        }
    });
    port
}

/// Whether TLS came about: then the server's own refusal is heard.
async fn is_trusted(url: &str) -> bool {
    let refusal = Database::open(url, &Options::default()).unwrap().ping().await.unwrap_err();
    let text = refusal.to_string();
    let heard = text.contains("planted refusal");
    assert!(heard || text.to_lowercase().contains("certificate"), "{text}");
    heard
}

#[tokio::test]
async fn each_mode_checks_as_much_as_it_says() {
    let directory = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let right = serve(directory.path(), "localhost").await;
    let stranger = serve(other.path(), "localhost").await;
    let misnamed = tempfile::tempdir().unwrap();
    let elsewhere = serve(misnamed.path(), "db.example").await;
    let url = |port: u16, mode: &str, ca: Option<&Path>| {
        let ca = ca.map(|d| format!("&sslrootcert={}", d.join("ca.pem").display())).unwrap_or_default();
        format!("postgres://u:secret@localhost:{port}/d?sslmode={mode}{ca}")
    };
    assert!(is_trusted(&url(right, "require", None)).await);
    assert!(is_trusted(&url(right, "verify-full", Some(directory.path()))).await);
    assert!(is_trusted(&url(elsewhere, "verify-ca", Some(misnamed.path()))).await);
    assert!(!is_trusted(&url(elsewhere, "verify-full", Some(misnamed.path()))).await);
    assert!(!is_trusted(&url(stranger, "verify-ca", Some(directory.path()))).await);
    assert!(!is_trusted(&url(stranger, "require", Some(directory.path()))).await);
    assert!(!is_trusted(&url(right, "verify-full", None)).await);
}

#[test]
fn an_unreadable_root_certificate_is_named() {
    let url = "postgres://u@localhost/d?sslmode=verify-full&sslrootcert=/no/such/ca.pem";
    let refused = Database::open(url, &Options::default()).unwrap_err().to_string();
    assert!(refused.contains("/no/such/ca.pem") && refused.contains("PEM"), "{refused}");
}
