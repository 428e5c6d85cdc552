//! TLS in earnest: a server that speaks just enough of the protocol to show its certificate, to refuse a login, or to
//! ask for the password itself.
//!
//! `0.0.0.0` as a destination ends on this machine and is not a loopback address: packets to "another host" that leave
//! nothing.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use backshift_store::{Database, Options, StoreError};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

const PASSWORD: &str = "hunter2-in-the-clear";

/// What the server does with whoever comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Refuses,
    AsksForThePassword,
}

/// A server, and everything that it was told after the handshake.
struct Server {
    port: u16,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Server {
    fn knows_the_password(&self) -> bool {
        let heard = self.heard.lock().unwrap();
        heard.windows(PASSWORD.len()).any(|window| window == PASSWORD.as_bytes())
    }
}

/// An authority's certificate in a file, and a server's certificate that it signed for `name`.
fn certificate(directory: &Path, name: &str) -> TlsAcceptor {
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
    TlsAcceptor::from(Arc::new(config))
}

/// `tls` = what it shows; `None` = it has no TLS.
async fn start(tls: Option<TlsAcceptor>, manner: Manner) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = Arc::<Mutex<Vec<u8>>>::default();
    let server = Server { port, heard: Arc::clone(&heard) };
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let (tls, heard) = (tls.clone(), Arc::clone(&heard));
            tokio::spawn(async move {
                let length = socket.read_u32().await.ok()?;
                if length != 8 {
                    return talk(socket, length, manner, &heard).await;
                }
                socket.read_u32().await.ok()?;
                let Some(tls) = tls else {
                    socket.write_all(b"N").await.ok()?;
                    let length = socket.read_u32().await.ok()?;
                    return talk(socket, length, manner, &heard).await;
                };
                socket.write_all(b"S").await.ok()?;
                let mut stream = tls.accept(socket).await.ok()?;
                let length = stream.read_u32().await.ok()?;
                talk(stream, length, manner, &heard).await
            });
        }
    });
    server
}

async fn talk(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    length: u32,
    manner: Manner,
    heard: &Mutex<Vec<u8>>,
) -> Option<()> {
    let mut startup = vec![0; length as usize - 4];
    stream.read_exact(&mut startup).await.ok()?;
    heard.lock().unwrap().extend(startup);
    if manner == Manner::AsksForThePassword {
        stream.write_all(b"R\0\0\0\x08\0\0\0\x03").await.ok()?;
        let mut answer = vec![0; 512];
        let count = stream.read(&mut answer).await.ok()?;
        heard.lock().unwrap().extend(&answer[..count]);
    }
    let fields = b"SFATAL\0C28P01\0Mplanted refusal\0\0";
    stream.write_u8(b'E').await.ok()?;
    stream.write_u32(fields.len() as u32 + 4).await.ok()?;
    stream.write_all(fields).await.ok()?;
    stream.shutdown().await.ok()
}

async fn serve(directory: &Path, name: &str) -> u16 {
    start(Some(certificate(directory, name)), Manner::Refuses).await.port
}

async fn error_of(url: &str, options: &Options) -> StoreError {
    let error = Database::open(url, options).unwrap().ping().await.unwrap_err();
    assert!(!error.to_string().contains(PASSWORD), "{error}");
    error
}

/// Whether TLS came about: then the server's own refusal is heard.
async fn is_trusted(url: &str) -> bool {
    let text = error_of(url, &Options::default()).await.to_string();
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
        format!("postgres://u:{PASSWORD}@localhost:{port}/d?sslmode={mode}{ca}")
    };
    assert!(is_trusted(&url(right, "require", None)).await);
    assert!(is_trusted(&url(right, "verify-full", Some(directory.path()))).await);
    assert!(is_trusted(&url(elsewhere, "verify-ca", Some(misnamed.path()))).await);
    assert!(!is_trusted(&url(elsewhere, "verify-full", Some(misnamed.path()))).await);
    assert!(!is_trusted(&url(stranger, "verify-ca", Some(directory.path()))).await);
    assert!(!is_trusted(&url(stranger, "require", Some(directory.path()))).await);
    assert!(!is_trusted(&url(right, "verify-full", None)).await);
}

