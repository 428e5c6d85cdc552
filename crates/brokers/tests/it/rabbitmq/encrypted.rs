//! `amqps`: a trusted server is used, any other is refused before a credential leaves.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use backshift_brokers::rabbitmq::{Config, Options, RabbitMqBroker};
use backshift_core::{Broker, BrokerError};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
};

use super::site::{Site, consume, done, envelope, payload, take_one};

/// TLS before the server, with a certificate of its own; returns port, certificate and the count of handshakes done.
async fn terminate(site: &Site, name: &str) -> (u16, String, Arc<AtomicUsize>) {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let (acceptor, shaken) = (TlsAcceptor::from(Arc::new(config)), Arc::new(AtomicUsize::new(0)));
    let url = url::Url::parse(&site.url).unwrap();
    let server = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
    let listener: TcpListener = super::proxy::listen().await;
    let port = listener.local_addr().unwrap().port();
    let count = shaken.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, server, count) = (acceptor.clone(), server.clone(), count.clone());
            tokio::spawn(async move {
                let Ok(mut client) = acceptor.accept(stream).await else { return };
                count.fetch_add(1, Ordering::Relaxed);
                let mut server = TcpStream::connect(server).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (port, made.cert.pem(), shaken)
}

fn broker(port: u16, ca_pem: Option<String>) -> RabbitMqBroker {
    let options = Options { ca_pem, ..Options::default() };
    let config = Config::from_url(&format!("amqps://guest:guest@localhost:{port}"), options).unwrap();
    RabbitMqBroker::new(config, vec![])
}

pub(super) async fn a_trusted_server_is_used_and_a_stranger_is_not(site: Site) {
    let (port, pem, _) = terminate(&site, "localhost").await;
    let (_, queue) = site.with_queue().await;
    let trusting = broker(port, Some(pem.clone()));
    let big = "x".repeat(3 * 1024 * 1024);
    trusting.publish(vec![envelope(&queue, &big)]).await.remove(0).unwrap();
    let mut consumer = consume(&trusting, &queue, 1).await;
    let delivery = take_one(&mut consumer).await;
    assert!(payload(&delivery) == big);
    delivery.receipt.ack(done()).await.unwrap();

    let error = broker(port, None).ping().await.unwrap_err();
    assert!(
        matches!(&error, BrokerError::Unavailable { problem, .. } if problem.contains("rabbitmq.ca_file")),
        "{error}"
    );
    let (port, pem, shaken) = terminate(&site, "other.example").await;
    let error = broker(port, Some(pem)).ping().await.unwrap_err();
    assert!(error.to_string().contains("for another name"), "{error}");
    assert_eq!(shaken.load(Ordering::Relaxed), 0, "no handshake was completed with a wrong name");
}
