//! Chains behind TLS: `https://` and `wss://` are spoken, and a certificate that nobody vouches for is refused by name.

use std::{sync::Arc, time::Duration};

use mythic_client::{ChainClient, ClientError, Commitment};
use rcgen::CertifiedKey;
use tokio::net::TcpListener;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
};

/// A server on loopback whose certificate it signed itself, and the handshakes it saw fail.
async fn self_signed() -> (u16, tokio::sync::mpsc::Receiver<String>) {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (failed, failures) = tokio::sync::mpsc::channel(16);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Err(error) = acceptor.accept(stream).await {
                let _ = failed.send(error.to_string()).await;
            }
        }
    });
    (port, failures)
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused_by_name() {
    let (port, _failures) = self_signed().await;
    let chain = ChainClient::new(
        format!("https://localhost:{port}"),
        format!("wss://localhost:{port}"),
    );
    let error = chain.slot(Commitment::Processed).await.unwrap_err();
    assert!(matches!(error, ClientError::Certificate(_)), "{error:?}");
    let message = error.to_string();
    assert!(
        message.contains("UnknownIssuer") && message.contains("certificate is refused"),
        "{message}"
    );
}

#[tokio::test]
async fn a_websocket_over_tls_shakes_hands_and_refuses_the_same_certificate() {
    let (port, mut failures) = self_signed().await;
    let chain = ChainClient::new(
        "http://127.0.0.1:1".to_owned(),
        format!("wss://localhost:{port}"),
    );
    let _slots = chain.watch_slots();
    // The alert that the client sends: it speaks TLS, and says why it leaves.
    let failure = tokio::time::timeout(Duration::from_secs(20), failures.recv())
        .await
        .unwrap()
        .unwrap();
    assert!(failure.contains("UnknownCA"), "{failure}");
}