#[tokio::test]
async fn another_machine_is_verified_unless_the_url_says_otherwise() {
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.pem");
    let tls = certificate(directory.path(), "0.0.0.0");
    let right = start(Some(tls), Manner::Refuses).await;
    let clear = start(None, Manner::Refuses).await;
    let trusting = Options { ca_file: Some(ca.clone()), ..Options::default() };
    let plain = Options::default();
    let url = |port: u16, query: &str| format!("postgres://u:{PASSWORD}@0.0.0.0:{port}/d{query}");

    let unknown = error_of(&url(right.port, ""), &plain).await;
    assert!(matches!(unknown, StoreError::Unusable(_)), "{unknown}");
    for word in ["certificate", "sslrootcert", "database.ca_file"] {
        assert!(unknown.to_string().contains(word), "{unknown}");
    }
    let missing = error_of(&url(clear.port, ""), &plain).await;
    assert!(matches!(&missing, StoreError::Unusable(text) if text.contains("offers no TLS")), "{missing}");
    for (url, options) in [
        (url(right.port, ""), &trusting),
        (url(right.port, &format!("?sslrootcert={}", ca.display())), &plain),
        (url(right.port, "?sslmode=require"), &plain),
        (url(right.port, "?sslmode=prefer"), &plain),
        (url(clear.port, "?sslmode=prefer"), &plain),
        (url(clear.port, "?sslmode=disable"), &plain),
        // No name, only an address: the certificate is for it.
        (format!("postgres://u@/d?hostaddr=0.0.0.0&port={}", right.port), &trusting),
    ] {
        let text = error_of(&url, options).await.to_string();
        assert!(text.contains("planted refusal"), "{text}");
    }
    // On this machine nothing has changed.
    let here = format!("postgres://u:{PASSWORD}@127.0.0.1:{}/d", clear.port);
    assert!(error_of(&here, &plain).await.to_string().contains("planted refusal"));
}

#[tokio::test]
async fn a_server_that_nobody_checked_does_not_get_the_password_itself() {
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.pem");
    for query in
        ["?sslmode=disable", "?sslmode=prefer", "?sslmode=require", "?sslmode=verify-ca&sslrootcert=CA"]
    {
        let tls = certificate(directory.path(), "somebody.else");
        for tls in [Some(tls), None] {
            let with_tls = tls.is_some();
            let server = start(tls, Manner::AsksForThePassword).await;
            let query = query.replace("CA", &ca.display().to_string());
            let url = format!("postgres://u:{PASSWORD}@0.0.0.0:{}/d{query}", server.port);
            let error = error_of(&url, &Options::default()).await;
            assert!(matches!(error, StoreError::Unusable(_)), "{query} {with_tls}: {error}");
            let text = error.to_string();
            assert!(text.contains("was not sent") || text.contains("offers no TLS"), "{query}: {text}");
            assert!(!server.knows_the_password(), "{query} {with_tls}");
        }
    }
    // A server that was checked may ask for it, and so may one on this machine.
    let tls = certificate(directory.path(), "0.0.0.0");
    let checked = start(Some(tls), Manner::AsksForThePassword).await;
    let options = Options { ca_file: Some(ca), ..Options::default() };
    error_of(&format!("postgres://u:{PASSWORD}@0.0.0.0:{}/d", checked.port), &options).await;
    assert!(checked.knows_the_password());
    let here = start(None, Manner::AsksForThePassword).await;
    error_of(&format!("postgres://u:{PASSWORD}@127.0.0.1:{}/d", here.port), &Options::default()).await;
    assert!(here.knows_the_password());
}

#[test]
fn an_unreadable_root_certificate_is_named() {
    let url = "postgres://u@localhost/d?sslmode=verify-full&sslrootcert=/no/such/ca.pem";
    let refused = Database::open(url, &Options::default()).unwrap_err().to_string();
    assert!(refused.contains("/no/such/ca.pem") && refused.contains("PEM"), "{refused}");
}
